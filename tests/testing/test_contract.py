"""A contract of which a part is left out is none."""

from __future__ import annotations

import pytest
from wrong_plugins import CARDS, Generator

from versasound_core import registry
from versasound_core.testing import GeneratorContract


@pytest.fixture(autouse=True)
def right(monkeypatch):
    monkeypatch.setattr(registry.default_registry, "_registered", [])
    registry.register("generator", "right", Generator, CARDS["generator"])


class Tame(GeneratorContract):
    name = "right"


def test_a_test_that_is_replaced_is_named():
    class Replaced(Tame):
        def test_it_makes_a_sound(self):
            pass

    with pytest.raises(pytest.fail.Exception, match=r"Replaced replaces test_it_makes_a_sound; mark it .*xfail"):
        Replaced().test_no_test_is_replaced()


def test_one_that_is_taken_away_is_named():
    class Without(Tame):
        test_it_makes_a_sound = None

    with pytest.raises(pytest.fail.Exception, match="Without replaces test_it_makes_a_sound"):
        Without().test_no_test_is_replaced()


def test_a_reason_is_accepted():
    class Marked(Tame):
        @pytest.mark.xfail(reason="it is silent by design")
        def test_it_makes_a_sound(self):
            super().test_it_makes_a_sound()

        def test_of_its_own(self):
            pass

    Marked().test_no_test_is_replaced()


def test_the_test_that_looks_cannot_be_replaced():
    with pytest.raises(TypeError, match="replaces the test that looks"):
        type("Sly", (Tame,), {"test_no_test_is_replaced": lambda self: None})

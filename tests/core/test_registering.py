"""Backends that a program registers itself."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from versasound_core.errors import AmbiguousBackendError, InvalidInputError, PluginError
from versasound_core.registry import Registry, State


class Tone:
    """Hums.

    And more.
    """

    def __init__(self, **options: object) -> None:
        self.options = options


def other_package(target: Any) -> Any:
    """Make a class look as if another package had it."""
    return type("Tone", (target,), {"__module__": "elsewhere.deep"})


class TestRegistering:
    @pytest.fixture
    def registry(self) -> Registry:
        return Registry()

    def test_a_class_becomes_a_backend_described_by_its_docstring(self, registry):
        registry.register("generator", "tone", Tone)
        backend = registry.get("generator", "tone")
        assert (backend.name, backend.state, backend.card.summary) == ("tone", State.READY, "Hums.")
        assert backend.target == f"{__name__}:Tone"
        assert isinstance(registry.create("generator", "tone"), Tone)
        assert backend.state is State.LOADED

    @pytest.mark.parametrize("target", [lambda: 1, functools.partial(Tone), other_package(Tone)])
    def test_anything_that_can_be_called_will_do(self, registry, target):
        registry.register("generator", "tone", target)
        assert registry.get("generator", "tone").card.summary
        registry.create("generator", "tone")

    def test_its_card_has_options_and_may_be_newer_than_the_core(self, registry):
        card = {"summary": "Hums low.", "from_the_future": 1, "options": {"hz": {"type": "int", "default": 50}}}
        registry.register("generator", "tone", Tone, card)
        assert registry.create("generator", "tone").options == {"hz": 50}
        assert registry.create("generator", "tone", hz=60).options == {"hz": 60}
        with pytest.raises(InvalidInputError, match="generator tone: hz='x': wanted a whole number"):
            registry.create("generator", "tone", hz="x")

    def test_its_own_package_replaces_it(self, registry):
        registry.register("generator", "tone", Tone, {"summary": "Old."})
        registry.register("generator", "tone", Tone, {"summary": "New."})
        assert [b.card.summary for b in registry.backends("generator") if "tone" in b.name] == ["New."]

    def test_another_package_makes_it_ambiguous_and_replacing_still_works(self, registry):
        registry.register("generator", "tone", Tone, {"summary": "Mine."})
        registry.register("generator", "tone", other_package(Tone), {"summary": "Theirs."})
        with pytest.raises(AmbiguousBackendError, match="elsewhere:tone"):
            registry.get("generator", "tone")
        registry.register("generator", "tone", other_package(Tone), {"summary": "Theirs, newer."})
        found = [b for b in registry.backends("generator") if b.bare_name == "tone"]
        assert sorted(b.card.summary for b in found) == ["Mine.", "Theirs, newer."]
        assert registry.get("generator", "elsewhere:tone").card.summary == "Theirs, newer."

    def test_another_role_is_another_matter(self, registry):
        registry.register("generator", "tone", Tone)
        registry.register("refiner", "tone", other_package(Tone))
        assert registry.get("generator", "tone").name == registry.get("refiner", "tone").name == "tone"

    def test_it_can_be_disabled(self, registry, monkeypatch):
        monkeypatch.setenv("VERSASOUND_DISABLE", "tone")
        registry.register("generator", "tone", Tone)
        with pytest.raises(PluginError, match="disabled"):
            registry.get("generator", "tone")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("painter", "tone", Tone), "no role 'painter'.*encoder, generator, aligner, refiner"),
            (("generator", "", Tone), "cannot be called ''"),
            (("generator", "a:b", Tone), "cannot be called 'a:b'"),
            (("generator", "tone", "versasound:Tone"), "generator tone: 'versasound:Tone' cannot be called"),
            (("generator", "tone", Tone, {"options": [1]}), r"generator tone: options must be a mapping, not \[1\]"),
            (("generator", "tone", Tone, {"options": {"hz": {}}}), "generator tone: option hz must be .* `type:`"),
            (("generator", "tone", Tone, {"timed": "yes"}), "generator tone: timed must be true or false, not 'yes'"),
        ],
    )
    def test_what_cannot_be_a_backend_is_refused_and_leaves_nothing(self, registry, arguments, words):
        before = [b.full_name for b in registry.backends()]
        with pytest.raises(InvalidInputError, match=words):
            registry.register(*arguments)
        assert [b.full_name for b in registry.backends()] == before

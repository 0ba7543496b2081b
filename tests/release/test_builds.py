"""Distributions build the same way every time, and hold what they should; `tox -e release-check` installs them too."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling, which builds the distributions, is not installed")
_SPEC = importlib.util.spec_from_file_location("release_check", Path(__file__).with_name("release_check.py"))
release_check = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(release_check)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    home = tmp_path_factory.mktemp("built")
    folders = list(release_check.distributions().values())
    one = release_check.build(folders, home / "one")
    two = release_check.build(release_check.copied(home / "copy"), home / "two")
    return home / "one", one, two


def test_twice_the_same_bytes(built):
    _, one, two = built
    assert len(one) == 2 * len(release_check.distributions())
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


@pytest.mark.parametrize("name", release_check.distributions())
def test_a_wheel_holds_what_it_should(built, name):
    folder = release_check.distributions()[name]
    assert release_check.faults_of(release_check.wheel_of(name, built[0]), release_check.packages(folder)) == []

"""Distributions build the same way every time, and hold what they should; `tox -e release-check` installs them too."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling, which builds the distributions, is not installed")
_SPEC = importlib.util.spec_from_file_location("building", Path(__file__).with_name("building.py"))
building = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(building)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    home = tmp_path_factory.mktemp("built")
    folders = list(building.distributions().values())
    one = building.build(folders, home / "one")
    two = building.build(building.copied(home / "copy"), home / "two")
    return home / "one", one, two


def test_twice_the_same_bytes(built):
    _, one, two = built
    assert len(one) == 2 * len(building.distributions())
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


@pytest.mark.parametrize("name", building.distributions())
def test_a_wheel_holds_what_it_should(built, name):
    folder = building.distributions()[name]
    assert building.faults_of(building.wheel_of(name, built[0]), building.packages(folder)) == []

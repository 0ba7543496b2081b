"""Each distribution with a model comes and goes by itself."""

from __future__ import annotations

import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
_BUILD = "import os, sys, hatchling.build; os.chdir(sys.argv[1]); hatchling.build.build_wheel(sys.argv[2])"
_LIST = """
import sys
from versasound_core import registry
found = {b.name: b for b in registry.backends() if b.distribution == sys.argv[1]}
answer = {name: [b.state.value, b.version, len(b.card.variants), b.card.weights_licence] for name, b in found.items()}
import importlib.util
spec = importlib.util.find_spec("versasound_plugin_NAME")
answer["where"] = spec.origin if spec else ""
heavy = ("torch", "transformers", "diffusers", "versasound_plugin_NAME")
answer["loaded"] = [name for name in heavy if name in sys.modules]
"""


@pytest.mark.parametrize(
    ("plugin", "role", "variants"),
    [
        ("clip", "encoder", 4),
        ("dinov2", "encoder", 9),
        ("videomae", "encoder", 4),
        ("audioldm2", "generator", 3),
        ("stable-audio", "generator", 1),
        ("audiocraft", "generator", 8),
    ],
)
def test_it_installs_and_uninstalls_alone(
    plugin: str,
    role: str,
    variants: int,
    run: Callable[..., str],
    ask: Callable[..., Any],
    python: Path,
    tmp_path: Path,
) -> None:
    pytest.importorskip("hatchling", reason="hatchling, which builds the plugin, is not installed")
    name = plugin.replace("-", "_")
    run(sys.executable, "-c", _BUILD, PLUGINS / f"versasound-plugin-{plugin}", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, wheel)
    code = f"import sys; sys.argv = ['', 'versasound-plugin-{plugin}']\n" + _LIST.replace("NAME", name)
    found = ask(code, site, python)
    assert found.pop("loaded") == []
    assert Path(found.pop("where")).is_relative_to(site)
    project = tomllib.loads((PLUGINS / f"versasound-plugin-{plugin}/pyproject.toml").read_text(encoding="utf-8"))
    assert sorted(found) == sorted(project["project"]["entry-points"][f"versasound.{role}s"])
    state, version, count, licence = found[name]
    assert (state, count) == ("ready", variants)
    assert version
    assert licence
    inside = {path.name for path in (site / f"versasound_plugin_{name}").iterdir()}
    assert {"versasound.yaml", "py.typed", f"{role}.py"} <= inside
    shutil.rmtree(site)
    left = ask(code, None, python)
    assert not Path(left["where"]).is_relative_to(site)  # a development install may still be there
    assert bool(left["where"]) == (name in left)

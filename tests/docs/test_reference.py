"""The reference has every backend, option, licence, hook and command, and everything that the kit asks."""

from __future__ import annotations

import importlib.util
import inspect
import re

import pytest
from pages import ROOT

from versasound_core import registry, testing
from versasound_core.cli import build_parser
from versasound_core.hooks import HookSpecs

_SPEC = importlib.util.spec_from_file_location("generated_pages", ROOT / "docs" / "_ext" / "generated_pages.py")
generated = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(generated)

BACKENDS = [pytest.param(b, id=f"{b.role}-{b.name}") for b in registry.backends() if b.card]
HOOKS = [name for name in vars(HookSpecs) if name.startswith("versasound_")]


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_option_is_documented(backend):
    page = generated.backend_page(backend, backend.card)
    for name, spec in backend.card.options.items():
        assert spec.help.strip(), f"{backend.role} {backend.name}: option {name} has no help on its card"
        assert re.search(rf"^\| `{name}` \|.*{re.escape(spec.help)}", page, re.M)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_licence_is_in_the_table(backend):
    page = generated.licences_page()
    assert f"| {backend.role} `{backend.name}` |  | {backend.card.code_licence} |" in page
    for variant, fields in backend.card.variants.items():
        assert re.search(rf"`{backend.name}` \| `{variant}` .*{re.escape(str(fields['licence']))} \|", page)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_signature(hook):
    names = list(inspect.signature(getattr(HookSpecs, hook)).parameters)[1:]
    guide = (ROOT / "docs" / "how-to" / "hooks.md").read_text(encoding="utf-8")
    assert f"`{hook}({', '.join(names)})`" in guide
    section = generated.hooks_page().partition(f"## {hook}\n")[2].partition("\n## ")[0]
    assert re.search(rf"def {hook}\({', '.join(f'{name}: [^,)]+' for name in names)}\) -> None", section)
    assert inspect.getdoc(getattr(HookSpecs, hook)) in section


def test_no_hook_is_documented_that_there_is_not():
    guide = (ROOT / "docs" / "how-to" / "hooks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(versasound_\w+)\(", guide)) == set(HOOKS)


@pytest.mark.parametrize("role", testing.CONTRACTS)
def test_everything_that_the_kit_asks_is_documented(role):
    page = generated.contracts_page()
    contract = getattr(testing, testing.CONTRACTS[role])
    for name in [name for name in dir(contract) if name.startswith("test_")]:
        said = " ".join((inspect.getdoc(getattr(contract, name)) or "").split())
        assert said
        assert f"- {name.removeprefix('test_').replace('_', ' ')}: {said}" in page


def test_every_command_is_documented():
    page = generated.commands_page()
    commands = next(a.choices for a in build_parser()._actions if isinstance(a.choices, dict))
    assert [name for name in commands if f"## versasound {name}\n" not in page] == []

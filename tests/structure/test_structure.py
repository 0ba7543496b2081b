"""The house is built as its drawing says: who may import whom, and every room named."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from versasound_core.cards import ROLES
from versasound_core.testing import CONTRACTS
from versasound_core.testing.outside import SLOW

ROOT = Path(__file__).parents[2]
CORE = ROOT / "versasound_core"
DRAWING = ROOT / "docs" / "explanation" / "architecture.md"
PACKAGES = sorted(path.parent for path in ROOT.glob("plugins/*/versasound_plugin_*/__init__.py"))
# Their libraries live in environments of their own, which the tests of their plugins build where they may.
ISOLATED = {"audiocraft_original", "stable_audio_tools"}
PROJECTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]


def imported(path: Path, *, at_start: bool = False) -> set[str]:
    """The absolute modules that a file imports; `at_start`, only those that importing it imports."""
    found: set[str] = set()

    def look(nodes: list[ast.stmt]) -> None:
        for node in nodes:
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module or "")
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                look(node.orelse)
            elif not (at_start and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
                for child in ast.iter_child_nodes(node):
                    look([child])

    look(ast.parse(path.read_bytes()).body)
    return found


def tops(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def drawn() -> dict[str, str]:
    """The lines of the drawing within the core, by what they name."""
    text = DRAWING.read_text(encoding="utf-8").partition("## Where things are")[2]
    lines = re.findall(r"^```text\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[0].splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("versasound_core/"))
    rooms = [line for line in lines[start + 1 :] if line.startswith("  ")]
    return {line.split()[0].rstrip("/"): line for line in rooms}


def rooms() -> list[str]:
    folders = [path.name for path in CORE.iterdir() if path.is_dir() and any(path.glob("[!_.]*"))]
    modules = [path.name for path in CORE.glob("*.py") if not path.name.startswith("__")]
    return sorted(name for name in [*folders, *modules] if name != "__pycache__")


@pytest.mark.parametrize("room", rooms())
def test_every_room_of_the_core_is_in_the_drawing(room):
    slash = "" if room.endswith(".py") else "/"
    assert room in drawn(), (
        f"{DRAWING.name}, under 'Where things are', lacks the line '  {room}{slash}   <what it is for>'"
    )


def test_nothing_is_drawn_that_is_not_there():
    ghosts = [line for name, line in drawn().items() if name not in rooms()]
    assert ghosts == [], f"{DRAWING.name} draws what is not in versasound_core: take out {ghosts}"


def test_every_room_says_what_it_is_for():
    assert [line for line in drawn().values() if len(line.split()) < 3] == []


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_imports_no_plugin(path):
    assert not [name for name in tops(imported(path)) if name.startswith("versasound_plugin")]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_plugin_imports_the_core_and_no_other_plugin(package):
    for path in package.rglob("*.py"):
        others = {name for name in tops(imported(path)) if name.startswith("versasound_plugin")} - {package.name}
        assert others == set(), f"{path.name} imports {others}"


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(CORE)))
def test_no_module_of_the_core_imports_a_model_library(path):
    assert not tops(imported(path, at_start=True)) & set(SLOW)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_the_package_of_a_plugin_imports_nothing_heavy(package):
    heavy = {*SLOW, "torch", "numpy", "scipy", "av"}
    assert not tops(imported(package / "__init__.py", at_start=True)) & heavy


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.parent.name)
def test_all_distributions_have_one_version_and_one_licence(project):
    core, own = (tomllib.loads(path.read_text(encoding="utf-8"))["project"] for path in (PROJECTS[0], project))
    assert own["version"] == core["version"]
    assert own["license"] == "MIT"
    assert own["license-files"] == ["LICENSE"]
    assert (project.parent / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert f"## [{own['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("project", PROJECTS[1:], ids=lambda path: path.parent.name)
def test_a_plugin_pins_nothing_and_has_what_its_siblings_have(project):
    own = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    assert not [need for need in own["dependencies"] if "==" in need]
    assert "versasound-core>=1.1,<2" in own["dependencies"]
    folder = project.parent
    assert (folder / "README.md").is_file()
    assert list(folder.glob("versasound_plugin_*/py.typed"))
    assert list(folder.glob("tests/test_*.py"))
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    assert re.search(rf"plugin-\{{[^}}]*\b{folder.name.removeprefix('versasound-plugin-')}\b", tox), (
        f"tox.ini lacks {folder.name}"
    )


@pytest.mark.parametrize("project", PROJECTS[1:], ids=lambda path: path.parent.name)
def test_every_backend_passes_the_kit(project):
    own = tomllib.loads(project.read_text(encoding="utf-8"))["project"].get("entry-points", {})
    texts = [path.read_text(encoding="utf-8") for path in project.parent.glob("tests/test_*.py")]
    for group, backends in own.items():
        role = group.removeprefix("versasound.").removesuffix("s")
        for name in set(backends) - ISOLATED if role in ROLES else ():
            kit = rf"\((?:{CONTRACTS[role]}|EncoderChecks)\):\n(?:.*\n)*?    name = \"{name}\""
            assert any(re.search(kit, text) for text in texts), (
                f"no test of {project.parent.name} holds {name} to the kit: "
                f"class Test...({CONTRACTS[role]}): name = {name!r}"
            )

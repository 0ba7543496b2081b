"""Tiny plugin distributions, really built and really installed, and Python processes that see them."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
EXAMPLES = TESTS.parent / "docs" / "examples"
_BUILD = """
import os, sys
import hatchling.build
for folder in sys.argv[2:]:
    os.chdir(folder)
    hatchling.build.build_wheel(sys.argv[1])
"""
_SPEAK = """
import json
print("\\n" + json.dumps(answer))
"""


@pytest.fixture(scope="session")
def run() -> Callable[..., str]:
    """Run a command without this environment's VersaSound variables and with others; return what it printed."""

    def run(*command: str | Path, **variables: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VERSASOUND_", "PYTHON"))}
        words = [str(word) for word in command]
        done = subprocess.run(words, env={**kept, **variables}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.fixture(scope="session")
def ask(run: Callable[..., str]) -> Callable[..., Any]:
    """Run code in a Python process that also sees the folder `at`, and return what it leaves in `answer`."""

    def ask(code: str, at: Path | None = None, python: str | Path = sys.executable, **variables: str) -> Any:
        if at is not None:
            variables["PYTHONPATH"] = str(at)
        return json.loads(run(python, "-P", "-c", code + _SPEAK, **variables).splitlines()[-1])

    return ask


@pytest.fixture(scope="session")
def wheels(run: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel of every distribution in `plugins_broken` and of every example, by the name of its folder."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the plugins of the tests, is not installed")
    projects = [*TESTS.glob("*/*/pyproject.toml"), *EXAMPLES.glob("*/pyproject.toml")]
    folders = sorted(path.parent for path in projects)
    out = tmp_path_factory.mktemp("wheels")
    run(sys.executable, "-c", _BUILD, out, *folders)
    return {folder.name: next(out.glob(f"*{folder.name.replace('-', '_')}-*.whl")) for folder in folders}


@pytest.fixture(scope="session")
def install(
    run: Callable[..., str], wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Install the distributions of these folders into a new directory, which it returns."""
    pytest.importorskip("pip", reason="pip, which installs the plugins of the tests, is not installed")

    def install(*names: str) -> Path:
        target = tmp_path_factory.mktemp("site")
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target)
        run(*pip, *(wheels[name] for name in names))
        return target

    return install


@pytest.fixture
def python(run: Callable[..., str], tmp_path: Path) -> Path:
    """The interpreter of a new virtual environment that sees what this one has, and can be given more."""
    pytest.importorskip("pip", reason="pip, which installs the plugins of the tests, is not installed")
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (packages / "environment_of_the_tests.pth").write_text("\n".join(lines), encoding="utf-8")
    return python

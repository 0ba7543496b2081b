"""A plugin seen from outside: listed and loaded in a process of its own, and its source read."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from versasound_core.cards import CARD_FILE

HEAVY = (
    *("accelerate", "av", "diffusers", "jax", "librosa", "matplotlib", "numba", "numpy", "onnxruntime", "scipy"),
    *("sklearn", "soxr", "tensorflow", "torch", "torchaudio", "torchvision", "transformers"),
)
# Listing imports none of the above; importing the backend itself, none of what takes seconds.
SLOW = tuple(name for name in HEAVY if name not in {"av", "numpy", "scipy", "soxr", "torch"})
_PICKLES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
LIST = """
import json, sys
role, name, *heavy = sys.argv[1:]
sys.modules.update(dict.fromkeys(heavy))
from versasound_core import registry
found = [b for b in registry.backends(role) if name in {b.name, b.full_name}]
print(json.dumps([[b.state, b.reason, b.target.partition(":")[0].partition(".")[0] in sys.modules] for b in found]))
"""
LOAD = """
import json, sys
role, name, options, *slow = sys.argv[1:]
from versasound_core.testing.watch import changed, process_state
from versasound_core import registry
import versasound_core.containers
before = process_state()
registry.create(role, name, **json.loads(options))
print("\\n" + json.dumps([sorted(set(slow) & set(sys.modules)), changed(before)]))
"""


def ask(code: str, *words: str) -> Any:
    """Run code in another Python that sees what this one sees, and return the JSON on its last line.

    Raises:
        ChildProcessError: If it fails, with the last thing that it said.
    """
    done = subprocess.run(  # noqa: S603  (this interpreter, and code from above)
        [sys.executable, "-c", code, *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "VERSASOUND_STRICT": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not done.stdout.strip():
        raise ChildProcessError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def own_sources(target: str) -> list[Path]:
    """The Python files of the package that holds `module:attribute`, if it is one with a card."""
    spec = importlib.util.find_spec(target.partition(":")[0].partition(".")[0])
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    return [path for folder in folders if (folder / CARD_FILE).is_file() for path in sorted(folder.rglob("*.py"))]


def pickling(path: Path) -> list[tuple[int, str]]:
    """The lines of a file that may unpickle, and what is wrong with each."""
    found = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load" and not _only_weights(node):
            found.append((node.lineno, "it calls torch.load without weights_only=True"))
        bad = [name for name in names if name.partition(".")[0] in _PICKLES]
        found += [(getattr(node, "lineno", 0), f"it imports {name}") for name in bad]
    return found


def _only_weights(call: ast.Call) -> bool:
    return any(word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in call.keywords)

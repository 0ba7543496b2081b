"""Third-party plugins as `pip install --target` leaves them: a package, its card and its metadata, in a folder."""

from __future__ import annotations

from pathlib import Path

SLOW = """
import time

import torch

from versasound_core import AudioData


class Slow:
    def __init__(self, *, steps): self.steps = steps

    def generate(self, features, request, ctx):
        for step in range(self.steps):
            ctx.report(step / self.steps, f"step {step}")
            time.sleep(0.05)
        return AudioData(torch.zeros(features.shape[0], 1, request.num_samples), request.sample_rate)
"""
SLOW_OPTIONS = "{steps: {type: int, default: 10, min: 1, max: 100000, help: Twenty a second.}}"
# 400 MB of weights, loaded when they are first needed.
HEAVY = """
import torch

from versasound_core import AudioData


class Slow:
    def __init__(self): self.kept = None

    def generate(self, features, request, ctx):
        loads = self.kept is None
        self.kept = self.kept or (torch.nn.Linear(10_000, 10_000),)
        notes = ["loaded" if loads else "found"]
        silence = torch.zeros(features.shape[0], 1, request.num_samples)
        return AudioData(silence, request.sample_rate, {"notes": notes})
"""
BROKEN = 'raise OSError("libnothing.so.7: cannot open shared object file")\n'


def install(folder: Path, name: str, code: str, options: str = "{}") -> None:
    """Put a distribution with one generator, `Slow` of `code`, into a folder."""
    package = folder / f"thirdparty_{name}"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code)
    card = f"api: 1\ngenerators: {{{name}: {{summary: A test's, code_licence: MIT, options: {options}}}}}\n"
    (package / "versasound.yaml").write_text(card)
    about = folder / f"thirdparty_{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: thirdparty-{name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[versasound.generators]\n{name} = thirdparty_{name}:Slow\n")

"""The guide to trained generators works as it shows it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tiny_hub import TinyHub

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "generators.md"
pytest.importorskip("versasound_plugin_audioldm2", reason="versasound-plugin-audioldm2 is not installed")


def test_the_code_shown_runs_offline(tiny_hub: TinyHub, tmp_path: Path) -> None:
    tiny_hub.add("cvssp/audioldm2")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        env={**os.environ, **tiny_hub.env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "torch.Size([1, 1, 32000])",
        "['a workshop, hammer hitting metal'] [['hammer hitting metal']]",
        "envelope 0.8 None",
        "['The picture added to the prompt: “hammer hitting metal”.']",
    ]

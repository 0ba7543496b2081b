"""The guide to trained encoders works as it shows it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from encoder_checks import noise, write_video

if TYPE_CHECKING:
    from tiny_hub import TinyHub

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "encoders.md"
pytest.importorskip("versasound_plugin_clip", reason="versasound-plugin-clip is not installed")


def test_the_code_shown_runs_offline(tiny_hub: TinyHub, tmp_path: Path) -> None:
    from fractions import Fraction

    tiny_hub.add("openai/clip-vit-base-patch32")
    write_video(tmp_path / "clip.mkv", noise(6)[0], [Fraction(k, 4) for k in range(6)])
    (tmp_path / "clip.mkv").rename(tmp_path / "clip.mp4")
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
    said = done.stdout.splitlines()
    # The last frame, at 1.25 s, is a millisecond long; the tiny model's width stands for the real one's.
    assert said[0] == str(torch.Size([1, 11, 16]))
    assert said[1] == "8.0"
    assert said[4] == str(torch.Size([1, 24, 16]))
    assert said[5] == str(torch.Size([1, 24, 49, 32]))

"""The examples of the documentation, built as wheels, installed together, and asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))
RUN = """
from pathlib import Path
from versasound_core import add_sound
from versasound_core.errors import InvalidInputError
from versasound_core.scenes import random_scene, write_scene
clip = write_scene(random_scene(3, 1.5, confounders=False), Path(sys.argv[1], "clip.mp4"), height=64)
made = add_sound(clip, Path(sys.argv[1], "out.wav"), encoder="palette", generator="beep", aligner="first_beat",
                 refiner=None, device="cpu")
try:
    add_sound(clip, Path(sys.argv[1], "out.txt"), generator="beep", aligner=None, refiner=None, encoder="palette")
except InvalidInputError: pass
answer = [made.features.shape[2], len(made.features.events.onsets[0]) > 0]
"""


@pytest.fixture(scope="module")
def site(install):
    return install(*NAMES)


def test_each_role_and_the_hooks_have_one():
    assert [f"versasound-plugin-{name}" for name in ("beep", "diary", "first-beat", "palette")] == NAMES


def test_all_pass_the_kit(site, run):
    tests = sorted(EXAMPLES.glob("*/tests"))
    assert len(tests) == 3
    kit = (sys.executable, "-P", "-m", "pytest", "-q", "--noconftest", "--rootdir", site, "--import-mode=importlib")
    out = run(*kit, "-p", "no:cacheprovider", *tests, PYTHONPATH=str(site))
    assert " passed" in out


def test_they_make_a_sound_together_and_the_diary_is_kept(site, run, tmp_path):
    diary = str(tmp_path / "diary.txt")
    code = f"import json, sys\n{RUN}\nprint(json.dumps(answer))"
    out = run(sys.executable, "-P", "-c", code, tmp_path, PYTHONPATH=str(site), VERSASOUND_DIARY=diary)
    assert json.loads(out.splitlines()[-1]) == [16, True]
    good, bad = Path(diary).read_text(encoding="utf-8").splitlines()
    assert good == f"{tmp_path / 'out.wav'} seed 0"
    assert bad.startswith("failed: ")
    shown = run(sys.executable, "-P", "-m", "versasound_core", "diary", PYTHONPATH=str(site), VERSASOUND_DIARY=diary)
    assert shown == Path(diary).read_text(encoding="utf-8")


def test_the_weights_are_the_ones_that_their_script_writes(run, tmp_path):
    folder = EXAMPLES / "versasound-plugin-palette"
    run(sys.executable, folder / "make_weights.py", tmp_path / "basis.safetensors")
    from safetensors.torch import load_file

    made, kept = (
        load_file(path)["basis"]
        for path in (tmp_path / "basis.safetensors", folder / "versasound_plugin_palette" / "basis.safetensors")
    )
    assert made.shape == kept.shape == (16, 192)
    assert float((made - kept).abs().max()) < 1e-8

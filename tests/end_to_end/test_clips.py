"""The whole path on real clips and on scenes whose strikes are known, judged by the file that comes out."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
import torch

from versasound_core import VideoClip, add_sound, registry
from versasound_core.events import onset_envelope
from versasound_core.media.audio import load_audio
from versasound_core.media.loudness import measure
from versasound_core.scenes import random_scene, write_scene

if TYPE_CHECKING:
    from versasound_core.containers import AudioData

CEILING_DB = -1.0  # after decoding; the refiner leaves the codec its room
CLIPS = sorted(Path(os.environ.get("VERSASOUND_CLIPS", "/nowhere")).glob("*.mp4"))
PROMPTS = (None, "footsteps on gravel", "hammering metal", "rain on leaves and wind")

_PEAK = """
import json, resource, sys
from versasound_core import add_sound
add_sound(sys.argv[1], sys.argv[2], prompt="hammering metal in the rain")
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


def pictures_of(path: Path) -> list[tuple[str, float]]:
    """Hash and time of every packet of the picture."""
    with av.open(str(path)) as file:
        stream = file.streams.best("video")
        packets = [p for p in file.demux(stream) if p.pts is not None]
        first = min(p.pts for p in packets)
        return [(hashlib.sha256(bytes(p)).hexdigest(), float((p.pts - first) * p.time_base)) for p in packets]


def heard_in(path: Path) -> AudioData:
    """The sound, decoded, and cut to nothing but its own samples."""
    with av.open(str(path)) as file:
        assert [stream.type for stream in file.streams].count("audio") == 1
    return load_audio(path)


def assert_judged_well(source: Path, output: Path) -> None:
    """Everything that is asked of any output of any clip."""
    clip = VideoClip.open(source)
    came, went = pictures_of(output), pictures_of(source)
    assert [digest for digest, _ in came] == [digest for digest, _ in went]
    assert [time_s for _, time_s in came] == pytest.approx([time_s for _, time_s in went], abs=1e-3)
    sound = heard_in(output)
    assert sound.duration == pytest.approx(clip.duration_s, abs=1 / clip.fps)
    loudness = measure(sound)
    target = registry.get("refiner", "mastering").card.options["target_lufs"].default
    assert loudness.integrated_lufs == pytest.approx(target, abs=1.0)
    assert loudness.true_peak_db <= CEILING_DB
    # From nothing and to nothing: no step as high as a click at either end.
    wave = sound.waveform[0]
    assert wave[:, :48].abs().max() < 0.03
    assert wave[:, -48:].abs().max() < 0.03


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: str(prompt).replace(" ", "_"))
@pytest.mark.parametrize(
    "source",
    CLIPS or [pytest.param(None, marks=pytest.mark.skip(reason="VERSASOUND_CLIPS names no folder of real clips"))],
    ids=lambda path: path.stem if path else "none",
)
def test_a_real_clip(source: Path, prompt: str | None, tmp_path: Path) -> None:
    add_sound(source, tmp_path / "out.mp4", prompt=prompt)
    assert_judged_well(source, tmp_path / "out.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(("seed", "fps"), [(100, 30.0), (103, 24.0), (104, 59.94)])
def test_a_scene(seed: int, fps: float, suffix: str, tmp_path: Path) -> None:
    source = write_scene(random_scene(seed, 4.0), tmp_path / "scene.mp4", fps=fps, height=120)
    add_sound(source, tmp_path / f"out{suffix}", prompt="wooden knocks")
    assert_judged_well(source, tmp_path / f"out{suffix}")


@pytest.mark.parametrize("prompt", ["wooden knocks", "hammering metal", "footsteps on gravel"])
def test_what_is_heard_sits_on_what_strikes(prompt: str, tmp_path: Path) -> None:
    """From each true strike of a scene to the nearest onset of the decoded sound; a strike not heard counts 100 ms."""
    errors: list[float] = []
    for seed in range(100, 108):
        scene = random_scene(seed)
        source = write_scene(scene, tmp_path / "scene.mp4", height=120)
        add_sound(source, tmp_path / "out.mp4", prompt=prompt)
        onsets = onsets_of(heard_in(tmp_path / "out.mp4"))
        errors += [min(0.1, np.abs(onsets - strike.time_s).min(initial=0.1)) for strike in scene.strikes]
    assert len(errors) > 40
    assert np.median(errors) <= 0.010


def onsets_of(audio: AudioData) -> np.ndarray:
    """Moments at which something begins, to 2 ms: peaks of the flux that are a tenth of the highest and more."""
    flux = onset_envelope(audio, 500.0)[0]
    peak = torch.nn.functional.max_pool1d(flux[None, None], 15, 1, 7)[0, 0]
    return torch.nonzero((flux == peak) & (flux > 0.1 * flux.max()))[:, 0].numpy() / 500


def looped(source: Path, path: Path, seconds: float) -> Path:
    """Repeat a clip by copying its packets."""
    with av.open(str(source)) as file:
        template = file.streams.video[0]
        packets = [p for p in file.demux(template) if p.pts is not None]
        length = round(float(template.duration * template.time_base) / float(template.time_base))
        with av.open(str(path), "w") as out:
            stream = out.add_stream_from_template(template)
            ticks = Fraction(template.time_base)
            for turn in range(round(seconds / float(length * ticks))):
                for packet in packets:
                    copy = av.Packet(bytes(packet))
                    copy.pts, copy.dts = packet.pts + turn * length, packet.dts + turn * length
                    copy.duration, copy.time_base, copy.is_keyframe = packet.duration, ticks, packet.is_keyframe
                    copy.stream = stream
                    out.mux(copy)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell the peak memory of a process this way")
def test_ten_minutes_need_hardly_more_memory_than_one(tmp_path: Path) -> None:
    short = write_scene(random_scene(104), tmp_path / "scene.mp4", fps=10, height=120)
    peaks = []
    for minutes in (1, 10):
        clip = looped(short, tmp_path / f"{minutes}.mp4", 60.0 * minutes)
        assert VideoClip.open(clip).duration_s == pytest.approx(60 * minutes, abs=0.2)
        run = [sys.executable, "-c", _PEAK, clip, tmp_path / "out.mp4"]
        done = subprocess.run(run, capture_output=True, text=True, check=True)
        peaks.append(json.loads(done.stdout.splitlines()[-1]))
    assert peaks[1] <= 1.3 * peaks[0]

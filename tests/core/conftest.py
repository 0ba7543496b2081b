"""Small videos made with FFmpeg's own encoders; every frame shows its number in black and white blocks."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

ROWS, COLUMNS = 3, 4
MakeClip = Callable[..., Path]


def numbered(number: int, height: int, width: int) -> np.ndarray:
    """A picture uint8 `[H, W, 3]` that shows `number` < 4096 as 3x4 blocks, the lowest bit at the top left."""
    bits = np.array([number >> bit & 1 for bit in range(ROWS * COLUMNS)]).reshape(ROWS, COLUMNS)
    rows = np.arange(height) * ROWS // height
    columns = np.arange(width) * COLUMNS // width
    return np.repeat((bits[rows][:, columns] * 255).astype(np.uint8)[..., None], 3, axis=2)


def number_in(image: np.ndarray) -> int:
    """Read back what `numbered` wrote, from `[C, H, W]` of any size (RGB, or luma in channel 0)."""
    luma = np.asarray(image)[0].astype(float)
    height, width = luma.shape
    bits = [
        luma[int((row + 0.5) * height / ROWS), int((column + 0.5) * width / COLUMNS)] > 127
        for row in range(ROWS)
        for column in range(COLUMNS)
    ]
    return sum(int(bit) << index for index, bit in enumerate(bits))


def write_clip(
    path: Path,
    *,
    codec: str = "libx264",
    frames: int = 24,
    rate: Fraction | int = 24,
    times_ms: Sequence[int] | None = None,
    size: tuple[int, int] = (96, 160),
    pix_fmt: str = "yuv420p",
    full_range: bool = False,
    colour: tuple[int, int, int] | None = None,
    rotation: int = 0,
    start_s: float = 0.0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    sound: np.ndarray | None = None,
    layout: str = "mono",
    metadata: dict[str, str] | None = None,
    chapters: list | None = None,
) -> Path:
    """Write a video; `times_ms` makes its frame rate variable, `sound` is float32 `[C, T]` at 48 kHz."""
    height, width = size
    tick = Fraction(1, 1000) if times_ms else 1 / Fraction(rate)
    with av.open(str(path), "w", options=container_options or {}) as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = tick
        if full_range:
            stream.codec_context.color_range = 2
        if rotation:
            stream.set_display_rotation(rotation)
        if sound is not None:
            track = out.add_stream("libopus" if path.suffix == ".webm" else "aac", rate=48000)
            track.codec_context.layout = layout
        out.metadata.update(metadata or {})
        if chapters:
            out.set_chapters(chapters)
        for index in range(frames):
            picture = numbered(index, height, width)
            if colour:
                picture[:] = colour
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if full_range:
                frame = frame.reformat(format=pix_fmt, dst_color_range=2)
            frame.pts = (times_ms[index] if times_ms else index) + round(start_s / tick)
            frame.time_base = tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None:
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout=layout)
            block.sample_rate, block.pts, block.time_base = 48000, 0, Fraction(1, 48000)
            out.mux(track.encode(block))
            out.mux(track.encode(None))
    return path


@pytest.fixture(scope="session")
def make_clip(tmp_path_factory: pytest.TempPathFactory) -> MakeClip:
    """Make a video by `write_clip` in a new folder, once for each set of arguments."""
    made: dict[str, Path] = {}

    def make(name: str = "clip.mp4", **arguments) -> Path:
        key = f"{name} {sorted((k, v.tobytes() if isinstance(v, np.ndarray) else v) for k, v in arguments.items())}"
        if key not in made:
            made[key] = write_clip(tmp_path_factory.mktemp("clips") / name, **arguments)
        return made[key]

    return make


@pytest.fixture(scope="session")
def read_number() -> Callable[[np.ndarray], int]:
    """Read the number that a frame `[C, H, W]` of a made clip shows."""
    return number_in


@pytest.fixture(scope="session")
def real_clips() -> list[Path]:
    """The videos in the folder that VERSASOUND_CLIPS names."""
    folder = os.environ.get("VERSASOUND_CLIPS")
    if not folder:
        pytest.skip("VERSASOUND_CLIPS names no folder of real clips")
    return sorted(Path(folder).glob("*.mp4"))

"""What the tests of reading video share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from versasound_core.containers import VideoClip

FFV1 = {"name": "clip.mkv", "codec": "ffv1"}


def gather(clip: VideoClip, **arguments) -> tuple[np.ndarray, np.ndarray]:
    """All frames `[n, C, H, W]` of the first item and their times."""
    chunks = list(clip.frames(**arguments))
    return (
        np.concatenate([chunk.images[0].numpy() for chunk in chunks]),
        np.concatenate([chunk.times_s.numpy() for chunk in chunks]),
    )


def damaged(path: Path, out: Path, first: int, last: int) -> Path:
    """Copy a file with the packets `first` to `last` of its picture overwritten by noise."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    rng = np.random.default_rng(0)
    for packet in packets[first:last]:
        data[packet.pos : packet.pos + packet.size] = rng.bytes(packet.size)
    out.write_bytes(data)
    return out

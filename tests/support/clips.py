"""What the tests of reading video share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from versasound_core.containers import VideoClip

FFV1 = {"name": "clip.mkv", "codec": "ffv1"}


def gather(clip: VideoClip, **arguments) -> tuple[np.ndarray, np.ndarray]:
    """All frames `[n, C, H, W]` of the first item and their times."""
    chunks = list(clip.frames(**arguments))
    return (
        np.concatenate([chunk.images[0].numpy() for chunk in chunks]),
        np.concatenate([chunk.times_s.numpy() for chunk in chunks]),
    )

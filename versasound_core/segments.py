"""Long sound is made in overlapping segments and joined where nobody hears it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .containers import AudioData

SEGMENT_S = 30
OVERLAP_S = 2


@attrs.frozen
class Segment:
    """A stretch of the clip, in samples: `start` up to `end`, of which everything from `fade` on is the next one's too.

    Args:
        start: First sample.
        fade: First sample of the overlap with the next segment; `end` for the last one.
        end: One past the last sample.
    """

    start: int
    fade: int
    end: int


def segments(num_samples: int, sample_rate: int) -> list[Segment]:
    """Cut a sound into segments that begin at multiples of `SEGMENT_S` and overlap by `OVERLAP_S`.

    A rest that is hardly longer than the overlap belongs to the segment before it.
    """
    step, overlap = SEGMENT_S * sample_rate, OVERLAP_S * sample_rate
    starts = [0, *range(step, num_samples - 2 * overlap, step)]
    return [
        Segment(start, following or num_samples, min((following or num_samples) + overlap, num_samples))
        for start, following in zip(starts, [*starts[1:], None], strict=True)
    ]


def joined_segments(parts: list[Segment], make: Callable[[Segment], AudioData]) -> Iterator[AudioData]:
    """Yield the whole sound, a block per segment, each made when it is needed.

    Two versions of an overlap are cross-faded with gains that keep the level whatever they have in common: for equal
    signals a linear fade, which gives the signal itself; for unrelated noise an equal-power one; the measured
    correlation decides in between (Fink, Holters, Zölzer: Signal-matched power-complementary cross-fading, 2016).
    """
    tail: torch.Tensor | None = None
    for part in parts:
        audio = make(part)
        wave = audio.waveform
        if tail is not None:
            length = tail.shape[-1]
            wave = torch.cat([cross_faded(tail, wave[..., :length]), wave[..., length:]], -1)
        tail = wave[..., part.fade - part.start :]
        yield attrs.evolve(audio, waveform=wave[..., : part.fade - part.start])


def cross_faded(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Fade from one `[B, C, N]` to the other over their whole length."""
    rise = (torch.arange(before.shape[-1], dtype=before.dtype, device=before.device) + 0.5) / before.shape[-1]
    products = (before * after).sum((1, 2)), (before * before).sum((1, 2)) * (after * after).sum((1, 2))
    alike = (products[0] / products[1].sqrt().clamp_min(1e-12)).clamp(0, 1)[:, None, None]
    gain = (rise**2 + (1 - rise) ** 2 + 2 * alike * rise * (1 - rise)).rsqrt()
    return (before * (1 - rise) + after * rise) * gain

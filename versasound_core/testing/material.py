"""What backends are asked about: a clip in which something strikes, what an encoder would see in it, and a sound."""

from __future__ import annotations

import math

import attrs
import torch

from versasound_core.containers import AudioData, EventTrack, EventView, VideoClip, VisualFeatures
from versasound_core.containers.view import view_cells

FPS = 25.0
_STRIKES = (0.2, 0.55, 0.8)  # shares of the duration


def clip(items: int = 1, duration_s: float = 1.2, size: tuple[int, int] = (64, 96)) -> VideoClip:
    """A clip in memory, `[items, T, 3, H, W]`: over still noise a square falls and bounces; each item is another."""
    return VideoClip.from_tensor(_frames(items, duration_s, size), FPS)


def features(items: int = 1, duration_s: float = 1.2) -> VisualFeatures:
    """Features `[items, T, 16]` with events, their view and labels; each item is another."""
    count = max(1, round(duration_s * FPS))
    generator = torch.Generator().manual_seed(7)
    luma = _frames(items, duration_s, (64, 96))[:, :, 1]
    times_s = torch.arange(count, dtype=torch.float64) / FPS
    onsets = [[(share * duration_s, 0.9 - 0.1 * item) for share in _STRIKES] for item in range(items)]
    track = EventTrack(
        torch.rand(items, count, generator=generator),
        FPS,
        onsets,
        [[-0.5, 0.0, 0.5]] * items,
        [EventView(view_cells(pictures), times_s) for pictures in luma],
    )
    labels = [[("hammering", 0.7), ("footsteps", 0.2)]] * items
    return VisualFeatures(torch.randn(items, count, 16, generator=generator), {"fps": FPS}, track, labels)


def sound(
    items: int = 1, duration_s: float = 1.2, sample_rate: int = 48000, channels: int = 1, late_s: float = 0.08
) -> AudioData:
    """Decaying bursts of noise, `late_s` after the strikes of `features`; each item is another."""
    count = round(duration_s * sample_rate)
    generator = torch.Generator().manual_seed(11)
    wave = 0.002 * torch.randn(items, channels, count, generator=generator)
    length = max(1, sample_rate // 20)
    for item in range(items):
        for share in _STRIKES:
            first = min(count, round((share * duration_s + late_s) * sample_rate))
            last = min(count, first + length)
            decay = torch.exp(-torch.arange(last - first) / (0.2 * length))
            wave[item, :, first:last] += 0.2 * torch.randn(channels, last - first, generator=generator) * decay
    return AudioData(wave.clamp(-0.9, 0.9), sample_rate)


def without_words(seen: VisualFeatures) -> VisualFeatures:
    """The same features without labels, and events without onsets: a still picture."""
    if seen.events is None:
        return attrs.evolve(seen, labels=None)
    items = seen.events.batch_size
    still = EventTrack(torch.zeros_like(seen.events.envelope), seen.events.rate_hz, [[]] * items)
    return attrs.evolve(seen, labels=None, events=still)


def _frames(items: int, duration_s: float, size: tuple[int, int]) -> torch.Tensor:
    height, width = size
    generator = torch.Generator().manual_seed(3)
    count = max(1, round(duration_s * FPS))
    ground = torch.randint(40, 120, (items, 1, 3, height, width), generator=generator, dtype=torch.uint8)
    frames = ground.repeat(1, count, 1, 1, 1)
    side = max(1, height // 8)
    for item in range(items):
        for index in range(count):
            bounce = abs(math.cos(math.pi * (index / FPS / max(duration_s, 0.1) * 3 - 0.1 * item)))
            top = round((height - side) * (1 - 0.8 * bounce))
            left = (width - side) * (item + 1) // (items + 1)
            frames[item, index, :, top : top + side, left : left + side] = 230
    return frames

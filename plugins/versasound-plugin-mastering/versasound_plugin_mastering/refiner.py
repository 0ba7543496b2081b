"""The refiner `mastering`: one chain of FFmpeg filters, planned by measuring and run block by block."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs
import torch

from versasound_core.media.blocks import BlockReader, ItemBlocks, again, item_by_item, joined, noted
from versasound_core.media.filters import Filtered
from versasound_core.media.loudness import Loudness, integrated_lufs, measure

from .limiter import MARGIN_DB, Gained, limited_gain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np

    from versasound_core.containers import AudioData
    from versasound_core.context import RunContext

# The level at which tone, noise and dynamics are worked on, whatever came and whatever is wanted.
_WORK_LUFS = -20.0
_BASS_HZ = 150.0
_TREBLE_HZ = 6000.0
_MOST_DENOISE_DB = 24.0
# Noise less than this below the sound is taken for the sound itself: rain, wind, a fire.
_LEAST_NOISE_DISTANCE_DB = 20.0
# FFmpeg's `afftdn` takes no lower noise floor; what lies under it is inaudible.
_LOWEST_NOISE_DB = -80.0
# It takes off all that it is asked to only from noise that lies this far below the floor that it is told.
_NOISE_MARGIN_DB = 6.0
# More limiting than this raises what lies between strikes too near to them.
_MOST_LIMITING_DB = 20.0
_TOLERANCE_LU = 0.2
_OVERRELAXATION = 1.5
_TRIES = 5
# The share of the work that is measuring.
_PLANNING = 0.8
# How many 50 ms stretches are looked at together.
_NOISE_STRETCHES = 20


@attrs.frozen
class _Plan:
    """What to do to one sound, what it becomes, and what to tell the user."""

    filters: tuple[str, ...] = ()
    latency: int = 0
    gain: np.ndarray | None = None
    note: str = ""

    def applied(self, blocks: Iterable[AudioData]) -> Iterable[AudioData]:
        toned = Filtered(blocks, self.filters, self.latency) if self.filters else blocks
        return toned if self.gain is None else Gained(toned, self.gain)


class MasteringRefiner:
    """Brings a sound to a loudness under a true-peak ceiling, and on request cleans and colours it.

    Args:
        normalize: Bring the sound to `target_lufs`; False keeps its level and only holds the ceiling.
        target_lufs: Integrated loudness of the result (ITU-R BS.1770, EBU R 128), LUFS.
        ceiling_db: Highest true peak of the result, dBTP.
        denoise_strength: 0 (none) to 1 (steady noise lowered by up to 24 dB).
        bass_boost: Linear gain below 150 Hz.
        treble_boost: Linear gain above 6 kHz.
        compression_ratio: dB out per dB in above the sound's own loudness; 1 is no compression.
    """

    def __init__(  # noqa: PLR0913  (the options of the card)
        self,
        *,
        normalize: bool,
        target_lufs: float,
        ceiling_db: float,
        denoise_strength: float,
        bass_boost: float,
        treble_boost: float,
        compression_ratio: float,
    ) -> None:
        self.normalize = normalize
        self.target_lufs = target_lufs
        self.ceiling_db = ceiling_db
        self.denoise_strength = denoise_strength
        self.bass_boost = bass_boost
        self.treble_boost = treble_boost
        self.compression_ratio = compression_ratio

    def refine(self, audio: AudioData, ctx: RunContext) -> AudioData:
        """Return the sound `[B, C, T]` mastered, each item of the batch by itself; silence stays silence.

        Raises:
            InvalidInputError: More than two channels.
            Cancelled: The user asked to stop.
        """
        return joined(self.refine_blocks([audio], ctx))

    def refine_blocks(self, blocks: Iterable[AudioData], ctx: RunContext) -> Iterator[AudioData]:
        """Yield the sound whose consecutive blocks are `blocks`, mastered; the result does not depend on their size.

        Args:
            blocks: `[B, C, N]` each; iterated once for each measurement and once to render.
            ctx: Told the progress; asked whether to stop.

        Raises:
            InvalidInputError: More than two channels, or blocks that can be iterated only once.
            Cancelled: The user asked to stop.
        """
        first = next(again(blocks), None)
        if first is None:
            return
        batch, rate = first.shape[0], first.sample_rate
        plans, count = [], 1
        for item in range(batch):
            step = ctx.part(_PLANNING * item / batch, _PLANNING * (item + 1) / batch)
            watched = _Watched(ItemBlocks(blocks, item), step.report)
            plans.append(self._plan(watched, rate))
            count = watched.count

        def render(item: ItemBlocks) -> Iterator[AudioData]:
            plan = plans[item.item]
            for number, block in enumerate(plan.applied(item)):
                yield noted(block, plan.note) if plan.note and not number else block

        for number, block in enumerate(item_by_item(blocks, render)):
            ctx.report(_PLANNING + (1 - _PLANNING) * number / count, "mastering")
            yield block
        ctx.report(1.0, "mastered")

    def _plan(self, blocks: Iterable[AudioData], rate: int) -> _Plan:
        loudness = measure(blocks)
        if loudness.true_peak_db == -math.inf:
            return _Plan()
        audible = loudness.integrated_lufs > -math.inf
        plan = self._tone(blocks, rate, loudness.integrated_lufs) if audible else _Plan()
        if plan.filters:
            loudness = measure(plan.applied(blocks))
        if self.normalize and audible:
            return self._leveled(plan, blocks, rate, loudness)
        note = "The sound is too quiet to have a loudness; its level was left as it was." if self.normalize else ""
        gain = limited_gain(loudness.peaks, 0.0, self.ceiling_db, rate)
        return attrs.evolve(plan, gain=gain if gain.min() < 1 else None, note=note)

    def _tone(self, blocks: Iterable[AudioData], rate: int, lufs: float) -> _Plan:
        """Denoise, shelves and compression, as far as asked for."""
        to_work_level = _WORK_LUFS - lufs
        filters, latency = [], 0
        if self.denoise_strength > 0:
            noise = _noise_db(blocks, rate) + to_work_level + _NOISE_MARGIN_DB
            noise = min(noise, _WORK_LUFS - _LEAST_NOISE_DISTANCE_DB)
            if noise > _LOWEST_NOISE_DB:
                filters.append(f"afftdn=noise_reduction={_MOST_DENOISE_DB * self.denoise_strength}:noise_floor={noise}")
                # Its frames are an 80th of a second long, and it holds two of them back.
                latency = 2 * (rate // 80)
        for name, boost, hz in (("bass", self.bass_boost, _BASS_HZ), ("treble", self.treble_boost, _TREBLE_HZ)):
            if boost != 1:
                filters.append(f"{name}=gain={20 * math.log10(boost)}:frequency={min(hz, 0.375 * rate)}")
        if self.compression_ratio < 1:
            threshold = 10 ** (_WORK_LUFS / 20)
            filters.append(f"acompressor=threshold={threshold}:ratio={1 / self.compression_ratio}")
        if not filters:
            return _Plan()
        back = [] if self.normalize else [_volume(-to_work_level)]
        return _Plan((_volume(to_work_level), *filters, *back), latency)

    def _leveled(self, plan: _Plan, blocks: Iterable[AudioData], rate: int, before: Loudness) -> _Plan:
        """Find the gain whose result, limited to the ceiling, is as loud as wanted."""
        gain_db = self.target_lufs - before.integrated_lufs
        most_db = self.ceiling_db + _MOST_LIMITING_DB - before.true_peak_db
        tried_db = math.inf
        for _ in range(_TRIES):
            gain_db = min(gain_db, most_db)
            if gain_db == tried_db:
                break
            tried_db = gain_db
            plan = attrs.evolve(plan, gain=limited_gain(before.peaks, gain_db, self.ceiling_db, rate))
            if before.true_peak_db + gain_db <= self.ceiling_db - MARGIN_DB:
                return plan
            lufs = integrated_lufs(plan.applied(blocks))
            if abs(self.target_lufs - lufs) <= _TOLERANCE_LU:
                return plan
            # Of every dB more, limiting takes a part away again.
            gain_db += _OVERRELAXATION * (self.target_lufs - lufs)
        return attrs.evolve(
            plan,
            note=f"The sound peaks too high for {self.target_lufs:g} LUFS under {self.ceiling_db:g} dBTP: "
            f"it is at {lufs:.1f} LUFS.",
        )


class _Watched:
    """Blocks that tell how far the measuring is and stop when the user asks; every pass gets half of what is left."""

    def __init__(self, blocks: Iterable[AudioData], report: Callable[[float, str], None]) -> None:
        self._blocks = blocks
        self._report = report
        self._passes = 0
        self.count = 0

    def __iter__(self) -> Iterator[AudioData]:
        done = 0
        for done, block in enumerate(self._blocks, start=1):
            share = done / self.count if self.count else 0.0
            self._report(1 - 0.5 ** (self._passes + share), "measuring the loudness")
            yield block
        self._passes += 1
        self.count = done


def _volume(gain_db: float) -> str:
    return f"volume={gain_db}dB:precision=float"


def _noise_db(blocks: Iterable[AudioData], rate: int) -> float:
    """Level of the quietest tenth of the sound's 50 ms stretches (digital silence left out), dB of full scale."""
    reader, powers = BlockReader(blocks), []
    width = max(1, rate // 20)
    while (samples := reader.take(_NOISE_STRETCHES * width)) is not None:
        whole = samples[0, :, : samples.shape[-1] // width * width].double()
        powers.append(whole.reshape(len(whole), -1, width).square().mean(dim=(0, 2)))
    power = torch.cat(powers)
    power = power[power > 0]
    return 10 * math.log10(power.quantile(0.1)) if len(power) else -math.inf

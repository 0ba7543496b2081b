"""The clip's own sound, kept with the new one."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Literal, get_args

import attrs
import numpy as np
import torch

from versasound_core.errors import InvalidInputError

from .blocks import BlockReader, again, item_by_item
from .loudness import integrated_lufs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from versasound_core.containers import AudioData

    from .blocks import ItemBlocks

KeepOriginal = Literal["replace", "mix", "duck"]

# How the new sound gives way: by how much, and how far below its own loudness the original still counts as content.
_DUCK_DB = 12.0
_CONTENT_DB = 15.0
_STEP_S = 0.02
_ATTACK_S = 0.06
_HOLD_S = 0.3
_RELEASE_S = 0.5


def mix_original(
    blocks: Iterable[AudioData], original_blocks: Iterable[AudioData], mode: KeepOriginal, level_db: float = 0.0
) -> Iterable[AudioData]:
    """Join the new sound with the clip's own.

    Both are measured (ITU-R BS.1770) and the original is brought to `level_db` above or below the new sound; if one
    of them is silent the other stays as it is. The original is cut or filled with silence to the new sound's length.
    The sum may pass full scale: master after mixing, not before.

    Args:
        blocks: Consecutive blocks of the new sound, `[B, C, N]`; may be iterated several times.
        original_blocks: Those of the original, `[1, C, N]`, at the same rate; may be iterated several times.
        mode: `"replace"` drops the original, `"mix"` adds it, `"duck"` adds it and lowers the new sound by 12 dB while
            the original has content such as speech (within 15 dB of its own loudness, with 0.3 s of patience).
        level_db: Loudness of the original relative to the new sound.

    Returns:
        Blocks of the mixture that may be iterated several times: as long as the new sound's, with as many channels as
        the richer of the two.

    Raises:
        InvalidInputError: An unknown mode, a level that is no number, or blocks that can be iterated only once; while
            iterating, rates that differ or an original that is a batch.
    """
    if mode not in get_args(KeepOriginal):
        raise InvalidInputError(f"mode must be one of {', '.join(get_args(KeepOriginal))}, not {mode!r}.")
    if not math.isfinite(level_db):
        raise InvalidInputError(f"level_db must be a number of dB, not {level_db!r}.")
    if mode == "replace":
        return blocks
    again(blocks)
    again(original_blocks)
    return _Mixture(blocks, original_blocks, level_db, duck=mode == "duck")


class _Mixture:
    def __init__(
        self, blocks: Iterable[AudioData], original: Iterable[AudioData], level_db: float, *, duck: bool
    ) -> None:
        self._blocks = blocks
        self._original = original
        self._level_db = level_db
        self._duck = duck
        self._original_lufs: float | None = None
        self._gains_db: dict[int, float] = {}

    def __iter__(self) -> Iterator[AudioData]:
        yield from item_by_item(self._blocks, self._mixed)

    def _mixed(self, item: ItemBlocks) -> Iterator[AudioData]:
        first, original = next(iter(item), None), next(iter(self._original), None)
        if first is None or original is None:
            yield from item
            return
        if original.sample_rate != first.sample_rate:
            raise InvalidInputError(
                f"The original is at {original.sample_rate} Hz and the new sound at {first.sample_rate} Hz.",
                "Read the original at the new sound's rate.",
            )
        if self._original_lufs is None:
            self._original_lufs = integrated_lufs(self._original)
        channels = max(first.num_channels, original.num_channels)
        if item.item not in self._gains_db:
            new_lufs = integrated_lufs(item)
            audible = min(new_lufs, self._original_lufs) > -math.inf
            # The same signal on two channels is measured 3 dB louder than on one.
            widening_db = 10 * math.log10(original.num_channels / first.num_channels)
            level_db = new_lufs + widening_db + self._level_db - self._original_lufs
            self._gains_db[item.item] = level_db if audible else 0.0
        gain = 10 ** (self._gains_db[item.item] / 20)
        heard, watched = itertools.tee(self._original)
        reader = BlockReader(heard)
        ducker = _Ducker(watched, self._original_lufs, first.sample_rate) if self._duck else None
        for block in item:
            length = block.shape[-1]
            new = block.waveform.expand(1, channels, length)
            if ducker is not None:
                new = new * ducker.take(length).to(new)
            kept = reader.take(length)
            if kept is not None:
                kept = kept.to(new).expand(1, channels, kept.shape[-1]) * gain
                new = new + torch.nn.functional.pad(kept, (0, length - kept.shape[-1]))
            yield attrs.evolve(block, waveform=new.contiguous())


class _Ducker:
    """The new sound's gain: one number every 20 ms, straight lines between."""

    def __init__(self, original: Iterable[AudioData], lufs: float, rate: int) -> None:
        self._reader = BlockReader(original)
        self._step = max(1, round(_STEP_S * rate))
        self._threshold = 10 ** ((lufs - _CONTENT_DB) / 10) if lufs > -math.inf else math.inf
        self._since_content_s = math.inf
        self._gain_db = 0.0
        self._ready = np.zeros(0)

    def take(self, length: int) -> torch.Tensor:
        """Return the gain of the next `length` samples, linear."""
        parts, have = [self._ready], len(self._ready)
        while have < length:
            before = self._gain_db
            after = self._next()
            line = before + (after - before) * np.arange(1, self._step + 1) / self._step
            parts.append(10 ** (line / 20))
            have += self._step
        whole = np.concatenate(parts)
        self._ready = whole[length:]
        return torch.from_numpy(whole[:length])

    def _next(self) -> float:
        stretch = self._reader.take(self._step)
        if stretch is not None and float(stretch.square().mean()) > self._threshold:
            self._since_content_s = 0.0
        else:
            self._since_content_s += _STEP_S
        if self._since_content_s < _HOLD_S:
            self._gain_db = max(-_DUCK_DB, self._gain_db - _DUCK_DB * _STEP_S / _ATTACK_S)
        else:
            self._gain_db = min(0.0, self._gain_db + _DUCK_DB * _STEP_S / _RELEASE_S)
        return self._gain_db

"""Sound in consecutive blocks, so that an hour needs no more memory than a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import torch

from versasound_core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from versasound_core.containers import AudioData


class ItemBlocks:
    """One item of a batch that comes in blocks; may be iterated as often as the batch."""

    def __init__(self, blocks: Iterable[AudioData], item: int) -> None:
        self.item = item
        self._blocks = blocks

    def __iter__(self) -> Iterator[AudioData]:
        """Yield the item's blocks, `[1, C, N]` each."""
        for block in self._blocks:
            alone = block.shape[0] == 1
            yield block if alone else attrs.evolve(block, waveform=block.waveform[self.item : self.item + 1])


def item_by_item(
    blocks: Iterable[AudioData], process: Callable[[ItemBlocks], Iterable[AudioData]]
) -> Iterator[AudioData]:
    """Run `process` on every item of a batch by itself and join what it yields, block by block.

    Args:
        blocks: Consecutive blocks of one batch, `[B, C, N]` each; may be iterated several times.
        process: From one sound's blocks to as many blocks of the same lengths.

    Raises:
        InvalidInputError: If `blocks` can be iterated only once.
    """
    first = next(again(blocks), None)
    if first is None:
        return
    items = [process(ItemBlocks(blocks, item)) for item in range(first.shape[0])]
    for parts in zip(*items, strict=True):
        if len(parts) == 1:
            yield parts[0]
        else:
            waveform = torch.cat([part.waveform for part in parts])
            yield attrs.evolve(parts[0], waveform=waveform, metadata=_all_told(parts))


def again(blocks: Iterable[AudioData]) -> Iterator[AudioData]:
    """Return a fresh iterator over blocks that will be needed more than once.

    Raises:
        InvalidInputError: If they can be had only once.
    """
    fresh = iter(blocks)
    if fresh is blocks:
        raise InvalidInputError("These blocks can be iterated only once, and are needed twice.", "Pass a list of them.")
    return fresh


class BlockReader:
    """Hands out consecutive blocks in lengths of the reader's choosing."""

    def __init__(self, blocks: Iterable[AudioData]) -> None:
        self._waveforms = (block.waveform for block in blocks)
        self._rest: torch.Tensor | None = None

    def take(self, length: int) -> torch.Tensor | None:
        """Return the next `length` samples `[B, C, N]`, fewer at the end, and None after it."""
        parts, missing = [], length
        while missing:
            part = self._rest if self._rest is not None else next(self._waveforms, None)
            if part is None:
                break
            parts.append(part[..., :missing])
            self._rest = part[..., missing:] if part.shape[-1] > missing else None
            missing -= parts[-1].shape[-1]
        return torch.cat(parts, dim=-1) if parts else None


def joined(blocks: Iterable[AudioData]) -> AudioData:
    """Return consecutive blocks as one sound, with the notes of all.

    Raises:
        InvalidInputError: If there is no block.
    """
    parts = list(blocks)
    if not parts:
        raise InvalidInputError("There are no blocks of sound to join.")
    if len(parts) == 1:
        return parts[0]
    waveform = torch.cat([part.waveform for part in parts], dim=-1)
    return attrs.evolve(parts[0], waveform=waveform, metadata=_all_told(parts))


def noted(block: AudioData, note: str) -> AudioData:
    """Return the block with one more sentence for the user in `metadata["notes"]`."""
    return attrs.evolve(block, metadata={**block.metadata, "notes": [*block.metadata.get("notes", []), note]})


def _all_told(parts: Iterable[AudioData]) -> dict[str, Any]:
    """The first part's metadata with the notes of all, each once."""
    parts = list(parts)
    notes = dict.fromkeys(note for part in parts for note in part.metadata.get("notes", []))
    return {**parts[0].metadata, **({"notes": list(notes)} if notes else {})}

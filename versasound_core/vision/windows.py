"""Windows that slide over frames of any number, and which of them know about which frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def starts(count: int, length: int, hop: int) -> list[int]:
    """First frames of the windows over `count` frames: every `hop`, and one more that ends with the last frame."""
    regular = list(range(0, max(1, count - length + 1), hop))
    return regular if regular[-1] + length >= count else [*regular, count - length]


def slide(chunks: Iterable[torch.Tensor], length: int, hop: int) -> Iterator[torch.Tensor]:
    """Cut consecutive chunks of frames `[B, n, ...]` into the windows that `starts` names.

    No more than a chunk and a window are held. Fewer frames than `length` are followed by copies of the last one.

    Yields:
        Consecutive windows `[w, B, length, ...]`, those that a chunk completes.
    """
    held: torch.Tensor | None = None
    first = upcoming = 0  # frame numbers of what is held and of the window to come
    for chunk in chunks:
        held = chunk if held is None else torch.cat([held, chunk], dim=1)
        ready = (held.shape[1] - (upcoming - first) - length) // hop + 1
        if ready > 0:
            span = held[:, upcoming - first :][:, : (ready - 1) * hop + length]
            yield span.unfold(1, length, hop).movedim(-1, 2).transpose(0, 1)
            upcoming += ready * hop
        done = max(0, min(upcoming - first, held.shape[1] - length))
        held, first = held[:, done:], first + done
    if held is None:
        return
    count = first + held.shape[1]
    if count < length:
        yield torch.cat([held, held[:, -1:].expand(-1, length - count, *held.shape[2:])], dim=1)[None]
    elif count > upcoming - hop + length:
        yield held[None, :, -length:]


def windowed(count: int, length: int, hop: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Say which steps of which windows tell of each frame.

    Args:
        count: Number of frames.
        length: Frames in a window.
        hop: Frames from window to window.
        step: Frames that share a step.

    Returns:
        Positions `[K, count]` in the row of all steps of all windows, and weights `[K, count]`: the nearer the frame
        is to the middle of the window the more, 0 where there is nothing. The heaviest comes first.
    """
    begin = torch.tensor(starts(count, length, hop))
    frame = torch.arange(count)
    # The regular windows that may hold a frame, the latest first, and the last window, which may be out of step.
    latest = (frame // hop).clamp(max=len(begin) - 1)
    window = torch.stack(
        [latest - back for back in range(-(-length // hop))] + [torch.full_like(frame, len(begin) - 1)]
    )
    window[-1, latest == len(begin) - 1] = -1  # counted already
    inside = frame - begin[window.clamp(min=0)]
    covers = (window >= 0) & (inside >= 0) & (inside < length)
    weight = torch.where(covers, torch.minimum(inside + 1, length - inside), 0)
    weight, order = weight.sort(dim=0, descending=True, stable=True)
    most = int((weight > 0).sum(dim=0).max())
    place = window.clamp(min=0) * (length // step) + inside.clamp(0, length - 1) // step
    return place.gather(0, order)[:most], weight[:most].float()


def neighbours(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Say the same of frames that are looked at one by one: each, then the one before and the one after it.

    Returns:
        Positions `[3, count]` and weights 2, 1, 1; 0 beyond the ends.
    """
    frame = torch.arange(count)
    place = torch.stack([frame, frame - 1, frame + 1])
    weight = torch.tensor([2.0, 1.0, 1.0])[:, None] * ((place >= 0) & (place < count))
    return place.clamp(0, count - 1), weight

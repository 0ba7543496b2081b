"""Real clips to learn from: the picture's changes, and the onsets of its own sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from lags import NEVER_S
from versasound_plugin_learned.strikes import onsets

from versasound_core.containers import VideoClip
from versasound_core.context import RunContext
from versasound_core.events import detect_events
from versasound_core.media.audio import load_audio

if TYPE_CHECKING:
    from pathlib import Path

_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi")


class Recording(NamedTuple):
    """One clip: cells and times of its `EventView`, onsets and their strengths."""

    cells: torch.Tensor
    times_s: torch.Tensor
    heard_s: torch.Tensor
    strength: torch.Tensor


class Windows(NamedTuple):
    """Parts of some recordings, each with its sound shifted by `shift_s`."""

    cells: torch.Tensor  # uint8 [R, F, 3, 16, 16]
    times_s: torch.Tensor  # [R, F + 1]
    heard_s: torch.Tensor  # [R, K], NEVER_S where there is none
    strength: torch.Tensor  # [R, K]
    shift_s: torch.Tensor  # [R]


def load(folder: Path) -> list[Recording]:
    """Look at every clip with sound in a folder.

    Raises:
        FileNotFoundError: If there is none.
    """
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES):
        clip = VideoClip.open(path)
        if not clip.has_audio:
            continue
        view = (detect_events(clip, RunContext()).views or [])[0]
        heard = onsets(load_audio(path).to_mono())[0]
        if len(view.cells) and len(heard.times_s):
            heard_s, strength = (torch.from_numpy(part).float() for part in (heard.times_s, heard.weights))
            found.append(Recording(view.cells, view.times_s.float(), heard_s, strength))
    if not found:
        raise FileNotFoundError(f"{folder} holds no clip with sound.")
    return found


def windows(recordings: list[Recording], count: int, frames: int, chooser: torch.Generator) -> Windows | None:
    """Cut parts of `frames` changes at random, and shift their sounds within a second; none if all are shorter."""
    long = [one for one in recordings if len(one.cells) >= frames]
    if not long:
        return None
    parts = []
    for pick in torch.randint(len(long), (count,), generator=chooser).tolist():
        one = long[pick]
        first = int(torch.randint(len(one.cells) - frames + 1, (1,), generator=chooser))
        times_s = one.times_s[first : first + frames + 1]
        shift_s = 2 * torch.rand(1, generator=chooser) - 1
        heard_s = one.heard_s + shift_s
        inside = (heard_s >= times_s[0]) & (heard_s < times_s[-1])
        parts.append((one.cells[first : first + frames], times_s, heard_s[inside], one.strength[inside], shift_s[0]))
    pad = torch.nn.utils.rnn.pad_sequence
    cells, times, heard, strength, shift = zip(*parts, strict=True)
    return Windows(
        torch.stack(cells), torch.stack(times), pad(heard, True, NEVER_S), pad(strength, True), torch.stack(shift)
    )

"""What an aligner compares: when the picture may strike, and when the sound begins, on one grid of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from versasound_core.errors import InvalidInputError

from .sound import onset_envelope

if TYPE_CHECKING:
    from versasound_core.containers import AudioData, EventTrack, EventView, VisualFeatures

Floats = npt.NDArray[np.float32]

RATE_HZ = 100.0
_BLUR_S = 0.02  # standard deviation: how near a sound must be to its strike to count in full
_STANDS_OUT = 1.0  # standard deviations above the mean that make an onset
_EDGE = 4  # steps at the beginning, where whatever goes on seems to begin
_STRONGEST = 6  # cells that make up a local cue
_LOCAL_LATE_S, _WHOLE_LATE_S = 0.016, 0.005  # how much later than the strike each cue is largest, on rendered scenes
_SOUND_LATE_S = 0.0075  # how much later than the strikes that are found the flux is largest, there


def events_for(aligner: str, audio: AudioData, features: VisualFeatures) -> EventTrack:
    """Return the events of `features`.

    Raises:
        InvalidInputError: If there are none, or of another batch than the sound.
    """
    events = features.events
    if events is None:
        raise InvalidInputError(f"{aligner} needs features with events.", "Add them with detect_events(clip).")
    if events.batch_size != audio.shape[0]:
        raise InvalidInputError(f"{events.batch_size} clips cannot be aligned with {audio.shape[0]} sounds.")
    return events


def picture_cues(events: EventTrack, item: int, count: int) -> list[Floats]:
    """Say in several ways how likely the picture strikes at each moment; which is right depends on the clip.

    The first cue are the strikes that were found, or the envelope of an item without any. Where the events hold a view,
    two more are how much of the motion ends: in the few cells where most does, which finds a small thing, and in the
    whole picture, which finds what is too fast to be followed (Davis and Agrawala, Visual Rhythm and Beat, 2018, look
    for the fall of motion too).

    Returns:
        Each `[count]` at `RATE_HZ`, of mean 0 and standard deviation 1, or all 0 where there is nothing to be seen.
    """
    cues = [_strikes(events, item, count)]
    if events.views is not None:
        cues += _ends_of_motion(events.views[item], count)
    return [_standard(_blurred(cue)) for cue in cues]


def sound_cues(audio: AudioData, count: int) -> tuple[list[Floats], list[Floats]]:
    """Say how much begins at each moment of a sound, and when its onsets are.

    Returns:
        Per item the cue `[count]` at `RATE_HZ`, standardised as `picture_cues` are, and the onsets `[K]` in seconds.
    """
    cues, onsets = [], []
    for heard in onset_envelope(audio, RATE_HZ).numpy():
        heard[:_EDGE] = np.minimum(heard[:_EDGE], heard[_EDGE:].max(initial=0))
        around = np.lib.stride_tricks.sliding_window_view(np.pad(heard, 2), 5).max(1)
        stands_out = heard > heard.mean() + _STANDS_OUT * heard.std()
        onsets.append((np.nonzero((heard >= around) & stands_out)[0] / RATE_HZ).astype(np.float32))
        grid_s = np.arange(count) / RATE_HZ + _SOUND_LATE_S
        on_time = np.interp(grid_s, np.arange(len(heard)) / RATE_HZ, heard, 0, 0).astype(np.float32)
        cues.append(_standard(_blurred(on_time)))
    return cues, onsets


def _strikes(events: EventTrack, item: int, count: int) -> Floats:
    """The onsets as impulses split between the neighbours on the grid; the envelope where there are none."""
    grid_s = np.arange(count) / RATE_HZ
    if not events.onsets[item]:
        envelope = events.envelope[item].float().cpu().numpy()
        times_s = np.arange(len(envelope)) / events.rate_hz
        return np.interp(grid_s, times_s, envelope, 0, 0).astype(np.float32) if len(envelope) else np.zeros(count, "f4")
    times_s, strengths = np.array(events.onsets[item]).T
    first = np.floor(times_s * RATE_HZ).astype(int)
    share = times_s * RATE_HZ - first
    impulses = np.zeros(count + 2, np.float32)
    inside = (first >= 0) & (first < count)
    np.add.at(impulses, first[inside], (strengths * (1 - share))[inside])
    np.add.at(impulses, first[inside] + 1, (strengths * share)[inside])
    return impulses[:count]


def _ends_of_motion(view: EventView, count: int) -> list[Floats]:
    if len(view.cells) < 2:  # noqa: PLR2004
        return []
    change = (view.cells[:, 0].float().cpu().numpy() / 16) ** 2
    whole = change.mean((1, 2))
    cells = np.sqrt(change.reshape(len(change), 8, 2, 8, 2).mean((2, 4)).reshape(len(change), 64))
    falls = np.maximum(cells[:-1] - cells[1:], 0)
    local = np.partition(falls, -_STRONGEST, axis=1)[:, -_STRONGEST:].mean(1)
    grid_s, times_s = np.arange(count) / RATE_HZ, view.times_s.cpu().numpy()[1:-1]
    return [
        np.interp(grid_s, times_s - late_s, fall, 0, 0).astype(np.float32)
        for fall, late_s in ((local, _LOCAL_LATE_S), (np.maximum(whole[:-1] - whole[1:], 0), _WHOLE_LATE_S))
    ]


def _blurred(cue: Floats) -> Floats:
    half = round(4 * _BLUR_S * RATE_HZ)
    bell = np.exp(-0.5 * (np.arange(-half, half + 1) / (_BLUR_S * RATE_HZ)) ** 2)
    return np.convolve(cue, bell)[half : half + len(cue)].astype(np.float32)


def _standard(cue: Floats) -> Floats:
    spread = cue.std() if len(cue) else 0.0
    return (cue - cue.mean()) / spread if spread > 1e-6 else np.zeros_like(cue)  # noqa: PLR2004

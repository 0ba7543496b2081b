"""What an aligner measured, and the one place where it is applied."""

from __future__ import annotations

import math

import attrs
import torch

from versasound_core.errors import InvalidInputError

from .audio import AudioData

Knots = list[list[tuple[float, float]]]

_ATTACK_S = 0.015  # kept before an onset: its slice moves whole, attack included
_BODY_S = 0.030  # kept after an onset before a cross-fade may begin
_FADE_S = 0.030


@attrs.frozen(eq=False, repr=False)
class Alignment:
    """Where each piece of sound should go.

    Args:
        knots: Per item, `(source_s, target_s)`: what is heard at `source_s` belongs at `target_s`. None: nothing moves.
        confidence: Per item, in [0, 1].

    Raises:
        InvalidInputError: If knots are not finite and rising on both axes, or a confidence is out of range.
    """

    knots: Knots
    confidence: list[float]

    def __attrs_post_init__(self) -> None:
        if len(self.knots) != len(self.confidence):
            raise InvalidInputError(f"{len(self.knots)} lists of knots for {len(self.confidence)} confidences.")
        for item, confidence in zip(self.knots, self.confidence, strict=True):
            if not 0 <= confidence <= 1:
                raise InvalidInputError(f"a confidence must lie in [0, 1], not {confidence!r}.")
            if not all(math.isfinite(time_s) for knot in item for time_s in knot):
                raise InvalidInputError("knots must be finite seconds.")
            if any(b[0] <= a[0] or b[1] < a[1] for a, b in zip(item, item[1:], strict=False)):
                raise InvalidInputError("knots must rise in source time and must not fall in target time.")

    def __repr__(self) -> str:
        moved = [max((abs(t - s) for s, t in item), default=0.0) for item in self.knots]
        return f"Alignment(largest move {[f'{m * 1e3:.1f} ms' for m in moved]}, confidence {self.confidence})"

    def apply(self, audio: AudioData, strength: float = 1.0) -> AudioData:
        """Return `audio` `[B, C, T]` with each knot moved by `strength` times its way, of the same length.

        The sound around a knot moves whole, by a whole number of samples, so that a transient keeps its waveform;
        between two knots that move differently the two readings are cross-faded just before the later attack.
        Strength 0 returns the very same samples.

        Raises:
            InvalidInputError: If `strength` is outside [0, 1] or the batch sizes differ.
        """
        if not 0 <= strength <= 1:
            raise InvalidInputError(f"strength must lie in [0, 1], not {strength!r}.")
        if audio.shape[0] != len(self.knots):
            raise InvalidInputError(f"an alignment of {len(self.knots)} items cannot move a batch of {audio.shape[0]}.")
        items = [
            _move(wave, knots, strength, audio.sample_rate)
            for wave, knots in zip(audio.waveform, self.knots, strict=True)
        ]
        if all(new is old for new, old in zip(items, audio.waveform, strict=True)):
            return audio
        return attrs.evolve(audio, waveform=torch.stack(items))


def _move(wave: torch.Tensor, knots: list[tuple[float, float]], strength: float, rate: int) -> torch.Tensor:
    """Move the slices of one sound `[C, T]`."""
    pieces: list[tuple[int, int, int]] = []  # first and last onset of a piece, and its shift, in samples of the source
    for source_s, target_s in knots:
        onset, shift = round(source_s * rate), round(strength * (target_s - source_s) * rate)
        if pieces and pieces[-1][2] == shift:
            pieces[-1] = (pieces[-1][0], onset, shift)
        else:
            pieces.append((onset, onset, shift))
    if not pieces or (len(pieces) == 1 and pieces[0][2] == 0):
        return wave
    length = wave.shape[-1]
    attack, body, fade = (round(seconds * rate) for seconds in (_ATTACK_S, _BODY_S, _FADE_S))
    out = torch.zeros_like(wave)
    begin, fade_in = pieces[0][2], 0
    for k, (_, last, shift) in enumerate(pieces):
        if k + 1 < len(pieces):
            first_next, _, next_shift = pieces[k + 1]
            low = last + body + max(shift, next_shift)  # before this, one of the readings still holds this onset
            high = first_next - attack + min(shift, next_shift)  # after this, one of them holds the next attack
            fade_out = next_fade = min(fade, max(high - low, 1))
            end = high
            next_begin = high - fade_out if high - low >= 1 else max(low, high)
        else:
            end, fade_out, next_begin, next_fade = length + shift, 0, 0, 0
        edge = min(fade // 6, length // 2) if shift else 0  # where a shifted sound was cut loose, it must not click
        _add(out, wave, begin, end, shift, fade_in or (edge if begin > 0 else 0), fade_out or (edge if end < length else 0))
        begin, fade_in = next_begin, next_fade
    return out


def _add(out: torch.Tensor, wave: torch.Tensor, begin: int, end: int, shift: int, fade_in: int, fade_out: int) -> None:
    """Add `wave`, shifted, to `out[begin:end]` with equal-power fades at its ends."""
    length = wave.shape[-1]
    begin, end = max(begin, shift, 0), min(end, length + shift, length)
    if end <= begin:
        return
    gain = torch.ones(end - begin, dtype=wave.dtype, device=wave.device)
    fade_in, fade_out = min(fade_in, end - begin), min(fade_out, end - begin)
    if fade_in:
        gain[:fade_in] *= _ramp(fade_in, gain)
    if fade_out:
        gain[-fade_out:] *= _ramp(fade_out, gain).flip(0)
    out[:, begin:end] += wave[:, begin - shift : end - shift] * gain


def _ramp(count: int, like: torch.Tensor) -> torch.Tensor:
    return torch.sin((torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) * (math.pi / 2 / count))

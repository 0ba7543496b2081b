"""What an aligner measured, and the one place where it is applied."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import attrs
import torch

from versasound_core.errors import InvalidInputError

from ._checks import is_number, pairs

if TYPE_CHECKING:
    from .audio import AudioData

Knots = list[list[tuple[float, float]]]

_ATTACK_S = 0.015  # kept before an onset: its slice moves whole, attack included
_BODY_S = 0.030  # kept after an onset before a cross-fade may begin
_FADE_S = 0.030
_CUT_S = 0.005  # the shortest fade that makes no click
_APART_S = 0.020  # closer knots belong to one transient, which cannot be cut in two


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
        pairs(self.knots, "knots", "source_s, target_s")
        for item, confidence in zip(self.knots, self.confidence, strict=True):
            if not (is_number(confidence) and 0 <= confidence <= 1):
                raise InvalidInputError(f"a confidence must lie in [0, 1], not {confidence!r}.")
            for a, b in itertools.pairwise(item):
                if b[0] <= a[0] or b[1] < a[1]:
                    raise InvalidInputError(
                        f"knots must rise in source time and must not fall in target time; {b!r} follows {a!r}."
                    )

    def __repr__(self) -> str:
        moved = [max((abs(t - s) for s, t in item), default=0.0) for item in self.knots]
        return f"Alignment(largest move {[f'{m * 1e3:.1f} ms' for m in moved]}, confidence {self.confidence})"

    def within(self, largest_s: float) -> Alignment:
        """Return what is left if nothing moves of an item that has a move longer than `largest_s`."""
        knots = [item if all(abs(t - s) <= largest_s for s, t in item) else [] for item in self.knots]
        return attrs.evolve(self, knots=knots)

    def apply(self, audio: AudioData, strength: float = 1.0) -> AudioData:
        """Return `audio` `[B, C, T]` with each knot moved by `strength` times its way, of the same length.

        The sound around a knot moves whole, by a whole number of samples, so that a transient keeps its waveform.
        Between two knots that move differently the sound of the first is cross-faded into that of the second just
        before the second's attack; where that leaves a gap longer than the sound there is, the sound between the two
        is repeated. Where two attacks would meet, the later one is heard. Strength 0 returns the very same samples.

        Raises:
            InvalidInputError: If `strength` is outside [0, 1] or the batch sizes differ.
        """
        if not (is_number(strength) and 0 <= strength <= 1):
            raise InvalidInputError(f"strength must lie in [0, 1], not {strength!r}.")
        if audio.shape[0] != len(self.knots):
            raise InvalidInputError(f"an alignment of {len(self.knots)} items cannot move a batch of {audio.shape[0]}.")
        length, rate = audio.waveform.shape[-1], audio.sample_rate
        plans = [_slices(knots, strength, rate, length) for knots in self.knots]
        if not any(piece.shift for plan in plans for piece in plan):
            return audio
        moved = [_move(wave, plan, rate) for wave, plan in zip(audio.waveform, plans, strict=True)]
        return attrs.evolve(audio, waveform=torch.stack(moved))


class _Slice(NamedTuple):
    """A run of onsets that move alike, in samples of the source."""

    first: int
    last: int
    shift: int


class _Join(NamedTuple):
    """Where one reading of the source fades into the next: over the `fade` samples before `end`."""

    end: int
    fade: int
    shift: int


def _slices(knots: list[tuple[float, float]], strength: float, rate: int, length: int) -> list[_Slice]:
    slices: list[_Slice] = []
    for source_s, target_s in knots:
        if not 0 <= source_s * rate <= length:
            continue  # there is nothing there that could be moved
        onset = round(source_s * rate)
        shift = round(min(max(strength * (target_s - source_s) * rate, -length), length))
        if slices and slices[-1].shift == shift:
            slices[-1] = slices[-1]._replace(last=onset)
        elif not slices or onset - slices[-1].last >= _APART_S * rate:
            slices.append(_Slice(onset, onset, shift))
    return slices


def _joins(slices: list[_Slice], rate: int) -> list[_Join]:
    heard = slices[:1]
    ways: list[list[_Join]] = [[]]  # the joins that lead to each slice that is heard
    for piece in slices[1:]:
        way = _way(heard[-1], piece, rate)
        while len(heard) > 1 and way[0].end - way[0].fade < ways[-1][-1].end:  # it would be over before it is there
            heard.pop()
            ways.pop()
            way = _way(heard[-1], piece, rate)
        heard.append(piece)
        ways.append(way)
    return [join for way in ways for join in way]


def _way(old: _Slice, new: _Slice, rate: int) -> list[_Join]:
    """Find the joins that lead from one slice to the next, the last of them just before the attack of the next."""
    gap, move = new.first - old.last, new.shift - old.shift
    attack, body = min(round(_ATTACK_S * rate), gap // 4), min(round(_BODY_S * rate), gap // 2)
    free, begin = gap - attack - body, new.first - attack  # of the source: what may be left out or be repeated
    if move < 0:
        fade = min(max(free + move, round(_CUT_S * rate)), round(_FADE_S * rate))
        return [_Join(begin + new.shift, fade, new.shift)]
    fade = min(round(_FADE_S * rate), free // 4)
    count = math.ceil(move / (free - fade))  # more than one where the gap grows by more than there is to fill it
    shifts = [old.shift + round(move * k / count) for k in range(count + 1)]
    return [_Join(begin + before, fade, after) for before, after in itertools.pairwise(shifts)]


def _move(wave: torch.Tensor, slices: list[_Slice], rate: int) -> torch.Tensor:
    """Render one sound `[C, T]`."""
    if not any(piece.shift for piece in slices):
        return wave
    length, margin, cut = wave.shape[-1], round(_FADE_S * rate), round(_CUT_S * rate)
    reach = margin + max(abs(piece.shift) for piece in slices)
    source = torch.nn.functional.pad(wave, (reach, reach))

    def read(begin: int, end: int, shift: int) -> torch.Tensor:
        return source[:, reach + begin - shift : reach + end - shift]

    parts, at, shift = [], -margin, slices[0].shift
    for end, fade, next_shift in _joins(slices, rate):
        begin = max(end - fade, at)
        if begin >= length:
            break
        if end > 0:
            parts += [read(at, begin, shift), _cross_fade(read(begin, end, shift), read(begin, end, next_shift))]
            at = end
        shift = next_shift
    parts.append(read(at, max(length, at), shift))
    out = torch.cat(parts, dim=-1)[:, margin : margin + length]
    # Where a shift cut the sound loose from its beginning or its end it must not click; the onsets stay whole.
    first, last = slices[0].first + slices[0].shift, slices[-1].last + shift
    begin, end = max(slices[0].shift, 0), length + min(shift, 0)
    fade_in = min(cut, first - begin, length - begin) if slices[0].shift else 0
    fade_out = min(cut, end - last, end) if shift else 0
    if fade_in > 0:
        out[:, begin : begin + fade_in] *= _ramp(fade_in, out)
    if fade_out > 0:
        out[:, end - fade_out : end] *= _ramp(fade_out, out).flip(0)
    return out


def _cross_fade(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """Fade from one sound to the other at a steady level, whether they are alike or not."""
    count = old.shape[-1]
    up = _ramp(count, old)
    down = up.flip(0)
    alike = torch.nn.functional.cosine_similarity(old.flatten().float(), new.flatten().float(), dim=0).clamp(min=0)
    return (old * down + new * up) / torch.sqrt(1 + 2 * alike.to(old.dtype) * up * down)


def _ramp(count: int, like: torch.Tensor) -> torch.Tensor:
    return torch.sin((torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) * (math.pi / 2 / max(count, 1)))

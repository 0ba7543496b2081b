"""What strikes and onsets say of the lag between picture and sound: what the network is judged and taught by."""

from __future__ import annotations

import torch
from camera import Clips
from torch.nn import functional as nn
from versasound_plugin_learned.evidence import BELL_S, MISSED
from versasound_plugin_learned.network import SLOTS

RATE_HZ = 100
REACH_S = 1.2
NEVER_S = 1e6
# Wider and more doubtful than the aligner weighs them: by these recordings teach, and the log is told.
_BELL_S, _MISSED = 0.03, 0.1
_RIGHT_S = 0.025
USUAL_S = 0.5  # standard deviation of lags, beforehand
LEAST = 2  # strikes and onsets by which a lag can be told
_DOUBT = 0.3  # share of sounds that may belong to nothing in the picture
_LEAST_ONSETS, _LEAST_STRIKES = 2, 1.0
_LATEST_S, _EARLIEST_S = 0.09, 0.01  # real sounds lag their pictures by some of this


def lags_s(device: torch.device) -> torch.Tensor:
    """By how much the sound would have to move later, `[L]`."""
    reach = round(REACH_S * RATE_HZ)
    return torch.arange(-reach, reach + 1, device=device) / RATE_HZ


def scores(  # noqa: PLR0913, PLR0917
    chances: torch.Tensor,
    times_s: torch.Tensor,
    heard_s: torch.Tensor,
    strength: torch.Tensor,
    bell_s: float = _BELL_S,
    missed: float = _MISSED,
) -> torch.Tensor:
    """How much likelier than by chance the onsets meet strikes at each lag, in nats, `[B, L]`.

    Args:
        chances: `[B, F, SLOTS]`, of a strike in each part of the time between two pictures.
        times_s: `[B, F + 1]`, of the pictures.
        heard_s: `[B, K]`, onsets, `NEVER_S` where there is none.
        strength: `[B, K]`.
        bell_s: How near a strike an onset must be.
        missed: Chance that either has no partner.
    """
    begin = times_s[:, :1]
    shares = (torch.arange(SLOTS, device=times_s.device) + 0.5) / SLOTS
    centres = (times_s[:, :-1, None] - begin[..., None] + times_s.diff(dim=1)[..., None] * shares).flatten(1)
    length_s = times_s[:, -1:] - begin
    count = int(length_s.max() * RATE_HZ) + 2
    place = (centres * RATE_HZ).round().long().clamp(0, count - 1)
    density = torch.zeros(len(place), count, device=place.device).scatter_add(1, place, chances.float().flatten(1))
    half = round(3 * bell_s * RATE_HZ)
    bell = torch.exp(-0.5 * (torch.arange(-half, half + 1, device=place.device) / (bell_s * RATE_HZ)) ** 2)
    likely = nn.conv1d(density[:, None], bell[None, None], padding=half)[:, 0].clamp(max=1)
    there = torch.arange(count, device=place.device) <= length_s * RATE_HZ
    usual = (likely * there).sum(1, keepdim=True) / there.sum(1, keepdim=True) + missed
    gain = torch.log((likely + missed) / usual) * there
    at = ((heard_s - begin)[..., None] + lags_s(place.device)).mul(RATE_HZ).round()  # [B, K, L]
    inside = (at >= 0) & (at < count)
    met = torch.gather(gain, 1, at.clamp(0, count - 1).long().flatten(1)).view_as(at)
    return (met * inside * strength[..., None]).sum(1)


def self_supervised(
    chances: torch.Tensor, times_s: torch.Tensor, heard_s: torch.Tensor, strength: torch.Tensor, shift_s: torch.Tensor
) -> torch.Tensor:
    """The loss of recordings whose own sound was shifted by `shift_s`, `[B]`: nats per recording that can be judged.

    The sound of many recordings has nothing to do with the picture: where too little is seen or heard nothing is
    learned, and a share of doubt lets go of what cannot be explained.
    """
    lags = lags_s(chances.device)
    right = (lags > -shift_s[:, None] - _LATEST_S) & (lags < -shift_s[:, None] + _EARLIEST_S)
    chance = (scores(chances, times_s, heard_s, strength).softmax(1) * right).sum(1)
    loss = -torch.log((1 - _DOUBT) * chance + _DOUBT * right.float().mean(1).clamp_min(1e-3))
    clear = (heard_s < NEVER_S).sum(1) >= _LEAST_ONSETS
    clear &= chances.detach().float().sum((1, 2)) >= _LEAST_STRIKES
    clear &= right.any(1)
    return (loss * clear).sum() / clear.sum().clamp_min(1)


def supervised(chances: torch.Tensor, clips: Clips, generator: torch.Generator) -> torch.Tensor:
    """The loss of made-up clips whose sound was shifted by a known lag: nats per clip that can be judged.

    All lags compete, as in the aligner and weighed as it does: what is learned is to tell the beats of a rhythm apart.
    """
    heard_s, shift_s = sounded(clips, generator)
    begin, end = clips.times_s[:, :1], clips.times_s[:, -1:]
    heard_s = torch.where((heard_s > begin) & (heard_s < end), heard_s, NEVER_S)
    said = scores(chances, clips.times_s, heard_s, torch.ones_like(heard_s), BELL_S, MISSED)
    lags = lags_s(chances.device)
    right = (lags + shift_s[:, None]).abs() < _RIGHT_S
    likely = (said - 0.5 * (lags / USUAL_S) ** 2).log_softmax(1)
    loss = -torch.logsumexp(likely.masked_fill(~right, -torch.inf), 1)
    struck = ((clips.strikes > begin) & (clips.strikes < end)).sum(1)
    clear = (struck >= LEAST) & ((heard_s < NEVER_S).sum(1) >= LEAST)
    return torch.where(clear, loss, 0.0).sum() / clear.sum().clamp_min(1)


def cut(clips: Clips, first: int, frames: int) -> Clips:
    """Leave `frames` changes from the one numbered `first` on; times stay."""
    return Clips(
        clips.cells[:, first : first + frames],
        clips.times_s[:, first : first + frames + 1],
        (clips.counts - first).clamp(0, frames),
        clips.strikes,
    )


def sounded(clips: Clips, generator: torch.Generator, most_s: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Onsets of the sound of made-up clips, shifted: some blows are not heard, and some sounds come from elsewhere.

    Returns:
        Their times, `[B, K]`, `NEVER_S` where there is none, and the shifts, `[B]`.
    """
    device, shape = clips.strikes.device, clips.strikes.shape

    def draw(*size: int) -> torch.Tensor:
        return torch.rand(size, generator=generator, device=device)

    shift_s = (2 * draw(shape[0]) - 1) * most_s
    own = clips.strikes + 0.008 * (draw(*shape) - 0.5)
    own = torch.where((draw(*shape) < 0.1) | (clips.strikes > NEVER_S / 2), NEVER_S, own + shift_s[:, None])  # noqa: PLR2004
    others = draw(shape[0], 4) * (clips.times_s[:, -1:] + 2) - 1
    others = torch.where(draw(shape[0], 4) < 0.15, others, NEVER_S)  # noqa: PLR2004
    return torch.cat([own, others], 1), shift_s

"""How well the network sees, told on clips that it is never trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from lags import LEAST, NEVER_S, USUAL_S, cut, lags_s, scores, sounded
from torch.nn import functional as nn
from versasound_plugin_learned.network import SLOTS

if TYPE_CHECKING:
    from camera import Clips

_BATCH = 64
_NEAR_S, _SURE, _EXACT_S = 0.08, 0.5, 0.01
_FIRST, _FRAMES = 20, 64  # a window: from which change on, and how many


def targets(clips: Clips) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which slots hold a strike `[B, F, SLOTS]`, and which changes count `[B, F]`."""
    batch, frames = clips.cells.shape[:2]
    place = torch.searchsorted(clips.times_s, clips.strikes, right=True) - 1
    inside = (place >= 0) & (place < clips.counts[:, None])
    place = place.clamp(0, frames - 1)
    begin, end = torch.gather(clips.times_s, 1, place), torch.gather(clips.times_s, 1, place + 1)
    slot = ((clips.strikes - begin) / (end - begin) * SLOTS).clamp(0, SLOTS - 1).long()
    flat = torch.zeros(batch, frames * SLOTS + 1, device=place.device)
    flat.scatter_(1, torch.where(inside, place * SLOTS + slot, frames * SLOTS), 1.0)
    valid = torch.arange(frames, device=place.device) < clips.counts[:, None]
    return flat[:, :-1].unflatten(1, (frames, SLOTS)), valid


def judge(model: torch.nn.Module, clips: Clips) -> dict[str, float]:
    """Loss in nats per strike, how near the best slot of each is, and how many windows' lags are found."""
    goal, valid = targets(clips)
    loss, near = 0.0, []
    for b in range(0, len(clips.cells), _BATCH):
        part = slice(b, b + _BATCH)
        times = clips.times_s[part]
        with torch.no_grad():
            logits = model(clips.cells[part], times.diff(dim=1)).float()
        loss += float(
            (nn.binary_cross_entropy_with_logits(logits, goal[part], reduction="none") * valid[part, :, None]).sum()
        )
        shares = (torch.arange(SLOTS, device=times.device) + 0.5) / SLOTS
        centres = (times[:, :-1, None] + times.diff(dim=1)[..., None] * shares).flatten(1).cpu()
        chance = (logits.sigmoid() * valid[part, :, None]).flatten(1).cpu()
        for item, strikes in enumerate(clips.strikes[part].cpu()):
            for strike in strikes[strikes < centres[item, int(clips.counts[part][item]) * SLOTS - 1]].tolist():
                weight = chance[item] * ((centres[item] - strike).abs() < _NEAR_S)
                near.append(
                    abs(float((weight * centres[item]).sum() / weight.sum().clamp_min(1e-9)) - strike)
                    if float(weight.sum()) > _SURE
                    else 1.0
                )
    errors = torch.tensor(near)
    return {
        "loss": loss / max(float(goal.sum()), 1.0),
        "median_ms": float(errors.median()) * 1e3,
        "within_10_ms": float((errors < _EXACT_S).float().mean()),
        "found": float((errors < _NEAR_S).float().mean()),
        "windows": _windows(model, clips),
    }


def _windows(model: torch.nn.Module, clips: Clips) -> float:
    """The share of windows of 64 changes whose sound, shifted within a second, is brought to within 80 ms."""
    heard_s, shift_s = sounded(clips, torch.Generator(clips.cells.device).manual_seed(0))
    clips = cut(clips, _FIRST, _FRAMES)
    begin, end = clips.times_s[:, :1], clips.times_s[:, -1:]
    heard_s = torch.where((heard_s > begin) & (heard_s < end), heard_s, NEVER_S)
    struck = ((clips.strikes > begin) & (clips.strikes < end)).sum(1)
    judged = (struck >= LEAST) & ((heard_s < NEVER_S).sum(1) >= LEAST) & (clips.counts == _FRAMES)
    lags, right = lags_s(clips.cells.device), []
    for b in range(0, len(clips.cells), _BATCH):
        part = slice(b, b + _BATCH)
        with torch.no_grad():
            chances = model(clips.cells[part], clips.times_s[part].diff(dim=1)).float().sigmoid()
        said = scores(chances, clips.times_s[part], heard_s[part], torch.ones_like(heard_s[part]))
        best = lags[(said - 0.5 * (lags / USUAL_S) ** 2).argmax(1)]
        right.append((best + shift_s[part]).abs() < _NEAR_S)
    return float(torch.cat(right)[judged].float().mean())

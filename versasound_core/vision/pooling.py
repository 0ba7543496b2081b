"""From many vectors to one: over the places of a picture, and over what is known about a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from versasound_core.errors import InvalidInputError

if TYPE_CHECKING:
    from .backbone import Seen

TEMPORAL = ("attention", "avg", "max", "none")
SPATIAL = ("avg", "max", "cls_token")
_TEMPERATURE = 0.1


def pool_space(seen: Seen, how: str) -> torch.Tensor:
    """Sum up the places of each picture.

    Args:
        seen: Tokens `[n, S, N, D]` and, for `cls_token`, a summary `[n, S, P]`.
        how: `avg`, `max`, or `cls_token`: the backbone's own vector for the whole picture.

    Returns:
        `[n, S, D]` (or P).

    Raises:
        InvalidInputError: For `cls_token` where the backbone has none.
    """
    if how == "avg":
        return seen.tokens.mean(dim=2)
    if how == "max":
        return seen.tokens.amax(dim=2)
    if how == "cls_token" and seen.summary is not None:
        return seen.summary
    raise InvalidInputError(f"spatial_pooling={how!r}: this backbone has avg and max.")


def pool_time(estimates: torch.Tensor, weight: torch.Tensor, how: str) -> torch.Tensor:
    """Make one vector for each frame of the `K` estimates that there are of it.

    Estimates come from overlapping windows, or from the frame and its neighbours; the first one is the frame's best.

    Args:
        estimates: `[K, T, ..., D]`.
        weight: `[K, T]`; an estimate of weight 0 does not count.
        how: `none` takes the best estimate. `avg` is the weighted mean. `max` is the greatest value in each dimension.
            `attention` is a mean whose weights fall with the distance in direction from the best estimate (softmax of
            cosine similarity over 0.1, times the weight), so that what lies across a cut counts little.

    Returns:
        `[T, ..., D]`.
    """
    if how == "none" or len(estimates) == 1:
        return estimates[0]
    weight = weight.view(*weight.shape, *[1] * (estimates.ndim - weight.ndim)).to(estimates)
    if how == "max":
        return estimates.masked_fill(weight == 0, -torch.inf).amax(dim=0)
    if how == "attention":
        alike = functional.cosine_similarity(estimates, estimates[:1], dim=-1).unsqueeze(-1)
        weight = weight * ((alike - 1) / _TEMPERATURE).exp()
    return (estimates * weight).sum(dim=0) / weight.sum(dim=0)

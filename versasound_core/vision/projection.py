"""A linear map to another width, before anything has trained it."""

from __future__ import annotations

import torch

_SEED = 0


def projection(width: int, wanted: int) -> torch.nn.Linear:
    """Return a trainable map from `width` to `wanted` dimensions, the same for the same widths.

    Its rows (or columns, if `wanted` is the larger) are orthonormal, drawn from a fixed seed: to more dimensions it
    keeps every length and angle, to fewer it keeps them as well as a random subspace does (Johnson and Lindenstrauss
    1984). The global random state is left as it was found.
    """
    generator = torch.Generator().manual_seed(_SEED)
    with torch.device("meta"):  # draws nothing
        layer = torch.nn.Linear(width, wanted, bias=False)
    layer.weight = torch.nn.Parameter(torch.nn.init.orthogonal_(torch.empty(wanted, width), generator=generator))
    return layer

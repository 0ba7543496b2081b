"""A linear map from a backbone's width to another: as it begins, and as it was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import attrs
import torch

from versasound_core.errors import InvalidInputError
from versasound_core.trained import EncoderFacts, a_count, named, read_folder

if TYPE_CHECKING:
    import os

_SEED = 0
PROJECTION = "projection"


def projection(width: int, wanted: int) -> torch.nn.Linear:
    """Return a trainable map from `width` to `wanted` dimensions, the same for the same widths.

    Its rows (or columns, if `wanted` is the larger) are orthonormal, drawn from a fixed seed: to more dimensions it
    keeps every length and angle, to fewer it keeps them as well as a random subspace does (Johnson and Lindenstrauss
    1984). The global random state is left as it was found.
    """
    generator = torch.Generator().manual_seed(_SEED)
    layer = _empty(width, wanted)
    layer.weight = torch.nn.Parameter(torch.nn.init.orthogonal_(torch.empty(wanted, width), generator=generator))
    return layer


@attrs.frozen(kw_only=True)
class ProjectionFacts(EncoderFacts):
    """What a projection was trained for: `feature_dim` is what it reads.

    Args:
        projected_dim: Length of a vector that it makes.
    """

    projected_dim: int = a_count()

    def network(self) -> torch.nn.Linear:
        """Make its map, with no weights yet."""
        layer = _empty(self.feature_dim, self.projected_dim)
        layer.weight = torch.nn.Parameter(torch.empty(self.projected_dim, self.feature_dim))
        return layer


def load_projection(path: str | os.PathLike[str]) -> tuple[ProjectionFacts, torch.nn.Linear]:
    """Read a trained projection; `path` is its folder, or a file in it.

    Raises:
        ModelLoadError: If it is missing, malformed or damaged.
    """
    facts, layer = read_folder(path, PROJECTION, ProjectionFacts, ProjectionFacts.network)
    return facts, cast("torch.nn.Linear", layer)


def projection_for(
    path: str | os.PathLike[str], encoder: str, variant: str, feature_dim: int | None
) -> torch.nn.Linear:
    """Read a trained projection for an encoder.

    Raises:
        InvalidInputError: If it was trained for another, or makes vectors of another length than `feature_dim`.
        ModelLoadError: As `load_projection`.
    """
    facts, layer = load_projection(path)
    if (encoder, variant) != (facts.encoder, facts.encoder_variant):
        raise InvalidInputError(
            f"the projection {path} was trained on features of the encoder "
            f"{named(facts.encoder, facts.encoder_variant)}, not of {named(encoder, variant)}.",
            "Choose that encoder and variant, or leave projection empty.",
        )
    if feature_dim not in {None, facts.projected_dim}:
        raise InvalidInputError(
            f"feature_dim={feature_dim}: the projection {path} makes vectors of {facts.projected_dim} dimensions.",
            f"Leave feature_dim empty, or set it to {facts.projected_dim}.",
        )
    return layer


def _empty(width: int, wanted: int) -> torch.nn.Linear:
    with torch.device("meta"):  # draws nothing
        return torch.nn.Linear(width, wanted, bias=False)

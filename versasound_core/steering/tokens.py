"""Visual features as tokens beside the text's, through an adapter that was trained for it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from versasound_core.containers import VisualFeatures
    from versasound_core.weights import Checkpoint


class Adapter(Protocol):
    """What projects visual features to where text tokens live."""

    def check_fits(self, *, generator: str, variant: str, features: VisualFeatures) -> None:
        """Raise InvalidInputError if it was trained for another generator, variant or encoder."""
        ...

    def tokens(self, features: VisualFeatures) -> torch.Tensor:
        """Return tokens `[B, N, D]`, `D` as the generator's text tokens."""
        ...


class Tokens:
    """An adapter that is read when it is first needed, or none.

    Args:
        path: Its file; None appends nothing.
        wanted: The generator's checkpoint, which the adapter has to fit.
    """

    def __init__(self, path: str | Path | None, wanted: Checkpoint) -> None:
        self.path = path
        self._wanted = wanted
        self._adapter: Adapter | None = None

    def of(self, features: VisualFeatures | None) -> torch.Tensor | None:
        """Return what is appended to the text tokens, `[B, N, D]`; None if nothing is.

        Raises:
            InvalidInputError: If the adapter cannot be read or does not fit.
        """
        if self.path is None or features is None:
            return None
        if self._adapter is None:
            room = importlib.import_module("versasound_core.adapters")
            self._adapter = cast("Adapter", room.load_adapter(self.path))
        self._adapter.check_fits(generator=self._wanted.backend, variant=self._wanted.variant, features=features)
        return self._adapter.tokens(features)

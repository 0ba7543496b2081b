"""What a plugin brings: a trained model behind one face."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .preprocess import Preprocess


class Seen(NamedTuple):
    """What a backbone makes of `n` windows.

    Attributes:
        tokens: `[n, S, N, D]`: `S` steps in time, `N` places in the picture.
        summary: `[n, S, P]`: the backbone's own vector for the whole picture (class token, joint embedding), if any.
    """

    tokens: torch.Tensor
    summary: torch.Tensor | None


class Backbone(torch.nn.Module):
    """Looks at windows of frames; image models have windows of one frame. A plugin fills in the methods.

    Attributes:
        preprocess: What its checkpoint wants done to pictures.
        window: Frames in a window.
        hop: Frames from one window to the next.
        step: Frames that share one step in time; a window has `window // step` of them.
        sounds: Names of what `score` scores; empty if it has no words.
    """

    preprocess: Preprocess
    window: int
    hop: int
    step: int
    sounds: Sequence[str]

    def look(self, pixels: torch.Tensor) -> Seen:
        """Run the model on prepared windows `[n, window, 3, H, W]`."""
        raise NotImplementedError

    def score(self, seen: Seen) -> torch.Tensor:
        """Say how likely each of `sounds` is: `[n, S, K]` (or `[n, 1, K]` for the whole window), in [0, 1]."""
        raise NotImplementedError

    def width(self, spatial_pooling: str) -> int:
        """Return the length of a feature vector with this pooling."""
        raise NotImplementedError

    def checkpoint_gradients(self) -> None:
        """Keep fewer activations when training, and compute them again when they are needed."""
        raise NotImplementedError

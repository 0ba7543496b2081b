"""What a generator is to whoever trains an adapter for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from .draw import Draw


class Objective(Protocol):
    """A loaded generator and its own loss.

    Attributes:
        modules: Everything with weights, by name; all frozen unless somebody says otherwise.
        predictor: The network that reads the tokens and predicts.
        sample_rate: Of the sound it learns from, Hz.
        channels: Of that sound.
        token_dim: Length of the tokens that it attends to.
        longest_s: Longest crop that it can take, in seconds.
    """

    modules: dict[str, torch.nn.Module]
    predictor: torch.nn.Module
    sample_rate: int
    channels: int
    token_dim: int
    longest_s: float

    def encode(self, waveform: torch.Tensor) -> torch.Tensor:
        """Return what the loss is computed on, from sound `[B, C, T]`; no gradient flows."""
        ...

    def loss(  # noqa: PLR0913, PLR0917
        self,
        encoded: torch.Tensor,
        tokens: torch.Tensor,
        texts: Sequence[str],
        seconds: float,
        heard: torch.Tensor,
        draw: Draw,
    ) -> torch.Tensor:
        """Return the loss of each item, `[B]`.

        Args:
            encoded: What `encode` returned.
            tokens: `[B, N, D]`, of an adapter.
            texts: What is said beside the tokens.
            seconds: Length of the sound.
            heard: bool `[B, 2]`: whether text and tokens are heard at all; neither is how classifier-free guidance
                (Ho and Salimans 2022) learns what it guides away from.
            draw: All that is random comes from it.
        """
        ...

    def sample(self, tokens: torch.Tensor, texts: Sequence[str], seconds: float, draw: Draw) -> torch.Tensor:
        """Make sound `[B, C, T]` of tokens, as the generator itself would, with few steps: to listen in."""
        ...

    def checkpoint_gradients(self) -> None:
        """Compute activations twice to save memory."""
        ...

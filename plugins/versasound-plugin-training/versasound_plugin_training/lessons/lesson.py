"""What a run has to know of what it teaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from versasound_core.trained import EncoderFacts
    from versasound_plugin_training.crops import Batch, Item
    from versasound_plugin_training.objectives import Draw


class Lesson(Protocol):
    """A network that learns, and its loss.

    Attributes:
        kind: What comes of it, which is also the name of the folder.
        facts: What that will fit.
        network: That learns.
        frozen: Everything else with weights.
        sample_rate: Of the sound it learns from, Hz.
        channels: Of that sound.
    """

    kind: str
    frozen: dict[str, torch.nn.Module]
    sample_rate: int
    channels: int

    @property
    def facts(self) -> EncoderFacts: ...  # noqa: D102  (above)

    @property
    def network(self) -> torch.nn.Module: ...  # noqa: D102

    def fit_scale(self, items: Sequence[Item]) -> None:
        """Let all channels of what the network is shown count alike at first, as they are in these crops."""
        ...

    def encode(self, batch: Batch, device: torch.device) -> torch.Tensor:
        """Return what the loss is computed on, in full precision; no gradient flows."""
        ...

    def loss(self, network: torch.nn.Module, batch: Batch, encoded: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Return the mean loss of a batch.

        Args:
            network: The one that learns, as it is called; it may be wrapped for several processes.
            batch: With its features where the network lies.
            encoded: What `encode` returned.
            draw: All that is random comes from it.
        """
        ...

    def sample(
        self, network: torch.nn.Module, items: Sequence[Item], seconds: float, draw: Draw
    ) -> torch.Tensor | None:
        """Return sounds to listen to, `[B, C, T]`; None if there is nothing to be heard."""
        ...

    def checkpoint_gradients(self) -> None:
        """Compute activations twice to save memory."""
        ...

    def save(self, network: torch.nn.Module, folder: Path, training: dict[str, Any]) -> Path:
        """Write the network and what it fits."""
        ...

    def read(self, folder: Path) -> tuple[EncoderFacts, dict[str, torch.Tensor]]:
        """Return what `save` wrote: what it fits, and the network's state."""
        ...

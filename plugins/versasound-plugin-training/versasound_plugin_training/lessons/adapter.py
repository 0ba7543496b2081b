"""Teaches a frozen generator to follow the picture, by an adapter and with the generator's own loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import attrs
import torch

from versasound_core.adapters import Adapter, AdapterFacts, Resampler, load_adapter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from versasound_core.containers import VisualFeatures
    from versasound_plugin_training.config import TrainingConfig
    from versasound_plugin_training.crops import Batch, Item
    from versasound_plugin_training.objectives import Draw, Objective

    from .projection import ProjectedResampler


def adapter_lesson(
    features: VisualFeatures, encoder: str, generator: tuple[str, str], objective: Objective, settings: TrainingConfig
) -> AdapterLesson:
    """Return the lesson for an encoder's features and a generator, by name and variant."""
    facts = adapter_facts(features, encoder, generator, objective, settings)
    return AdapterLesson(facts, facts.network(settings.seed), objective, settings)


def adapter_facts(
    features: VisualFeatures, encoder: str, generator: tuple[str, str], objective: Objective, settings: TrainingConfig
) -> AdapterFacts:
    """Return what an adapter fits that reads these features and teaches this generator."""
    return AdapterFacts(
        encoder=str(features.metadata.get("backbone", encoder)),
        encoder_variant=features.metadata.get("variant"),
        feature_dim=features.get_feature_dim(),
        generator=generator[0],
        variant=generator[1],
        token_dim=objective.token_dim,
        num_tokens=settings.num_tokens,
        width=settings.width,
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
    )


class AdapterLesson:
    """See `Lesson`.

    Args:
        facts: What the adapter is for.
        network: Makes tokens of what is seen.
        objective: The frozen generator and its loss.
        settings: Shares of crops without words, and with nothing.
    """

    kind = "adapter"

    def __init__(
        self,
        facts: AdapterFacts,
        network: Resampler | ProjectedResampler,
        objective: Objective,
        settings: TrainingConfig,
    ) -> None:
        self.facts, self.network, self.objective, self._settings = facts, network, objective, settings
        self.frozen = objective.modules
        self.sample_rate, self.channels = objective.sample_rate, objective.channels

    def fit_scale(self, items: Sequence[Item]) -> None:
        """Let all channels of what is seen count alike at first."""
        self.network.fit_scale(torch.stack([item[0] for item in items]))

    def encode(self, batch: Batch, device: torch.device) -> torch.Tensor:
        """Return what the generator's loss is computed on."""
        return self.objective.encode(batch.sound.to(device))

    def loss(self, network: torch.nn.Module, batch: Batch, encoded: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Return the generator's own loss; see `Lesson`."""
        chance = draw.uniform(len(batch.places), 2)
        shown = chance[:, 0] >= self._settings.drop_all
        heard = torch.stack([shown & (chance[:, 1] >= self._settings.drop_text), shown], 1)
        tokens = network(batch.seen, batch.times_s).float()
        seconds = batch.sound.shape[2] / self.sample_rate
        return self.objective.loss(encoded, tokens, batch.prompts, seconds, heard, draw).mean()

    def sample(self, network: torch.nn.Module, items: Sequence[Item], seconds: float, draw: Draw) -> torch.Tensor:
        """Return what the generator makes of crops, `[B, C, T]`."""
        device = next(network.parameters()).device
        tokens = network(torch.stack([item[0] for item in items]).to(device), items[0][1].to(device))
        return self.objective.sample(tokens, [item[3] for item in items], seconds, draw)

    def checkpoint_gradients(self) -> None:
        """Compute the activations of both twice."""
        self.objective.checkpoint_gradients()
        for part in self.network.modules():
            if isinstance(part, Resampler):
                part.checkpointing = True

    def save(self, network: torch.nn.Module, folder: Path, training: dict[str, Any]) -> Path:
        """Write the adapter."""
        return Adapter(attrs.evolve(self.facts, training=training), cast("Resampler", network)).save(folder)

    def read(self, folder: Path) -> tuple[AdapterFacts, dict[str, torch.Tensor]]:
        """Read an adapter."""
        adapter = load_adapter(folder)
        return adapter.facts, adapter.network.state_dict()

"""Teaches an encoder's projection what the generator needs to see, together with the adapter that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import attrs
import torch

from versasound_core.adapters import EVENT_CHANNELS, AdapterFacts, Resampler, load_adapter
from versasound_core.errors import InvalidInputError
from versasound_core.registry import default_registry
from versasound_core.trained import a_count, write_folder
from versasound_core.vision.projection import PROJECTION, ProjectionFacts, load_projection, projection

from .adapter import AdapterLesson, adapter_facts

if TYPE_CHECKING:
    from pathlib import Path

    from versasound_core.containers import VisualFeatures
    from versasound_plugin_training.config import TrainingConfig
    from versasound_plugin_training.objectives import Objective


def unprojected(encoder: str, options: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the options with which an encoder gives the features of its own width, and the width that was wanted.

    Raises:
        InvalidInputError: If it has no projection, a trained one already, or no width is wanted.
    """
    card = default_registry.get("encoder", encoder).card
    if card is None or PROJECTION not in card.options:
        raise InvalidInputError(
            f"the encoder {encoder} has no projection that could be trained.",
            "Choose clip, dinov2 or videomae, or set training.train to adapter.",
        )
    if options.get(PROJECTION) is not None:
        raise InvalidInputError(
            f"the encoder's projection {options[PROJECTION]} is trained already.",
            "Leave projection empty, or set training.train to adapter.",
        )
    if options.get("feature_dim") is None:
        raise InvalidInputError(
            "a projection needs to know its width.", "Set visual_encoder.feature_dim to what it shall make."
        )
    return {**options, "feature_dim": None}, int(options["feature_dim"])


def projection_lesson(  # noqa: PLR0913, PLR0917  (an adapter's, and the width)
    features: VisualFeatures,
    encoder: str,
    generator: tuple[str, str],
    objective: Objective,
    settings: TrainingConfig,
    wanted: int,
) -> ProjectionLesson:
    """Return the lesson for features of an encoder's own width, and a projection to `wanted` dimensions."""
    told = attrs.asdict(adapter_facts(features, encoder, generator, objective, settings))
    own = told.pop("feature_dim")
    return ProjectionLesson(Facts(**told, feature_dim=wanted, own_dim=own), objective, settings)


@attrs.frozen(kw_only=True)
class Facts(AdapterFacts):
    """What the adapter behind the projection is for.

    Args:
        own_dim: Length of what the projection reads; `feature_dim` of what it makes.
    """

    own_dim: int = a_count()

    def parts(self) -> tuple[ProjectionFacts, AdapterFacts]:
        """Return what each of the two is for."""
        told = attrs.asdict(self)
        first = {name: told[name] for name in ("encoder", "encoder_variant", "training")}
        own = told.pop("own_dim")
        return ProjectionFacts(**first, feature_dim=own, projected_dim=self.feature_dim), AdapterFacts(**told)


class ProjectedResampler(torch.nn.Module):
    """An encoder's projection, and an adapter's network on what it makes.

    Args:
        projection: Of the features; what happens in the picture passes beside it.
        resampler: Makes tokens.
    """

    def __init__(self, projection: torch.nn.Linear, resampler: Resampler) -> None:
        super().__init__()
        self.projection, self.resampler = projection, resampler

    def fit_scale(self, seen: torch.Tensor) -> None:
        """See `Resampler`."""
        self.resampler.fit_scale(self._projected(seen))

    def forward(self, seen: torch.Tensor, times_s: torch.Tensor) -> torch.Tensor:
        """Return tokens of `[B, T, own_dim + 8]`; see `Resampler`."""
        made: torch.Tensor = self.resampler(self._projected(seen), times_s)
        return made

    def _projected(self, seen: torch.Tensor) -> torch.Tensor:
        own, events = seen[..., :-EVENT_CHANNELS], seen[..., -EVENT_CHANNELS:]
        with torch.autocast(seen.device.type, enabled=False):  # as the encoder does
            return torch.cat([self.projection(own), events], -1)


class ProjectionLesson(AdapterLesson):
    """See `Lesson`; all but what is learned is an adapter's.

    Args:
        facts: What projection and adapter are for.
        objective: The frozen generator and its loss.
        settings: As an adapter's; seed of the adapter's first weights.
    """

    kind = PROJECTION

    def __init__(self, facts: Facts, objective: Objective, settings: TrainingConfig) -> None:
        layer = projection(facts.own_dim, facts.feature_dim)
        if facts.own_dim == facts.feature_dim:  # where the encoder has none
            torch.nn.init.eye_(layer.weight)
        super().__init__(facts, ProjectedResampler(layer, facts.network(settings.seed)), objective, settings)

    def save(self, network: torch.nn.Module, folder: Path, training: dict[str, Any]) -> Path:
        """Write the projection and its adapter, in one folder."""
        learned = cast("ProjectedResampler", network)
        first, second = attrs.evolve(cast("Facts", self.facts), training=training).parts()
        return write_folder(folder, self.kind, first, learned.projection, adapter=(second, learned.resampler))

    def read(self, folder: Path) -> tuple[Facts, dict[str, torch.Tensor]]:
        """Read both."""
        (first, layer), adapter = load_projection(folder), load_adapter(folder)
        facts = Facts(**attrs.asdict(adapter.facts), own_dim=first.feature_dim)
        return facts, ProjectedResampler(layer, adapter.network).state_dict()

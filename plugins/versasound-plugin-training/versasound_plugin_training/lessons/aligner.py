"""Teaches an aligner on an encoder's features by shifting sounds that are in time: the lag is known, for we made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import attrs
import torch
from torch.nn import functional

from versasound_core.containers import AudioData
from versasound_core.errors import InvalidInputError
from versasound_core.feature_aligner import AlignerFacts, FeatureAligner, TrainedAligner, load_aligner, sound_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from versasound_core.containers import VisualFeatures
    from versasound_plugin_training.config import TrainingConfig
    from versasound_plugin_training.crops import Batch, Item
    from versasound_plugin_training.objectives import Draw

_RATE = 16000


def aligner_lesson(
    features: VisualFeatures, encoder: str, duration_s: float, settings: TrainingConfig
) -> AlignerLesson:
    """Return the lesson for an encoder's features.

    Raises:
        InvalidInputError: If crops are too short to shift sounds so far within them.
    """
    assert features.fps is not None  # noqa: S101  (looked at when they were made)
    lag = max(1, round(settings.max_offset_s * features.fps))
    steps = round(duration_s * features.fps) - 2 * lag
    if steps <= lag:
        raise InvalidInputError(
            f"crops of {duration_s:g} s are too short to shift their sounds by {settings.max_offset_s:g} s both ways.",
            f"Choose a duration_s above {3 * settings.max_offset_s + 2 / features.fps:.2g}, or a smaller max_offset_s.",
        )
    facts = AlignerFacts(
        encoder=str(features.metadata.get("backbone", encoder)),
        encoder_variant=features.metadata.get("variant"),
        feature_dim=features.get_feature_dim(),
        fps=features.fps,
        steps=steps,
        max_lag=lag,
        hidden_dim=settings.width,
        num_layers=settings.num_layers,
    )
    return AlignerLesson(facts, settings.seed)


class AlignerLesson:
    """See `Lesson`.

    The picture is the middle of a crop, and the sound a stretch of the crop as long, somewhere around it: both are real
    from end to end, so that nothing but what they show tells how far they are apart.

    Args:
        facts: What the aligner is for.
        seed: Of the first weights.
    """

    kind = "aligner"

    def __init__(self, facts: AlignerFacts, seed: int) -> None:
        self.facts, self.network = facts, facts.network(seed)
        self.frozen: dict[str, torch.nn.Module] = {}
        self.sample_rate, self.channels = _RATE, 1

    def fit_scale(self, items: Sequence[Item]) -> None:
        """Let all channels of what is seen and heard count alike at first."""
        seen, _, sound, _, _ = zip(*items, strict=True)
        self.network.fit_scale(torch.stack(seen), self._heard(torch.stack(sound), len(seen[0])))

    def encode(self, batch: Batch, device: torch.device) -> torch.Tensor:
        """Return what is heard, `[B, T, 160]`."""
        return self._heard(batch.sound, batch.seen.shape[1]).to(device)

    def _heard(self, sound: torch.Tensor, count: int) -> torch.Tensor:
        return sound_inputs(AudioData(sound, _RATE), self.facts.fps, count)

    def loss(self, network: torch.nn.Module, batch: Batch, encoded: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Return the cross-entropy of lags that the sounds are given here; see `Lesson`."""
        reach, steps = self.facts.max_lag, self.facts.steps
        wanted = draw.whole(2 * reach + 1, len(encoded))
        early = torch.stack([item[at : at + steps] for item, at in zip(encoded, wanted.tolist(), strict=True)])
        logits = network(batch.seen[:, reach : reach + steps], early)
        return functional.cross_entropy(logits.float(), wanted)

    def sample(self, network: torch.nn.Module, items: Sequence[Item], seconds: float, draw: Draw) -> None:
        """There is nothing to be heard."""

    def checkpoint_gradients(self) -> None:
        """It is small; nothing is spared."""

    def save(self, network: torch.nn.Module, folder: Path, training: dict[str, Any]) -> Path:
        """Write the aligner."""
        facts = attrs.evolve(self.facts, training=training)
        return TrainedAligner(facts, cast("FeatureAligner", network)).save(folder)

    def read(self, folder: Path) -> tuple[AlignerFacts, dict[str, torch.Tensor]]:
        """Read an aligner."""
        aligner = load_aligner(folder)
        return aligner.facts, aligner.network.state_dict()

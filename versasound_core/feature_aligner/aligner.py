"""An aligner that was trained on an encoder's features: `aligner.safetensors`, and `aligner.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import attrs
import torch
from attrs.validators import gt

from versasound_core.adapters import EVENT_CHANNELS, adapter_inputs
from versasound_core.errors import InvalidInputError
from versasound_core.trained import EncoderFacts, a_count, read_folder, write_folder

from .network import FeatureAligner
from .sound import SOUND_CHANNELS, sound_inputs

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from versasound_core.containers import AudioData, VisualFeatures

_KIND = "aligner"


@attrs.frozen(kw_only=True)
class AlignerFacts(EncoderFacts):
    """What an aligner was trained on, and the shape of its network.

    Args:
        fps: Features a second.
        steps: Features that it was shown at a time.
        max_lag: The largest lag that it tells, in features.
        hidden_dim: Width of the network.
        num_layers: Its depth.
    """

    fps: float = attrs.field(converter=float, validator=gt(0))
    steps: int = a_count(2)
    max_lag: int = a_count()
    hidden_dim: int = a_count()
    num_layers: int = a_count()

    def network(self, seed: int = 0) -> FeatureAligner:
        """Make its network, with weights that nothing has trained; the global random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            dims = self.feature_dim + EVENT_CHANNELS, SOUND_CHANNELS
            return FeatureAligner(*dims, self.hidden_dim, self.num_layers, self.max_lag)


class TrainedAligner:
    """Tells by how much a sound is off, in features of one encoder.

    Args:
        facts: What it was trained on.
        network: Trained on that.
    """

    def __init__(self, facts: AlignerFacts, network: FeatureAligner) -> None:
        self.facts, self.network = facts, network

    def check_fits(self, features: VisualFeatures) -> None:
        """Refuse features that it was not trained on.

        Raises:
            InvalidInputError: Naming what it was trained for and what came.
        """
        self.facts.check_features(_KIND, features)
        if features.fps != self.facts.fps:
            raise InvalidInputError(
                f"the aligner was trained on {self.facts.fps:g} features a second; these have "
                f"{'no rate' if features.fps is None else format(features.fps, 'g')}.",
                "Set the encoder's options as they were when it was trained.",
            )

    @torch.no_grad()
    def chances(self, audio: AudioData, features: VisualFeatures) -> torch.Tensor:
        """Return how likely each lag is, `[B, 2 * max_lag + 1]`; column `k` moves the sound `k - max_lag` steps later.

        Long clips are looked at in stretches as long as those that it was trained on; what they say is averaged.
        """
        facts = self.facts
        seen, _ = adapter_inputs(features)
        heard = sound_inputs(audio, facts.fps, seen.shape[1])
        count = seen.shape[1]
        firsts = [*range(0, max(1, count - facts.steps), max(1, facts.steps // 2)), max(0, count - facts.steps)]
        network = self.network.eval()
        said = [
            network(seen[:, at : at + facts.steps].cpu(), heard[:, at : at + facts.steps]) for at in sorted({*firsts})
        ]
        return torch.stack(said).mean(0).softmax(1)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the folder, whole or not at all; one that is there already is replaced.

        Raises:
            InvalidInputError: If there is something else than an aligner in its place.
            MediaError: If it cannot be written.
        """
        return write_folder(folder, _KIND, self.facts, self.network)


def load_aligner(path: str | os.PathLike[str]) -> TrainedAligner:
    """Read an aligner; `path` is its folder, or a file in it.

    Raises:
        ModelLoadError: If it is missing, malformed or damaged.
    """
    facts, network = read_folder(path, _KIND, AlignerFacts, AlignerFacts.network)
    return TrainedAligner(facts, cast("FeatureAligner", network))

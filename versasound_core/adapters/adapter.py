"""An adapter as a folder: `adapter.safetensors`, and `adapter.json` that says what it was trained for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import attrs
import torch
from attrs.validators import instance_of

from versasound_core.errors import InvalidInputError
from versasound_core.trained import EncoderFacts, a_count, named, read_folder, write_folder

from .inputs import adapter_inputs
from .resampler import Resampler

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from versasound_core.containers import VisualFeatures

_KIND = "adapter"
_TRAIN = "Train one for it: versasound train config.yaml."


@attrs.frozen(kw_only=True)
class AdapterFacts(EncoderFacts):
    """What an adapter was trained for, and the shape of its network.

    Args:
        generator: What reads its tokens.
        variant: Which weights of it.
        token_dim: Length of a token.
        num_tokens: Tokens made of a clip.
        width: Of the network.
        num_layers: Of the network.
        num_heads: Of the network.
    """

    generator: str = attrs.field(validator=instance_of(str))
    variant: str = attrs.field(validator=instance_of(str))
    token_dim: int = a_count()
    num_tokens: int = a_count()
    width: int = a_count()
    num_layers: int = a_count()
    num_heads: int = a_count(2)

    def network(self, seed: int = 0) -> Resampler:
        """Make its network, with weights that nothing has trained; the global random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return Resampler(
                self.feature_dim,
                self.token_dim,
                num_tokens=self.num_tokens,
                width=self.width,
                num_layers=self.num_layers,
                num_heads=self.num_heads,
            )


class Adapter:
    """Turns what an encoder saw into tokens for a generator.

    Args:
        facts: What it was trained for.
        network: Trained for that.
    """

    def __init__(self, facts: AdapterFacts, network: Resampler) -> None:
        self.facts = facts
        self.network = network

    def __repr__(self) -> str:
        return f"Adapter({named(self.facts.encoder, self.facts.encoder_variant)} -> {self._target})"

    @property
    def _target(self) -> str:
        return named(self.facts.generator, self.facts.variant)

    def check_fits(self, *, generator: str, variant: str, features: VisualFeatures) -> None:
        """Refuse a generator or features that this adapter was not trained for.

        Args:
            generator: The generator's name.
            variant: Of its weights.
            features: What it is to read. Their `backbone` and `variant` are compared where their metadata has them.

        Raises:
            InvalidInputError: Naming what it was trained for and what came.
        """
        facts = self.facts
        if (generator, variant) != (facts.generator, facts.variant):
            raise InvalidInputError(
                f"the adapter was trained for the generator {self._target}, not for {named(generator, variant)}.",
                _TRAIN,
            )
        facts.check_features(_KIND, features)

    @torch.no_grad()
    def tokens(self, features: VisualFeatures) -> torch.Tensor:
        """Return tokens `[B, N, D_text]` in fp32, where the network lies.

        Raises:
            InvalidInputError: If the features do not say `metadata["fps"]` or there are none.
        """
        seen, times_s = adapter_inputs(features)
        device = self.network.mean.device
        made: torch.Tensor = self.network.eval()(seen.to(device), times_s.to(device))
        return made

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the folder, whole or not at all; one that is there already is replaced.

        Raises:
            InvalidInputError: If there is something else than an adapter in its place.
            MediaError: If it cannot be written.
        """
        return write_folder(folder, _KIND, self.facts, self.network)


def load_adapter(path: str | os.PathLike[str]) -> Adapter:
    """Read an adapter; `path` is its folder, or a file in it.

    Raises:
        ModelLoadError: If it is missing, malformed or damaged.
    """
    facts, network = read_folder(path, _KIND, AdapterFacts, AdapterFacts.network)
    return Adapter(facts, cast("Resampler", network))

"""An adapter as a folder: `adapter.safetensors`, and `adapter.json` that says what it was trained for."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import torch
from attrs.validators import deep_mapping, ge, instance_of, optional

from versasound_core.errors import InvalidInputError, MediaError, ModelLoadError

from .inputs import adapter_inputs
from .resampler import Resampler

if TYPE_CHECKING:
    from versasound_core.containers import VisualFeatures

_WEIGHTS, _FACTS = "adapter.safetensors", "adapter.json"
_FORMAT = 1
_TRAIN = "Train one for it: versasound train config.yaml."


def _count(lowest: int = 1) -> Any:  # noqa: ANN401
    return attrs.field(validator=[instance_of(int), ge(lowest)])


@attrs.frozen(kw_only=True)
class AdapterFacts:
    """What an adapter was trained for, and the shape of its network.

    Args:
        encoder: Whose features it reads.
        encoder_variant: Which weights of it; None where there is one kind.
        feature_dim: Length of a feature vector.
        generator: What reads its tokens.
        variant: Which weights of it.
        token_dim: Length of a token.
        num_tokens: Tokens made of a clip.
        width: Of the network.
        num_layers: Of the network.
        num_heads: Of the network.
        training: What is known of how it was trained.
    """

    encoder: str = attrs.field(validator=instance_of(str))
    encoder_variant: str | None = attrs.field(default=None, validator=optional(instance_of(str)))
    feature_dim: int = _count()
    generator: str = attrs.field(validator=instance_of(str))
    variant: str = attrs.field(validator=instance_of(str))
    token_dim: int = _count()
    num_tokens: int = _count()
    width: int = _count()
    num_layers: int = _count()
    num_heads: int = _count(2)
    training: dict[str, Any] = attrs.field(factory=dict, validator=deep_mapping(instance_of(str), lambda *_: None))

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
        return f"Adapter({_named(self.facts.encoder, self.facts.encoder_variant)} -> {self._target})"

    @property
    def _target(self) -> str:
        return _named(self.facts.generator, self.facts.variant)

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
                f"the adapter was trained for the generator {self._target}, not for {_named(generator, variant)}.",
                _TRAIN,
            )
        encoder = features.metadata.get("backbone", facts.encoder)
        its_variant = features.metadata.get("variant", facts.encoder_variant)
        if (encoder, its_variant) != (facts.encoder, facts.encoder_variant):
            raise InvalidInputError(
                f"the adapter was trained on features of the encoder {_named(facts.encoder, facts.encoder_variant)}; "
                f"these are of {_named(encoder, its_variant)}.",
                f"Choose the encoder {facts.encoder}, or an adapter for {encoder}.",
            )
        if features.get_feature_dim() != facts.feature_dim:
            raise InvalidInputError(
                f"the adapter was trained on features [B, T, {facts.feature_dim}] of the encoder {facts.encoder}; "
                f"these are {list(features.shape)}.",
                "Set the encoder's options as they were when it was trained.",
            )

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
        from safetensors.torch import save_file

        target = Path(os.path.realpath(folder))
        if target.exists() and not (target / _FACTS).is_file() and not (target.is_dir() and not any(target.iterdir())):
            raise InvalidInputError(f"{folder} is there and is no adapter.", "Name another folder.")
        aside, old = (target.with_name(f".versasound-{secrets.token_hex(6)}") for _ in range(2))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            aside.mkdir()
            tensors = {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}
            save_file(tensors, aside / _WEIGHTS, {"format": "pt"})
            told = {"format": _FORMAT, **attrs.asdict(self.facts)}
            (aside / _FACTS).write_text(json.dumps(told, indent=2, allow_nan=False) + "\n", encoding="utf-8")
            if target.exists():
                target.rename(old)
            aside.rename(target)
        except OSError as error:
            raise MediaError(
                f"{folder} cannot be written: {error.strerror or error}.", "Check the folder's rights and free space."
            ) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
        return target


def load_adapter(path: str | os.PathLike[str]) -> Adapter:
    """Read an adapter; `path` is its folder, or a file in it.

    Raises:
        ModelLoadError: If it is missing, malformed or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    given = Path(path).expanduser()
    folder = given.parent if given.name in {_WEIGHTS, _FACTS} else given
    if lack := [name for name in (_FACTS, _WEIGHTS) if not (folder / name).is_file()]:
        cause = f"it has no {' and no '.join(lack)}" if folder.is_dir() else "there is no such folder"
        raise ModelLoadError(f"{given} is no adapter: {cause}.", "Name the folder that versasound train wrote.")
    try:
        told = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        if not isinstance(told, dict) or told.pop("format", None) != _FORMAT:
            raise ValueError(f"{_FACTS} is not of format {_FORMAT}")  # noqa: TRY301  (one message for all)
        facts = AdapterFacts(**told)
        network = facts.network()
        network.load_state_dict(load_file(folder / _WEIGHTS))
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        cause = " ".join(str(error).split())[:300]
        raise ModelLoadError(f"the adapter {folder} cannot be used: {cause}.", "Train or copy it again.") from error
    return Adapter(facts, network.eval())


def _named(name: str, variant: str | None) -> str:
    return name if variant is None else f"{name} ({variant})"

"""A folder with weights and with what they were trained for; it is there whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from attrs.validators import deep_mapping, ge, instance_of, optional

from versasound_core.errors import InvalidInputError, MediaError, ModelLoadError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from versasound_core.containers import VisualFeatures

_FORMAT = 1
Facts = TypeVar("Facts", bound="EncoderFacts")


def a_count(lowest: int = 1) -> Any:  # noqa: ANN401
    """Return an attribute that holds a whole number from `lowest` on."""
    return attrs.field(validator=[instance_of(int), ge(lowest)])


def named(name: str, variant: str | None) -> str:
    """Return how a backend and its variant are told of."""
    return name if variant is None else f"{name} ({variant})"


@attrs.frozen(kw_only=True)
class EncoderFacts:
    """On whose features something was trained.

    Args:
        encoder: Whose features it reads.
        encoder_variant: Which weights of it; None where there is one kind.
        feature_dim: Length of a feature vector.
        training: What is known of how it was trained.
    """

    encoder: str = attrs.field(validator=instance_of(str))
    encoder_variant: str | None = attrs.field(default=None, validator=optional(instance_of(str)))
    feature_dim: int = a_count()
    training: dict[str, Any] = attrs.field(factory=dict, validator=deep_mapping(instance_of(str), lambda *_: None))

    def check_features(self, kind: str, features: VisualFeatures) -> None:
        """Refuse features of another encoder. What their metadata does not say is not compared.

        Raises:
            InvalidInputError: Naming what `kind` was trained for and what came.
        """
        encoder = features.metadata.get("backbone", self.encoder)
        its_variant = features.metadata.get("variant", self.encoder_variant)
        if (encoder, its_variant) != (self.encoder, self.encoder_variant):
            raise InvalidInputError(
                f"the {kind} was trained on features of the encoder {named(self.encoder, self.encoder_variant)}; "
                f"these are of {named(encoder, its_variant)}.",
                f"Choose the encoder {self.encoder}, or an {kind} for {encoder}.",
            )
        if features.get_feature_dim() != self.feature_dim:
            raise InvalidInputError(
                f"the {kind} was trained on features [B, T, {self.feature_dim}] of the encoder {self.encoder}; "
                f"these are {list(features.shape)}.",
                "Set the encoder's options as they were when it was trained.",
            )


def write_folder(
    folder: str | os.PathLike[str],
    kind: str,
    facts: EncoderFacts,
    network: torch.nn.Module,
    **more: tuple[EncoderFacts, torch.nn.Module],
) -> Path:
    """Write `kind.safetensors` and `kind.json`; a folder of that kind which is there already is replaced.

    Args:
        folder: Where.
        kind: What it is.
        facts: What it fits.
        network: What was trained.
        more: What goes with it in the same folder, by kind.

    Raises:
        InvalidInputError: If there is something else in its place.
        MediaError: If it cannot be written.
    """
    from safetensors.torch import save_file

    target = Path(os.path.realpath(folder))
    is_free = not target.exists() or (target.is_dir() and not any(target.iterdir()))
    if not is_free and not (target / f"{kind}.json").is_file():
        raise InvalidInputError(f"{folder} is there and is no {kind}.", "Name another folder.")
    aside, old = (target.with_name(f".versasound-{secrets.token_hex(6)}") for _ in range(2))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.mkdir()
        for name, (fits, trained) in {kind: (facts, network), **more}.items():
            tensors = {key: value.detach().cpu().contiguous() for key, value in trained.state_dict().items()}
            save_file(tensors, aside / f"{name}.safetensors", {"format": "pt"})
            told = {"format": _FORMAT, **attrs.asdict(fits)}
            (aside / f"{name}.json").write_text(json.dumps(told, indent=2, allow_nan=False) + "\n", encoding="utf-8")
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


def read_folder(
    path: str | os.PathLike[str], kind: str, facts: type[Facts], build: Callable[[Facts], torch.nn.Module]
) -> tuple[Facts, torch.nn.Module]:
    """Read what `write_folder` wrote; `path` is the folder, or a file in it.

    Args:
        path: Where it is.
        kind: What it must be.
        facts: What its description is read into.
        build: Makes the network, whose weights are then set.

    Raises:
        ModelLoadError: If it is missing, malformed or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    files = f"{kind}.json", f"{kind}.safetensors"
    given = Path(path).expanduser()
    folder = given.parent if given.name in files else given
    if lack := [name for name in files if not (folder / name).is_file()]:
        cause = f"it has no {' and no '.join(lack)}" if folder.is_dir() else "there is no such folder"
        raise ModelLoadError(f"{given} is no {kind}: {cause}.", "Name the folder that versasound train wrote.")
    try:
        told = json.loads((folder / files[0]).read_text(encoding="utf-8"))
        if not isinstance(told, dict) or told.pop("format", None) != _FORMAT:
            raise ValueError(f"{files[0]} is not of format {_FORMAT}")  # noqa: TRY301  (one message for all)
        found = facts(**told)
        network = build(found)
        network.load_state_dict(load_file(folder / files[1]))
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError, InvalidInputError) as error:
        cause = " ".join(str(error).split())[:300]
        raise ModelLoadError(f"the {kind} {folder} cannot be used: {cause}.", "Train or copy it again.") from error
    return found, network.eval()

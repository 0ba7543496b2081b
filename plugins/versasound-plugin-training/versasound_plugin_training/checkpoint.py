"""Where a run stands, as a folder that is there whole or not at all: weights, optimiser, mean weights, step."""

from __future__ import annotations

import json
import secrets
import shutil
from typing import TYPE_CHECKING, Any

import attrs
import torch

from versasound_core.errors import InvalidInputError, MediaError, ModelLoadError, VersaSoundError
from versasound_core.log import get_logger

if TYPE_CHECKING:
    from pathlib import Path

    from .lessons import Lesson

_FORMAT = 1
_log = get_logger(__name__)


@attrs.define
class Progress:
    """Everything that changes while a run goes on.

    Args:
        network: That learns.
        mean: Moving mean of its weights (EMA), by name.
        optimiser: AdamW over the network's parameters, in their order.
        step: Steps that are done.
        scaler: Of half precision's gradients; None where there is none.
    """

    network: torch.nn.Module
    mean: dict[str, torch.Tensor]
    optimiser: torch.optim.Optimizer
    step: int
    scaler: torch.amp.GradScaler | None


def save(folder: Path, progress: Progress, lesson: Lesson, plan: dict[str, Any], keep: int) -> Path:
    """Write `folder/step_N`, and remove all but the `keep` latest.

    Raises:
        MediaError: If it cannot be written.
    """
    from safetensors.torch import save_file

    target = folder / f"step_{progress.step:08d}"
    aside = folder / f".versasound-{secrets.token_hex(6)}"
    tensors = {f"mean.{name}": value for name, value in progress.mean.items()}
    for name, parameter in progress.network.named_parameters():
        for key, value in progress.optimiser.state.get(parameter, {}).items():
            tensors[f"adamw.{name}.{key}"] = torch.as_tensor(value)
    told = {
        "format": _FORMAT,
        "step": progress.step,
        "plan": plan,
        "scaler": None if progress.scaler is None else progress.scaler.state_dict(),
    }
    try:
        aside.mkdir(parents=True)
        lesson.save(progress.network, aside / lesson.kind, {})
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, aside / "state.safetensors"
        )
        (aside / "state.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
    except OSError as error:
        raise MediaError(
            f"the checkpoint {target} cannot be written: {error.strerror or error}.", "Check rights and free space."
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    for old in there(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def there(folder: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first; what a killed process left half written is none of them."""
    return sorted(folder.glob("step_*"))


def restore(path: Path, progress: Progress, lesson: Lesson, plan: dict[str, Any]) -> None:
    """Set everything as it was when the checkpoint was written.

    Raises:
        InvalidInputError: If it is of another run: another model, data set or setting that the steps depend on.
        ModelLoadError: If it cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        told = json.loads((path / "state.json").read_text(encoding="utf-8"))
        if not (path / lesson.kind).is_dir():
            raise InvalidInputError(
                f"the checkpoint {path} is of another run: it holds no {lesson.kind}.", "Name another output_dir."
            )
        facts, state = lesson.read(path / lesson.kind)
        _same(path, {**attrs.asdict(facts), **told["plan"]}, {**attrs.asdict(lesson.facts), **plan})
        tensors = load_file(path / "state.safetensors")
        progress.network.load_state_dict(state)
        for name, value in progress.mean.items():
            value.copy_(tensors[f"mean.{name}"])
        for name, parameter in progress.network.named_parameters():
            state = {
                key: tensors[f"adamw.{name}.{key}"].to(parameter.device if key != "step" else "cpu")
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"adamw.{name}.{key}" in tensors
            }
            if state:
                progress.optimiser.state[parameter] = state
        progress.step = int(told["step"])
        if progress.scaler is not None and told["scaler"]:
            progress.scaler.load_state_dict(told["scaler"])
    except VersaSoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        cause = " ".join(str(error).split())[:300]
        raise ModelLoadError(
            f"the checkpoint {path} cannot be used: {cause}.", "Remove it; the one before it is taken then."
        ) from error


def _same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    changed = [
        f"{key} was {old.get(key)!r} and is {new.get(key)!r}"
        for key in new
        if key != "training" and old.get(key) != new.get(key)
    ]
    if changed:
        raise InvalidInputError(
            f"the checkpoint {path} is of another run: {'; '.join(changed)}.",
            "Train with what it was begun with, or name another output_dir.",
        )

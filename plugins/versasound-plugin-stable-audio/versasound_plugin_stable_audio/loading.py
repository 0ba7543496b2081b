"""From a folder to a model: which of the two it holds, and what to do about a folder that neither can be read from."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from versasound_core.errors import ModelLoadError

if TYPE_CHECKING:
    import torch

    from versasound_core.weights import Checkpoint

    from .latent import LatentAudio

_THIRD = "StableAudio3"  # what the names of its pipelines begin with
_LICENCE = "Stability AI Community License, free below 1 M USD of revenue a year; its text encoder: Gemma Terms of Use"
_SCRIPT = "convert_stable_audio_3_to_diffusers.py"
_FETCH = f"Fetch https://github.com/huggingface/diffusers/blob/main/scripts/{_SCRIPT} and run it"


def own(wanted: Checkpoint, weights: str | Path | None) -> Checkpoint:
    """Return what a user's own folder holds in place of a variant: a checkpoint of the same kind, or Stable Audio 3.

    Raises:
        ModelLoadError: If it is in Stability AI's own format; it says how to convert it, or what can run it.
    """
    if weights is None:
        return wanted
    folder = Path(weights).expanduser()
    if _is_third(folder):
        return attrs.evolve(wanted, variant="3", repository="Stable Audio 3", licence=_LICENCE, gated=False)
    config = folder / "model_config.json"
    if config.is_file() and not (folder / "model_index.json").is_file():
        problem = f"{folder} is in the format of stable-audio-tools (model_config.json), which"
        if "t5gemma" not in config.read_text(encoding="utf-8", errors="replace"):
            raise ModelLoadError(
                f"{problem} generator stable_audio cannot read.",
                f"Another can: --generator stable_audio_tools --generator-weights {folder}",
            )
        raise ModelLoadError(
            f"{problem} diffusers cannot read: Stable Audio 3 must be converted once.",
            f"{_FETCH}: python {_SCRIPT} --checkpoint_path {folder / 'model.safetensors'} --model_config_path {config} "
            f"--output_dir {folder}-diffusers. Then give {folder}-diffusers.",
        )
    return wanted


def build(
    folder: Path, device: torch.device, dtype: torch.dtype, *, is_compiled: bool, cpu_offload: bool
) -> LatentAudio:
    """Load a checkpoint, as diffusers has it.

    Raises:
        ModelLoadError: If it is a Stable Audio 3 that cannot be read.
    """
    import diffusers

    from .model import StableAudio
    from .third import StableAudio3

    is_third = _is_third(folder)
    pipeline, model = ("StableAudio3Pipeline", StableAudio3) if is_third else ("StableAudioPipeline", StableAudio)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of PyTorch, about how diffusers makes its convolutions
            pipe = getattr(diffusers, pipeline).from_pretrained(folder, dtype=dtype)
    except Exception as error:
        if not is_third or isinstance(error, ImportError):
            raise
        what = " ".join(str(error).split())[:300]
        raise ModelLoadError(
            f"Stable Audio 3 in {folder} cannot be used: {what}",
            f"Convert it again. {_FETCH}: python {_SCRIPT} --help",
        ) from error
    if cpu_offload and device.type != "cpu":
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.to(device)
    made: LatentAudio = model(pipe, is_compiled=is_compiled)
    return made


def _is_third(folder: Path) -> bool:
    """Say whether a folder was saved from one of the pipelines of Stable Audio 3."""
    try:
        index: Any = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        return str(index["_class_name"]).startswith(_THIRD)
    except (OSError, ValueError, LookupError, TypeError):
        return False  # what is wrong with it is said when it is loaded

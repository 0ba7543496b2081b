"""The generator `stable_audio_tools`: that library itself. It runs in an environment of its own."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

import torch

from versasound_core.errors import ModelLoadError
from versasound_core.steering import Settings, TextToSound
from versasound_core.weights import checkpoint, find, own_card
from versasound_core.worker.standins import stand_in_for, torchaudio_without_its_library

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from versasound_core.containers import AudioData, GenerationRequest, VisualFeatures
    from versasound_core.context import RunContext
    from versasound_core.steering import Job
    from versasound_core.weights import Checkpoint

# k-diffusion imports all of this for what it measures and augments in training.
_NOT_NEEDED = ("clean_fid", "cleanfid", "clip", "dctorch", "jsonmerge", "skimage", "torchvision")
# By objective: steps, guidance, and the sampler with its settings, as Stability's model cards have them.
_DEFAULTS: dict[str, tuple[int, float, dict[str, Any]]] = {
    "v": (100, 7.0, {"sampler_type": "dpmpp-3m-sde", "sigma_min": 0.3, "sigma_max": 500}),
    "rectified_flow": (100, 7.0, {"sampler_type": "euler"}),
    "rf_denoiser": (8, 1.0, {"sampler_type": "pingpong"}),
}


class StableAudioTools:
    """Makes sound with a model of stable-audio-tools (Evans et al. 2024).

    Args:
        variant: Name of the weights on the card.
        weights: A local folder with `model_config.json` and `model.safetensors`, in place of the variant's repository.
        words: Whether the picture's labels are added to the prompt.
        timing: `none` or `envelope`.
        timing_strength: How much the events shape the sound, 0 to 1.
    """

    def __init__(
        self, *, variant: str, weights: str | Path | None, words: bool, timing: str, timing_strength: float
    ) -> None:
        settings = Settings(words=words, timing=timing, timing_strength=timing_strength, adapter=None, batch_size=1)
        card = own_card(__file__, "generator", "stable_audio_tools")
        wanted = checkpoint(card, "generator", "stable_audio_tools", variant)
        text = checkpoint(card, "generator", "stable_audio_tools", wanted.also[0])

        def build(folder: Path, device: torch.device, dtype: torch.dtype) -> Tools:
            return Tools(*load(folder, text), device, dtype)

        self._sound = TextToSound(wanted, weights, settings, build)

    def generate(self, features: VisualFeatures | None, request: GenerationRequest, ctx: RunContext) -> AudioData:
        """Return `[B, C, request.num_samples]`; see `versasound_core.steering.TextToSound.generate_all`."""
        return self._sound.generate(features, request, ctx)


def library(module: str) -> Any:  # noqa: ANN401
    """Import a module of stable-audio-tools."""
    torchaudio_without_its_library()
    stand_in_for(_NOT_NEEDED)
    return importlib.import_module(f"stable_audio_tools.{module}")


def load(folder: Path, text: Checkpoint) -> tuple[Any, dict[str, Any]]:
    """Return the model in a folder, and its configuration; its T5 is taken from where the hub keeps it.

    Raises:
        ModelLoadError: If it is none that makes sound from text, or the T5 is missing.
    """
    from safetensors.torch import load_file

    config = json.loads((folder / "model_config.json").read_text(encoding="utf-8"))
    if config.get("model_type") not in {"diffusion_cond", "diffusion_cond_inpaint"}:
        raise ModelLoadError(
            f"{folder} holds a model of type {config.get('model_type')!r}, which makes no sound from text.",
            "Wanted is one of type diffusion_cond.",
        )
    t5 = library("models.conditioners").T5Conditioner
    for condition in config["model"]["conditioning"]["configs"]:
        if condition["type"] == "t5":
            where = str(find(text))
            t5.T5_MODEL_DIMS[where] = t5.T5_MODEL_DIMS[condition["config"].get("t5_model_name", "t5-base")]
            t5.T5_MODELS.append(where)
            condition["config"]["t5_model_name"] = where
    model = library("models.factory").create_model_from_config(config)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval(), config


class Tools:
    """A model of stable-audio-tools behind the face of a model. It always denoises its whole window.

    Args:
        model: The library's own.
        config: What `model_config.json` says.
        device: Where to.
        dtype: Number format of the diffusion model.
    """

    def __init__(self, model: Any, config: dict[str, Any], device: torch.device, dtype: torch.dtype) -> None:  # noqa: ANN401
        self._model, self._device = model.to(device), device
        self._model.model.to(dtype)
        self.sample_rate = int(config["sample_rate"])
        self.channels = int(config["audio_channels"])
        self.longest = int(config["sample_size"])
        self.unit = 1 if model.pretransform is None else int(model.pretransform.downsampling_ratio)
        self._conditions = [condition["id"] for condition in config["model"]["conditioning"]["configs"]]
        self._steps, self.guidance, self._sampler = _DEFAULTS[model.diffusion_objective]
        self.steps: int | None = self._steps

    def size(self, job: Job) -> object:
        """Return a constant: each is made by itself."""
        del job
        return None

    def make(self, jobs: Sequence[Job], tick: Callable[[float], None]) -> torch.Tensor:
        """Return `[n, C, T]`, one after the other, for the library has one random state."""
        return torch.cat([self._made(job, place, len(jobs), tick) for place, job in enumerate(jobs)])

    def _made(self, job: Job, place: int, count: int, tick: Callable[[float], None]) -> torch.Tensor:
        steps = job.steps or self._steps

        def told(state: dict[str, Any]) -> None:
            tick(min((place + (state["i"] + 1) / steps) / count, 1.0))

        negative = {} if job.negative is None else {"negative_conditioning": [self._said(job, job.negative)]}
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.inference_mode():
            made: torch.Tensor = library("inference.generation").generate_diffusion_cond(
                self._model,
                steps=steps,
                cfg_scale=self.guidance if job.guidance is None else job.guidance,
                conditioning=[self._said(job, job.text)],
                sample_size=self.longest,
                seed=job.seed,
                device=str(self._device),
                callback=told,
                **negative,
                **self._sampler,
            )
        return made.float()

    def _said(self, job: Job, text: str) -> dict[str, Any]:
        """What the model is told, of all that it may be told."""
        told = {
            "prompt": text,
            "seconds_start": job.start / self.sample_rate,
            "seconds_total": job.end / self.sample_rate,
        }
        return {name: told[name] for name in self._conditions if name in told}

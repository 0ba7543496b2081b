"""The generator `audiocraft_original`: AudioGen in audiocraft itself. It runs in an environment of its own."""

from __future__ import annotations

import importlib
import math
import sys
from typing import TYPE_CHECKING, Any

import torch

from versasound_core.errors import InvalidInputError
from versasound_core.steering import Settings, TextToSound
from versasound_core.weights import checkpoint, find, own_card
from versasound_core.worker.standins import torchaudio_without_its_library

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from versasound_core.containers import AudioData, GenerationRequest, VisualFeatures
    from versasound_core.context import RunContext
    from versasound_core.steering import Job
    from versasound_core.weights import Checkpoint

_KEPT = 0.4  # of a window, where it is continued


class AudiocraftOriginal:
    """Makes sounds with AudioGen (Kreuk et al. 2023) as Meta's library does it.

    Args:
        variant: Name of the weights on the card.
        weights: A local folder with a checkpoint, in place of the variant's repository.
        words: Whether the picture's labels are added to the prompt.
        timing: `none` or `envelope`.
        timing_strength: How much the events shape the sound, 0 to 1.
        temperature: Divides the logits.
        top_k: How many of the likeliest tokens are chosen among; 0 for all.
        top_p: Which share of the probability the likeliest tokens that are chosen among have; 1 leaves it to `top_k`.
    """

    def __init__(  # noqa: PLR0913  (the options of the card)
        self,
        *,
        variant: str,
        weights: str | Path | None,
        words: bool,
        timing: str,
        timing_strength: float,
        temperature: float,
        top_k: int,
        top_p: float,
    ) -> None:
        settings = Settings(words=words, timing=timing, timing_strength=timing_strength, adapter=None, batch_size=1)
        card = own_card(__file__, "generator", "audiocraft_original")
        wanted = checkpoint(card, "generator", "audiocraft_original", variant)
        text = checkpoint(card, "generator", "audiocraft_original", wanted.also[0])
        how = {"temperature": temperature, "top_k": top_k, "top_p": 0.0 if top_p == 1 else top_p}

        def build(folder: Path, device: torch.device, _: torch.dtype) -> Original:
            return Original(load(folder, text, device), how)

        self._sound = TextToSound(wanted, weights, settings, build)

    def generate(self, features: VisualFeatures | None, request: GenerationRequest, ctx: RunContext) -> AudioData:
        """Return `[B, C, request.num_samples]`; see `versasound_core.steering.TextToSound.generate_all`."""
        return self._sound.generate(features, request, ctx)


def load(folder: Path, text: Checkpoint, device: torch.device) -> Any:  # noqa: ANN401  (audiocraft's AudioGen)
    """Load audiocraft's AudioGen from a folder with its two files, and its T5 from where the hub keeps it."""
    torchaudio_without_its_library()
    audiogen = importlib.import_module("audiocraft.models").AudioGen
    builders = importlib.import_module("audiocraft.models.builders")
    conditioner = importlib.import_module("audiocraft.modules.conditioners").T5Conditioner
    config_of = importlib.import_module("omegaconf").OmegaConf.create

    from .convert import CODEC, LM, read

    made = []
    for file, build in ((CODEC, builders.get_compression_model), (LM, builders.get_lm_model)):
        state, config = read(folder / file)
        cfg = config_of(config)
        cfg.device, cfg.dtype = str(device), "float32" if device.type == "cpu" else "float16"
        if file == LM:
            where = str(find(text))
            conditioner.MODELS_DIMS[where] = conditioner.MODELS_DIMS[cfg.conditioners.description.t5.name]
            conditioner.MODELS.append(where)
            cfg.conditioners.description.t5.name = where
        model = build(cfg)
        model.load_state_dict(state)
        model.cfg = cfg
        made.append(model.eval())
    return audiogen("audiogen", *made, max_duration=float(made[1].cfg.dataset.segment_duration))


class Original:
    """audiocraft's AudioGen behind the face of a model.

    Args:
        model: audiocraft's own.
        how: How a token is chosen, in the library's words.
    """

    steps: int | None = None
    guidance = 3.0
    longest = sys.maxsize  # it continues what it began

    def __init__(self, model: Any, how: dict[str, Any]) -> None:  # noqa: ANN401
        self._model, self._how = model, {**how, "top_k": min(how["top_k"], model.lm.card)}
        self.sample_rate = int(model.sample_rate)
        self.channels = int(model.audio_channels)
        self.unit = round(model.sample_rate / model.frame_rate)

    def size(self, job: Job) -> object:
        """Return frames."""
        return math.ceil(job.length / self.unit)

    def make(self, jobs: Sequence[Job], tick: Callable[[float], None]) -> torch.Tensor:
        """Return `[n, C, T]`, `T` at least the longest job, one after the other: the library has one random state.

        Raises:
            InvalidInputError: For a negative prompt, which it does not know.
        """
        made = []
        for place, job in enumerate(jobs):
            if job.negative is not None:
                raise InvalidInputError(
                    "audiocraft's own library knows no negative prompts.", "The generator audiocraft does."
                )

            def told(done: int, total: int, place: int = place) -> None:
                tick(min((place + done / max(total, 1)) / len(jobs), 1.0))

            frames = math.ceil(job.length / self.unit)
            guidance = self.guidance if job.guidance is None else job.guidance
            rate, window = self._model.frame_rate, round(self._model.max_duration * self._model.frame_rate)
            stride = window - int(window * _KEPT)
            self._model.set_generation_params(  # it rounds times down to frames: a quarter keeps it from going below
                duration=(frames + 0.25) / rate, extend_stride=(stride + 0.25) / rate, cfg_coef=guidance, **self._how
            )
            self._model.set_custom_progress_callback(told)
            devices = [self._model.device] if self._model.device.type == "cuda" else []
            with torch.random.fork_rng(devices), torch.inference_mode():
                torch.manual_seed(job.seed)
                text = [job.text if job.text.strip() else None]
                made.append(self._model.generate(text, progress=True).float())
        tick(1.0)
        return torch.cat(made)

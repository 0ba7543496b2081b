"""MusicGen and AudioGen behind the face of a model: text to codes, and codes to sound."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import torch

from .sampling import CodeModel, Said, Sampling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from versasound_core.steering import Job
    from versasound_core.weights import Checkpoint

_SEEDS = 2**63
_NEXT = 0x9E3779B97F4A7C15  # as for noise on the clip's axis: seeds far from each other
_WINDOW = 1500  # frames, 30 s
_TEXTS = 256  # embeddings kept
_HEARD = 64  # stretches whose codes are kept


def build(
    folder: Path, device: torch.device, dtype: torch.dtype, *, wanted: Checkpoint, sampling: Sampling
) -> Musicgen:
    """Load a checkpoint, converting AudioGen's own files on first use.

    The language model is loaded in `dtype`. The text encoder and the codec stay in fp32: T5 overflows in fp16, and
    neither takes much of the time or the memory.
    """
    from transformers import AutoTokenizer, MusicgenForConditionalGeneration

    from .convert import converted

    folder = converted(wanted, folder)
    # No `attn_implementation`: asked for sdpa, the codec refuses; left alone, each part takes the best it has.
    model = MusicgenForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    model.decoder.to(dtype)
    return Musicgen(model.to(device), AutoTokenizer.from_pretrained(folder), sampling)


class Musicgen:
    """A loaded MusicGen or AudioGen.

    Args:
        model: transformers' `MusicgenForConditionalGeneration`.
        tokenizer: Of its text encoder.
        sampling: How a token is chosen.
    """

    steps: int | None = None

    def __init__(self, model: Any, tokenizer: Any, sampling: Sampling) -> None:  # noqa: ANN401
        self._model, self._tokenizer = model, tokenizer
        config, defaults = model.config, model.generation_config
        self.sample_rate = int(config.audio_encoder.sampling_rate)
        self.channels = int(config.decoder.audio_channels)
        self.unit = int(math.prod(config.audio_encoder.upsampling_ratios))
        self.longest = sys.maxsize  # it continues what it began
        self.guidance = float(3.0 if defaults.guidance_scale is None else defaults.guidance_scale)
        self._codes = CodeModel(model.decoder, config.decoder.pad_token_id, defaults.max_length or _WINDOW, sampling)
        self._texts: dict[str, torch.Tensor] = {}
        self._heard: dict[object, tuple[int, torch.Tensor]] = {}  # first frame and codes of what was made lately

    def size(self, job: Job) -> object:
        """Return frames, what is known of them, and how much is attended to: nothing is filled up."""
        own, away, (start, known) = self._own(job), self._away(job), self._known(job)
        return (
            self._frames(job),
            None if known is None else (self._first(job) - start, known.shape),
            None if own is None else own.shape,
            None if away is None else away.shape,
        )

    @torch.inference_mode()
    def make(self, jobs: Sequence[Job], tick: Callable[[float], None]) -> torch.Tensor:
        """Return `[n, C, T]`, `T` at least the longest job.

        A stretch that begins within the one that was made just before, of the same words and seed, continues it: the
        overlap is the same, and there is nothing to be heard where they are joined.
        """
        device = self._device
        draws = [torch.Generator(device).manual_seed(self._seed(job)) for job in jobs]
        start, known = self._known(jobs[0])
        skipped = 0 if known is None else self._first(jobs[0]) - start
        before = (
            None if known is None else torch.stack([codes for _, codes in map(self._known, jobs) if codes is not None])
        )
        frames = skipped + self._frames(jobs[0])
        codes = self._codes.codes(self._said(jobs), frames, draws, tick, before)[..., skipped:]
        tick(1.0)
        for job, item in zip(jobs, codes, strict=True):
            self._heard[self._same(job)] = self._first(job), item
        while len(self._heard) > _HEARD:
            del self._heard[next(iter(self._heard))]
        return torch.cat([self._decoded(item[None]) for item in codes])

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(self._model.parameters()).device
        return device

    def _frames(self, job: Job) -> int:
        return math.ceil(job.length / self.unit)

    def _first(self, job: Job) -> int:
        return round(job.start / self.unit)

    def _seed(self, job: Job) -> int:
        """A later stretch of the same sound is not the same again."""
        return (job.seed + self._first(job) * _NEXT) % _SEEDS

    @staticmethod
    def _same(job: Job) -> object:
        return job.seed, job.text, job.negative, job.guidance

    def _known(self, job: Job) -> tuple[int, torch.Tensor | None]:
        """Return the codes `[K, t]` of the stretch that this one continues, and the frame at which that begins."""
        start, codes = self._heard.get(self._same(job), (0, None))
        first = self._first(job)
        if codes is None or not start < first < start + codes.shape[-1]:
            return 0, None
        return start, codes[:, : first - start + self._frames(job)]

    def _said(self, jobs: Sequence[Job]) -> Said:
        """What the language model attends to; nothing at all if nothing was said."""
        device = self._device
        guidance = self.guidance if jobs[0].guidance is None else jobs[0].guidance
        owns = [own for own in map(self._own, jobs) if own is not None]
        if not owns:
            width = self._model.config.text_encoder.hidden_size
            nothing = torch.zeros(len(jobs), 1, width, device=device)
            return self._projected(nothing, torch.zeros(len(jobs), 1, dtype=torch.long, device=device), None)
        states = torch.stack(owns)
        mask = torch.ones(states.shape[:2], dtype=torch.long, device=device)
        if guidance <= 1:
            return self._projected(states, mask, None)
        aways = [away for away in map(self._away, jobs) if away is not None]
        away = torch.stack(aways) if aways else states[:, :0]
        length = max(states.shape[1], away.shape[1])
        away_mask = torch.ones(away.shape[:2], dtype=torch.long, device=device)
        states, away = (torch.nn.functional.pad(part, (0, 0, 0, length - part.shape[1])) for part in (states, away))
        mask, away_mask = (torch.nn.functional.pad(part, (0, length - part.shape[1])) for part in (mask, away_mask))
        return self._projected(torch.cat([states, away]), torch.cat([mask, away_mask]), guidance)

    def _projected(self, states: torch.Tensor, mask: torch.Tensor, guidance: float | None) -> Said:
        model = self._model
        if model.config.text_encoder.hidden_size != model.config.decoder.hidden_size:
            states = model.enc_to_dec_proj(states.to(model.enc_to_dec_proj.weight.dtype))
        states = states.to(model.decoder.dtype)
        return Said(states * mask[..., None], mask, guidance)

    def _own(self, job: Job) -> torch.Tensor | None:
        """What is said for a job, `[L, D]`: the text, and after it the picture's tokens."""
        text = self._embedded(job.text) if job.text.strip() else None
        tokens = None if job.tokens is None else job.tokens.to(self._device, torch.float32)
        parts = [part for part in (text, tokens) if part is not None]
        return torch.cat(parts) if parts else None

    def _away(self, job: Job) -> torch.Tensor | None:
        return self._embedded(job.negative) if job.negative else None

    @torch.inference_mode()
    def _embedded(self, text: str) -> torch.Tensor:
        """Return `[L, D]`, computed once for each text."""
        if text not in self._texts:
            if len(self._texts) >= _TEXTS:
                self._texts.clear()
            words = self._tokenizer([text], return_tensors="pt").to(self._device)
            states = self._model.text_encoder(input_ids=words.input_ids, attention_mask=words.attention_mask)
            self._texts[text] = states.last_hidden_state[0]
        return self._texts[text]

    def _decoded(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the sound `[1, C, T]` of codes `[1, K, frames]`; of two channels, the codebooks take turns."""
        channels = [codes[:, channel :: self.channels] for channel in range(self.channels)]
        codec = self._model.audio_encoder
        return torch.cat([codec.decode(one[None], audio_scales=[None]).audio_values for one in channels], 1)

"""Codes of a neural codec, token by token, from MusicGen's language model.

Simple and Controllable Music Generation (Copet et al. 2023): each codebook is one step behind the one before it. The
steps are those of transformers' own `generate`, whose output this equals; it is not called because it draws all items
from the global random state, loses guidance when it is given embeddings, and has no way to stop.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import attrs
import torch

from versasound_core.steering import python_random_state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@attrs.frozen(kw_only=True)
class Sampling:
    """How a token is chosen.

    Args:
        temperature: Divides the logits.
        top_k: How many of the likeliest are chosen among; 0 for all.
        top_p: Which share of the probability the likeliest that are chosen among have.
    """

    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 1.0

    def narrowed(self, scores: torch.Tensor) -> torch.Tensor:
        """Return logits `[n, V]` with what is not to be chosen at minus infinity."""
        from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

        steps: list[Any] = []
        if self.temperature != 1:
            steps.append(TemperatureLogitsWarper(self.temperature))
        if self.top_k:
            steps.append(TopKLogitsWarper(top_k=min(self.top_k, scores.shape[-1])))
        if self.top_p < 1:
            steps.append(TopPLogitsWarper(top_p=self.top_p))
        for step in steps:
            scores = step(None, scores)
        return scores


@attrs.frozen(eq=False)
class Said:
    """What the language model attends to.

    Args:
        states: `[n, L, D]`, in its own width; with guidance `[2 n, L, D]`, the second half what is led away from.
        mask: `[n, L]` or `[2 n, L]`: 1 where there is something, 0 where it is filled up.
        guidance: How far to go from the second half to the first, and beyond; None without a second half.
    """

    states: torch.Tensor
    mask: torch.Tensor
    guidance: float | None


class CodeModel:
    """The language model of a MusicGen, over codes.

    Args:
        decoder: transformers' `MusicgenForCausalLM`.
        start: The token that stands where there is no code.
        window: Frames that it was trained to see at once.
        sampling: How a token is chosen.
    """

    def __init__(self, decoder: Any, start: int, window: int, sampling: Sampling) -> None:  # noqa: ANN401
        self._decoder, self._start, self._sampling = decoder, start, sampling
        self.books: int = decoder.num_codebooks
        self.delays = self.books // decoder.config.audio_channels
        self.window = max(window, 2 * self.delays)
        self._kept = self.window * 2 // 5  # of 30 s the library itself keeps 12
        takes = inspect.signature(decoder.forward).parameters
        self._cache_name = "cache" if "cache" in takes else "past_key_values"

    def codes(
        self,
        said: Said,
        frames: int,
        draws: Sequence[torch.Generator],
        tick: Callable[[float], None],
        known: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return codes `[n, K, T]`, `T` at least `frames`.

        What is longer than the window is continued: each further window begins with the last codes of the one before.

        Args:
            said: What is attended to.
            frames: How many, those that are known among them.
            draws: Of each item.
            tick: Told before every step how far this has come; what it raises passes.
            known: `[n, K, t]`: what they begin with.
        """
        length = 0 if known is None else known.shape[-1]
        spans: list[tuple[int, int]] = []  # frames of each window that are known, and all of them
        while length < frames:
            kept = min(length, self._kept)
            spans.append((kept, max(min(self.window, kept + frames - length), self.delays)))
            length += spans[-1][1] - kept
        total = sum(span + self.delays - 1 - kept for kept, span in spans)
        done = 0

        def step() -> None:
            nonlocal done
            tick(done / total)
            done += 1

        codes = known
        with python_random_state():
            for kept, span in spans:
                prompt = None if codes is None else codes[..., codes.shape[-1] - kept :]
                more = self._window(said, prompt, span, draws, step)
                codes = more if codes is None else torch.cat([codes, more[..., kept:]], -1)
        assert codes is not None  # noqa: S101  (for the type checker; there is at least one frame)
        return codes

    def _window(
        self,
        said: Said,
        prompt: torch.Tensor | None,
        frames: int,
        draws: Sequence[torch.Generator],
        step: Callable[[], None],
    ) -> torch.Tensor:
        from transformers import DynamicCache, EncoderDecoderCache

        decoder, count = self._decoder, len(draws)
        ids = torch.full((count * self.books, 1), self._start, device=said.states.device)
        if prompt is not None:
            ids = torch.cat([ids, prompt.flatten(0, 1)], 1)
        end = frames + self.delays
        ids, pattern = decoder.build_delay_pattern_mask(ids, pad_token_id=self._start, max_length=end)
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        seen = 0
        while ids.shape[1] < end:
            step()
            new = decoder.apply_delay_pattern_mask(ids, pattern)[:, seen:]
            seen = ids.shape[1]
            logits = decoder(
                input_ids=new if said.guidance is None else new.repeat(2, 1),
                encoder_hidden_states=said.states,
                encoder_attention_mask=said.mask,
                use_cache=True,
                **{self._cache_name: cache},
            ).logits[:, -1]
            ids = torch.cat([ids, self._chosen(logits.float(), said.guidance, draws)], 1)
        ids = decoder.apply_delay_pattern_mask(ids, pattern)
        codes: torch.Tensor = ids[ids != self._start].reshape(count, self.books, -1)
        return codes

    def _chosen(self, logits: torch.Tensor, guidance: float | None, draws: Sequence[torch.Generator]) -> torch.Tensor:
        """Return tokens `[n K, 1]`, each item's from its own draw."""
        if guidance is not None:
            towards, away = logits.chunk(2)
            logits = away + (towards - away) * guidance
        likely = self._sampling.narrowed(logits).softmax(-1)
        return torch.cat(
            [torch.multinomial(p, 1, generator=d) for p, d in zip(likely.chunk(len(draws)), draws, strict=True)]
        )

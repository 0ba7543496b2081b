"""MusicGen's own loss, which is AudioGen's too: the cross-entropy of the next token of every codebook.

Simple and Controllable Music Generation (Copet et al. 2023): each codebook is one step behind the one before it.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from versasound_core.steering import python_random_state

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .draw import Draw

_WINDOW = 1500  # frames, where a checkpoint does not say how many it was trained on
_LIKELIEST, _GUIDANCE = 250, 3.0  # that it was published with
_IGNORED = -100


class MusicgenObjective:
    """See `Objective`.

    Args:
        model: transformers' `MusicgenForConditionalGeneration`.
        tokenizer: Of its text encoder.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:  # noqa: ANN401  (transformers is not imported here)
        self.model, self.tokenizer = model.eval(), tokenizer
        self.modules: dict[str, torch.nn.Module] = {"model": model}
        model.requires_grad_(False)
        self.predictor: torch.nn.Module = model.decoder
        config = model.config
        self.sample_rate = int(config.audio_encoder.sampling_rate)
        self.channels = int(config.decoder.audio_channels)
        self.token_dim = int(config.text_encoder.hidden_size)
        self._unit = math.prod(config.audio_encoder.upsampling_ratios)
        self.longest_s = (model.generation_config.max_length or _WINDOW) * self._unit / self.sample_rate
        self._start = int(config.decoder.pad_token_id)
        # Of two channels the codebooks take turns, and those of a pair are equally late.
        self._delays = [book // self.channels for book in range(config.decoder.num_codebooks)]
        self._texts: dict[str, torch.Tensor] = {}

    @classmethod
    def load(cls, folder: Path) -> MusicgenObjective:
        """Read a checkpoint in transformers' format, in fp32."""
        from transformers import AutoTokenizer, MusicgenForConditionalGeneration

        model = MusicgenForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        return cls(model, AutoTokenizer.from_pretrained(folder))

    @torch.no_grad()
    def encode(self, waveform: torch.Tensor) -> torch.Tensor:
        """Return codes `[B, K, frames]`; each channel has its own."""
        codec = self.model.audio_encoder
        each = [codec.encode(waveform[:, c : c + 1]).audio_codes[0] for c in range(self.channels)]
        return torch.stack(each, 2).flatten(1, 2)

    def delayed(self, codes: torch.Tensor) -> torch.Tensor:
        """Return codes `[B, K, frames + latest]`, each codebook as late as it is, between tokens that say nothing."""
        late = max(self._delays)
        return torch.stack(
            [functional.pad(codes[:, k], (d, late - d), value=self._start) for k, d in enumerate(self._delays)], 1
        )

    @torch.no_grad()
    def said(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the text encoder's states `[B, L, D]`, and which of them count `[B, L]`; of "" none does."""
        device = next(self.predictor.parameters()).device
        for text in set(texts) - set(self._texts):
            words = self.tokenizer([text], return_tensors="pt").to(device)
            states = self.model.text_encoder(input_ids=words.input_ids, attention_mask=words.attention_mask)
            self._texts[text] = states.last_hidden_state[0] if text.strip() else states.last_hidden_state[0, :0]
        rows = [self._texts[text] for text in texts]
        longest = max(len(row) for row in rows)
        mask = torch.tensor([[float(k < len(row)) for k in range(longest)] for row in rows], device=device)
        return torch.stack([functional.pad(row, (0, 0, 0, longest - len(row))) for row in rows]), mask

    def condition(
        self, tokens: torch.Tensor, texts: Sequence[str], heard: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is attended to, `[B, L + N, D]`, and which of it counts; the rest is 0."""
        words, mask = self.said(texts)
        says, shows = heard.to(mask.dtype).T[..., None]
        mask = torch.cat([mask * says, shows.expand(-1, tokens.shape[1])], 1)
        states = torch.cat([words, tokens.to(words.dtype)], 1)
        if self.token_dim != self.model.config.decoder.hidden_size:
            states = self.model.enc_to_dec_proj(states)
        return states * mask[..., None], mask

    def predict(self, ids: torch.Tensor, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return logits `[B, K, S, V]` of what follows each of `ids`, `[B, K, S]`."""
        with python_random_state():
            logits: torch.Tensor = self.predictor(
                input_ids=ids.flatten(0, 1),
                encoder_hidden_states=states,
                encoder_attention_mask=mask.long(),
                use_cache=False,
            ).logits
        return logits.reshape(*ids.shape, -1)

    def loss(  # noqa: PLR0913, PLR0917
        self,
        encoded: torch.Tensor,
        tokens: torch.Tensor,
        texts: Sequence[str],
        seconds: float,
        heard: torch.Tensor,
        draw: Draw,
    ) -> torch.Tensor:
        """Return the loss of each item, `[B]`; see `Objective`."""
        wanted = self.delayed(encoded)
        given = functional.pad(wanted[..., :-1], (1, 0), value=self._start)
        logits = self.predict(given, *self.condition(tokens, texts, heard)).float()
        goal = wanted.masked_fill(wanted == self._start, _IGNORED)
        error = functional.cross_entropy(logits.movedim(-1, 1), goal, reduction="none", ignore_index=_IGNORED)
        return error.sum((1, 2)) / encoded[0].numel()

    @torch.no_grad()
    def sample(self, tokens: torch.Tensor, texts: Sequence[str], seconds: float, draw: Draw) -> torch.Tensor:
        """Return sounds `[B, C, T]`; see `Objective`."""
        samples, count, books = round(seconds * self.sample_rate), len(tokens), len(self._delays)
        frames = math.ceil(samples / self._unit)
        both = torch.ones(2 * count, 2, dtype=torch.bool, device=tokens.device)
        both[count:] = False
        states, mask = self.condition(torch.cat([tokens, tokens]), [*texts, *texts], both)
        ids = torch.full((count, books, 1), self._start, device=tokens.device)
        delays = torch.tensor(self._delays, device=tokens.device)
        for step in range(frames + max(self._delays)):
            towards, away = self.predict(torch.cat([ids, ids]), states, mask)[:, :, -1].float().chunk(2)
            likely, which = (away + _GUIDANCE * (towards - away)).topk(min(_LIKELIEST, towards.shape[-1]))
            # The largest after Gumbel's noise is a draw by probability (Gumbel 1954).
            noise = -(-draw.uniform(*likely.shape).clamp_min(1e-20).log()).log()
            chosen = which.gather(-1, (likely + noise).argmax(-1, keepdim=True))
            sounding = (delays <= step) & (step < frames + delays)
            ids = torch.cat([ids, chosen.where(sounding[:, None], self._start)], 2)
        codes = torch.stack([ids[:, k, 1 + d : 1 + d + frames] for k, d in enumerate(self._delays)], 1)
        codec = self.model.audio_encoder
        each = [codec.decode(codes[None, :, c :: self.channels], [None]).audio_values for c in range(self.channels)]
        return torch.cat(each, 1)[..., :samples]

    def checkpoint_gradients(self) -> None:
        """Compute the decoder's activations twice to save memory; the library itself does so in training mode alone."""
        for layer in self.model.decoder.model.decoder.layers:
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)

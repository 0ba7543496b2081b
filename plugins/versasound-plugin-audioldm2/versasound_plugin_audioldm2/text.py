"""What the U-Net attends to: T5's tokens, and the eight that a language model makes of T5's and CLAP's."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from versasound_core.steering import Job

_KEPT = 64


class Said(NamedTuple):
    """Embedded text of `n` jobs: first what they must not be, where that is asked, then what they are to be.

    Attributes:
        words: `[n or 2 n, L, D]`: T5's tokens, and an adapter's.
        mask: `[n or 2 n, L]`: which of them count.
        generated: `[n or 2 n, 8, E]`.
    """

    words: torch.Tensor
    mask: torch.Tensor
    generated: torch.Tensor


class Texts:
    """Embeds texts, each pair of prompt and negative prompt once.

    A pair is embedded alone and not in a batch: the library pads a batch to its longest prompt, and the negative prompt
    to the prompt, so that what is said for one item would change another's.

    Args:
        pipe: diffusers' pipeline.
    """

    def __init__(self, pipe: Any) -> None:  # noqa: ANN401
        self._pipe = pipe
        self._kept: OrderedDict[tuple[str, str | None, bool], Said] = OrderedDict()

    def __call__(self, jobs: Sequence[Job], *, guided: bool) -> list[Said]:
        """Return what is said to each job, `n = 1` in each, with the adapter's tokens."""
        return [_with_tokens(self._embedded(job.text, job.negative, guided=guided), job.tokens) for job in jobs]

    def _embedded(self, text: str, negative: str | None, *, guided: bool) -> Said:
        key = (text, negative, guided)
        if key not in self._kept:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of transformers, about how diffusers calls it
                words, mask, generated = self._pipe.encode_prompt(
                    text, self._pipe._execution_device, 1, guided, negative_prompt=negative
                )
            self._kept[key] = Said(words, mask, generated)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def padded(said: list[Said], step: int) -> Said:
    """Join what is said to several jobs: tokens that do not count fill up to the longest, or a multiple of `step`."""
    longest = max(one.words.shape[1] for one in said)
    if step > 1:
        longest = -(-longest // step) * step
    rows = [
        Said(
            functional.pad(one.words, (0, 0, 0, longest - one.words.shape[1])),
            functional.pad(one.mask, (0, longest - one.mask.shape[1])),
            one.generated,
        )
        for one in said
    ]
    sides = range(len(said[0].words))  # without guidance one, with it two
    return Said(*(torch.cat([row[k][side : side + 1] for side in sides for row in rows]) for k in range(3)))


def _with_tokens(said: Said, tokens: torch.Tensor | None) -> Said:
    """Append tokens to what the sound is to be; what it must not be gets as many that do not count."""
    if tokens is None:
        return said
    extra = tokens[None].to(said.words)
    words, mask = extra, torch.ones(extra.shape[:2]).to(said.mask)
    if len(said.words) > 1:
        words, mask = torch.cat([torch.zeros_like(words), words]), torch.cat([torch.zeros_like(mask), mask])
    return Said(torch.cat([said.words, words], 1), torch.cat([said.mask, mask], 1), said.generated)

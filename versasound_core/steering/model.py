"""What a plugin brings: a model that makes stretches of sound from text, behind one face."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch


@attrs.frozen(eq=False, kw_only=True)
class Job:
    """One stretch of sound, for a model to make at once.

    Args:
        text: The prompt.
        negative: What must not be heard; None if nothing was said.
        seed: Of the item that the stretch belongs to; stretches of one item have the same.
        start: First sample, on the clip's time axis.
        length: Samples.
        end: Where the whole sound ends on the clip's time axis, in samples.
        steps: Of an iterative model; None for its own default.
        guidance: How closely the text is followed; None for the model's own default.
        draft: `[C, length]`: what to start from; None starts from noise alone.
        strength: How much of the draft is kept, 0 to 1; see `start_noise`.
        tokens: `[N, D]`: what an adapter made of the picture, to stand after the text's tokens; None for nothing.
    """

    text: str
    negative: str | None
    seed: int
    start: int
    length: int
    end: int
    steps: int | None = None
    guidance: float | None = None
    draft: torch.Tensor | None = None
    strength: float = 0.0
    tokens: torch.Tensor | None = None


class Model(Protocol):
    """A loaded model.

    Attributes:
        sample_rate: Of what it makes, Hz.
        channels: Of what it makes.
        longest: Most samples in a stretch.
        unit: Samples of a step of its own grid (latents, codes).
        steps: Its own default; None if it is not iterative.
        guidance: Its own default.
    """

    sample_rate: int
    channels: int
    longest: int
    unit: int
    steps: int | None
    guidance: float

    def size(self, job: Job) -> object:
        """Return a key; jobs whose keys are equal can be made at once."""
        ...

    def make(self, jobs: Sequence[Job], tick: Callable[[float], None]) -> torch.Tensor:
        """Make all jobs at once: `[n, C, T]`, `T` at least the longest job.

        An item of a batch is what it would be alone. `tick` takes how far the batch has come, 0 to 1, is called at
        every step, and raises when the user asked to stop: the model must be usable afterwards.
        """
        ...

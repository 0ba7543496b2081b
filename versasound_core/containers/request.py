"""What a person asks a generator for."""

from __future__ import annotations

import attrs

from versasound_core.errors import InvalidInputError

from ._checks import positive


@attrs.frozen(kw_only=True)
class GenerationRequest:
    """One request, for every item of a batch.

    Args:
        duration_s: Length of the sound in seconds.
        prompt: What it should sound like; None leaves it to the picture.
        negative_prompt: What must not be heard.
        seed: The seed of the first item; item `b` draws from `seed + b`.
        sample_rate: Hz.
        num_inference_steps: Steps of an iterative model; None for its own default.
        guidance_scale: How closely a guided model follows the prompt; None for its own default.
        start_s: Where the sound begins on the clip's time axis (long clips are made in segments).

    Raises:
        InvalidInputError: If a value is out of range.
    """

    duration_s: float
    prompt: str | None = None
    negative_prompt: str | None = None
    seed: int = 0
    sample_rate: int = 48000
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    start_s: float = 0.0

    def __attrs_post_init__(self) -> None:
        positive(self.duration_s, "duration_s", "seconds")
        positive(self.sample_rate, "sample_rate", "Hz")
        if self.num_inference_steps is not None:
            positive(self.num_inference_steps, "num_inference_steps", "steps")
        if not 0 <= self.seed < 2**63:
            raise InvalidInputError(f"seed must be a whole number from 0 to 2**63 - 1, not {self.seed!r}.")
        if self.start_s < 0:
            raise InvalidInputError(f"start_s must be 0 or more seconds, not {self.start_s!r}.")

    @property
    def num_samples(self) -> int:
        """Length of the sound in samples."""
        return round(self.duration_s * self.sample_rate)

    def seed_for(self, item: int) -> int:
        """Seed of one item of the batch, so that a batch equals its items made one by one."""
        return (self.seed + item) % 2**63

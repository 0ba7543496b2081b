"""What a person asks a generator for."""

from __future__ import annotations

import attrs

from versasound_core.errors import InvalidInputError

from ._checks import is_number, positive, whole

_SEEDS = 2**63  # as many as PyTorch takes


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
        object.__setattr__(self, "sample_rate", whole(self.sample_rate, "sample_rate", "Hz"))
        if self.num_samples == 0:
            raise InvalidInputError(
                f"duration_s must be at least a sample at {self.sample_rate} Hz, not {self.duration_s!r}."
            )
        for name in ("prompt", "negative_prompt"):
            text = getattr(self, name)
            if text is not None and not isinstance(text, str):
                raise InvalidInputError(f"{name} must be text or None, not {text!r}.")
        if self.num_inference_steps is not None:
            whole(self.num_inference_steps, "num_inference_steps", "steps")
        if self.guidance_scale is not None and not is_number(self.guidance_scale):
            raise InvalidInputError(f"guidance_scale must be a finite number or None, not {self.guidance_scale!r}.")
        if not is_number(self.seed) or self.seed != int(self.seed) or not 0 <= self.seed < _SEEDS:
            raise InvalidInputError(f"seed must be a whole number from 0 to 2**63 - 1, not {self.seed!r}.")
        object.__setattr__(self, "seed", int(self.seed))
        if not is_number(self.start_s) or self.start_s < 0:
            raise InvalidInputError(f"start_s must be 0 or more seconds, not {self.start_s!r}.")

    @property
    def num_samples(self) -> int:
        """Length of the sound in samples."""
        return round(self.duration_s * self.sample_rate)

    def seed_for(self, item: int) -> int:
        """Seed of one item of the batch, so that a batch equals its items made one by one."""
        return (self.seed + item) % _SEEDS

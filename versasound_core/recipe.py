"""What a run is made of: which backends, with which options, and what is asked of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, cast

import attrs

from .errors import InvalidInputError

if TYPE_CHECKING:
    from .config import Config
    from .context import Precision
    from .registry import Registry


@attrs.frozen(kw_only=True)
class Recipe:
    """A run, except for its clip. The defaults need no weights and no network.

    Args:
        encoder: Name of the encoder.
        generator: Name of the generator.
        aligner: Name of the aligner; None moves nothing.
        refiner: Name of the refiner; None leaves the sound as it was made.
        encoder_options: By the names on its card, as for the other three.
        generator_options: See `encoder_options`.
        aligner_options: See `encoder_options`.
        refiner_options: See `encoder_options`.
        prompt: What it should sound like; None leaves it to the picture.
        negative_prompt: What must not be heard.
        seed: The same seed gives the same sound.
        sample_rate: Of the result, Hz.
        sync_strength: How far events are moved to where they belong, 0 to 1.
        keep_original: What becomes of the clip's own sound: dropped, mixed in, or given way to.
        original_level_db: Loudness of the clip's own sound relative to the new one.
        num_inference_steps: Steps of an iterative generator; None for its own default.
        guidance_scale: How closely a guided generator follows the prompt; None for its own default.
        device: `auto`, `cuda`, `cuda:N`, `mps` or `cpu`.
        precision: Number format of models.
    """

    encoder: str = "motion"
    generator: str = "foley"
    aligner: str | None = "cross_correlation"
    refiner: str | None = "mastering"
    encoder_options: dict[str, Any] = attrs.field(factory=dict)
    generator_options: dict[str, Any] = attrs.field(factory=dict)
    aligner_options: dict[str, Any] = attrs.field(factory=dict)
    refiner_options: dict[str, Any] = attrs.field(factory=dict)
    prompt: str | None = None
    negative_prompt: str | None = None
    seed: int = 0
    sample_rate: int = 48000
    sync_strength: float = 1.0
    keep_original: Literal["replace", "mix", "duck"] = "replace"
    original_level_db: float = 0.0
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    device: str = "auto"
    precision: Precision = "fp32"

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.sync_strength <= 1:
            raise InvalidInputError(f"sync_strength must lie in [0, 1], not {self.sync_strength!r}.")
        if self.keep_original not in {"replace", "mix", "duck"}:
            raise InvalidInputError(f"keep_original must be replace, mix or duck, not {self.keep_original!r}.")
        if not isinstance(self.sample_rate, int) or self.sample_rate < 1:
            raise InvalidInputError(f"sample_rate must be a whole number of Hz, 1 or more, not {self.sample_rate!r}.")
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise InvalidInputError(f"seed must be a whole number from 0 to 2**63 - 1, not {self.seed!r}.")
        if not math.isfinite(self.original_level_db):
            raise InvalidInputError(f"original_level_db must be a number of dB, not {self.original_level_db!r}.")

    @classmethod
    def from_config(cls, config: Config, registry: Registry | None = None) -> Recipe:
        """Make the recipe that a configuration describes.

        A setting of a section goes to the section's backend if its card has an option of that name, and the section's
        own `options` go to it in any case. An aligner or a refiner `none` is left out.

        Raises:
            PluginError: If a backend that the configuration names cannot be used.
        """
        from .registry import default_registry

        registry = registry or default_registry
        chosen: dict[str, Any] = {}
        for role in ("encoder", "generator", "aligner", "refiner"):
            name, options = config.backend(role)
            if name == "none" and role in {"aligner", "refiner"}:
                chosen[role] = None
                continue
            card = registry.get(role, name).card
            settings = {key: value for key, value in config.section(role).items() if card and key in card.options}
            chosen |= {role: name, f"{role}_options": {**settings, **options}}
        sound = config.audio_generator
        return cls(
            **chosen,
            sample_rate=sound.sample_rate,
            sync_strength=config.temporal_aligner.sync_strength,
            num_inference_steps=sound.num_inference_steps,
            guidance_scale=sound.guidance_scale,
            device=config.device.device_type,
            precision=cast("Precision", config.device.precision),
        )

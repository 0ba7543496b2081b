"""The generator `stable_audio`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from versasound_core.steering import Settings, TextToSound
from versasound_core.weights import checkpoint, own_card

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from versasound_core.containers import AudioData, GenerationRequest, VisualFeatures
    from versasound_core.context import RunContext


class StableAudioGenerator:
    """Makes sound with Stable Audio Open (Evans et al. 2024) or Stable Audio 3, stereo at 44.1 kHz.

    Args:
        variant: Name of the weights on the card.
        weights: A local folder with a checkpoint in the format of diffusers, in place of the variant's repository: of
            the same kind, or Stable Audio 3.
        words: Whether the picture's labels are added to the prompt.
        timing: `none`, `envelope` or `draft`.
        timing_strength: How much the events shape the sound, 0 to 1.
        adapter: A trained adapter's file.
        batch_size: Stretches made at a time; None for one on a CPU and eight elsewhere.
        compile: Whether the transformer is compiled.
        cpu_offload: Whether parts that do not work wait in the CPU's memory.
    """

    def __init__(  # noqa: PLR0913  (the options of the card)
        self,
        *,
        variant: str,
        weights: str | Path | None,
        words: bool,
        timing: str,
        timing_strength: float,
        adapter: str | Path | None,
        batch_size: int | None,
        compile: bool,  # noqa: A002  (the option's name)
        cpu_offload: bool,
    ) -> None:
        from .loading import build, own

        settings = Settings(
            words=words, timing=timing, timing_strength=timing_strength, adapter=adapter, batch_size=batch_size
        )
        wanted = checkpoint(own_card(__file__, "generator", "stable_audio"), "generator", "stable_audio", variant)
        how = partial(build, is_compiled=compile, cpu_offload=cpu_offload)
        self._sound = TextToSound(own(wanted, weights), weights, settings, how)

    def generate(self, features: VisualFeatures | None, request: GenerationRequest, ctx: RunContext) -> AudioData:
        """Return `[B, 2, request.num_samples]`; see `versasound_core.steering.TextToSound.generate_all`."""
        return self._sound.generate(features, request, ctx)

    def generate_all(
        self, asked: Sequence[tuple[VisualFeatures | None, GenerationRequest]], ctx: RunContext
    ) -> list[AudioData]:
        """Make several requests together; see `versasound_core.steering.TextToSound.generate_all`."""
        return self._sound.generate_all(asked, ctx)

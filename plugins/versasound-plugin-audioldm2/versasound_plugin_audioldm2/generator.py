"""The generator `audioldm2`."""

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


class AudioLDM2Generator:
    """Makes sound with AudioLDM 2 (Liu et al. 2023), mono at 16 kHz.

    Args:
        variant: Name of the weights on the card.
        weights: A local folder with a checkpoint, in place of the variant's repository.
        words: Whether the picture's labels are added to the prompt.
        timing: `none`, `envelope` or `draft`.
        timing_strength: How much the events shape the sound, 0 to 1.
        adapter: A trained adapter's file.
        window_s: Longest stretch made at once, seconds.
        batch_size: Stretches made at a time; None for one on a CPU and eight elsewhere.
        compile: Whether the U-Net is compiled.
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
        window_s: float,
        batch_size: int | None,
        compile: bool,  # noqa: A002  (the option's name)
        cpu_offload: bool,
    ) -> None:
        from .model import build

        settings = Settings(
            words=words, timing=timing, timing_strength=timing_strength, adapter=adapter, batch_size=batch_size
        )
        wanted = checkpoint(own_card(__file__, "generator", "audioldm2"), "generator", "audioldm2", variant)
        how = partial(build, window_s=window_s, is_compiled=compile, cpu_offload=cpu_offload)
        self._sound = TextToSound(wanted, weights, settings, how)

    def generate(self, features: VisualFeatures | None, request: GenerationRequest, ctx: RunContext) -> AudioData:
        """Return `[B, 1, request.num_samples]`; see `versasound_core.steering.TextToSound.generate_all`."""
        return self._sound.generate(features, request, ctx)

    def generate_all(
        self, asked: Sequence[tuple[VisualFeatures | None, GenerationRequest]], ctx: RunContext
    ) -> list[AudioData]:
        """Make several requests together; see `versasound_core.steering.TextToSound.generate_all`."""
        return self._sound.generate_all(asked, ctx)

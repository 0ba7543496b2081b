"""The generator `audiocraft`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from versasound_core.steering import Settings, TextToSound
from versasound_core.weights import checkpoint, find, own_card

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from versasound_core.containers import AudioData, GenerationRequest, VisualFeatures
    from versasound_core.context import RunContext


class AudiocraftGenerator:
    """Makes sounds with AudioGen (Kreuk et al. 2023) and music with MusicGen (Copet et al. 2023).

    Args:
        variant: Name of the weights on the card.
        weights: A local folder with a checkpoint, in place of the variant's repository.
        words: Whether the picture's labels are added to the prompt.
        timing: `none` or `envelope`.
        timing_strength: How much the events shape the sound, 0 to 1.
        adapter: A trained adapter's file.
        temperature: Divides the logits.
        top_k: How many of the likeliest tokens are chosen among; 0 for all.
        top_p: Which share of the probability the likeliest tokens that are chosen among have.
        batch_size: Sounds made at a time; None for one on a CPU and eight elsewhere.
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
        temperature: float,
        top_k: int,
        top_p: float,
        batch_size: int | None,
    ) -> None:
        from .model import build
        from .sampling import Sampling

        settings = Settings(
            words=words, timing=timing, timing_strength=timing_strength, adapter=adapter, batch_size=batch_size
        )
        card = own_card(__file__, "generator", "audiocraft")
        wanted = checkpoint(card, "generator", "audiocraft", variant)
        how = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
        self._wanted, self._weights = wanted, weights
        self._sound = TextToSound(wanted, weights, settings, partial(build, wanted=wanted, sampling=how))

    def generate(self, features: VisualFeatures | None, request: GenerationRequest, ctx: RunContext) -> AudioData:
        """Return `[B, C, request.num_samples]`; see `versasound_core.steering.TextToSound.generate_all`."""
        return self._sound.generate(features, request, ctx)

    def generate_all(
        self, asked: Sequence[tuple[VisualFeatures | None, GenerationRequest]], ctx: RunContext
    ) -> list[AudioData]:
        """Make several requests together; see `versasound_core.steering.TextToSound.generate_all`."""
        return self._sound.generate_all(asked, ctx)

    def library_folder(self) -> Path:
        """Return the checkpoint's folder in transformers' format, for who trains on it; AudioGen's is converted first.

        Raises:
            ModelLoadError: The weights are missing or unusable.
        """
        from .convert import converted

        return converted(self._wanted, find(self._wanted, self._weights))

"""The four roles. An author inherits nothing: a class with the right method has the role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .containers import Alignment, AudioData, GenerationRequest, VideoClip, VisualFeatures
    from .context import RunContext


@runtime_checkable
class Encoder(Protocol):
    """Looks at a clip."""

    def encode(self, clip: VideoClip, ctx: RunContext) -> VisualFeatures:
        """Return features `[B, T, D]` with `metadata["fps"]`, and events and labels where the backend has them."""
        ...


@runtime_checkable
class Generator(Protocol):
    """Makes sound."""

    def generate(self, features: VisualFeatures | None, request: GenerationRequest, ctx: RunContext) -> AudioData:
        """Return `[B, C, request.num_samples]` at `request.sample_rate`, `B` as in `features` (1 without)."""
        ...


@runtime_checkable
class BatchGenerator(Generator, Protocol):
    """A generator that makes several sounds faster together than one after the other."""

    def generate_all(
        self, asked: Sequence[tuple[VisualFeatures | None, GenerationRequest]], ctx: RunContext
    ) -> list[AudioData]:
        """Return for each request what `generate` would return for it alone."""
        ...


@runtime_checkable
class Aligner(Protocol):
    """Measures where sound and picture are apart. It edits nothing."""

    def estimate(self, audio: AudioData, features: VisualFeatures, ctx: RunContext) -> Alignment:
        """Return knots and a confidence for each item."""
        ...


@runtime_checkable
class Refiner(Protocol):
    """Makes finished sound of raw sound."""

    def refine(self, audio: AudioData, ctx: RunContext) -> AudioData:
        """Return the sound, as long as it came."""
        ...


@runtime_checkable
class BlockRefiner(Refiner, Protocol):
    """A refiner that can work on a long sound block by block, in constant memory."""

    def refine_blocks(self, blocks: Iterable[AudioData], ctx: RunContext) -> Iterator[AudioData]:
        """Yield the sound whose consecutive blocks are `blocks`, as long as it came.

        `blocks` may be iterated several times: once to measure, once to render.
        """
        ...

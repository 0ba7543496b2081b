"""What the registry hands out in the place of an isolated backend: the same method, answered by the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .environments import Environment
from .process import number_of, worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from versasound_core.containers import Alignment, AudioData, GenerationRequest, VideoClip, VisualFeatures
    from versasound_core.context import RunContext
    from versasound_core.registry import Backend


class Remote:
    """A backend that lives in its own environment.

    Args:
        backend: What it is.
        options: To make it with.

    Raises:
        PluginError: If its environment is missing or outdated.
    """

    def __init__(self, backend: Backend, options: dict[str, Any]) -> None:
        environment = Environment(name=backend.name, backend=backend).ready()
        self._backend, self._options = backend, options
        self._worker = worker(environment, backend)
        self._number = number_of(self, self._worker)

    def _call(self, method: str, ctx: RunContext, *arguments: Any) -> Any:  # noqa: ANN401
        return self._worker.call(self._number, self._backend, self._options, method, list(arguments), ctx)


class RemoteEncoder(Remote):
    """An encoder elsewhere."""

    def encode(self, clip: VideoClip, ctx: RunContext) -> VisualFeatures:
        """Encode there; see `versasound_core.contracts.Encoder`."""
        return cast("VisualFeatures", self._call("encode", ctx, clip))


class RemoteGenerator(Remote):
    """A generator elsewhere."""

    def generate(self, features: VisualFeatures | None, request: GenerationRequest, ctx: RunContext) -> AudioData:
        """Generate there; see `versasound_core.contracts.Generator`."""
        return cast("AudioData", self._call("generate", ctx, features, request))


class RemoteAligner(Remote):
    """An aligner elsewhere."""

    def estimate(self, audio: AudioData, features: VisualFeatures, ctx: RunContext) -> Alignment:
        """Measure there; see `versasound_core.contracts.Aligner`."""
        return cast("Alignment", self._call("estimate", ctx, audio, features))


class RemoteRefiner(Remote):
    """A refiner elsewhere."""

    def refine(self, audio: AudioData, ctx: RunContext) -> AudioData:
        """Refine there; see `versasound_core.contracts.Refiner`."""
        return cast("AudioData", self._call("refine", ctx, audio))


_KINDS = {"encoder": RemoteEncoder, "generator": RemoteGenerator, "aligner": RemoteAligner, "refiner": RemoteRefiner}


def proxy(backend: Backend) -> Callable[..., Remote]:
    """Return what makes an isolated backend when called with its options."""
    return lambda **options: _KINDS[backend.role](backend, options)

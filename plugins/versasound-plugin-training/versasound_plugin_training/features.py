"""Features of whole videos, computed once by an encoder and kept on disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import attrs

from versasound_core.cache import FeatureCache, default_cache_dir
from versasound_core.containers import VideoClip
from versasound_core.errors import Cancelled, InvalidInputError, MediaError, in_words
from versasound_core.log import get_logger
from versasound_core.registry import default_registry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from versasound_core.containers import VisualFeatures
    from versasound_core.context import RunContext

    from .index import Pair

_log = get_logger(__name__)


class Features:
    """Features by video.

    Args:
        encoder: Name.
        options: Of the encoder.
        precision: That it computes in.
    """

    def __init__(self, encoder: str, options: dict[str, Any], precision: str) -> None:
        backend = default_registry.get("encoder", encoder)
        complete = backend.card.depends_on(options) if backend.card else options
        self.encoder, self.options = encoder, options
        self._about = (backend.full_name, backend.version, {**complete, "precision": precision})
        self._cache = FeatureCache(default_cache_dir() / "training_features", limit_bytes=None)

    def _key(self, video: Path) -> str:
        status = video.stat()  # not the content: it would be read whole at every look
        return FeatureCache.key(f"{video} {status.st_size} {status.st_mtime_ns}", *self._about)

    def of(self, video: Path) -> VisualFeatures:
        """Return what was computed for a video.

        Raises:
            MediaError: If it is not there, or the video has changed.
        """
        try:
            found = self._cache.load(self._key(video))
        except OSError as error:
            raise MediaError(f"{video} cannot be read: {error.strerror}.") from error
        if found is None:
            raise MediaError(f"{video} has changed since its features were computed.", "Start the training again.")
        return found

    def compute(self, pairs: Sequence[Pair], ctx: RunContext) -> list[Pair]:
        """Compute what is not there yet, and return the pairs whose picture could be looked at.

        Of several processes each begins elsewhere, and finds what the others have done by then.

        Raises:
            MediaError: If there is none.
            Cancelled: If the user asked to stop; what is done is kept.
        """
        encoder = default_registry.create("encoder", self.encoder, **self.options)
        rank, processes = (int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE"))
        usable, first = set(), ""
        for number, index in enumerate(sorted(range(len(pairs)), key=lambda i: (i - rank) % max(1, processes))):
            pair = pairs[index]
            ctx.report(number / len(pairs), f"looking at {pair.video.name}")
            try:
                key = self._key(pair.video)
                if not self._cache.has(key):
                    self._keep(key, self._look(encoder, pair.video, attrs.evolve(ctx, progress=None)))
                usable.add(index)
            except Cancelled:
                raise
            except (MediaError, OSError) as error:
                first = first or in_words(error)
                _log.warning("%s is left out: %s", pair.video, in_words(error))
        if not usable:
            raise MediaError(f"none of the {len(pairs)} videos can be looked at: {first}")
        return [pair for index, pair in enumerate(pairs) if index in usable]

    def _look(self, encoder: Any, video: Path, ctx: RunContext) -> VisualFeatures:  # noqa: ANN401
        from versasound_core.events import detect_events

        clip = VideoClip.open(video)
        features: VisualFeatures = encoder.encode(clip, ctx)
        if features.fps is None:
            raise InvalidInputError(f'encoder {self.encoder}: its features do not say metadata["fps"].')
        events = features.events or detect_events(clip, ctx)
        return attrs.evolve(features, events=attrs.evolve(events, views=None))  # an adapter does not look at those

    def _keep(self, key: str, features: VisualFeatures) -> None:
        self._cache.store(key, features)
        if not self._cache.has(key):
            raise MediaError(f"features cannot be kept in {self._cache.folder}.", "Check its rights and free space.")

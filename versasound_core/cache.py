"""Features on disk, so that the same clip with another prompt is not looked at again."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from .errors import VersaSoundError
from .log import get_logger

if TYPE_CHECKING:
    from .containers import VisualFeatures

LIMIT_BYTES = 2 * 10**9
_log = get_logger(__name__)


def default_cache_dir() -> Path:
    """Return the folder named in `VERSASOUND_CACHE`, or the system's usual place for caches."""
    if named := os.environ.get("VERSASOUND_CACHE"):
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("versasound", appauthor=False)


@attrs.frozen
class FeatureCache:
    """A folder of features, one safetensors file each; the longest unused go when it grows past its limit.

    Args:
        folder: Where the files are.
        limit_bytes: How large they may be together; None for as large as they become.
    """

    folder: Path
    limit_bytes: int | None = LIMIT_BYTES

    @staticmethod
    def key(content: str, encoder: str, version: str, options: dict[str, Any]) -> str:
        """Name features by what they depend on: the clip's content, the encoder, its version and its options.

        And this package's version: the events are its own.
        """
        from versasound_core import __version__

        parts = json.dumps([__version__, content, encoder, version, sorted(options.items())], default=str)
        return hashlib.sha256(parts.encode()).hexdigest()[:32]

    def has(self, key: str) -> bool:
        """Whether there are features under `key`."""
        return self._path(key).is_file()

    def load(self, key: str) -> VisualFeatures | None:
        """Return the features stored under `key`, or None. A file that cannot be read is as good as none."""
        from safetensors import SafetensorError, safe_open

        from .containers import EventTrack, EventView, VisualFeatures

        path = self._path(key)
        try:
            with safe_open(path, "pt") as file:
                told = json.loads(file.metadata()["versasound"])
                events = told.pop("events")
                if events is not None:
                    events["onsets"] = [[(at_s, strength) for at_s, strength in item] for item in events["onsets"]]
                    if events["views"] is not None:
                        names = [(f"view{item}.cells", f"view{item}.times_s") for item in range(events["views"])]
                        events["views"] = [EventView(*map(file.get_tensor, pair)) for pair in names]
                    events = EventTrack(file.get_tensor("envelope"), **events)
                if told["labels"] is not None:
                    told["labels"] = [[(words, score) for words, score in item] for item in told["labels"]]
                features = VisualFeatures(file.get_tensor("features"), events=events, **told)
            with suppress(OSError):  # a folder that may only be read
                path.touch()  # used just now
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, VersaSoundError, LookupError, TypeError, ValueError, AttributeError) as error:
            _log.warning("cached features %s cannot be used: %s", path, error)
            return None
        return features

    def store(self, key: str, features: VisualFeatures) -> None:
        """Keep features under `key`. What cannot be kept (no room, no right, odd metadata) is not, and logged."""
        from safetensors.torch import save_file

        from .media.atomic import written_whole

        events = features.events
        told: dict[str, Any] = {"metadata": features.metadata, "labels": features.labels, "events": None}
        tensors = {"features": features.features}
        if events is not None:
            told["events"] = {
                "rate_hz": events.rate_hz,
                "onsets": events.onsets,
                "positions": events.positions,
                "views": None if events.views is None else len(events.views),
            }
            tensors["envelope"] = events.envelope
            for item, view in enumerate(events.views or []):
                tensors |= {f"view{item}.cells": view.cells, f"view{item}.times_s": view.times_s}
        try:
            text = json.dumps(told)
            self.folder.mkdir(parents=True, exist_ok=True)
            with written_whole(self._path(key)) as temporary:
                save_file(
                    {n: t.detach().cpu().contiguous() for n, t in tensors.items()}, temporary, {"versasound": text}
                )
            self._trim()
        except (OSError, VersaSoundError, TypeError, ValueError) as error:
            _log.warning("the features cannot be cached in %s: %s", self.folder, error)

    def size_bytes(self) -> int:
        """How large the files are together."""
        return sum(size for _, size, _ in self._files())

    def _trim(self) -> None:
        if self.limit_bytes is None:
            return
        files = sorted(self._files(), reverse=True)
        total = 0
        for _, size, path in files:
            total += size
            if total > self.limit_bytes:
                path.unlink(missing_ok=True)

    def _files(self) -> list[tuple[float, int, Path]]:
        found = []
        for path in self.folder.glob("*.safetensors"):
            try:
                status = path.stat()
            except OSError:  # another run took it away
                continue
            found.append((status.st_mtime, status.st_size, path))
        return found

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

"""Which repositories can be written, and by what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

REPOSITORIES: dict[str, Callable[[Path], None]] = {}


def repository(*names: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Register the function that writes the files of these repositories into a folder."""

    def register(write: Callable[[Path], None]) -> Callable[[Path], None]:
        REPOSITORIES.update(dict.fromkeys(names, write))
        return write

    return register

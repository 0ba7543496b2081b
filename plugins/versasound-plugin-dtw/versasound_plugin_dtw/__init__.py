"""Sound and picture brought together by dynamic time warping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aligner import DTWAligner as DTWAligner

__all__ = ["DTWAligner"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name == "DTWAligner":
        from .aligner import DTWAligner

        return DTWAligner
    raise AttributeError(name)

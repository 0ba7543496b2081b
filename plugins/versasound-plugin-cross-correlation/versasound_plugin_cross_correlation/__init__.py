"""Sound and picture brought together by cross-correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aligner import CrossCorrelationAligner as CrossCorrelationAligner

__all__ = ["CrossCorrelationAligner"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name == "CrossCorrelationAligner":
        from .aligner import CrossCorrelationAligner

        return CrossCorrelationAligner
    raise AttributeError(name)

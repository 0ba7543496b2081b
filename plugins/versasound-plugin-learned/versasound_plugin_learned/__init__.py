"""Sound and picture brought together by a network that has learnt what a strike looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aligner import LearnedAligner as LearnedAligner

__all__ = ["LearnedAligner"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name == "LearnedAligner":
        from .aligner import LearnedAligner

        return LearnedAligner
    raise AttributeError(name)

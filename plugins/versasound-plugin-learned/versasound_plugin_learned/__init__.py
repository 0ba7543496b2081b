"""Sound and picture brought together by a network that has learnt what a strike looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from versasound_core.feature_aligner import FeatureAligner as FeatureAligner

    from .aligner import LearnedAligner as LearnedAligner

__all__ = ["FeatureAligner", "LearnedAligner"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name == "LearnedAligner":
        from .aligner import LearnedAligner

        return LearnedAligner
    if name == "FeatureAligner":
        from versasound_core.feature_aligner import FeatureAligner

        return FeatureAligner
    raise AttributeError(name)

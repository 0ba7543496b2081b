"""What can be learnt, and from what."""

from __future__ import annotations

from .adapter import adapter_lesson
from .aligner import aligner_lesson
from .lesson import Lesson
from .projection import projection_lesson, unprojected

__all__ = ["Lesson", "adapter_lesson", "aligner_lesson", "projection_lesson", "unprojected"]

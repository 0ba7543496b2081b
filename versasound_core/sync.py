"""How far a sound is off its picture: measured, said in numbers, and drawn."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from .report import _DPI, _GROUND, _INK, _LOUD, _MOTION, _PANEL, _STRIKE, _label_time, _name, require_matplotlib

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes

    from .containers import Alignment, AudioData, VisualFeatures
    from .context import RunContext
    from .contracts import Aligner

_INCHES = (16.0, 5.2)


@attrs.frozen(eq=False)
class Sync:
    """What an aligner found for one sound and one picture.

    Args:
        audio: The sound as it was, `[1, C, T]`.
        features: What was seen.
        alignment: What was measured.
    """

    audio: AudioData
    features: VisualFeatures
    alignment: Alignment

    @property
    def confidence(self) -> float:
        """How sure the aligner is that the two belong together, in [0, 1]."""
        return self.alignment.confidence[0]

    @property
    def late_s(self) -> list[tuple[float, float]]:
        """Where each onset is heard, and by how much that is too late (negative: too early); empty if nothing fits."""
        return [(source_s, source_s - target_s) for source_s, target_s in self.alignment.knots[0]]

    @property
    def offset_s(self) -> float | None:
        """By how much the sound is late as a whole: the median of its onsets; None if nothing fits."""
        return statistics.median(late_s for _, late_s in self.late_s) if self.late_s else None

    def __str__(self) -> str:
        if self.offset_s is None:
            return (
                f"Nothing in the sound can be matched to the picture (confidence {self.confidence:.2f}); "
                "the sound stays as it is."
            )
        late = [late_s for _, late_s in self.late_s]
        range_ = f", {1000 * min(late):+.0f} to {1000 * max(late):+.0f} ms" if max(late) - min(late) >= 0.001 else ""  # noqa: PLR2004
        count = f"{len(late)} onset{'s' * (len(late) != 1)}"
        return f"The sound is {in_words(self.offset_s)} ({count}{range_}; confidence {self.confidence:.2f})."


def in_words(late_s: float) -> str:
    """Return `45 ms late`, `12 ms early` or `in time`."""
    late_ms = round(1000 * late_s)
    return f"{abs(late_ms)} ms {'late' if late_ms > 0 else 'early'}" if late_ms else "in time"


def measure_sync(audio: AudioData, features: VisualFeatures, aligner: Aligner, ctx: RunContext) -> Sync:
    """Measure one sound `[1, C, T]` against one picture.

    Raises:
        InvalidInputError: If the aligner cannot use them.
    """
    return Sync(audio, features, aligner.estimate(audio, features, ctx))


def write_sync_report(sync: Sync, title: str, output: str | os.PathLike[str]) -> Path:
    """Draw what is seen and what is heard, before and after the sound is moved, into a PNG.

    Raises:
        VersaSoundError: If matplotlib is not installed.
        MediaError: If the PNG cannot be written.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    from .media.atomic import written_whole

    figure = Figure(figsize=_INCHES, facecolor=_GROUND)
    duration_s = max(sync.audio.duration, sync.features.events.duration_s if sync.features.events else 0.0)
    panels = figure.subplots(2, 1, sharex=True, gridspec_kw={"hspace": 0.1})
    moved = sync.alignment.apply(sync.audio)
    for axes, name, audio in zip(panels, ("before", "after"), (sync.audio, moved), strict=True):
        _draw(axes, name, sync, audio)
        axes.set_xlim(0, duration_s)
    panels[0].tick_params(axis="x", length=0)
    _label_time(panels[1], duration_s)
    figure.text(0.02, 0.94, title, color=_INK, size=12, parse_math=False)
    figure.text(0.02, 0.895, str(sync), color=_INK, size=10, alpha=0.8, parse_math=False)
    figure.subplots_adjust(left=0.02, right=0.98, top=0.86, bottom=0.08)
    with written_whole(output) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI, facecolor=_GROUND)
    return Path(output)


def _draw(axes: Axes, name: str, sync: Sync, audio: AudioData) -> None:
    """Draw what is seen upward and what is heard downward."""
    import numpy as np

    from .events import onset_envelope
    from .events.cues import RATE_HZ, picture_cues

    heard = onset_envelope(audio, RATE_HZ)[0].numpy()
    events = sync.features.events
    if events is not None:
        cues = [np.maximum(cue, 0) for cue in picture_cues(events, 0, max(1, round(events.duration_s * RATE_HZ)))]
        seen = np.mean([cue / max(float(cue.max()), 1e-9) for cue in cues], axis=0)
        axes.fill_between(np.arange(len(seen)) / RATE_HZ, seen, color=_MOTION, linewidth=0)
        for time_s, strength in events.onsets[0]:
            axes.vlines(time_s, 0, strength, color=_STRIKE, linewidth=1.2)
    axes.fill_between(np.arange(len(heard)) / RATE_HZ, -heard / max(float(heard.max()), 1e-9), color=_LOUD, linewidth=0)
    axes.axhline(0, color=_INK, linewidth=0.5, alpha=0.4)
    axes.set(ylim=(-1.15, 1.3), yticks=[], facecolor=_PANEL)
    for spine in axes.spines.values():
        spine.set_visible(False)
    _name(axes, name, "seen above, heard below")

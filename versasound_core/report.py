"""One picture of a run: what is seen, what strikes when, and what is heard, on one time axis."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from .context import RunContext
from .errors import VersaSoundError

if TYPE_CHECKING:
    import os

    import numpy as np
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .containers import EventTrack, VideoClip
    from .pipeline import Result
    from .recipe import Recipe

    Array = npt.NDArray[np.float32]

PICTURES = 12
_COLUMNS = 2000  # of the waveform: more than there are pixels
_INCHES, _DPI = 16.0, 125
_SIDE, _HEAD, _GAP, _FOOT = 0.3, 0.95, 0.12, 0.42  # inches
_EVENTS_HIGH, _SOUND_HIGH = 1.35, 1.75
_TALLEST = 3.0
_MANY = 150  # onsets, from where lines through all panels would hide what is in them
_GROUND, _PANEL, _INK, _DIM = "#0d1017", "#151a24", "#eef1f6", "#8b95a7"
_MOTION, _STRIKE, _PEAK, _LOUD = "#2dd4bf", "#fbbf24", "#3b5b8f", "#7db4ff"


@attrs.frozen(eq=False)
class Outline:
    """What is left of a sound when each of `N` stretches of equal length becomes one column.

    Args:
        low: `[N]`, the lowest sample of any channel.
        high: `[N]`, the highest.
        rms: `[N]`, the root of the mean square over all channels.
        duration_s: Length of all columns.
    """

    low: Array
    high: Array
    rms: Array
    duration_s: float


def has_matplotlib() -> bool:
    """Whether a report can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None


def require_matplotlib() -> None:
    """Raise `VersaSoundError` if a report cannot be drawn."""
    if not has_matplotlib():
        raise VersaSoundError("a report needs matplotlib, which is not installed.", "pip install matplotlib")


def write_report(
    result: Result,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    recipe: Recipe,
    ctx: RunContext | None = None,
) -> Path:
    """Draw a run into a PNG, written whole or not at all.

    Memory does not grow with the clip: pictures are decoded one by one, and the sound of the file that was written is
    read in blocks.

    Args:
        result: What the run made.
        source: The clip.
        output: The PNG to write.
        recipe: What was asked for.
        ctx: Progress and cancellation.

    Raises:
        VersaSoundError: If matplotlib is not installed.
        MediaError: If the clip or the sound cannot be read or the PNG cannot be written.
    """
    require_matplotlib()
    from .containers import VideoClip
    from .media.atomic import written_whole

    ctx = ctx or RunContext()
    clip = VideoClip.open(source)
    ctx.report(0.0, "drawing the report")
    pictures = filmstrip(clip)
    outline = outline_of(result.path, clip.duration_s, ctx)
    figure = _draw(result, clip, pictures, outline, recipe)
    with written_whole(output) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # a prompt in a script that the font does not have
        figure.savefig(temporary, format="png", dpi=_DPI, facecolor=_GROUND)
    ctx.report(1.0, "drew the report")
    return Path(output)


def filmstrip(clip: VideoClip, count: int = PICTURES, width: int = 240) -> list[npt.NDArray[np.uint8]]:
    """Return the pictures `[H, W, 3]` on screen in the middle of each of `count` stretches of equal length."""
    import numpy as np

    size = max(1, round(width * clip.height / clip.width)), width
    times = (np.arange(count) + 0.5) * clip.duration_s / count
    info = clip.info
    if info is not None:
        shown = (info.pts - info.pts[0]) * float(info.time_base)
        keys = (np.sort(info.keys[:, 0]) - info.pts[0]) * float(info.time_base)
        from_key = times - keys[np.maximum(np.searchsorted(keys, times, "right") - 1, 0)]
        if from_key.sum() < clip.duration_s:  # seeking to each decodes less than going through all
            starts = [float(shown[np.searchsorted(shown, time, "right") - 1]) for time in times]
            return [_picture(clip, size, start) for start in starts]
    chunks = clip.frames(size=size, fps=2 * count / clip.duration_s, draft=True)
    ticks = [image for chunk in chunks for image in chunk.images[0].permute(0, 2, 3, 1).numpy()]
    return ticks[1::2]


def _picture(clip: VideoClip, size: tuple[int, int], start_s: float) -> npt.NDArray[np.uint8]:
    chunk = next(iter(clip.frames(size=size, start_s=start_s, chunk=1, draft=True)))
    picture: npt.NDArray[np.uint8] = chunk.images[0, 0].permute(1, 2, 0).numpy()
    return picture


def outline_of(path: Path, duration_s: float, ctx: RunContext, columns: int = _COLUMNS) -> Outline:
    """Read a sound in blocks and return its outline; what is longer than `duration_s` counts to the last column."""
    import numpy as np

    from .media.audio import read_audio_blocks

    low, high = np.zeros((2, columns), np.float32)
    power, count = np.zeros((2, columns))
    position = 0
    blocks = read_audio_blocks(path)
    for block in blocks:
        ctx.report(min(position / block.sample_rate / duration_s, 1.0), "drawing the report")
        samples = block.waveform[0].numpy()
        length = samples.shape[1]
        column = np.arange(position, position + length) * (columns / (duration_s * block.sample_rate))
        column = np.minimum(column.astype(np.int64), columns - 1)
        starts = np.flatnonzero(np.diff(column, prepend=-1))
        at = column[starts]
        low[at] = np.minimum(low[at], np.minimum.reduceat(samples.min(0), starts))
        high[at] = np.maximum(high[at], np.maximum.reduceat(samples.max(0), starts))
        power[at] += np.add.reduceat(np.square(samples, dtype=np.float64).mean(0), starts)
        count[at] += np.diff(starts, append=length)
        position += length
    rms = np.sqrt(power / np.maximum(count, 1)).astype(np.float32)
    return Outline(low, high, rms, duration_s)


def _draw(
    result: Result, clip: VideoClip, pictures: list[npt.NDArray[np.uint8]], outline: Outline, recipe: Recipe
) -> Figure:
    from matplotlib.figure import Figure

    wide = _INCHES - 2 * _SIDE
    strip_high = min(wide / len(pictures) * clip.height / clip.width, _TALLEST)
    tall = _HEAD + strip_high + _GAP + _EVENTS_HIGH + _GAP + _SOUND_HIGH + _FOOT
    figure = Figure(figsize=(_INCHES, tall), facecolor=_GROUND)
    top = tall - _HEAD

    def panel(high: float) -> Axes:
        nonlocal top
        top -= high
        axes = figure.add_axes((_SIDE / _INCHES, top / tall, wide / _INCHES, high / tall), facecolor=_PANEL)
        top -= _GAP
        axes.set(xlim=(0, clip.duration_s), xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    strip, events, sound = panel(strip_high), panel(_EVENTS_HIGH), panel(_SOUND_HIGH)
    _draw_head(figure, result, recipe, tall)
    _draw_strip(strip, pictures, clip)
    _draw_sound(sound, outline)
    if result.features.events is not None:
        _draw_events(events, result.features.events, [strip, sound])
    _label_time(sound, clip.duration_s)
    return figure


def _draw_head(figure: Figure, result: Result, recipe: Recipe, tall: float) -> None:
    left, right = _SIDE / _INCHES, 1 - _SIDE / _INCHES
    plain: dict[str, Any] = {"parse_math": False, "va": "center"}  # a dollar sign in a name is a dollar sign
    chain = " → ".join(name for name in (recipe.encoder, recipe.generator, recipe.aligner, recipe.refiner) if name)
    wish = f"“{_short(recipe.prompt, 80)}”" if recipe.prompt else "no prompt: chosen from the motion"
    upper, lower = 1 - 0.34 / tall, 1 - 0.68 / tall
    figure.text(left, upper, _short(result.path.name, 60), color=_INK, size=17, weight="bold", **plain)
    figure.text(right, upper, f"{chain}  ·  seed {result.seed}", color=_DIM, size=11, ha="right", **plain)
    figure.text(left, lower, wish, color=_STRIKE, size=13, **plain)
    said = _short("  ".join(result.notes), 110)
    figure.text(right, lower, said, color=_DIM, size=10, ha="right", **plain)


def _draw_strip(axes: Axes, pictures: list[npt.NDArray[np.uint8]], clip: VideoClip) -> None:
    step = clip.duration_s / len(pictures)
    gap = 0.012 * step
    for number, picture in enumerate(pictures):
        extent = (number * step + gap, (number + 1) * step - gap, 0.0, 1.0)
        axes.imshow(picture, extent=extent, aspect="auto", interpolation="antialiased")
    axes.set(xlim=(0, clip.duration_s), ylim=(0, 1))


def _draw_events(axes: Axes, track: EventTrack, others: list[Axes]) -> None:
    import numpy as np

    envelope = track.envelope[0].cpu().numpy()
    times = np.arange(len(envelope)) / track.rate_hz
    height = max(float(envelope.max(initial=0)), 1e-9)
    axes.fill_between(times, envelope / height, color=_MOTION, alpha=0.22, linewidth=0)
    axes.plot(times, envelope / height, color=_MOTION, linewidth=1.1)
    onsets = np.array(track.onsets[0]).reshape(-1, 2)
    axes.vlines(onsets[:, 0], 0, onsets[:, 1], color=_STRIKE, linewidth=1.4)
    axes.scatter(onsets[:, 0], onsets[:, 1], s=20 + 50 * onsets[:, 1], color=_STRIKE, zorder=3, edgecolors=_PANEL)
    if len(onsets) <= _MANY:
        for other in others:
            for time_s in onsets[:, 0]:
                other.axvline(time_s, color=_STRIKE, linewidth=0.9, alpha=0.55)
    axes.set_ylim(0, 1.22)
    _name(axes, "what strikes", f"{len(onsets)} onset{'s' * (len(onsets) != 1)}")


def _draw_sound(axes: Axes, outline: Outline) -> None:
    import numpy as np

    times = (np.arange(len(outline.low)) + 0.5) * outline.duration_s / len(outline.low)
    peak = max(float(outline.high.max()), -float(outline.low.min()))
    axes.fill_between(times, outline.low, outline.high, color=_PEAK, linewidth=0)
    axes.fill_between(times, -outline.rms, outline.rms, color=_LOUD, linewidth=0)
    axes.axhline(0, color=_LOUD, linewidth=0.5, alpha=0.6)
    limit = 1.3 * max(peak, 1e-6)
    axes.set_ylim(-limit, limit)
    _name(axes, "what is heard", f"peak {20 * np.log10(peak):.1f} dBFS" if peak > 0 else "silent")


def _name(axes: Axes, name: str, fact: str) -> None:
    axes.text(0.006, 0.95, name, transform=axes.transAxes, color=_INK, size=10, va="top", alpha=0.9)
    axes.text(0.994, 0.95, fact, transform=axes.transAxes, color=_DIM, size=10, va="top", ha="right")


def _label_time(axes: Axes, duration_s: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    def words(time_s: float, _: int) -> str:
        if duration_s < 100:  # noqa: PLR2004  (seconds)
            return f"{time_s:g} s"
        minutes, seconds = divmod(round(time_s), 60)
        return f"{minutes}:{seconds:02d}"

    steps = [1, 2, 5, 10] if duration_s < 100 else [1, 1.2, 1.8, 3, 6, 10]  # noqa: PLR2004  (tens of seconds, minutes)
    axes.xaxis.set_major_locator(MaxNLocator(14, steps=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(words))
    axes.tick_params(axis="x", colors=_DIM, labelsize=10, length=4)


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"

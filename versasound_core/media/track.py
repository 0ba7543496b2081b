"""The sound track of a file, decoded by presentation time."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import av
import numpy as np
import soxr
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.error import FFmpegError

from versasound_core.errors import MediaError

from .filters import FRAME, FilterGraph
from .probe import MAX_PIXELS, open_media, open_picture, stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from av.container import InputContainer

# Containers round time stamps (Matroska to 1 ms); a lost packet leaves a gap of 20 ms or more.
_JITTER_S = 0.015
# A stamp further than this past the end that the container tells is damage, not a gap.
_PAST_END_S = 10.0


class SoundTrack:
    """The main sound track of a file, on an axis whose 0 is the first picture, or without one the first sample.

    Args:
        path: Anything FFmpeg can read.
        start_s: Where to begin, 0 or later.
        end_s: Where to end; None reads to the end.

    Raises:
        MediaError: The file is missing or unreadable, or has no sound.
    """

    def __init__(self, path: Path, start_s: float, end_s: float | None) -> None:
        self._path = path
        self._start_s = start_s
        self._end_s = end_s
        with open_media(path) as file:
            stream = file.streams.best("audio")
            if not isinstance(stream, AudioStream):
                raise MediaError(f"{path} has no sound.", "Choose a file with an audio track.")
            self.sample_rate = int(stream.sample_rate or 0)
        if self.sample_rate <= 0:
            raise MediaError(f"{path} tells no sample rate of its sound.", "Check whether a player plays it.")

    def decoded(self, sample_rate: int, tell: Callable[[str], None]) -> Iterator[np.ndarray]:
        """Yield consecutive samples `[N, C]`, float32, one or two channels, at `sample_rate` Hz.

        Args:
            sample_rate: Hz.
            tell: Called at the end with a sentence if something was damaged.

        Raises:
            MediaError: Nothing can be decoded.
        """
        resampler: soxr.ResampleStream | None = None
        for samples in self._placed(tell):
            if sample_rate == self.sample_rate:
                yield samples
                continue
            if resampler is None:
                channels = samples.shape[1]
                resampler = soxr.ResampleStream(self.sample_rate, sample_rate, channels, quality="VHQ")
                nothing = samples[:0]
            yield resampler.resample_chunk(samples)
        if resampler is not None:
            yield resampler.resample_chunk(nothing, last=True)

    def _placed(self, tell: Callable[[str], None]) -> Iterator[np.ndarray]:
        """Yield the track's samples from `start_s` to `end_s`, with silence where it has none."""
        rate = self.sample_rate
        end = sys.maxsize if self._end_s is None else round((self._end_s - self._start_s) * rate)
        origin = _first_picture_s(self._path)
        written, due = 0, None
        with open_media(self._path) as file:
            frames = _Frames(file, rate)
            for time_s, samples in frames:
                if origin is None:
                    origin = time_s or 0.0
                told = due if time_s is None else round((time_s - origin - self._start_s) * rate)
                if due is None or (told is not None and abs(told - due) > _JITTER_S * rate):
                    due = told or 0
                while written < min(due, end):
                    gap = min(FRAME, due - written, end - written)
                    yield np.zeros((gap, samples.shape[1]), np.float32)
                    written += gap
                kept = samples[max(0, written - due) :]
                kept = kept[: min(len(kept), end - written)]
                due += len(samples)
                written += len(kept)
                yield kept
                if written >= end:
                    break
        if origin is None or due is None:
            raise MediaError(f"The sound of {self._path} cannot be decoded.", "Check whether a player plays it.")
        if frames.damaged:
            tell(f"{self._path.name}: {frames.damaged} damaged pieces of its sound were replaced by silence.")


class _Frames:
    """The decoded frames of a file's main sound track: when each is presented, and its samples `[N, C]`."""

    def __init__(self, file: InputContainer, sample_rate: int) -> None:
        self._file = file
        self._rate = sample_rate
        self._layout = ""
        self._came = ("", "", 0)
        self._converter: FilterGraph | None = None
        self._latest_s = math.inf
        if file.duration is not None:
            self._latest_s = ((file.start_time or 0) + file.duration) / av.time_base + _PAST_END_S
        self.damaged = 0

    def __iter__(self) -> Iterator[tuple[float | None, np.ndarray]]:
        for frame in self._decoded():
            time_s = frame.time if frame.time is not None and frame.time <= self._latest_s else None
            samples = self._converted(frame)
            if not np.isfinite(samples).all():
                self.damaged += 1
                samples = np.where(np.isfinite(samples), samples, np.float32(0))
            yield time_s, np.ascontiguousarray(samples.T)

    def _decoded(self) -> Iterator[AudioFrame]:
        try:
            for packet in self._file.demux(self._file.streams.best("audio")):
                try:
                    frames = packet.decode()
                except FFmpegError:
                    self.damaged += 1
                else:
                    yield from (frame for frame in frames if isinstance(frame, AudioFrame))
        except FFmpegError:
            # The file breaks off; what came before is good.
            self.damaged += 1

    def _converted(self, frame: AudioFrame) -> np.ndarray:
        """Return the frame's samples as float `[C, N]`, C = 1 or 2, at the track's rate."""
        came = (frame.format.name, frame.layout.name, frame.sample_rate)
        self._layout = self._layout or ("mono" if frame.layout.nb_channels == 1 else "stereo")
        if came == ("fltp", self._layout, self._rate):
            return frame.to_ndarray()
        if came != self._came or self._converter is None:
            self._came = came
            # The greatest sum of a row of the matrix is 1: nothing that fits in six channels clips in two.
            wanted = f"out_sample_rate={self._rate}:out_sample_fmt=fltp:out_chlayout={self._layout}:rematrix_maxval=1"
            self._converter = FilterGraph([f"aresample={wanted}"], frame.sample_rate, came[1], came[0])
        parts = [converted.to_ndarray() for converted in self._converter.push_frame(frame)]
        nothing = np.zeros((1 if self._layout == "mono" else 2, 0), np.float32)
        return np.concatenate([nothing, *parts], axis=1)


def _first_picture_s(path: Path) -> float | None:
    """When the first picture is shown, on the container's own clock; None where nothing moves."""
    try:
        file, stream = open_picture(path, MAX_PIXELS)
    except MediaError:
        return None
    with file:
        for packet in file.demux(stream):
            try:
                times = [stamp(frame) for frame in packet.decode()]
            except FFmpegError:  # recordings may start in the middle of a group of pictures
                continue
            if times and times[0] is not None and stream.time_base is not None:
                return float(times[0] * stream.time_base)
    return None

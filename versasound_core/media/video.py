"""Frames of a video: decoded in order, sampled on a clock, scaled into arrays."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import attrs
import numpy as np
from av import VideoFrame
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from versasound_core.errors import MediaError

from .probe import TOLERATED_S, VideoInfo, open_picture, stamp
from .shrink import can_shrink, pixels, shrink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from av.packet import Packet

Format = Literal["rgb", "luma", "yuv"]
Picture = TypeVar("Picture")

# The pixel format to ask swscale for, and its planes in the order that the tensor has them. All planar: each plane is
# copied once.
_PLANES: dict[Format, tuple[str, tuple[int, ...]]] = {
    "rgb": ("gbrp", (2, 0, 1)),
    "luma": ("gray", (0,)),
    "yuv": ("yuv444p", (0, 1, 2)),
}
_STORED = frozenset({"gray", "yuv444p"})  # whose planes are planes of the frame, only smaller
# swscale's fast conversion to planar RGB at an unchanged size leaves the columns past the last whole group of so many
# unwritten; rounding accurately takes another way.
_FAST_COLUMNS = 16
_CHUNK_BYTES = 256 * 2**20
_EPSILON_S = 1e-6
_EPSILON_TICKS = 1e-3


class Decoder:
    """An open file whose picture is decoded from one moment or another; close it in the end.

    Args:
        info: The file, probed.
        draft: Leave out the codec's deblocking filter.
        threads: How many decode; None leaves that to FFmpeg.
    """

    def __init__(self, info: VideoInfo, *, draft: bool = False, threads: int | None = None) -> None:
        self.info, self.draft, self._begun = info, draft, False
        self._container, self._stream = open_picture(info.path, info.max_pixels)
        self._stream.thread_type = "AUTO"
        if threads is not None:
            self._stream.codec_context.thread_count = threads
        if draft:
            self._stream.codec_context.options |= {"skip_loop_filter": "all"}

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def frames(self, start_s: float = 0.0, stop: int | None = None) -> Iterator[tuple[float, VideoFrame]]:
        """Decode in the order of presentation.

        Args:
            start_s: Frames on screen from here on are needed; decoding starts at a key frame before.
            stop: One of the file's `parts`, where to stop; by default its end.

        Yields:
            Seconds after the first frame of the file, and the frame.

        Raises:
            MediaError: More than half a second (a tenth, if that is less) of the picture cannot be decoded at a
                stretch.
        """
        info = self.info
        start = int(info.pts[0] + start_s / info.time_base + _EPSILON_TICKS)
        sought = self._seek(start)
        self._begun = True
        counter = iter(info.pts.tolist())
        watch = _Watch(info, int(info.pts[0]) if sought is None else sought)
        for packet in self._packets(stop):
            try:
                frames = self._stream.decode(packet)
            except FFmpegError:
                continue  # a player shows the frame before a little longer; `watch` says when that is too long
            for frame in frames:
                time = next(counter, None) if info.counted else stamp(frame)
                if time is None or time < info.pts[0]:
                    continue
                if sought is not None and time > start:
                    # The decoder could not start at that key frame.
                    whole = attrs.evolve(info, keys=info.keys[:0], parts=info.parts[:0])
                    stop_s = math.inf if stop is None else info.seconds(stop)
                    yield from within(decode(whole, start_s, draft=self.draft), 0.0, stop_s)
                    return
                sought = None
                watch.see(time, whole=not frame.is_corrupt)
                yield info.seconds(time), frame
        last = -1 if stop is None else int(np.searchsorted(info.pts, stop)) - 1
        watch.see(int(info.pts[last]), whole=False)

    def _seek(self, start: int) -> int | None:
        """Go to the last key frame at or before `start`, and return its time; None where that is the beginning."""
        info = self.info
        if len(parts := info.parts[info.parts <= start]):
            self._container.seek(int(parts[-1]), stream=self._stream)
            return int(parts[-1])
        before = info.keys[info.keys[:, 0] <= start]
        if len(before) < 2 or info.counted:  # noqa: PLR2004
            if self._begun:
                self._container.seek(int(info.keys[:1].min(initial=info.pts[0])), stream=self._stream)
            return None
        # Demuxers search by decoding or by presentation time; the earlier of the two is right for both.
        self._container.seek(int(before[-1].min()), stream=self._stream)
        return int(before[-1, 0])

    def _packets(self, stop: int | None) -> Iterator[Packet[Any] | None]:
        for packet in self._container.demux(self._stream):
            if stop is not None and packet.is_keyframe and (time := stamp(packet)) is not None and time >= stop:
                yield None  # what the decoder still holds back
                return
            yield packet


def decode(info: VideoInfo, start_s: float = 0.0, *, draft: bool = False) -> Iterator[tuple[float, VideoFrame]]:
    """Decode a file's picture in the order of presentation, and close it; see `Decoder.frames`."""
    with Decoder(info, draft=draft) as decoder:
        yield from decoder.frames(start_s)


class _Watch:
    """Notices when the decoder gives no whole picture for too long."""

    def __init__(self, info: VideoInfo, start: int) -> None:
        self._info = info
        self._whole = start
        self._limit = float(min(TOLERATED_S, 0.1 * info.duration_s) / info.time_base)

    def see(self, time: int, *, whole: bool) -> None:
        if time - self._whole > self._limit:
            lost = np.count_nonzero((self._info.pts > self._whole) & (self._info.pts < time + (not whole)))
            if lost:
                at_s = self._info.seconds(self._whole)
                raise MediaError(
                    f"{self._info.path} is damaged at {at_s:.2f} s: {lost} frames cannot be decoded.",
                    "Copy or download it again, or cut that part out.",
                )
        if whole:
            self._whole = time


def within(pictures: Iterable[tuple[float, Picture]], start_s: float, end_s: float) -> Iterator[tuple[float, Picture]]:
    """Keep the pictures that appear in [start_s, end_s)."""
    for time, picture in pictures:
        if time >= end_s - _EPSILON_S:
            return
        if time >= start_s - _EPSILON_S:
            yield time, picture


def on_ticks(
    pictures: Iterable[tuple[float, Picture]], fps: float, start_s: float, end_s: float, slack_s: float = _EPSILON_S
) -> Iterator[tuple[float, Picture]]:
    """Give the picture on screen at every tick k / fps in [start_s, end_s), dropping and repeating as it must.

    Args:
        pictures: Times and pictures, ascending; the last one stays on screen.
        fps: Ticks a second.
        start_s: Seconds.
        end_s: Seconds.
        slack_s: A picture counts as on screen this much before its time, because containers round times.
    """
    # Rounded, so that a length of 22 s minus a rounding error does not lose or gain a tick.
    tick, stop = (math.ceil(round(bound * fps, 4)) for bound in (start_s, end_s))
    held: Picture | None = None
    for time, picture in pictures:
        while held is not None and tick < stop and tick / fps < time - slack_s:
            yield tick / fps, held
            tick += 1
        if tick >= stop:
            return
        held = picture
    while held is not None and tick < stop:
        yield tick / fps, held
        tick += 1


def from_pixels(pixels: np.ndarray) -> VideoFrame:
    """Make a frame of uint8 `[C, H, W]`; C is 1 (gray) or 3 (RGB)."""
    rgb = np.broadcast_to(pixels, (3, *pixels.shape[1:]))
    return VideoFrame.from_ndarray(np.ascontiguousarray(rgb.transpose(1, 2, 0)), format="rgb24")


class Scaler:
    """Writes frames into arrays at one size and format.

    Args:
        size: Height and width, as shown.
        pixels: What the channels are.
        rotation: Degrees counter-clockwise to turn by, a multiple of 90.
        draft: Colour may be coarser than `size` down the picture as it is stored.
    """

    def __init__(self, size: tuple[int, int], pixels: Format, rotation: int = 0, *, draft: bool = False) -> None:
        self.size = size
        self._draft = draft
        self._turns = rotation // 90
        self._stored = size[::-1] if self._turns % 2 else size
        self._format, self._planes = _PLANES[pixels]
        # FFmpeg stretches luma to full range for gray; calling both sides full keeps it as stored.
        self._range = ColorRange.JPEG if pixels == "luma" else None
        self._reformatter = VideoReformatter()

    @property
    def channels(self) -> int:
        """How many channels an array gets."""
        return len(self._planes)

    def write(self, frame: VideoFrame, out: np.ndarray) -> None:
        """Scale `frame` into `out`, uint8 `[C, H, W]`."""
        height, width = self._stored
        if self._format in _STORED and can_shrink(frame, height, width):
            for target, index in zip(out, self._planes, strict=True):
                target[...] = self._turned(shrink(frame, index, height, width, draft=self._draft))
            return
        shrinks = height < frame.height or width < frame.width
        filter_ = Interpolation.AREA if shrinks else Interpolation.BILINEAR
        if width % _FAST_COLUMNS and (height, width) == (frame.height, frame.width):
            filter_ |= Interpolation.ACCURATE_RND
        scaled = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=self._format,
            interpolation=filter_,
            src_color_range=self._range,
            dst_color_range=self._range,
            threads=1,  # the decoder's threads are busy already
        )
        for target, index in zip(out, self._planes, strict=True):
            target[...] = self._turned(pixels(scaled, index))

    def _turned(self, stored: np.ndarray) -> np.ndarray:
        return np.rot90(stored, self._turns) if self._turns else stored


def most_frames(chunk: int, frame_bytes: int) -> int:
    """Return how many frames a chunk gets: `chunk`, or as many as fit in 256 MiB."""
    return max(1, min(chunk, _CHUNK_BYTES // frame_bytes))


def gather(
    pictures: Iterable[tuple[float, Sequence[VideoFrame]]], scaler: Scaler, chunk: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Collect pictures (a batch of frames each) into arrays.

    Yields:
        uint8 `[B, n, C, H, W]` and float64 `[n]` seconds, with n <= chunk, and fewer where 256 MiB would be passed.
    """
    pictures = iter(pictures)
    for time, first in pictures:
        shape = (scaler.channels, *scaler.size)
        count = most_frames(chunk, len(first) * math.prod(shape))
        images = np.empty((len(first), count, *shape), np.uint8)
        times = np.empty(count)
        used, previous = 0, None
        for time_s, frames in itertools.chain([(time, first)], itertools.islice(pictures, count - 1)):
            times[used] = time_s
            if frames is previous:
                images[:, used] = images[:, used - 1]
            else:
                for item, frame in enumerate(frames):
                    scaler.write(frame, images[item, used])
            used, previous = used + 1, frames
        yield images[:, :used], times[:used]

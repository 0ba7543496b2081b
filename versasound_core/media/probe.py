"""What a video file holds: which picture, on which time axis, and whether all of it is there."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import av
import numpy as np
from av.error import FFmpegError, InvalidDataError
from av.stream import Disposition
from av.video.stream import VideoStream

from versasound_core.errors import MediaError

if TYPE_CHECKING:
    import os

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame

MAX_PIXELS = 8192 * 8192
# So much of a picture may be missing at a stretch: players show such a file without a word.
TOLERATED_S = 0.5
_RECOPY = "Copy or download it again."
# Containers that go to the key frame that is shown at a given time.
_INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
# Containers whose header states a length that a complete file keeps.
_STATED_LENGTH = ("matroska,webm", "flv")


@attrs.frozen(kw_only=True, eq=False)
class VideoInfo:
    """The picture of a file.

    Args:
        path: The file.
        stream_index: Which stream FFmpeg takes for the best picture.
        width: Pixels, as shown (after rotation).
        height: Pixels, as shown.
        rotation: Degrees counter-clockwise that the stored picture is turned by: 0, 90, 180 or 270.
        time_base: Seconds of one tick of `pts`.
        pts: `[N]` int64, presentation times of all frames, ascending, in ticks of the container.
        keys: `[K, 2]` int64, presentation and decoding time of every key frame, ascending.
        parts: `[P]` int64, presentation times of the key frames after the first that part the file: what is shown
            earlier is stored earlier too, and what is shown later later. Empty where the container does not go to the
            key frame that is shown at a given time.
        end: Where the last frame ends, in ticks.
        counted: The container stores no times of presentation (AVI): the n-th frame decoded has the n-th time.
        has_audio: Whether there is any audio track, silent or not.
        max_pixels: The largest frame that will be decoded.
    """

    path: Path
    stream_index: int
    width: int
    height: int
    rotation: int
    time_base: Fraction
    pts: np.ndarray
    keys: np.ndarray
    parts: np.ndarray
    end: int
    counted: bool
    has_audio: bool
    max_pixels: int

    @property
    def start_s(self) -> float:
        """When the first frame is shown, on the container's clock."""
        return float(int(self.pts[0]) * self.time_base)

    @property
    def duration_s(self) -> float:
        """From the first frame's appearance to the last one's end."""
        return self.seconds(self.end)

    def seconds(self, ticks: int) -> float:
        """Return ticks of the container as seconds after the first frame."""
        return (ticks - int(self.pts[0])) * self.time_base.numerator / self.time_base.denominator


def stamp(timed: Packet[Any] | VideoFrame) -> int | None:
    """Return the time of presentation, or of decoding where that is all there is."""
    return timed.pts if timed.pts is not None else timed.dts


def open_media(path: str | os.PathLike[str], **options: str) -> InputContainer:
    """Open a media file for reading.

    Raises:
        MediaError: There is no such file, it may not be read, or FFmpeg does not know it.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise MediaError(f"{path} is a folder.", "Name a video file.")
        if path.stat().st_size == 0:
            raise MediaError(f"{path} is empty.", _RECOPY)
        # The prefix keeps names with a colon from being taken for a protocol.
        return av.open(f"file:{path}", options=options)
    except (InvalidDataError, EOFError) as error:
        message = f"{path} is not media that FFmpeg knows, or its header is damaged or cut off."
        raise MediaError(message, "See whether a player shows it; if not, copy or download it again.") from error
    except (OSError, FFmpegError) as error:
        hint = "Check the name and the file's rights."
        raise MediaError(f"{path} cannot be read: {error.strerror}.", hint) from error


def open_picture(path: str | os.PathLike[str], max_pixels: int) -> tuple[InputContainer, VideoStream]:
    """Open a video file and choose its picture; the caller closes the container.

    Raises:
        MediaError: As `open_media`, or there is no moving picture, no decoder for it, or more than `max_pixels`.
    """
    container = open_media(path, max_pixels=str(max_pixels))
    try:
        return container, _picture(container, Path(path), max_pixels)
    except BaseException:
        container.close()
        raise


def _picture(container: InputContainer, path: Path, max_pixels: int) -> VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & (
        Disposition.attached_pic | Disposition.timed_thumbnails
    ):
        what = "only a cover image" if stream is not None else "sound only" if container.streams.audio else "no picture"
        raise MediaError(f"{path} has no picture: it holds {what}.", "Give a video file.")
    if container.format.name.endswith("_pipe") or container.format.name == "image2":
        raise MediaError(f"{path} is a still picture.", "Give a video file.")
    if stream.codec_context is None:
        raise MediaError(f"{path} is coded in a way that this FFmpeg cannot decode.", "Convert it to H.264 first.")
    width, height = stream.codec_context.width, stream.codec_context.height
    larger = "If its frames are that large, scale it down first, or open it with a larger max_pixels."
    if width * height > max_pixels:
        message = f"{path} says its frames are {width}x{height} pixels; the limit is {max_pixels} pixels a frame."
        raise MediaError(message, larger)
    if width * height == 0:
        message = f"{path} does not say how large its frames are, or they have more than {max_pixels} pixels."
        raise MediaError(message, larger)
    stream.codec_context.options = {"max_pixels": str(max_pixels)}
    return stream


def probe(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> VideoInfo:
    """Read the time axis of a video from its packets; of the picture, only the first frame is decoded.

    Raises:
        MediaError: As `open_picture`, or the file is cut short, or nothing in it can be decoded.
    """
    path = Path(path)
    container, stream = open_picture(path, max_pixels)
    with container:
        scan = _Scan(stream)
        try:
            for packet in container.demux():
                scan.add(packet)
        except FFmpegError as error:
            raise MediaError(f"{path} is damaged after {scan.reached_s:.2f} s: {error.strerror}.", _RECOPY) from error
        if scan.first is None:
            raise MediaError(f"{path} holds no picture that can be decoded.", _RECOPY)
        scan.refuse_cut_short(container, path)
        counted = container.format.name == "avi"
        pts, end = scan.axis(counted=counted)
        turned = scan.first.rotation % 180 != 0
        width, height = scan.first.width, scan.first.height
        return VideoInfo(
            path=path,
            stream_index=stream.index,
            width=height if turned else width,
            height=width if turned else height,
            rotation=round(scan.first.rotation / 90) * 90 % 360,
            time_base=stream.time_base or Fraction(1, 1),
            pts=pts,
            keys=np.array(sorted(scan.keys), np.int64).reshape(-1, 2),
            parts=scan.parts(pts) if container.format.name in _INDEXED else np.zeros(0, np.int64),
            end=end,
            counted=counted,
            has_audio=bool(container.streams.audio),
            max_pixels=max_pixels,
        )


class _Scan:
    """What one pass over the packets shows."""

    def __init__(self, stream: VideoStream) -> None:
        self.stream = stream
        self.first: VideoFrame | None = None
        self.shown: list[tuple[int, int]] = []  # presentation time and duration
        self.keys: list[tuple[int, int]] = []
        self.first_of_part: list[int] = []  # times of key frames between what is stored and shown before and after
        self.latest: int | None = None
        self.count = 0
        self.ends: dict[int, int] = {}  # of every stream, in its ticks
        self.last: Packet[Any] | None = None

    def add(self, packet: Packet[Any]) -> None:
        time = stamp(packet)
        if time is not None:
            end = time + (packet.duration or 0)
            self.ends[packet.stream_index] = max(self.ends.get(packet.stream_index, 0), end)
        if packet.stream_index != self.stream.index:
            return
        if self.first is None:
            self._try_first(packet)
        if time is None:  # the flush after the last packet
            return
        self.count += 1
        self.last = packet
        # An edit list cuts away what it discards; AVI repeats a frame by a packet without contents.
        if packet.size and not packet.is_discard:
            self.shown.append((time, packet.duration or 0))
        while self.first_of_part and self.first_of_part[-1] > time:
            self.first_of_part.pop()
        if packet.is_keyframe:
            self.keys.append((time, packet.dts if packet.dts is not None else time))
            if self.latest is None or self.latest < time:
                self.first_of_part.append(time)
        self.latest = time if self.latest is None else max(self.latest, time)

    @property
    def reached_s(self) -> float:
        """How far the packets reach."""
        streams = self.stream.container.streams
        return max((float(end * (streams[index].time_base or 0)) for index, end in self.ends.items()), default=0.0)

    def _try_first(self, packet: Packet[Any]) -> None:
        try:
            self.first = next((f for f in self.stream.decode(packet) if stamp(f) is not None), None)
        except FFmpegError:  # recordings may start in the middle of a group of pictures
            return

    def refuse_cut_short(self, container: InputContainer, path: Path) -> None:
        """Raise `MediaError` where the index or the header promises more than there is."""
        promised = max(
            len(self.stream.index_entries), int(self.stream.frames / 1.05) - 1
        )  # a header may count a few more
        stated_s = (container.duration or 0) / av.time_base if container.format.name in _STATED_LENGTH else 0.0
        # A broadcast recording ends anywhere, and its last packet with it.
        torn = self.last is not None and self.last.is_corrupt and container.format.name != "mpegts"
        if torn or promised > self.count or stated_s - self.reached_s > TOLERATED_S:
            raise MediaError(f"{path} is cut short or damaged: it ends after {self.reached_s:.2f} s.", _RECOPY)

    def parts(self, pts: np.ndarray) -> np.ndarray:
        """Return where the file can be parted, of the frames that are shown."""
        return np.intersect1d(np.array(self.first_of_part, np.int64), pts[1:])

    def axis(self, *, counted: bool) -> tuple[np.ndarray, int]:
        """Return the presentation times, ascending, from the first frame that decodes, and the end of the last."""
        shown = np.array(sorted(self.shown), np.int64)
        pts, length = shown[:, 0], int(shown[-1, 1])
        if not counted and self.first is not None:
            pts = pts[pts >= (stamp(self.first) or 0)]
        if length <= 0:
            rate, tick = self.stream.guessed_rate, self.stream.time_base
            guess = float(1 / (rate * tick)) if rate and tick else 1.0
            length = max(1, round(float(np.median(np.diff(pts))) if len(pts) > 1 else guess))
        return pts, int(pts[-1]) + length

"""Moving pictures: a file or a tensor, decoded in chunks as they are asked for."""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import TYPE_CHECKING

import attrs
import torch

from versasound_core.errors import InvalidInputError, MediaError
from versasound_core.media import video as media
from versasound_core.media.ahead import ahead
from versasound_core.media.parts import Parts
from versasound_core.media.probe import MAX_PIXELS, VideoInfo, probe

from ._checks import float_tensor, positive

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from av.video.frame import VideoFrame

_INNER = 32  # frames of the chunks that parts are made of


@attrs.frozen(eq=False, repr=False)
class FrameChunk:
    """Consecutive frames.

    Args:
        images: uint8 `[B, n, C, H, W]`.
        times_s: float64 `[n]`, seconds after the clip's first frame.
    """

    images: torch.Tensor
    times_s: torch.Tensor

    def __repr__(self) -> str:
        return f"FrameChunk([B, n, C, H, W]={list(self.images.shape)})"


@attrs.frozen
class _Look:
    """How pictures become chunks."""

    size: tuple[int, int]
    format: media.Format
    rotation: int
    draft: bool
    fps: float | None
    chunk: int
    slack_s: float  # a picture counts as on screen this much before its time

    def scaler(self) -> media.Scaler:
        return media.Scaler(self.size, self.format, self.rotation, draft=self.draft)

    def chunks(
        self, source: Generator[tuple[float, Sequence[VideoFrame]]], start_s: float, end_s: float
    ) -> Generator[FrameChunk]:
        """Yield what lies between two times."""
        pictures = (
            media.within(source, start_s, end_s)
            if self.fps is None
            else media.on_ticks(source, self.fps, start_s, end_s, self.slack_s)
        )
        try:
            for images, times in media.gather(pictures, self.scaler(), self.chunk):
                yield FrameChunk(torch.from_numpy(images), torch.from_numpy(times))
        finally:
            source.close()


def _slack_s(info: VideoInfo | None) -> float:
    """Containers round the times of pictures."""
    return min(float(info.time_base), 1e-3) if info else 1e-6


def _batch_of_one(
    pictures: Iterable[tuple[float, VideoFrame]],
) -> Generator[tuple[float, Sequence[VideoFrame]]]:
    for time, frame in pictures:
        yield time, (frame,)


def _rejoined(chunks: Generator[FrameChunk], count: int) -> Generator[FrameChunk]:
    """Make chunks of `count` frames, but for the last, of chunks of other lengths."""
    held: list[FrameChunk] = []
    with closing(chunks):
        for chunk in chunks:
            held.append(chunk)
            if sum(len(part.times_s) for part in held) >= count:
                whole = _joined(held)
                full = len(whole.times_s) // count * count
                for first in range(0, full, count):
                    yield FrameChunk(whole.images[:, first : first + count], whole.times_s[first : first + count])
                held = [FrameChunk(whole.images[:, full:], whole.times_s[full:])]
    if sum(len(part.times_s) for part in held):
        yield _joined(held)


def _joined(chunks: list[FrameChunk]) -> FrameChunk:
    return FrameChunk(torch.cat([c.images for c in chunks], 1), torch.cat([c.times_s for c in chunks]))


@attrs.frozen(eq=False, repr=False)
class VideoClip:
    """A video file, or frames in memory. Make one with `open` or `from_tensor`.

    Args:
        source: The probed file, or uint8 frames `[B, T, C, H, W]`.
        frame_rate: Frames a second of a tensor; a file has its own times.
        tensor_start_s: When a tensor's first frame is shown on the clock it was taken from.
    """

    source: VideoInfo | torch.Tensor
    frame_rate: float | None = None
    tensor_start_s: float = 0.0

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> VideoClip:
        """Open a video file: read its time axis from the packets and decode its first frame, no more.

        Args:
            path: The file.
            max_pixels: Frames with more pixels than this are refused.

        Raises:
            MediaError: The file cannot be read, has no picture, is a still, is cut short, or its frames are too large.
        """
        return cls(probe(path, max_pixels))

    @classmethod
    def from_tensor(cls, frames: torch.Tensor, fps: float, start_s: float = 0.0) -> VideoClip:
        """Make a clip of frames in memory.

        Args:
            frames: `[B, T, C, H, W]`, uint8 or floats in [0, 1]; C is 1 (gray) or 3 (RGB).
            fps: Frames a second.
            start_s: When the first frame is shown on the clock they were taken from.

        Raises:
            InvalidInputError: If the shape, the type, a value or the rate is wrong.
        """
        if not isinstance(frames, torch.Tensor) or frames.ndim != 5 or frames.shape[2] not in (1, 3):  # noqa: PLR2004
            got = list(frames.shape) if isinstance(frames, torch.Tensor) else type(frames).__name__
            raise InvalidInputError(f"frames must be a tensor [B, T, C, H, W] with 1 or 3 channels; got {got}.")
        if frames.numel() == 0:
            raise InvalidInputError(f"frames [B, T, C, H, W] are empty: {list(frames.shape)}.")
        if frames.is_floating_point():
            low, high = float_tensor(frames, "frames", "B, T, C, H, W").aminmax()
            if low < 0 or high > 1:
                message = f"frames of floats must lie in [0, 1]; these span {low:.3g} to {high:.3g}."
                raise InvalidInputError(message, "Divide by 255, or pass uint8.")
            frames = (frames.detach() * 255).round().to(torch.uint8)
        elif frames.dtype != torch.uint8:
            raise InvalidInputError(f"frames must be uint8 or floats in [0, 1], not {frames.dtype}.")
        return cls(frames, float(positive(fps, "fps", "frames a second")), float(start_s))

    def __repr__(self) -> str:
        what = str(self.path) if self.path else f"[B, T, C, H, W]={list(self._tensor.shape)}"
        return f"VideoClip({what}, {self.width}x{self.height}, {self.num_frames} frames, {self.duration_s:.3f} s)"

    @property
    def _tensor(self) -> torch.Tensor:
        assert isinstance(self.source, torch.Tensor)  # noqa: S101  (for the type checker; callers have looked)
        return self.source

    @property
    def info(self) -> VideoInfo | None:
        """What probing the file found; None for frames in memory."""
        return self.source if isinstance(self.source, VideoInfo) else None

    @property
    def path(self) -> Path | None:
        """The file; None for frames in memory."""
        return self.info.path if self.info else None

    @property
    def num_frames(self) -> int:
        """How many frames there are."""
        return len(self.info.pts) if self.info else self._tensor.shape[1]

    @property
    def duration_s(self) -> float:
        """Length of the picture in seconds: from the first frame's appearance to the last one's end."""
        return self.info.duration_s if self.info else self._tensor.shape[1] / self.fps

    @property
    def fps(self) -> float:
        """Frames a second, on average."""
        return self.frame_rate or self.num_frames / self.duration_s

    @property
    def start_s(self) -> float:
        """When the first frame is shown, on the container's clock; everything else counts from there."""
        return self.info.start_s if self.info else self.tensor_start_s

    @property
    def width(self) -> int:
        """Pixels, as shown (after rotation)."""
        return self.info.width if self.info else self._tensor.shape[4]

    @property
    def height(self) -> int:
        """Pixels, as shown (after rotation)."""
        return self.info.height if self.info else self._tensor.shape[3]

    @property
    def rotation(self) -> int:
        """Degrees counter-clockwise by which the stored picture is turned; frames come turned already."""
        return self.info.rotation if self.info else 0

    @property
    def has_audio(self) -> bool:
        """Whether the file has an audio track, silent or not."""
        return self.info.has_audio if self.info else False

    @property
    def batch_size(self) -> int:
        """How many clips of one length this is; a file is one."""
        return 1 if self.info else self._tensor.shape[0]

    def frames(  # noqa: PLR0913  (all have defaults)
        self,
        *,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        format: media.Format = "rgb",  # noqa: A002  (what FFmpeg and PyAV call it)
        chunk: int = 32,
        start_s: float = 0.0,
        end_s: float | None = None,
        draft: bool = False,
    ) -> Iterator[FrameChunk]:
        """Decode, in chunks, so that memory does not grow with the clip. The file is closed when the caller stops.

        Small pictures of a file with enough key frames are decoded in parts, side by side; they are the same.

        Args:
            size: Height and width to scale to; the clip's own by default.
            fps: Give the frame on screen at every k / fps; by default every frame at its own time.
            format: `"rgb"`; `"luma"`, one channel, as stored; `"yuv"`, three channels, as stored, all at `size`.
            chunk: The most frames in one chunk (fewer, where a chunk would take more than 256 MiB).
            start_s: Leave out what comes before, seconds after the first frame.
            end_s: Leave out what comes from here on; the clip's end by default.
            draft: Decode without the codec's deblocking filter: a third faster, and not to be told from the full
                decoding in pictures scaled to a fraction of their size. These may be means of some of the rows only,
                and have their colour in bands of four rows.

        Raises:
            InvalidInputError: If an argument is out of range.
            MediaError: If too much of the picture cannot be decoded; names the place.
        """
        height, width = size or (self.height, self.width)
        end_s = self.duration_s if end_s is None else min(end_s, self.duration_s)
        positive(height, "height", "pixels")
        positive(width, "width", "pixels")
        positive(chunk, "chunk", "frames")
        if fps is not None:
            positive(fps, "fps", "frames a second")
        if format not in ("rgb", "luma", "yuv"):
            raise InvalidInputError(f"format must be rgb, luma or yuv, not {format!r}.")
        if not 0 <= start_s <= self.duration_s:
            raise InvalidInputError(f"start_s must lie in the clip, 0 to {self.duration_s:.3f} s, not {start_s!r}.")
        info = self.info
        look = _Look((height, width), format, self.rotation, draft, fps, chunk, _slack_s(info))
        if info is None:
            return ahead(look.chunks(self._from_memory(start_s), start_s, end_s))
        frame_bytes = look.scaler().channels * height * width
        if parts := Parts.of(info, start_s, end_s, frame_bytes):
            inner = attrs.evolve(look, chunk=_INNER)
            chunks = parts.each(
                lambda pictures, *bounds_s: inner.chunks(_batch_of_one(pictures), *bounds_s),
                draft=draft,
                early_s=0.0 if fps is None else look.slack_s,
            )
            return _rejoined(chunks, media.most_frames(chunk, frame_bytes))
        return ahead(look.chunks(_batch_of_one(media.decode(info, start_s, draft=draft)), start_s, end_s))

    def _from_memory(self, start_s: float) -> Generator[tuple[float, Sequence[VideoFrame]]]:
        for index in range(max(0, int(start_s * self.fps) - 1), self.num_frames):
            yield index / self.fps, [media.from_pixels(item[index].cpu().numpy()) for item in self._tensor]

    def content_hash(self) -> str:
        """Return a digest of the file's bytes, or of the frames, their shape and their rate."""
        if self.path:
            try:
                with self.path.open("rb") as file:
                    return hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise MediaError(f"{self.path} cannot be read: {error.strerror}.", "Check the file.") from error
        digest = hashlib.sha256(f"{list(self._tensor.shape)} {self.fps} {self.start_s}".encode())
        for item in self._tensor.flatten(0, 1):
            digest.update(item.cpu().contiguous().numpy())
        return digest.hexdigest()

"""A new sound beside an untouched picture: video packets are copied, the sound is encoded."""

from __future__ import annotations

import contextlib
import io
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import av
import numpy as np
import soxr
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from versasound_core.errors import InvalidInputError, MediaError

from .atomic import written_whole
from .probe import VideoInfo, open_media, stamp

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

    from versasound_core.containers.audio import AudioData
    from versasound_core.containers.video import VideoClip

    # Streams of the source by index, and what each becomes.
    Copies: TypeAlias = dict[int, Stream]

# Container and audio codec by suffix.
_TARGETS = {
    ".mp4": ("mp4", "aac"),
    ".m4v": ("mp4", "aac"),
    ".mov": ("mov", "aac"),
    ".mkv": ("matroska", "aac"),
    ".webm": ("webm", "libopus"),
}
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
# What describes the old container and not what it shows.
_CONTAINER_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder"}
# Broadcast clocks start anywhere; files start at their first packet.
_RUNNING_CLOCKS = ("mpegts", "mpeg")


def check_target(clip: VideoClip, output: str | os.PathLike[str]) -> None:
    """Find out, before any work is done, whether `output` can hold the clip's picture.

    Raises:
        InvalidInputError: The clip is not a file, `output` is that file, or its kind cannot hold the picture.
        MediaError: The clip cannot be read.
    """
    with open_media(_file_of(clip).path) as source:
        _refuse_unfit(source, _file_of(clip), Path(output))


def mux(
    clip: VideoClip,
    blocks: Iterable[AudioData],
    output: str | os.PathLike[str],
    *,
    bit_rate: int = 192_000,
    report: Callable[[float], None] | None = None,
) -> Path:
    """Write the clip's picture, copied packet by packet, with a new sound in place of its own.

    Subtitles, chapters and descriptions are copied where the container can hold them. Sample 0 is heard when the first
    frame is seen; the sound is cut, or padded with silence, to the length of the picture. The file appears whole or
    not at all.

    Args:
        clip: A clip that is a file.
        blocks: Consecutive blocks of one sound, `[1, C, T]` each, of 1, 2 or 6 (5.1) channels.
        output: Where to write: .mp4, .m4v, .mov and .mkv (AAC), or .webm (Opus).
        bit_rate: Of the sound, bits a second.
        report: Called with the fraction done; what it raises stops the writing.

    Raises:
        InvalidInputError: As `check_target`, or the sound is empty, a batch, or of another number of channels.
        MediaError: The clip cannot be read or the output cannot be written.
    """
    output = Path(output)
    info = _file_of(clip)
    with open_media(info.path) as source:
        _refuse_unfit(source, info, output)
        _write(source, info, blocks, output, bit_rate, report)
    return output


def _write(  # noqa: PLR0913, PLR0917
    source: InputContainer,
    info: VideoInfo,
    blocks: Iterable[AudioData],
    output: Path,
    bit_rate: int,
    report: Callable[[float], None] | None,
) -> None:
    kind, codec = _TARGETS[output.suffix.lower()]
    sound = _Sound(blocks, info.duration_s, codec)
    # Edit lists count in units of the movie's timescale: the picture's own keeps its start exact.
    timescale = min(info.time_base.denominator * -(-1000 // info.time_base.denominator), 1_000_000)
    options = {"movflags": "+faststart", "movie_timescale": str(timescale)} if kind in ("mp4", "mov") else {}
    with written_whole(output) as temporary:
        target = av.open(f"file:{temporary}", "w", format=kind, options=options)
        try:
            layout = _LAYOUTS[sound.channels]
            copies, track = _lay_out(
                source, target, info, codec=codec, rate=sound.rate, layout=layout, bit_rate=bit_rate
            )
            for fraction, packet in _interleaved(source, copies, track, sound, info):
                target.mux(packet)
                if report:
                    report(fraction)
        except BaseException:
            with contextlib.suppress(FFmpegError):
                target.close()
            raise
        target.close()


def _file_of(clip: VideoClip) -> VideoInfo:
    if clip.info is None:
        raise InvalidInputError("The clip is frames in memory; there are no video packets to copy.", "Save it first.")
    return clip.info


def _refuse_unfit(source: InputContainer, info: VideoInfo, output: Path) -> None:
    suffix = output.suffix.lower()
    if suffix not in _TARGETS:
        raise InvalidInputError(f"{output} is not a kind of video that can be written.", _one_of(list(_TARGETS)))
    if output.exists() and output.samefile(info.path):
        raise InvalidInputError(f"{output} is the clip itself; it would be lost.", "Write to another file.")
    picture = source.streams[info.stream_index]
    assert isinstance(picture, VideoStream)  # noqa: S101  (for the type checker)
    context = picture.codec_context
    if info.counted and context.name in ("h264", "hevc") and context.has_b_frames:
        # Copied, its frames would be shown in the order in which they are decoded.
        message = f"{info.path} is AVI, which does not say when the frames of its {context.name} picture are shown."
        raise InvalidInputError(message, f"Encode it anew first: ffmpeg -i CLIP NEW{output.suffix}")
    if not _holds(source, info, suffix):
        others = [other for other in _TARGETS if _holds(source, info, other)]
        raise InvalidInputError(
            f"{info.path} has a {context.name} picture, which a {suffix} file cannot hold.",
            _one_of(others) if others else "Convert the clip to H.264 first: ffmpeg -i CLIP -pix_fmt yuv420p NEW.mp4",
        )


def _one_of(suffixes: list[str]) -> str:
    return f"Write to {' or '.join(suffixes)}."


def _holds(source: InputContainer, info: VideoInfo, suffix: str) -> bool:
    """Try it: write a header to memory."""
    if source.streams[info.stream_index].codec_context.name == "gif":
        return False  # FFmpeg would put it into .mov, where hardly any player shows it
    kind, codec = _TARGETS[suffix]
    trial = av.open(io.BytesIO(), "w", format=kind)
    try:
        _lay_out(source, trial, info, codec=codec)
        trial.start_encoding()
    except (ValueError, FFmpegError):
        return False
    trial.close()
    return True


def _lay_out(  # noqa: PLR0913  (the whole description of an output)
    source: InputContainer,
    target: OutputContainer,
    info: VideoInfo,
    *,
    codec: str,
    rate: int = 48000,
    layout: str = "stereo",
    bit_rate: int = 192_000,
) -> tuple[Copies, AudioStream]:
    """Give `target` the streams, chapters and tags that it will have."""
    picture = source.streams[info.stream_index]
    copy = target.add_stream_from_template(picture, opaque=True)
    copy.metadata.update(picture.metadata)
    copy.disposition = picture.disposition
    if picture.codec_context.name == "hevc" and target.format.name in ("mp4", "mov"):
        # FFmpeg's own choice, hev1, does not play on Apple's systems.
        copy.codec_context.codec_tag = "hev1" if picture.codec_tag == "hev1" else "hvc1"
    copies = {picture.index: copy}
    track = target.add_stream(codec, rate=rate, options={"aac_coder": "fast"} if codec == "aac" else {})
    assert isinstance(track, AudioStream)  # noqa: S101  (for the type checker)
    track.disposition = Disposition.default
    track.codec_context.layout = layout
    track.codec_context.bit_rate = bit_rate
    for stream in source.streams:
        if stream.type not in ("subtitle", "attachment"):
            continue
        with contextlib.suppress(ValueError):  # the container cannot hold this kind
            other = copies[stream.index] = target.add_stream_from_template(stream)
            other.metadata.update(stream.metadata)
            other.disposition = stream.disposition
    target.metadata.update({tag: text for tag, text in source.metadata.items() if tag not in _CONTAINER_TAGS})
    target.set_chapters(source.chapters())
    return copies, track


def _interleaved(
    source: InputContainer, copies: Copies, track: AudioStream, sound: _Sound, info: VideoInfo
) -> Iterator[tuple[float, Packet[Any]]]:
    """Yield the fraction done and the packets of all streams, each no later than the next of another stream."""
    start = source.start_time / av.time_base if source.format.name in _RUNNING_CLOCKS else 0.0
    start_s, duration_s = info.start_s - start, info.duration_s
    samples = ((_seconds(packet), packet) for packet in sound.packets(track, start_s))
    waiting = next(samples, None)
    for packet in _packets(source, copies, info.path):
        if start and packet.time_base:
            ticks = round(start / packet.time_base)
            packet.pts = packet.pts - ticks if packet.pts is not None else None
            packet.dts = packet.dts - ticks if packet.dts is not None else None
        due_s = _seconds(packet)
        done = min(max((due_s - start_s) / duration_s, 0.0), 1.0)
        while waiting is not None and waiting[0] <= due_s:
            yield done, waiting[1]
            waiting = next(samples, None)
        packet.stream = copies[packet.stream_index]
        yield done, packet
    while waiting is not None:
        yield 1.0, waiting[1]
        waiting = next(samples, None)


def _seconds(packet: Packet[Any]) -> float:
    ticks = packet.dts if packet.dts is not None else packet.pts
    base = packet.time_base
    return (ticks or 0) * base.numerator / base.denominator  # a product of fractions takes ten times as long


def _packets(source: InputContainer, copies: Copies, path: Path) -> Iterator[Packet[Any]]:
    try:
        for packet in source.demux([source.streams[index] for index in copies]):
            if stamp(packet) is not None:  # not the flush at the end
                yield packet
    except FFmpegError as error:
        raise MediaError(
            f"{path} cannot be read to its end: {error.strerror}.", "Copy or download it again."
        ) from error


class _Sound:
    """Blocks of sound as packets of a given length."""

    def __init__(self, blocks: Iterable[AudioData], duration_s: float, codec: str) -> None:
        self._blocks = iter(blocks)
        self._duration_s = duration_s
        first = next(self._blocks, None)
        if first is None:
            raise InvalidInputError("There is no sound to write: no block was given.")
        self._first = first
        self.channels = first.num_channels
        if self.channels not in _LAYOUTS or first.shape[0] != 1:
            message = f"Sound [B, C, T]={list(first.shape)} cannot be written beside one picture."
            raise InvalidInputError(message, "Pass one item of the batch, with 1, 2 or 6 channels.")
        self.rate = first.sample_rate if codec == "aac" and first.sample_rate in _AAC_RATES else 48000

    def packets(self, track: AudioStream, start_s: float) -> Iterator[Packet[Any]]:
        """Encode exactly the picture's length; the first sample is heard at `start_s` of the container's clock."""
        position, left = round(start_s * self.rate), round(self._duration_s * self.rate)
        for waveform in self._waveforms():
            # Short frames, so that a long block does not run far ahead of the picture.
            for begin in range(0, min(waveform.shape[1], left), self.rate):
                piece = np.ascontiguousarray(waveform[:, begin : min(begin + self.rate, left)])
                yield from self._encode(track, piece, position + begin)
            position += waveform.shape[1]
            left -= waveform.shape[1]
            if left <= 0:
                break
        while left > 0:
            silence = np.zeros((self.channels, min(left, self.rate)), np.float32)
            yield from self._encode(track, silence, position)
            position += silence.shape[1]
            left -= silence.shape[1]
        yield from track.encode(None)

    def _encode(self, track: AudioStream, samples: np.ndarray, position: int) -> list[Packet[Any]]:
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=_LAYOUTS[self.channels])
        frame.sample_rate = self.rate
        frame.time_base = Fraction(1, self.rate)
        frame.pts = position
        return track.encode(frame)

    def _waveforms(self) -> Iterator[np.ndarray]:
        """Yield float32 `[C, T]` at the rate of the track."""
        old = self._first.sample_rate
        block: AudioData | None = self._first
        resampler = soxr.ResampleStream(old, self.rate, self.channels, dtype="float32") if old != self.rate else None
        while block is not None:
            if block.sample_rate != old or block.shape[:2] != self._first.shape[:2]:
                raise InvalidInputError(f"Blocks of one sound differ: {self._first!r}, then {block!r}.")
            following = next(self._blocks, None)
            samples = block.waveform[0].detach().to("cpu").float().numpy()
            if resampler:
                samples = resampler.resample_chunk(np.ascontiguousarray(samples.T), last=following is None).T
            yield samples
            block = following

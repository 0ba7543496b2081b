"""Sound files, and the sound of video files: read by presentation time, written whole."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import av
import numpy as np
import torch
from av.audio.stream import AudioStream

from versasound_core.containers import AudioData
from versasound_core.errors import InvalidInputError

from .atomic import written_whole
from .blocks import joined
from .filters import FRAME, layout_of, samples_of
from .track import SoundTrack

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

_LOAD_BLOCK_S = 10.0


@attrs.frozen
class _Format:
    codec: str
    sample_format: str
    bit_rate: int | None = None


# 24 bits of integer, or the codec that players of the suffix expect, at a rate where it is transparent.
_FORMATS = {
    ".wav": _Format("pcm_s24le", "s32"),
    ".flac": _Format("flac", "s32"),
    ".ogg": _Format("libopus", "flt", 192_000),
    ".opus": _Format("libopus", "flt", 192_000),
    ".mp3": _Format("libmp3lame", "fltp", 256_000),
    ".m4a": _Format("aac", "fltp", 192_000),
}


def load_audio(
    path: str | os.PathLike[str],
    *,
    sample_rate: int | None = None,
    mono: bool = False,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> AudioData:
    """Read a sound file or the main sound track of a video file.

    Time 0 is the first frame of a video, and the first sample of a file without picture. What starts later is
    preceded by silence, what starts earlier is cut, and gaps are silent. More than two channels become two by FFmpeg's
    matrix, lowered so that they cannot clip.

    Args:
        path: Anything FFmpeg can read.
        sample_rate: Hz; None keeps the file's.
        mono: Average the channels.
        start_s: Where to begin, in seconds.
        end_s: Where to end; None, or more than there is, reads to the end.

    Returns:
        `[1, C, T]`; `metadata["notes"]` tells of damage.

    Raises:
        InvalidInputError: A rate or a time that makes no sense, or a start past the end.
        MediaError: The file is missing, unreadable or damaged beyond use, or has no sound.
    """
    blocks = AudioBlocks(path, sample_rate, _LOAD_BLOCK_S, start_s=start_s, end_s=end_s)
    parts = list(blocks)
    if not parts:
        raise InvalidInputError(f"{path} has no sound at or after {start_s:g} s.", "Choose an earlier start.")
    audio = joined(parts)
    return audio.to_mono() if mono else audio


def read_audio_blocks(
    path: str | os.PathLike[str], sample_rate: int | None = None, block_s: float = 1.0
) -> AudioBlocks:
    """Return the sound that `load_audio` returns, as blocks of `block_s` seconds, in constant memory.

    Raises:
        InvalidInputError: A rate or a length that makes no sense.
        MediaError: The file is missing or unreadable, or has no sound.
    """
    return AudioBlocks(path, sample_rate, block_s)


def save_audio(audio: AudioData, path: str | os.PathLike[str], *, sample_rate: int | None = None) -> None:
    """Write a sound file, whole or not at all.

    Suffixes: `.wav` and `.flac` (24 bits), `.ogg` and `.opus` (Opus, 192 kbit/s), `.mp3` (256), `.m4a` (AAC, 192).
    Where the codec does not know the rate, the next higher one that it knows is taken.

    Args:
        audio: `[1, C, T]`, one or two channels. What passes full scale is clipped, with a `UserWarning`.
        path: Where to.
        sample_rate: Hz; None keeps the sound's.

    Raises:
        InvalidInputError: More than one sound or two channels, no samples, or an unknown suffix.
        MediaError: The file cannot be written.
    """
    chosen = _FORMATS.get(Path(path).suffix.lower())
    if chosen is None:
        suffixes = ", ".join(_FORMATS)
        raise InvalidInputError(f"{path}: no sound format has this suffix.", f"These are written: {suffixes}.")
    samples_of(audio)
    layout = layout_of(audio)
    if audio.shape[-1] == 0:
        raise InvalidInputError("A sound without samples cannot be saved.")
    audio = audio.resample(_known_rate(chosen.codec, sample_rate or audio.sample_rate))
    samples = samples_of(audio)
    peak = float(np.abs(samples).max())
    if peak > 1:
        over = 20 * math.log10(peak)
        warnings.warn(f"{path}: the sound passes full scale by {over:.1f} dB and was clipped.", stacklevel=2)
    with written_whole(path) as temporary:
        _write(samples.clip(-1, 1), audio.sample_rate, layout, chosen, temporary)


def _known_rate(codec: str, rate: int) -> int:
    known = av.Codec(codec, "w").audio_rates
    if not known or rate in known:
        return rate
    return min((one for one in known if one > rate), default=max(known))


def _write(samples: np.ndarray, rate: int, layout: str, chosen: _Format, path: Path) -> None:
    integer = chosen.sample_format == "s32"
    with av.open(str(path), "w") as file:
        stream = file.add_stream(chosen.codec, rate=rate, layout=layout, format=chosen.sample_format)
        assert isinstance(stream, AudioStream)  # noqa: S101  (for the type checker)
        if chosen.bit_rate:
            stream.bit_rate = chosen.bit_rate
        if chosen.codec == "flac":
            stream.codec_context.options = {"bits_per_raw_sample": "24"}
        for start in range(0, samples.shape[1], FRAME):
            part = samples[:, start : start + FRAME]
            if integer:
                # Rounded here to the 24 bits that are kept; the encoders would cut off.
                part = np.minimum(np.round(part.astype(np.float64) * 2**23), 2**23 - 1).astype(np.int32) * 256
            packed = chosen.sample_format != "fltp"
            data = part.T.reshape(1, -1) if packed else part
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format=chosen.sample_format, layout=layout)
            frame.sample_rate, frame.pts = rate, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


class AudioBlocks:
    """The sound of a file as consecutive blocks, decoded anew each time it is iterated.

    Args:
        path: Anything FFmpeg can read.
        sample_rate: Hz; None keeps the file's.
        block_s: Seconds a block; the last is shorter.
        start_s: Where to begin.
        end_s: Where to end; None reads to the end.

    Raises:
        InvalidInputError: A rate, length or time that makes no sense.
        MediaError: The file is missing or unreadable, or has no sound.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate: int | None = None,
        block_s: float = 1.0,
        *,
        start_s: float = 0.0,
        end_s: float | None = None,
    ) -> None:
        for name, value in (("sample_rate", sample_rate), ("block_s", block_s)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InvalidInputError(f"{name} must be a number above 0, not {value!r}.")
        if not (math.isfinite(start_s) and start_s >= 0):
            raise InvalidInputError(f"start_s must be 0 or a number of seconds above it, not {start_s!r}.")
        if end_s is not None and not end_s > start_s:
            raise InvalidInputError(f"end_s must be more than start_s ({start_s:g} s), not {end_s!r}.")
        self.path = Path(path)
        self._block_s = block_s
        self._track = SoundTrack(self.path, start_s, end_s)
        self.sample_rate = sample_rate or self._track.sample_rate

    def __iter__(self) -> Iterator[AudioData]:
        """Yield blocks `[1, C, N]`; what was damaged is silent, and told in the last block's notes.

        Raises:
            MediaError: Nothing of the sound can be decoded.
        """
        length = max(1, round(self._block_s * self.sample_rate))
        held: list[np.ndarray] = []
        count = 0
        damage: list[str] = []
        for samples in self._track.decoded(self.sample_rate, damage.append):
            held.append(samples)
            count += len(samples)
            # One sample stays back, so that the last block is known when it comes.
            while count > length:
                whole = np.concatenate(held)
                yield self._block(whole[:length], [])
                held, count = [whole[length:]], count - length
        if count:
            yield self._block(np.concatenate(held), damage)

    def _block(self, samples: np.ndarray, notes: list[str]) -> AudioData:
        waveform = torch.from_numpy(np.ascontiguousarray(samples.T))[None]
        return AudioData(waveform, self.sample_rate, {"notes": notes} if notes else None)

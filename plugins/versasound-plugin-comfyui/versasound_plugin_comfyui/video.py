"""ComfyUI's VIDEO as a clip that is decoded small and lazily, and a clip with its new sound as a VIDEO."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths
from comfy_api.latest import InputImpl

from versasound_core.containers import VideoClip
from versasound_core.errors import InvalidInputError, MediaError
from versasound_core.media.atomic import written_whole
from versasound_core.media.mux import check_target, mux

if TYPE_CHECKING:
    from versasound_core.containers import AudioData

_SUFFIXES = (".mp4", ".mkv", ".mov", ".webm")


def clip_of(video: Any) -> VideoClip:  # noqa: ANN401  (ComfyUI's VideoInput)
    """Open a VIDEO, whose frame rate and times are its own.

    A file is read where it lies. A cut of it, and frames in memory, are first saved by ComfyUI in its folder for
    temporary files, once for the same content.

    Raises:
        InvalidInputError: It is no VIDEO, or one without pictures.
        MediaError: It cannot be read or saved.
    """
    if not hasattr(video, "get_stream_source"):
        raise InvalidInputError(f"a VIDEO is wanted here, and {type(video).__name__} came.", "Use Load Video.")
    window = tuple(video.get_active_trim_window())
    if any(window):
        source = video.get_stream_source()
        digest = _digest(source, window)
        return VideoClip.open(_saved(digest, lambda path: video.save_to(str(path))))
    source = video.get_stream_source()
    if isinstance(source, str):
        return VideoClip.open(source)
    data = source.getbuffer()
    if not len(data):
        raise InvalidInputError("the VIDEO has no pictures in it.", "Give Create Video one image or more.")
    return VideoClip.open(_saved(hashlib.sha256(data).hexdigest(), lambda path: path.write_bytes(data)))


def with_sound(clip: VideoClip, audio: AudioData) -> Any:  # noqa: ANN401
    """Return a VIDEO with the clip's picture, copied packet by packet, and a new sound `[1, C, T]`.

    Raises:
        InvalidInputError: No container that is written can hold the picture, or the sound is a batch.
        MediaError: It cannot be written; the disk is full, say.
    """
    name = f"versasound_{secrets.token_hex(8)}"
    target = _folder() / f"{name}{_SUFFIXES[0]}"
    for suffix in _SUFFIXES:
        with suppress(InvalidInputError):
            check_target(clip, target.with_suffix(suffix))
            target = target.with_suffix(suffix)
            break
    mux(clip, [audio], target)
    return InputImpl.VideoFromFile(str(target))


def _saved(digest: str, save: Any) -> Path:  # noqa: ANN401  (a function of the path)
    target = _folder() / f"versasound_{digest[:32]}.mp4"
    if not target.exists():
        with written_whole(target) as temporary:
            save(temporary)
    return target


def _digest(source: Any, window: tuple[float, ...]) -> str:  # noqa: ANN401
    if isinstance(source, str):
        try:
            status = Path(source).stat()
        except OSError as error:
            raise MediaError(f"{source} cannot be read: {error.strerror}.", "Check the file.") from error
        return hashlib.sha256(repr((source, status.st_size, status.st_mtime_ns, window)).encode()).hexdigest()
    return hashlib.sha256(bytes(source.getbuffer()) + repr(window).encode()).hexdigest()


def _folder() -> Path:
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder

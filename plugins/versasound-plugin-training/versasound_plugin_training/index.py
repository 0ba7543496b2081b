"""Which videos have which sounds, kept in a file so that large folders are looked through once."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from versasound_core.cache import default_cache_dir
from versasound_core.errors import InvalidInputError, MediaError, VersaSoundError, in_words
from versasound_core.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from versasound_core.context import RunContext

    _Task = tuple[Path, Path | None, dict[str, Any]]  # a video, its sound, and what is known from before

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
SOUNDS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac")
_FORMAT = 1
_READERS = 8  # wait for disks, mostly
_SHOWN = 3
_KEPT_EVERY = 5000  # videos: who stops the first look at a large folder begins again from there
_log = get_logger(__name__)


@attrs.frozen
class Pair:
    """A video and the sound that belongs to it.

    Args:
        video: The file.
        audio: Where its sound is: another file, or the same.
        duration_s: Of what both have, from the video's first frame.
    """

    video: Path
    audio: Path
    duration_s: float


@attrs.frozen
class Index:
    """What two folders hold.

    Args:
        pairs: That can be used, by name.
        left_out: Video files that cannot, and why.
    """

    pairs: list[Pair]
    left_out: dict[str, str]


def indexed(
    video_dir: str | os.PathLike[str], audio_dir: str | os.PathLike[str] | None, ctx: RunContext | None = None
) -> Index:
    """Pair the files of two folders by their stem, or videos with their own sound.

    What was found is kept in the cache folder. It is used as it is while neither folder has changed; afterwards only
    files that are new or changed are opened.

    Args:
        video_dir: Folder with videos, looked through with its subfolders.
        audio_dir: Folder with sounds that are named alike; None takes each video's own sound.
        ctx: Progress and cancellation.

    Raises:
        InvalidInputError: If a folder is missing or empty, or no stem is in both.
        MediaError: If no pair can be used; says why the first cannot.
        Cancelled: If the user asked to stop; what was looked at is kept.
    """
    videos_in, sounds_in = _folder(video_dir, "video_dir"), None
    if audio_dir is not None:
        sounds_in = _folder(audio_dir, "audio_dir")
    name = hashlib.sha256(f"{videos_in}\n{sounds_in}".encode()).hexdigest()[:24]
    kept_at = default_cache_dir() / "datasets" / f"{name}.json"
    known = _read(kept_at)
    folders = known.get("folders", {})
    if folders and all(_changed(folder) == at for folder, at in folders.items()):
        return _usable(known["files"], video_dir)
    folders = {}
    videos = _found(videos_in, VIDEOS, folders)
    if not videos:
        raise InvalidInputError(f"{video_dir} holds no video.", f"Videos end in {', '.join(VIDEOS)}.")
    sounds = videos
    if sounds_in is not None:
        sounds = _found(sounds_in, (*SOUNDS, *VIDEOS), folders)
        if not sounds:
            raise InvalidInputError(f"{audio_dir} holds no sound.", f"Sounds end in {', '.join(SOUNDS)}.")
    if not videos.keys() & sounds.keys():
        raise InvalidInputError(
            f"no video in {video_dir} has a sound of its name in {audio_dir}.",
            f"To {next(iter(videos.values())).name} belongs {next(iter(videos))}.wav, for example.",
        )
    before = known.get("files", {})
    tasks = [(videos[stem], sounds.get(stem), before) for stem in sorted(videos)]
    files: dict[str, Any] = {}
    try:
        for video, file in _looks(tasks):
            files[video] = file
            if ctx is not None:
                ctx.report(len(files) / len(tasks), f"opening video {len(files)} of {len(tasks)}")
            if len(files) % _KEPT_EVERY == 0:
                _write(kept_at, {"format": _FORMAT, "folders": {}, "files": before | files})
    except BaseException:  # without folders, so that it is not taken for the whole
        _write(kept_at, {"format": _FORMAT, "folders": {}, "files": before | files})
        raise
    _write(kept_at, {"format": _FORMAT, "folders": folders, "files": files})
    return _usable(files, video_dir)


def _folder(given: str | os.PathLike[str], name: str) -> Path:
    folder = Path(given).expanduser()
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise InvalidInputError(f"{name} {given} {what}.", "Name a folder.")
    return folder.resolve()


def _found(folder: Path, suffixes: Iterable[str], folders: dict[str, int]) -> dict[str, Path]:
    """Return files by their path without suffix below `folder`, and add each folder and its time to `folders`."""
    found: dict[str, Path] = {}
    try:
        for where, below, names in os.walk(folder):
            below[:] = sorted(name for name in below if not name.startswith("."))
            folders[where] = _changed(where)
            for name in sorted(names):
                path = Path(where, name)
                if not name.startswith(".") and path.suffix.lower() in suffixes:
                    found.setdefault(str(path.relative_to(folder).with_suffix("")), path)
    except OSError as error:
        raise MediaError(f"{folder} cannot be read: {error.strerror}.", "Check its rights.") from error
    return found


def _looks(tasks: list[_Task]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Look at all, a few at a time; closed early, it waits only for those that are being looked at."""
    with ThreadPoolExecutor(_READERS) as readers:
        for first in range(0, len(tasks), _KEPT_EVERY):
            yield from readers.map(_looked_at, tasks[first : first + _KEPT_EVERY])


def _looked_at(task: _Task) -> tuple[str, dict[str, Any]]:
    """Open a video and its sound, unless both are as they were."""
    video, audio, known = task
    marks = [_mark(video), None if audio is None else _mark(audio)]
    before = known.get(str(video))
    if before is not None and before["marks"] == marks and before["audio"] == str(audio):
        return str(video), before
    made: dict[str, Any] = {"audio": str(audio), "marks": marks, "duration_s": 0.0, "reason": None}
    try:
        made["duration_s"] = _shared_s(video, audio)
    except (VersaSoundError, OSError) as error:
        made["reason"] = in_words(error)
    return str(video), made


def _shared_s(video: Path, audio: Path | None) -> float:
    from versasound_core.containers import VideoClip
    from versasound_core.media.audio import load_audio

    if audio is None:
        raise MediaError(f"{video} has no sound: no file of its name lies in the folder of sounds.")
    clip = VideoClip.open(video)
    if audio == video:
        if not clip.has_audio:
            raise MediaError(f"{video} has no sound track.", "Name a folder with its sound: audio_dir.")
        load_audio(video, end_s=min(0.1, clip.duration_s))
        return clip.duration_s
    return min(clip.duration_s, _length_s(audio))


def _length_s(audio: Path) -> float:
    import av

    from versasound_core.media.audio import load_audio

    load_audio(audio, end_s=0.1)  # whether there is sound that can be decoded
    with av.open(str(audio)) as file:
        if file.duration:
            return float(file.duration / av.time_base)
    return load_audio(audio).duration


def _usable(files: dict[str, Any], video_dir: str | os.PathLike[str]) -> Index:
    pairs = [Pair(Path(v), Path(f["audio"]), f["duration_s"]) for v, f in files.items() if f["reason"] is None]
    left_out = {video: file["reason"] for video, file in files.items() if file["reason"] is not None}
    if left_out:
        shown = " ".join(list(left_out.values())[:_SHOWN])
        if not pairs:
            raise MediaError(f"none of the {len(files)} videos in {video_dir} can be trained on: {shown}")
        more = "" if len(left_out) <= _SHOWN else f" And {len(left_out) - _SHOWN} more."
        _log.warning("%d of %d videos are left out: %s%s", len(left_out), len(files), shown, more)
    return Index(pairs, left_out)


def _changed(folder: str) -> int:
    """Return when names in a folder last changed; -1 if it is gone."""
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return -1


def _mark(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) and told.get("format") == _FORMAT else {}


def _write(path: Path, told: dict[str, Any]) -> None:
    from versasound_core.media.atomic import written_whole

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as aside:
            aside.write_text(json.dumps(told), encoding="utf-8")
    except (OSError, VersaSoundError) as error:
        _log.warning("the index of the folders cannot be kept in %s: %s", path.parent, error)

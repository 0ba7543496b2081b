"""Which clips are to be done, and what each result is called."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from versasound_core.errors import InvalidInputError, MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Containers that can be written; what else a folder's videos may be called.
_WRITABLE = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
_OTHERS = (".3gp", ".avi", ".flv", ".m2ts", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".wmv")
_OWN = re.compile(r"_with_sound(_\d+)?$")


@attrs.frozen
class Job:
    """One clip, and where its results go.

    Args:
        clip: The file.
        outputs: One for each variation.
    """

    clip: Path
    outputs: list[Path]


@attrs.frozen
class Batch:
    """All clips of a command.

    Args:
        jobs: At least one.
        folder: Where results go if that may have to be made.
    """

    jobs: list[Job]
    folder: Path | None

    @contextmanager
    def folder_made(self) -> Iterator[None]:
        """Make the folder if it is missing; take it away again if nothing comes to lie in it.

        Raises:
            MediaError: If it cannot be made, or results cannot be written to where they go.
        """
        missing = [p for p in (self.folder, *self.folder.parents) if not p.exists()] if self.folder else []
        try:
            if self.folder:
                self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MediaError(f"the folder {self.folder} cannot be made: {error.strerror}.", "Name another.") from error
        try:
            for job in self.jobs:  # now, and not after minutes of work
                _require_writable(job.outputs[0])
            yield
        finally:
            with suppress(OSError):  # something lies in it
                for folder in missing:
                    folder.rmdir()


def batch_of(given: Sequence[str], output: str | None, variations: int, *, report: bool) -> Batch:
    """Find the clips and name the results, so that nothing is written over a clip or another result.

    Args:
        given: Files and folders.
        output: A file for one clip, a folder for several; None writes beside each clip.
        variations: How many results a clip gets; more than one are numbered.
        report: Whether a picture is written beside each result.

    Raises:
        InvalidInputError: If a folder holds no video, or a result would replace a clip or another result.
        MediaError: If a folder cannot be read.
    """
    clips = [clip for word in given for clip in _clips(Path(word))]
    into = None if output is None else Path(output)
    several = len(clips) > 1 or any(Path(word).is_dir() for word in given)
    if into and several and (into.suffix.lower() in _WRITABLE or into.is_file()):
        raise InvalidInputError(f"-o {into} is a file, and there are several clips.", "Name a folder to write to.")
    folder = into if into and (several or into.is_dir() or str(output).endswith(("/", os.sep))) else None
    found = []
    for clip in clips:
        target = into if into and not folder else (folder or clip.parent) / _name(clip)
        numbered = [target.with_name(f"{target.stem}_{n + 1}{target.suffix}") for n in range(variations)]
        found.append(Job(clip, numbered if variations > 1 else [target]))
    _refuse_clashes(found, report=report)
    return Batch(found, folder)


def _require_writable(output: Path) -> None:
    folder = output.parent
    if not folder.is_dir():
        raise MediaError(f"{output} cannot be written: there is no folder {folder}.", "Make the folder first.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise MediaError(
            f"{output} cannot be written: Permission denied.", f"Write elsewhere with -o, or check {folder}."
        )


def _clips(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    try:
        files = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in _WRITABLE + _OTHERS)
    except OSError as error:
        raise MediaError(f"the folder {path} cannot be read: {error.strerror}.", "Check its rights.") from error
    files = [file for file in files if file.is_file() and file.name[0] != "." and not _OWN.search(file.stem)]
    if not files:
        raise InvalidInputError(
            f"the folder {path} holds no video file.", f"Taken are {', '.join(_WRITABLE + _OTHERS)}."
        )
    yield from files


def _name(clip: Path) -> str:
    # Matroska takes whatever the picture is coded with.
    return f"{clip.stem}_with_sound{clip.suffix if clip.suffix.lower() in _WRITABLE else '.mkv'}"


def _refuse_clashes(found: list[Job], *, report: bool) -> None:
    clips = {os.path.realpath(job.clip) for job in found}
    owners: dict[str, Path] = {}
    for job in found:
        for target in job.outputs:
            for written in (target, target.with_suffix(".png")) if report else (target,):
                path = os.path.realpath(written)
                if path in clips:
                    raise InvalidInputError(f"{written} is one of the clips; it would be lost.", "Write elsewhere.")
                if path in owners:
                    raise InvalidInputError(
                        f"{owners[path]} and {job.clip} would both be written to {written}.", "Do them one by one."
                    )
                owners[path] = job.clip

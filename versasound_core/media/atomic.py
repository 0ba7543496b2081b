"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from av.error import FFmpegError

from versasound_core.errors import InvalidInputError, MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Lend a temporary path beside `path`; move it there when the block ends well, remove it when it does not.

    The temporary name keeps the suffix, by which libraries choose the format. A symbolic link is followed, so that
    the file it points to is the one replaced.

    Raises:
        InvalidInputError: `path` is a folder, a device or a pipe.
        MediaError: The system or FFmpeg refused to write (no such folder, no right, no room).
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".versasound-{secrets.token_hex(6)}{target.suffix}")
    # Replacing would put a file in the place of a device such as /dev/null.
    if target.exists() and not target.is_file():
        raise InvalidInputError(f"{path} is not a file.", "Name a file to write.")
    if not target.parent.is_dir():
        raise MediaError(f"{path} cannot be written: there is no folder {target.parent}.", "Make the folder first.")
    try:
        yield temporary
        temporary.replace(target)
    except (OSError, FFmpegError) as error:
        cause = error.strerror or str(error)
        raise MediaError(f"{path} cannot be written: {cause}.", "Check the folder's rights and free space.") from error
    finally:
        temporary.unlink(missing_ok=True)

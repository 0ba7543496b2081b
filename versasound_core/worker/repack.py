"""A wheel of what is installed, made of the very files, so that no index, builder or source is needed."""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from typing import TYPE_CHECKING

from versasound_core.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import Distribution
    from pathlib import Path

# What an installer adds for itself.
_NOT_PACKED = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


def repack(dist: Distribution, folder: Path) -> Path:
    """Pack an installed distribution into a wheel in `folder`. An editable one leads to the same source as before.

    Raises:
        PluginError: If its installer kept no list of its files.
    """
    wheel, files = dist.read_text("WHEEL"), dist.files
    if wheel is None or not files:
        raise PluginError(
            f"{dist.name} {dist.version} cannot be put into another environment: its files are not listed.",
            f"Install it anew: pip install --force-reinstall {dist.name}.",
        )
    tags = [line.partition(":")[2].strip().split("-") for line in wheel.splitlines() if line.startswith("Tag:")]
    tag = "-".join(".".join(dict.fromkeys(part)) for part in zip(*tags, strict=True))
    name = re.sub(r"[-_.]+", "_", dist.name)
    path = folder / f"{name}-{dist.version}-{tag}.whl"
    record = f"{name}-{dist.version}.dist-info/RECORD"
    rows = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            is_of_installer = ".dist-info" in file.parts[0] and file.name in _NOT_PACKED
            if ".." in file.parts or file.suffix == ".pyc" or is_of_installer:
                continue
            content = file.read_binary()
            inside = file.as_posix()
            if ".dist-info" in file.parts[0]:
                inside = "/".join((record.partition("/")[0], *file.parts[1:]))
            archive.writestr(inside, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.append(f"{inside},sha256={digest},{len(content)}\n")
        archive.writestr(record, "".join([*rows, f"{record},,\n"]))
    return path

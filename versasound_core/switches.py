"""The two environment variables that decide what plugins may do."""

from __future__ import annotations

import os
import re


def canonical(distribution: str) -> str:
    """Spell a distribution's name as package indexes compare it: `Versasound_Plugin.X` is `versasound-plugin-x`."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def is_disabled(name: str, distribution: str) -> bool:
    """Whether `VERSASOUND_DISABLE` names this entry, its distribution, or the two as `distribution:name`."""
    for word in os.environ.get("VERSASOUND_DISABLE", "").split(","):
        owner, colon, entry = word.strip().rpartition(":")
        if colon:
            if (canonical(owner), entry) == (canonical(distribution), name):
                return True
        elif entry == name or (entry and canonical(entry) == canonical(distribution)):
            return True
    return False


def is_strict() -> bool:
    """Whether `VERSASOUND_STRICT` asks that a plugin's failure stops everything, for those who are writing one."""
    return os.environ.get("VERSASOUND_STRICT", "") not in {"", "0"}

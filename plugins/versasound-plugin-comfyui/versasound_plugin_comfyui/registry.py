"""The backends that the drop-downs offer: what is installed now, not what was when ComfyUI started."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from versasound_core.registry import Backend, State, default_registry

if TYPE_CHECKING:
    from versasound_core.cards import Role

# What works without weights stands first, and is what a new node has chosen.
_FIRST = ("motion", "foley", "cross_correlation", "mastering")
_MOST_KEPT = 4
Key = tuple["Role", str, str, str]
_installed: tuple[tuple[str, int], ...] = ()


def usable(role: Role) -> list[Backend]:
    """List the backends of a role that can be used, the weightless default first. Imports none of them."""
    _look_again()
    found = [b for b in default_registry.backends(role) if b.state in {State.READY, State.LOADED}]
    return sorted(found, key=lambda backend: (backend.name not in _FIRST, backend.name))


def find(role: Role, name: str) -> Backend:
    """Find a backend, as `comfyui_extension.backends.find`."""
    from comfyui_extension.backends import find as found

    _look_again()
    return found(role, name)


def _look_again() -> None:
    """Read the registry anew if something was installed or removed: then a folder of packages has another time."""
    global _installed  # noqa: PLW0603  (what this module remembers)
    times = []
    for folder in sys.path:
        with suppress(OSError):
            times.append((folder, os.stat(folder or os.curdir).st_mtime_ns))  # noqa: PTH116  (many, at every request)
    if tuple(times) != _installed:
        _installed = tuple(times)
        default_registry.refresh()
    default_registry.hooks.load(default_registry)


class Kept:
    """A registry that hands out the backends it made before, so that weights stay loaded from run to run.

    It is a `Registry` to whoever asks it for a backend.

    Attributes:
        made: The backends, by role, full name, version and options; the one used last at the end.
    """

    def __init__(self) -> None:
        self.hooks, self.get = default_registry.hooks, default_registry.get
        self.made: OrderedDict[Key, Any] = OrderedDict()

    def create(self, role: Role, name: str, **options: Any) -> Any:  # noqa: ANN401
        """Make a backend, or return the one that was made with the same options."""
        backend = default_registry.get(role, name)
        key = role, backend.full_name, backend.version, repr(sorted(options.items()))
        made = self.made.pop(key, None)
        self.made[key] = default_registry.create(role, name, **options) if made is None else made
        while len(self.made) > _MOST_KEPT:
            self.made.popitem(last=False)
        return self.made[key]

    def let_go(self, key: Key) -> None:
        """Keep one of them no longer."""
        self.made.pop(key, None)

    def clear(self) -> None:
        """Let go of them all."""
        self.made.clear()


kept = Kept()

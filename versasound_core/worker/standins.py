"""Stand-ins for what a library imports and does not need, in an environment that leaves it out."""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def stand_in_for(packages: Iterable[str]) -> None:
    """Let `import` succeed for these top-level packages where they are not installed.

    Whatever is taken from such a module is an empty class: good for a line at the top of a file, and for nothing else.
    """
    wanted = frozenset(packages)
    if not any(isinstance(finder, _StandIns) and wanted <= finder.packages for finder in sys.meta_path):
        sys.meta_path.append(_StandIns(wanted))  # last, so that what is there goes first


def torchaudio_without_its_library() -> None:
    """Keep torchaudio from loading its compiled part, which fits one build of PyTorch alone; the rest is Python."""
    stub: Any = ModuleType("torchaudio._extension")
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = False
    stub.fail_if_no_align = lambda function: function
    sys.modules.setdefault(stub.__name__, stub)


class _StandIns(MetaPathFinder, Loader):
    def __init__(self, packages: frozenset[str]) -> None:
        self.packages = packages

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] not in self.packages:
            return None
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})

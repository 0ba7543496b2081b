"""Training: adapters that teach a text-only generator to see."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import DatasetConfig as DatasetConfig
    from .config import TrainingConfig as TrainingConfig
    from .config import load_run as load_run
    from .dataset import Example as Example
    from .dataset import VideoAudioDataset as VideoAudioDataset
    from .rendered import write_rendered as write_rendered
    from .trainer import VersaSoundTrainer as VersaSoundTrainer

_HOMES = {
    "DatasetConfig": "config",
    "Example": "dataset",
    "TrainingConfig": "config",
    "VersaSoundTrainer": "trainer",
    "VideoAudioDataset": "dataset",
    "load_run": "config",
    "write_rendered": "rendered",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605  (sorted gives a list)


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

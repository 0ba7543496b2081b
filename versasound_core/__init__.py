"""VersaSound: sound for silent video.

Everything public is here, and nothing is loaded before it is used: importing this package imports neither PyTorch
nor NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import load_config as load_config
    from .containers import Alignment as Alignment
    from .containers import AudioData as AudioData
    from .containers import EventTrack as EventTrack
    from .containers import GenerationRequest as GenerationRequest
    from .containers import VideoClip as VideoClip
    from .containers import VisualFeatures as VisualFeatures
    from .context import CancelToken as CancelToken
    from .context import RunContext as RunContext
    from .device import DeviceManager as DeviceManager
    from .errors import VersaSoundError as VersaSoundError
    from .hooks import hookimpl as hookimpl
    from .log import get_logger as get_logger
    from .pipeline import Pipeline as Pipeline
    from .pipeline import add_sound as add_sound
    from .recipe import Recipe as Recipe

_HOMES = {
    "Alignment": "containers",
    "AudioData": "containers",
    "CancelToken": "context",
    "DeviceManager": "device",
    "EventTrack": "containers",
    "GenerationRequest": "containers",
    "Pipeline": "pipeline",
    "Recipe": "recipe",
    "RunContext": "context",
    "VersaSoundError": "errors",
    "VideoClip": "containers",
    "VisualFeatures": "containers",
    "add_sound": "pipeline",
    "get_logger": "log",
    "hookimpl": "hooks",
    "load_config": "config",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605  (sorted gives a list)


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name == "__version__":
        from importlib.metadata import version

        return version("versasound-core")
    if name in _HOMES:
        value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

"""Training, from the plugin `versasound-plugin-training`."""

from __future__ import annotations

import importlib
from typing import Any

from versasound_core.errors import PluginError

_PLUGIN = "versasound_plugin_training"


class TrainingMissingError(PluginError, ImportError):
    """The plugin that trains is not installed."""


def from_plugin(name: str) -> Any:  # noqa: ANN401  (a class of the plugin)
    """Return a class of the training plugin.

    Raises:
        TrainingMissingError: It is not installed; says how to install it.
    """
    try:
        plugin = importlib.import_module(_PLUGIN)
    except ModuleNotFoundError as error:
        if error.name != _PLUGIN:
            raise
        message = f"{name} comes with the plugin that trains, which is not installed."
        raise TrainingMissingError(message, "pip install versasound-plugin-training") from None
    return getattr(plugin, name)

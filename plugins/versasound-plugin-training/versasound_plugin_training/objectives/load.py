"""From the name of a generator to its loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from versasound_core.errors import InvalidInputError, ModelLoadError, VersaSoundError
from versasound_core.registry import default_registry
from versasound_core.weights import checkpoint, find, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .objective import Objective

TAUGHT = ("audiocraft", "audioldm2", "stable_audio")


def variant_of(name: str, options: dict[str, Any]) -> str:
    """Return which weights of a generator its options choose.

    Raises:
        InvalidInputError: If this generator's loss is not known here, or an option is wrong.
        PluginError: If it is not installed.
    """
    if name not in TAUGHT:
        raise InvalidInputError(
            f"the generator {name!r} cannot be taught.", f"These can: {', '.join(TAUGHT)}; set default_model to one."
        )
    card = default_registry.get("generator", name).card
    return str((card.complete(options) if card else options)["variant"])


def load_objective(name: str, options: dict[str, Any]) -> Objective:
    """Load a generator's weights, in fp32 on the CPU, with the loss that it was trained with.

    Raises:
        InvalidInputError: If this generator's loss is not known here.
        ModelLoadError: If weights or its library are missing or unusable.
        PluginError: If it is not installed.
    """
    variant = variant_of(name, options)
    wanted = checkpoint(default_registry.get("generator", name).card, "generator", name, variant)
    folder = find(wanted, options.get("weights"))
    try:
        if name == "audiocraft":  # some of its checkpoints are converted first
            folder = default_registry.create("generator", name, **options).library_folder()
        return _loading(name)(folder)
    except ImportError as error:
        raise ModelLoadError(
            f"generator {name} cannot load its model library: {error}.",
            f"pip install -U versasound-plugin-{name.replace('_', '-')}",
        ) from error
    except VersaSoundError:
        raise
    except Exception as error:
        raise unreadable(wanted, folder, error) from error


def _loading(name: str) -> Callable[[Path], Objective]:
    if name == "audiocraft":
        from .audiocraft import MusicgenObjective

        return MusicgenObjective.load
    if name == "audioldm2":
        from .audioldm2 import AudioLDM2Objective

        return AudioLDM2Objective.load
    from .stable_audio import StableAudioObjective

    return StableAudioObjective.load

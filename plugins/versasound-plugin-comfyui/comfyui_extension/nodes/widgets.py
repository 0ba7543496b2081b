"""What the classic nodes share: lists of backends, widgets from cards, and ComfyUI's form of sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from versasound_core.registry import State, default_registry

if TYPE_CHECKING:
    from versasound_core.cards import Role
    from versasound_core.containers import AudioData

FEATURES = "VERSASOUND_FEATURES"
Widget = tuple[Any, ...]
_KINDS = {"int": "INT", "float": "FLOAT", "bool": "BOOLEAN", "str": "STRING", "path": "STRING"}


def backends(role: Role, default: str) -> Widget:
    """Return a drop-down of the backends that can be used; `default` is chosen if it is among them."""
    default_registry.hooks.load(default_registry)
    names = [b.name for b in default_registry.backends(role) if b.state in {State.READY, State.LOADED}]
    return (names, {"default": default if default in names or not names else names[0]})


def options(role: Role, name: str) -> dict[str, Widget]:
    """Return a widget for each option of a backend."""
    card = default_registry.get(role, name).card
    widgets: dict[str, Widget] = {}
    for option in card.options.values() if card else ():
        limits = {key: getattr(option, key) for key in ("min", "max", "step") if getattr(option, key) is not None}
        about = {"default": option.default, "tooltip": option.help, **limits}
        widgets[option.name] = (list(option.choices) if option.choices else _KINDS[option.type], about)
    return widgets


def heard(audio: AudioData | Mapping[str, Any]) -> AudioData:
    """Return ComfyUI's AUDIO, `{"waveform": [B, C, T], "sample_rate": Hz}`, as `AudioData`.

    Raises:
        InvalidInputError: It is no sound, such as that of a video that has none.
    """
    from versasound_core.containers import AudioData
    from versasound_core.errors import InvalidInputError

    if isinstance(audio, AudioData):
        return audio
    if not isinstance(audio, Mapping) or "waveform" not in audio:
        got = "nothing" if audio is None else type(audio).__name__
        raise InvalidInputError(f"a sound is wanted here, and {got} came.", "Does the video have a sound track?")
    return AudioData(audio["waveform"].float(), int(audio["sample_rate"]))


def told(audio: AudioData) -> dict[str, Any]:
    """Return a sound as ComfyUI's AUDIO, on the CPU."""
    return {"waveform": audio.waveform.detach().to("cpu").float(), "sample_rate": audio.sample_rate}

"""The sounds that a picture can suggest, and the sentences by which CLIP knows them."""

from __future__ import annotations

from pathlib import Path

from versasound_core.errors import InvalidInputError
from versasound_core.vision.sounds import read_table

_OURS = Path(__file__).with_name("events.yaml")
_TEMPLATES = ("a photo of {}.", "a video frame of {}.")


def read_events(extra: str | Path | None) -> dict[str, list[str]]:
    """Return the sentences of every event by the name of its sound.

    Args:
        extra: A person's own file, in the form of `events.yaml`. An event that is there already is replaced.

    Raises:
        InvalidInputError: The file cannot be used; file and key are named.
    """
    events = read_table(_OURS, "events")
    if extra is not None:
        events |= read_table(Path(extra).expanduser(), "events")
    for name, scenes in events.items():
        if not all(isinstance(scene, str) and scene.strip() for scene in scenes):
            raise InvalidInputError(f"{extra}, events: {name}: {scenes!r} must be texts.", "Quote words such as 'yes'.")
    return {
        name: [template.format(scene) for scene in scenes for template in _TEMPLATES] for name, scenes in events.items()
    }

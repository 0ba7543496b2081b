"""What is seen, in words: from classes or probabilities to the names of sounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from versasound_core.errors import InvalidInputError
from versasound_core.yaml_files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_LEAST = 0.1  # of the best
Labels = list[tuple[str, float]]


def read_table(path: Path, section: str) -> dict[str, list[Any]]:
    """Read a YAML file with one section of `name: [entries]`.

    Raises:
        InvalidInputError: The file cannot be read or is no such table; file and key are named.
    """
    hint = f"It is to begin with `{section}:`, and below it lines such as `name of a sound: [entry, entry]`."
    try:
        loaded = read_yaml(path)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path} {error.message}", hint) from error
    table = loaded.get(section) if isinstance(loaded, dict) and set(loaded) == {section} else None
    if not isinstance(table, dict):
        raise InvalidInputError(f"{path} is no table of {section}.", hint)
    for name, entries in table.items():
        if not isinstance(name, str) or not isinstance(entries, list) or not entries:
            raise InvalidInputError(f"{path}, {section}: {name}: {entries!r} is no list of entries.", hint)
    return table


class SoundTable:
    """Which classes of a classifier make which sound.

    Args:
        classes: Per sound, the numbers of its classes; a class may be in one sound only.
        count: How many classes the classifier has.

    Attributes:
        sounds: Names of the sounds.

    Raises:
        InvalidInputError: If a number is not one of a class, or stands twice.
    """

    def __init__(self, classes: Mapping[str, Sequence[int]], count: int) -> None:
        self.sounds = list(classes)
        self._target = torch.full((count,), len(self.sounds))
        for sound, (name, numbers) in enumerate(classes.items()):
            for number in numbers:
                if not 0 <= number < count:
                    raise InvalidInputError(f"{name}: there is no class {number}; there are {count}.")
                if self._target[number] != len(self.sounds):
                    raise InvalidInputError(f"{name}: class {number} belongs to another sound already.")
                self._target[number] = sound

    def gather(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Add up the probabilities of classes `[..., count]` by sound, `[..., K]`; silent classes are left out."""
        target = self._target.to(probabilities.device).expand_as(probabilities)
        summed = probabilities.new_zeros(*probabilities.shape[:-1], len(self.sounds) + 1)
        return summed.scatter_add_(-1, target, probabilities)[..., :-1]


def rank(scores: torch.Tensor, sounds: Sequence[str], most: int) -> Labels:
    """Name the likeliest sounds, best first: at most `most`, none below a tenth of the best, from scores `[K]`."""
    values, places = scores.sort(descending=True, stable=True)
    pairs = zip(places[:most].tolist(), values[:most].tolist(), strict=True)
    return [(sounds[place], value) for place, value in pairs if value >= _LEAST * float(values[0])]


def describe(
    scores: torch.Tensor, sounds: Sequence[str], fps: float, most: int
) -> tuple[list[Labels], list[list[Labels]]]:
    """Name what is seen in each item of a batch.

    Args:
        scores: `[T, B, K]` for `fps` frames a second.
        sounds: Names of the `K` sounds.
        fps: Frames a second.
        most: How many to name.

    Returns:
        Per item, the labels of the whole clip, and those of each second.
    """
    scores = scores.float().cpu()
    second = (torch.arange(len(scores), dtype=torch.float64) / fps + 1e-6).long()
    sums = scores.new_zeros(int(second[-1]) + 1, *scores.shape[1:]).index_add_(0, second, scores)
    means = sums / second.bincount().clamp(min=1).view(-1, 1, 1)
    items = range(scores.shape[1])
    whole = [rank(scores[:, item].mean(dim=0), sounds, most) for item in items]
    return whole, [[rank(each, sounds, most) for each in means[:, item]] for item in items]

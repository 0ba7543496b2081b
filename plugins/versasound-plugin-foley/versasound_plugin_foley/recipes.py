"""From a sound that was understood to how it is made: our recipes, and what a person's own file changes in them."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from versasound_core.errors import InvalidInputError
from versasound_core.vocabulary import Match, Vocabulary, read_words
from versasound_core.yaml_files import read_yaml

from .checks import check_complete, check_params

_OURS = Path(__file__).with_name("sounds.yaml")
_CONTINUOUS = frozenset({"bands", "grains", "tone"})
Recipe = dict[str, Any]


@cache
def _ours() -> dict[str, dict[str, Recipe]]:
    ours: dict[str, dict[str, Recipe]] = read_yaml(_OURS)
    return ours


def changed(base: Any, by: Any) -> Any:  # noqa: ANN401  (any YAML value)
    """`base` with `by` laid over it: mappings key by key, None takes a key away, anything else replaces."""
    if not (isinstance(base, dict) and isinstance(by, dict)):
        return deepcopy(by)
    merged = deepcopy(base)
    for key, value in by.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = changed(merged.get(key), value)
    return merged


def continuous(recipe: Recipe) -> bool:
    """Whether the sound goes on rather than beginning at an event."""
    return not _CONTINUOUS.isdisjoint(recipe)


class Recipes:
    """The words and the recipes together, from ours and, if there is one, from a person's own file.

    Attributes:
        vocabulary: The words.
        materials: How each material answers a blow.

    Raises:
        InvalidInputError: The file cannot be used; the message names the file and the key.
    """

    def __init__(self, lexicon: Path | None = None) -> None:
        self._lexicon = lexicon
        self.vocabulary = Vocabulary.load(lexicon)
        own = {} if lexicon is None else read_words(lexicon)
        self.materials = dict(_ours()["materials"])
        self._sounds = dict(_ours()["sounds"])
        for section, table in (("materials", self.materials), ("sounds", self._sounds)):
            for name, entry in own.get(section, {}).items():
                params, like = entry.get("params", {}), entry.get("like")
                if section == "sounds" and like is None and name not in table:
                    message = (
                        f"In the vocabulary file {lexicon}, sounds.{name} cannot be made: it is like no other sound."
                    )
                    raise InvalidInputError(message, "Give it `like:` with a sound or a material.")
                if section == "sounds" and like in self.materials and like not in self._sounds:
                    like = "impact"
                base = table.get(name if name in table else like or "", {})
                table[name] = changed(base, params)
                if lexicon is not None and params:
                    check_params(lexicon, f"{section}.{name}.params", params, _ours())

    def recipe(self, match: Match) -> Recipe:
        """How to make a sound on its material."""
        own = self._sounds[match.sound.name]
        base = self.materials.get(match.material or "", self.materials["wood"]) if own.get("struck") else {}
        made = changed(base, {key: value for key, value in own.items() if key not in {"struck", "by_material"}})
        recipe: Recipe = changed(made, own.get("by_material", {}).get(match.material, {}))
        modes = recipe.get("modes")
        if modes is not None and "ratios" not in modes:
            del recipe["modes"]  # the surface does not ring: there is nothing to change
        if self._lexicon is not None:
            check_complete(self._lexicon, match.label, recipe)
        return recipe

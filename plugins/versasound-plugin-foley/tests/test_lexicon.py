"""A person's own words and recipes: heard, or refused by file and key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from versasound_plugin_foley import FoleyGenerator
from versasound_plugin_foley.recipes import Recipes, continuous

from versasound_core.containers import EventTrack, GenerationRequest, VisualFeatures
from versasound_core.context import RunContext
from versasound_core.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 48000


def play(prompt: str, lexicon: Path | None) -> tuple[NDArray[np.float64], list[str]]:
    """What one strike at 0.1 s sounds like from there on, in mono, and its sources."""
    features = VisualFeatures(
        torch.zeros(1, 90, 1), {"fps": 30.0}, EventTrack(torch.zeros(1, 90), 30.0, [[(0.1, 1.0)]])
    )
    generator = FoleyGenerator(material="auto", ambience=0.0, lexicon=lexicon)
    audio = generator.generate(
        features, GenerationRequest(duration_s=3.0, prompt=prompt, sample_rate=RATE), RunContext()
    )
    return audio.waveform[0].mean(dim=0).numpy().astype(np.float64)[RATE // 10 :], audio.metadata["sources"]


def decay_s(mono: NDArray[np.float64]) -> float:
    """Time in which the energy still to come falls by 30 dB."""
    left = np.cumsum(mono[::-1] ** 2)[::-1]
    return float(np.argmax(left < left[0] * 1e-3)) / RATE


def test_a_lexicon_brings_words_and_recipes(tmp_path: Path) -> None:
    lexicon = tmp_path / "mine.yaml"
    lexicon.write_text(
        """
sounds:
  marimba: {like: wood, words: [marimba], params: {modes: {frequency_hz: 880, spread: 0, friction: 0.001}}}
  rain: {words: [cloudburst]}
materials:
  tweed: {like: cloth, words: [tweed]}
"""
    )
    sound, sources = play("a marimba", lexicon)
    assert sources == ["marimba (wood)"]
    assert np.argmax(np.abs(np.fft.rfft(sound))) * RATE / sound.size == pytest.approx(880, rel=0.02)
    assert decay_s(sound) > 2 * decay_s(play("hit wood", None)[0])
    assert play("cloudburst", lexicon)[1] == ["rain (concrete)"]
    assert play("hitting tweed", lexicon)[1] == ["impact (tweed)"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("sounds: {x: {family: animal, words: [meow]}}", "sounds.x"),
        ("sounds: {rain: {params: {hz: 3}}}", "sounds.rain.params.hz"),
        ("sounds: {knock: {params: {modes: {frequency_hz: high}}}}", "sounds.knock.params.modes.frequency_hz"),
        ("sounds: {knock: {params: {modes: {frequency_hz: 0}}}}", "sounds.knock.params.modes.frequency_hz"),
        ("sounds: {knock: {params: {modes: {ratios: sphere}}}}", "sounds.knock.params.modes.ratios"),
        ("sounds: {knock: {params: {burst: 3}}}", "sounds.knock.params.burst"),
        (
            "sounds: {knock: {params: {by_material: {metal: {burst: {hz: .nan}}}}}}",
            "sounds.knock.params.by_material.metal.burst.hz",
        ),
        ("sounds: {rain: {params: {bands: [{hz: 300, octave: 1}]}}}", "sounds.rain.params.bands.octave"),
        ("sounds: {rain: {params: {bands: [{hz: 300}]}}}", "octaves"),
        ("materials: {tweed: {words: [tweed], params: {spray: {count: 3}}}}", "grain"),
    ],
)
def test_a_lexicon_that_cannot_be_played_is_refused(tmp_path: Path, text: str, key: str) -> None:
    lexicon = tmp_path / "mine.yaml"
    lexicon.write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        play("rain and hitting tweed", lexicon)
    assert str(lexicon) in str(caught.value)
    assert key in str(caught.value)


def test_every_sound_of_the_vocabulary_has_a_recipe() -> None:
    recipes = Recipes()
    for name, sound in recipes.vocabulary.sounds.items():
        for word in sound.words[:1]:
            (match,) = recipes.vocabulary.parse(word).sounds
            assert match.sound.name == name
            recipe = recipes.recipe(match)
            assert continuous(recipe) or {"modes", "burst", "spray", "sweep"} & set(recipe)
    assert set(recipes.vocabulary.materials) <= set(recipes.materials)

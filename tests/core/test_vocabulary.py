"""The words of sound: what a sentence means, and what it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versasound_core.errors import InvalidInputError
from versasound_core.vocabulary import Vocabulary

VOCABULARY = Vocabulary.load()


def heard(text: str) -> list[str]:
    return [match.label for match in VOCABULARY.parse(text).sounds]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("footsteps on gravel", ["footsteps (gravel)"]),
        ("rain on a tin roof", ["rain (metal)"]),
        ("a hammer striking metal", ["hammer (metal)"]),
        ("glass breaking", ["shatter (glass)"]),
        ("wind in trees and distant crowd", ["wind (leaves)", "crowd"]),
        ("gravel footsteps", ["footsteps (gravel)"]),
        ("walking, then hammering", ["footsteps (concrete)", "hammer (metal)"]),
        ("walking, footsteps on gravel", ["footsteps (gravel)"]),
        ("a wooden door slams", ["slam (wood)"]),
        ("rain hitting a window", ["rain (glass)"]),
        ("hitting a window", ["impact (glass)"]),
        ("hitting metal with a stick", ["impact (metal)"]),
        ("Stone.", ["impact (stone)"]),
        ("snow", ["footsteps (snow)"]),
        ("dry leaves", ["rustle (leaves)"]),
        ("a stream of water", ["water"]),
        ("crowd clapping", ["applause"]),
        ("clapping", ["clap (skin)"]),
    ],
)
def test_everyday_sentences(text: str, labels: list[str]) -> None:
    assert heard(text) == labels


@pytest.mark.parametrize(
    "text",
    [
        "FOOTSTEPS ON GRAVEL!",
        "footsteps-on-gravel",
        "  footsteps\n on  gravel",
        "Föotstéps on gravel",
        "“footsteps” on gravel",
    ],
)
def test_case_accents_and_punctuation_do_not_matter(text: str) -> None:
    assert heard(text) == ["footsteps (gravel)"]


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("hammered", "hammer"),
        ("slamming", "slam"),
        ("striking", "impact"),
        ("raining", "rain"),
        ("splashes", "splash"),
        ("hikers", "footsteps"),
        ("knives", "impact"),
    ],
)
def test_forms_of_a_word(form: str, name: str) -> None:
    assert [match.sound.name for match in VOCABULARY.parse(form).sounds] == [name]


def test_says_which_words_meant_what_and_which_meant_nothing() -> None:
    parsed = VOCABULARY.parse("heavy zorbing footsteps on the gravel, quux and zorbing")
    assert parsed.sounds[0].words == ("footsteps", "gravel")
    assert parsed.sounds[0].material_said
    assert parsed.unknown == ("zorbing", "quux")


def test_a_usual_material_is_not_a_said_one() -> None:
    (match,) = VOCABULARY.parse("a bell").sounds
    assert (match.material, match.material_said) == ("metal", False)


def test_what_is_ruled_out_is_not_wanted() -> None:
    parsed = VOCABULARY.parse("rain without wind, and no footsteps")
    assert [m.label for m in parsed.sounds] == ["rain (concrete)"]
    assert [m.sound.name for m in parsed.unwanted] == ["wind", "footsteps"]


def test_every_word_of_the_vocabulary_is_understood_as_its_owner() -> None:
    for name, sound in VOCABULARY.sounds.items():
        for word in sound.words:
            assert [m.sound.name for m in VOCABULARY.parse(word).sounds] == [name], word
    for name, words in VOCABULARY.materials.items():
        for word in words:
            assert [m.material for m in VOCABULARY.parse(word).sounds] == [name], word


@given(st.text())
def test_any_text_is_parsed(text: str) -> None:
    parsed = VOCABULARY.parse(text)
    assert len(set(parsed.unknown)) == len(parsed.unknown)
    assert all(match.words for match in parsed.sounds + parsed.unwanted)
    assert len({match.label for match in parsed.sounds}) == len(parsed.sounds)


WORDS = sorted({w for sound in VOCABULARY.sounds.values() for w in sound.words if " " not in w})


@given(st.lists(st.sampled_from([*WORDS, "zorb", "heavy", "gravel", "on", "quux"]), max_size=8))
def test_no_word_is_lost(words: list[str]) -> None:
    parsed = VOCABULARY.parse(", ".join(words))
    accounted = {part for match in parsed.sounds for part in match.words} | set(parsed.unknown) | {"heavy", "on"}
    assert set(words) <= accounted
    assert set(parsed.unknown) <= {"zorb", "quux"}
    assert VOCABULARY.parse(", ".join(words).upper()) == parsed


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_ones_own_extends_it(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        sounds:
          footsteps: {words: [clogs, window shopping]}
          bonk: {like: wood, words: [bonk, marimba], params: {modes: {frequency_hz: 900}}}
          cloudburst: {like: rain, words: [cloudburst]}
        materials:
          marzipan: {like: cloth, words: [marzipan]}
        """,
    )
    own = Vocabulary.load(path)
    assert [m.label for m in own.parse("clogs on gravel").sounds] == ["footsteps (gravel)"]
    assert [m.sound.name for m in own.parse("window shopping").sounds] == ["footsteps"]
    (bonk,) = own.parse("a marimba").sounds
    assert (bonk.sound.name, bonk.sound.family, bonk.sound.like, bonk.material) == ("bonk", "impact", "impact", "wood")
    assert own.sounds["cloudburst"].family == "rain"
    assert [m.label for m in own.parse("punching marzipan").sounds] == ["punch (marzipan)"]
    assert heard("clogs") == []


def test_the_last_to_name_a_word_owns_it(tmp_path: Path) -> None:
    own = Vocabulary.load(
        written(tmp_path, "sounds: {crowd: {words: [gravel]}}\nmaterials: {metal: {words: [thunder]}}")
    )
    assert [m.label for m in own.parse("gravel, thunder").sounds] == ["crowd", "impact (metal)"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("sounds: [", "not YAML"),
        ("- a", "the file"),
        ("noises: {}", "noises"),
        ("sounds: {bonk: {words: [bonk]}}", "sounds.bonk"),
        ("sounds: {bonk: {like: zorb}}", "sounds.bonk.like"),
        ("sounds: {rain: {words: wet}}", "sounds.rain.words"),
        ("sounds: {rain: {words: [3]}}", "sounds.rain.words"),
        ("sounds: {rain: {wrods: [wet]}}", "sounds.rain.wrods"),
        ("sounds: {rain: {params: [1]}}", "sounds.rain.params"),
        ("sounds: {rain: {material: zorb}}", "sounds.rain.material"),
        ("materials: {tweed: {like: zorb}}", "materials.tweed.like"),
        ("materials: {tweed: {alone: zorb, words: [tweed]}}", "materials.tweed.alone"),
        ("ignored: [no]", "ignored"),
        ("sounds: {3: {words: [x]}}", "sounds"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_key(tmp_path: Path, text: str, key: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InvalidInputError) as caught:
        Vocabulary.load(path)
    assert str(path) in str(caught.value)
    assert key in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="nowhere"):
        Vocabulary.load(tmp_path / "nowhere.yaml")


def test_needs_no_heavy_package() -> None:
    code = (
        "import sys; from versasound_core.vocabulary import Vocabulary; Vocabulary.load().parse('rain'); "
        "sys.exit(bool({'numpy', 'torch', 'av'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

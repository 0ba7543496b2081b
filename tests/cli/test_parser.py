"""Flags come from cards, for the backends that the command line names."""

from __future__ import annotations

import pytest

from versasound_core.cli import build_parser
from versasound_core.cli._flags import recipe_of
from versasound_core.errors import InvalidInputError

CARD = {
    "summary": "100 % fake.",
    "options": {
        "how_much": {"type": "float", "default": 0.5, "min": 0.0, "max": 1.0, "unit": "dB", "help": "5 % more."},
        "count": {"type": "int", "default": 3, "min": 1},
        "loud": {"type": "bool", "default": True},
        "kind": {"type": "str", "default": "soft", "choices": ["soft", "hard"]},
        "table": {"type": "path"},
    },
}
FAKE = ("--generator", "fake")


@pytest.fixture(autouse=True)
def fake(registered, defaults):
    registered.register("generator", "fake", object, CARD)


@pytest.fixture
def recipe(folder):
    return lambda *words: recipe_of(build_parser().parse_args(["add-sound", *words, "x.mp4"]))


@pytest.fixture
def refused(folder, capsys):
    def refused(*words):
        with pytest.raises(SystemExit) as caught:
            build_parser().parse_args(["add-sound", *words, "x.mp4"])
        assert caught.value.code == 2
        return capsys.readouterr().err

    return refused


def test_an_option_of_the_card_is_a_flag(recipe):
    given = recipe(
        *FAKE, "--generator-how-much", "0.25", "--generator-count=7", "--no-generator-loud",
        "--generator-kind", "hard", "--generator-table", "t.csv",
    )  # fmt: skip
    assert given.generator == "fake"
    assert given.generator_options == {"how_much": 0.25, "count": 7, "loud": False, "kind": "hard", "table": "t.csv"}


def test_what_is_not_given_is_left_to_the_card(recipe):
    assert recipe(*FAKE).generator_options == {}
    assert recipe(*FAKE, "--generator-loud").generator_options == {"loud": True}


def test_a_negative_number_is_a_value(recipe):
    assert recipe("--refiner-target-lufs", "-16").refiner_options == {"target_lufs": -16.0}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--generator-how-much", "2"), "wanted a number from 0 to 1 dB"),
        (("--generator-how-much", "nan"), "wanted a number from 0 to 1 dB"),
        (("--generator-count", "1.5"), "wanted a whole number of at least 1"),
        (("--generator-kind", "loud"), "wanted one of soft, hard"),
        (("--generator-how-mch", "0.2"), "Did you mean --generator-how-much?"),
        (("--generator-material", "wood"), "generator fake has no option 'material'. It belongs to --generator foley."),
        (("--generator-xyz", "1"), "It has: --generator-how-much, --generator-count"),
        (("--aligner", "none", "--aligner-adaptive"), "no aligner runs that could take --aligner-adaptive"),
        (("--encoder", "--quiet"), "--encoder: expected one argument"),
    ],
)
def test_what_no_card_allows_is_refused_with_the_way_out(refused, words, said):
    assert said in refused(*FAKE, *words)


def test_the_help_shows_the_options_of_the_backends_that_are_named(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["add-sound", *FAKE, "--refiner", "none", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "generator fake: 100 % fake." in shown
    assert "--generator-how-much DB 5 % more. (default: 0.5 dB)" in shown
    assert "--generator-kind {soft,hard}" in shown
    assert "--generator-material" not in shown
    assert "--refiner-target-lufs" not in shown


def test_the_defaults_are_those_of_the_recipe(recipe):
    from versasound_core.recipe import Recipe

    assert recipe() == Recipe()


def test_none_leaves_a_role_out(recipe):
    given = recipe("--aligner", "none", "--refiner", "none")
    assert (given.aligner, given.refiner) == (None, None)


def test_words_are_taken_over(recipe):
    given = recipe(
        "--prompt", "rain", "--negative-prompt", "wind", "--seed", "7", "--sample-rate", "44100", "--steps", "9",
        "--guidance-scale", "2.5", "--sync-strength", "0.5", "--keep-original", "duck", "--original-level", "-3",
        "--device", "cpu", "--precision", "fp16",
    )  # fmt: skip
    assert (given.prompt, given.negative_prompt, given.seed, given.sample_rate) == ("rain", "wind", 7, 44100)
    assert (given.num_inference_steps, given.guidance_scale, given.sync_strength) == (9, 2.5, 0.5)
    assert (given.keep_original, given.original_level_db) == ("duck", -3.0)
    assert (given.device, given.precision) == ("cpu", "fp16")


@pytest.mark.parametrize(
    ("words", "how"), [((), "replace"), (("--keep-original",), "mix"), (("--keep-original=duck",), "duck")]
)
def test_keep_original_alone_means_mix_and_does_not_eat_the_clip(words, how):
    args = build_parser().parse_args(["add-sound", *words, "x.mp4"])
    assert (recipe_of(args).keep_original, args.clips) == (how, ["x.mp4"])


class TestConfiguration:
    @pytest.fixture(autouse=True)
    def file(self, folder):
        text = """
            visual_encoder: {backbone: motion}
            audio_generator: {default_model: fake, sample_rate: 22050, options: {count: 5, kind: hard}}
            temporal_aligner: {sync_method: none}
            device: {precision: fp32}
        """
        (folder / "mine.yaml").write_text(text, encoding="utf-8")

    def test_it_chooses_backends_and_options(self, recipe):
        given = recipe("--config", "mine.yaml")
        assert (given.generator, given.generator_options) == ("fake", {"count": 5, "kind": "hard"})
        assert (given.aligner, given.sample_rate) == (None, 22050)

    def test_the_command_line_goes_before_it(self, recipe):
        given = recipe("--config=mine.yaml", "--generator-count", "6", "--sample-rate", "8000")
        assert given.generator_options == {"count": 6, "kind": "hard"}
        assert given.sample_rate == 8000

    def test_options_of_a_backend_that_is_not_taken_are_left_behind(self, recipe):
        given = recipe("--config", "mine.yaml", "--generator", "foley", "--generator-ambience", "0.1")
        assert (given.generator, given.generator_options) == ("foley", {"ambience": 0.1})

    def test_none_on_the_command_line_goes_before_it(self, recipe):
        assert recipe("--config", "mine.yaml", "--refiner", "none").refiner is None

    def test_a_wrong_one_is_an_error_and_no_traceback(self, folder, recipe):
        (folder / "mine.yaml").write_text("audio_generator: {default_modle: x}", encoding="utf-8")
        with pytest.raises(InvalidInputError, match="default_modle"):
            recipe("--config", "mine.yaml")

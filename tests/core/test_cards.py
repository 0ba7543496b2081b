"""Cards: every kind of option, every malformed field, and what a newer core may add."""

from __future__ import annotations

import contextlib
import math
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from versasound_core.cards import CARD_FILE, BackendCard, OptionSpec, read_card
from versasound_core.errors import InvalidInputError

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=4))
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def option(**fields: object) -> OptionSpec:
    return OptionSpec(name="x", **fields)


class TestChecking:
    @pytest.mark.parametrize(
        ("kind", "default", "good", "bad"),
        [
            ("bool", False, [True, False], [0, 1, "true", None, 1.0]),
            ("int", 1, [0, -5, 10**30], [True, 1.0, "1", None, math.nan, 10**400]),
            ("float", 0.5, [0, 3, -1.5, 1e308], [True, "0.5", None, math.nan, math.inf, -math.inf, 10**400]),
            ("str", "a", ["", "b", "ünï"], [1, None, b"a", Path("a"), ["a"]]),
            ("path", "a", ["b", Path("b/c")], [1, None, b"a", True]),
        ],
    )
    def test_each_type_takes_its_own_and_nothing_else(self, kind, default, good, bad):
        spec = option(type=kind, default=default)
        for value in good:
            assert spec.check(value) is value
        for value in bad:
            with pytest.raises(InvalidInputError):
                spec.check(value)

    @pytest.mark.parametrize("kind", ["bool", "int", "float", "str", "path"])
    def test_none_is_taken_where_the_backend_decides(self, kind):
        assert option(type=kind).check(None) is None

    @pytest.mark.parametrize(
        ("fields", "value", "message"),
        [
            ({"type": "int", "default": 1}, 1.5, "x=1.5: wanted a whole number."),
            ({"type": "bool", "default": True}, "yes", "x='yes': wanted true or false."),
            ({"type": "str", "default": ""}, 3, "x=3: wanted text."),
            ({"type": "path", "default": ""}, 3, "x=3: wanted a path."),
            ({"type": "float", "default": 1, "min": 0, "max": 2.5}, 3, "x=3: wanted a number from 0 to 2.5."),
            ({"type": "float", "default": 1, "min": 0, "unit": "Hz"}, -1, "x=-1: wanted a number of at least 0 Hz."),
            ({"type": "int", "default": 1, "max": 4}, 5, "x=5: wanted a whole number of at most 4."),
            ({"type": "str", "default": "a", "choices": ["a", "b"]}, "c", "x='c': wanted one of a, b."),
            ({"type": "int", "default": 1, "choices": [1, 2]}, True, "x=True: wanted one of 1, 2."),
        ],
    )
    def test_the_message_says_what_came_and_what_is_wanted(self, fields, value, message):
        with pytest.raises(InvalidInputError) as caught:
            option(**fields).check(value)
        assert str(caught.value) == message

    @given(st.floats(), st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e6))
    def test_bounds_hold_for_every_float(self, value, low, width):
        high = min(low + width, sys.float_info.max)
        spec = option(type="float", min=low, max=high)
        if low <= value <= high:
            assert spec.check(value) is value
        else:
            with pytest.raises(InvalidInputError):
                spec.check(value)

    @given(st.sampled_from(["bool", "int", "float", "str", "path"]), SCALARS)
    def test_whatever_comes_is_taken_as_it_is_or_refused(self, kind, value):
        spec = option(type=kind)
        try:
            assert spec.check(value) is value
        except InvalidInputError as error:
            assert str(error).startswith(f"x={value!r}: wanted ")  # noqa: PT017


class TestMalformedOptions:
    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"type": "number"}, "type must be one of bool, int, float, str, path, not 'number'"),
            ({"type": "float", "default": "loud"}, "x='loud': wanted a number"),
            ({"type": "float", "default": math.nan}, "x=nan: wanted a number"),
            ({"type": "float", "default": 2.0, "max": 1.0}, "x=2.0: wanted a number of at most 1"),
            ({"type": "float", "min": "low"}, "min must be a number, not 'low'"),
            ({"type": "float", "max": math.inf}, "max must be a number, not inf"),
            ({"type": "float", "step": True}, "step must be a number, not True"),
            ({"type": "str", "choices": "abc"}, "choices must be a list of values, not 'abc'"),
            ({"type": "str", "choices": []}, "choices must be a list of values"),
            ({"type": "str", "choices": ["on", True]}, "choices: True is not of type str"),
            ({"type": "int", "choices": [1, 9], "max": 5}, "choices: 9 is not of type int, or out of bounds"),
            ({"type": "str", "help": 5}, "help must be text, not 5"),
        ],
    )
    def test_they_are_refused_where_they_are_written(self, fields, words):
        with pytest.raises(InvalidInputError) as caught:
            option(**fields)
        assert words in str(caught.value)


class TestCompleting:
    CARD = BackendCard.from_fields(
        {
            "summary": "S.",
            "options": {"level": {"type": "float", "default": 0.5}, "name": {"type": "str"}, "on": {"type": "bool"}},
        }
    )

    def test_defaults_fill_in_what_is_not_given(self):
        assert self.CARD.complete({}) == {"level": 0.5, "name": None, "on": None}
        assert self.CARD.complete({"on": True, "level": 1}) == {"level": 1, "name": None, "on": True}

    def test_an_unknown_one_is_answered_with_the_nearest_or_with_all(self):
        with pytest.raises(InvalidInputError, match=r"no option 'levell'. Did you mean level\?"):
            self.CARD.complete({"levell": 1.0})
        with pytest.raises(InvalidInputError, match=r"no option 'zzz'. It has: level, name, on."):
            self.CARD.complete({"zzz": 1.0})
        with pytest.raises(InvalidInputError, match=r"It has: none."):
            BackendCard(summary="S.").complete({"zzz": 1.0})


class TestReading:
    @pytest.fixture
    def read(self, tmp_path):
        def read(text):
            path = tmp_path / CARD_FILE
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            return read_card(path, "generator", "tone")

        return read

    def test_a_whole_card(self, read):
        api, card = read(
            "api: 1\n"
            "generators:\n"
            "  tone:\n"
            "    summary: Hums.\n"
            "    timed: true\n"
            "    variants: {small: house/small}\n"
            "    weights: house\n"
            "    code_licence: MIT\n"
            "    weights_licence: CC-BY-4.0\n"
            "    download_gb: 1\n"
            "    vram_gb: 2.5\n"
            "    options:\n"
            "      hz: {type: float, default: 50, min: 20, max: 2.0e+4, step: 1, unit: Hz, help: Its pitch.}\n"
            "      wave: {type: str, default: sine, choices: [sine, saw]}\n"
        )
        assert api == 1
        assert card == BackendCard(
            summary="Hums.",
            timed=True,
            variants={"small": "house/small"},
            weights="house",
            code_licence="MIT",
            weights_licence="CC-BY-4.0",
            download_gb=1,
            vram_gb=2.5,
            options={
                "hz": {
                    "type": "float",
                    "default": 50,
                    "min": 20,
                    "max": 2e4,
                    "step": 1,
                    "unit": "Hz",
                    "help": "Its pitch.",
                },
                "wave": {"type": "str", "default": "sine", "choices": ["sine", "saw"]},
            },
        )
        assert list(card.options) == ["hz", "wave"]
        assert card.options["wave"].choices == ("sine", "saw")

    def test_what_a_newer_core_may_add_passes(self, read):
        plain = "api: 1\ngenerators:\n  tone:\n    summary: S.\n    options:\n      hz: {type: int, default: 3}\n"
        newer = (
            "api: 1\nstudios: {a: 1}\ngenerators:\n  other: 5\n  tone:\n    summary: S.\n"
            "    mood: [sad]\n    options:\n      hz: {type: int, default: 3, curve: log}\n"
        )
        assert read(plain) == read(newer)

    @pytest.mark.parametrize("text", ["api: 99\n", "api: 0\ngenerators: 5\n", "api: -1\n", "api: 2\nx: !!str y\n"])
    def test_of_another_version_only_the_number_is_read(self, read, text):
        assert read(text) == (yaml.safe_load(text)["api"], None)

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ("{}", "it has no `summary:`"),
            ("{summary: 5}", "summary must be text, not 5"),
            ("{summary: S., timed: maybe}", "timed must be true or false, not 'maybe'"),
            ("{summary: S., download_gb: big}", "download_gb must be a number, not 'big'"),
            ("{summary: S., vram_gb: .nan}", "vram_gb must be a number, not nan"),
            ("{summary: S., variants: [a]}", "variants must be a mapping, not ['a']"),
            ("{summary: S., code_licence: null}", "code_licence must be text, not None"),
            ("{summary: S., options: [hz]}", "options must be a mapping, not ['hz']"),
            ("{summary: S., options: {hz: 5}}", "option hz must be a mapping with `type:`, not 5"),
            ("{summary: S., options: {hz: {default: 5}}}", "option hz must be a mapping with `type:`"),
            ("{summary: S., options: {hz: {type: hertz}}}", "option hz: type must be one of"),
            ("{summary: S., options: {hz: {type: [int]}}}", "option hz: type must be one of"),
            ("{summary: S., options: {hz: {type: int, min: low}}}", "option hz: min must be a number, not 'low'"),
            ("{summary: S., options: {no: {type: int}}}", "option False: the name must be one"),
            ("{summary: S., options: {a-b: {type: int}}}", "option 'a-b': the name must be one"),
        ],
    )
    def test_a_malformed_field_is_named_with_its_place(self, read, body, words):
        with pytest.raises(InvalidInputError) as caught:
            read(f"api: 1\ngenerators: {{tone: {body}}}\n")
        assert str(caught.value).startswith("its card versasound.yaml, generators: tone: ")
        assert words in str(caught.value)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "begins with `api: 1`"),
            ("- api", "begins with `api: 1`"),
            ("generators: {}", "begins with `api: 1`"),
            ("api: one", "begins with `api: 1`"),
            ("api: true", "begins with `api: 1`"),
            ("api: 1.0", "begins with `api: 1`"),
            ("api: 1", "no `generators: tone:`"),
            ("api: 1\ngenerators: 5", "no `generators: tone:`"),
            ("api: 1\ngenerators: {tune: {summary: S.}}", "no `generators: tone:`"),
            ("api: 1\ngenerators: {tone: null}", "no `generators: tone:`"),
            ("api: [1", "is not YAML"),
            ("api: 1\nday: 2024-13-99", "is not YAML"),
            ("api: 1\nday: !!bool maybe", "is not YAML"),
            ("api: 1\nday: !!python/object/apply:os.getcwd []", "is not YAML"),
            ("[" * 5000, "is not YAML"),
            (b"api: \xff\xfe\x00", "is not YAML"),
        ],
    )
    def test_what_is_no_card_says_so(self, read, text, words):
        with pytest.raises(InvalidInputError) as caught:
            read(text)
        assert "its card versasound.yaml" in str(caught.value)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_missing_one_and_a_folder_say_so(self, tmp_path):
        (tmp_path / CARD_FILE).mkdir()
        for folder in (tmp_path / "nowhere", tmp_path):
            with pytest.raises(InvalidInputError, match=f"its card {CARD_FILE} cannot be read: "):
                read_card(folder / CARD_FILE, "generator", "tone")

    @given(card=DOCUMENTS, options=DOCUMENTS)
    def test_any_document_is_a_card_or_an_error_of_ours(self, tmp_path_factory, card, options):
        path = tmp_path_factory.getbasetemp() / CARD_FILE
        body = {"summary": "S.", "options": options, **(card if isinstance(card, dict) else {})}
        for document in (card, {"api": 1, "generators": {"tone": card}}, {"api": 1, "generators": {"tone": body}}):
            path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
            with contextlib.suppress(InvalidInputError):
                read_card(path, "generator", "tone")

    @given(st.binary(max_size=60))
    def test_any_bytes_are_a_card_or_an_error_of_ours(self, tmp_path_factory, junk):
        path = tmp_path_factory.getbasetemp() / CARD_FILE
        path.write_bytes(b"api: 1\ngenerators: {tone: {summary: " + junk)
        with contextlib.suppress(InvalidInputError):
            read_card(path, "generator", "tone")

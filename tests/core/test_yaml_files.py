"""YAML files: what PyYAML's own safe loader makes of them, and one meaning for each key."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from versasound_core.errors import InvalidInputError
from versasound_core.yaml_files import read_yaml

# Merges within merges: `deep` is merged before it is itself complete.
MERGED = "base: &base {a: 1, b: 2}\nroom: {deep: &deep {<<: *base, b: 3}}\nuser: {<<: *deep, a: 4}\n"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("yaml") / "mine.yaml"


@given(value=VALUES)
def test_what_is_written_is_read(file, value):
    file.write_text(yaml.safe_dump(value), encoding="utf-8")
    assert read_yaml(file) == value


@pytest.mark.parametrize("text", ["", MERGED, '1: a\n"1": b\n', "day: 2026-01-02\n", "\ufeffa: é\n"])
def test_it_is_what_the_safe_loader_reads(file, text):
    file.write_text(text, encoding="utf-8")
    assert read_yaml(file) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: 1\nb: {c: 1,\n c: 2}\n", "is not YAML: line 3, column 2: the key c is given twice."),
        (b"base: &base {a: 1}\nb: {<<: *base, b: 1, b: 2}\n", "the key b is given twice"),
        (b"a: 1\nb: [1,\n", "line 3, column 1: did not find expected node content while parsing a flow node"),
        (b"a: 1\nb: [1\nc", "expected ',' or ']' while parsing a flow sequence that begins in line 2."),
        (b"a: *missing", "is not YAML: line 1, column 4"),
        (b"day: 2024-13-99", "is not YAML: month must be in"),
        (b"sure: !!bool maybe", "is not YAML"),
        (b"a: !!python/object/apply:os.getcwd []", "is not YAML: line 1, column 4: could not determine a constructor"),
        (b"[" * 5000, "is not YAML"),
        (b"{? {a: 1} : 2}", "unhashable"),
        (b"a: \xff\xfe\x00", "is not YAML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(file, content, words):
    file.write_bytes(content)
    with pytest.raises(InvalidInputError) as caught:
        read_yaml(file)
    assert words in caught.value.message
    assert "\n" not in caught.value.message


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InvalidInputError, match=r"^cannot be read: No such file or directory\.$"):
        read_yaml(tmp_path / "none.yaml")

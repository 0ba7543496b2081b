"""`versasound check` runs the kit on what is installed, and says what is wrong with what is broken."""

from __future__ import annotations

import importlib.util

import pytest

BAD = [
    "bad_option",
    "bad_yaml",
    "future_api",
    "import_exits",
    "import_oserror",
    "no_card",
    "rival_a",
    "rival_b",
    "slow",
]


@pytest.fixture(scope="module")
def said(run_check, install):
    return run_check(install(*BAD), "bad-option", "bad-yaml", "future", "exits", "native", "no-card", "bell", "slow")


@pytest.fixture(scope="module")
def run_check():
    import os
    import subprocess
    import sys

    def run_check(site, *words):
        command = [
            sys.executable,
            "-m",
            "versasound_core",
            "check",
            *words,
            "--",
            "-q",
            "--tb=line",
            "-k",
            "card or light",
        ]
        environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "400"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run_check


@pytest.mark.parametrize(
    "sentence",
    [
        "refiner bad-option: it is broken: its card versasound.yaml, refiners: bad-option: option amount: amount=2.0",
        "encoder bad-yaml: it is broken: its card versasound.yaml is not YAML",
        "encoder no-card: it is broken: its card versasound.yaml cannot be read",
        "aligner future: it is incompatible: it is written for api 99",
        "generator exits: in a process of its own it ends with versasound_core.errors.BrokenPluginError",
        "generator native: in a process of its own it ends with versasound_core.errors.BrokenPluginError",
        "generator slow: importing it loads jax; import that where it is first used.",
    ],
)
def test_each_fault_is_one_sentence(said, sentence):
    assert [line for line in said.stdout.splitlines() if sentence in line], said.stdout


def test_pytests_exit_code_is_the_commands(said):
    assert said.returncode == 1


def test_both_who_claim_a_name_are_asked(said):
    assert "versasound-test-rival-a:bell" in said.stdout
    assert "versasound-test-rival-b:bell" in said.stdout


def test_a_sound_one_passes_with_its_options(cli, defaults):
    run = cli("check", "mastering", "--option", "target_lufs=-20", "--", "-q", "-k", "keeps_its_length")
    assert run.code == 0
    assert "6 passed" in run.out


def test_no_test_is_pytests_own_code(cli, defaults):
    assert cli("check", "foley", "--", "-q", "-k", "nothing_is_called_so").code == 5


def test_an_unknown_name_is_answered(cli):
    run = cli("check", "fley")
    assert run.code == 5
    assert "there is no backend 'fley'" in run.err


def test_without_pytest_it_says_how_to_get_it(cli, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pytest" else find(name))
    run = cli("check", "foley")
    assert (run.code, run.out) == (1, "")
    assert 'pip install "versasound-core[testing]"' in run.err

"""Ctrl-C and `kill` end a run at once, with nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.usefixtures("defaults"),
    pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX signals"),
]

# A generator or a refiner that says when it is at work, and then takes forever.
PROGRAM = """
import signal, sys, time
from versasound_core import registry
from versasound_core.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started the tests with it switched off
where, patient = sys.argv[1], sys.argv[2] == "patient"

def wait(ctx):
    print("at work", flush=True)
    while True:
        time.sleep(0.02)
        if patient:
            ctx.check()

class Slow:
    def generate(self, features, request, ctx):
        wait(ctx)

    def refine(self, audio, ctx):
        wait(ctx)

    def refine_blocks(self, blocks, ctx):
        for block in blocks:
            half = block.waveform.shape[-1] // 2
            yield type(block)(block.waveform[..., :half], block.sample_rate)
            wait(ctx)

registry.register(where, "slow", Slow)
sys.exit(main(["add-sound", "clip.mp4", "-o", "out/x.mp4" if where == "generator" else "x.mp4", f"--{where}", "slow"]))
"""


@pytest.fixture
def started(clip, folder):
    """Start the program and return it once the slow backend is at work."""
    running = []

    def start(where, how):
        (folder / "out").mkdir()
        command = [sys.executable, "-c", PROGRAM, where, how]
        pipe = subprocess.PIPE
        child = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=folder)
        running.append(child)
        assert child.stdout.readline() == "at work\n", child.communicate()[1]
        return child

    yield start
    for child in running:
        child.kill()
        child.communicate()


def left(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_sound_is_made(started, folder, number):
    child = started("generator", "patient")
    child.send_signal(number)
    assert "Cancelled." in child.communicate()[1].splitlines()[-1]
    assert child.returncode == 130
    assert left(folder) == ["clip.mp4"]


def test_while_the_file_is_written(started, folder):
    child = started("refiner", "patient")
    child.send_signal(signal.SIGINT)
    _, said = child.communicate()
    assert (child.returncode, "Traceback" in said) == (130, False)
    assert left(folder) == ["clip.mp4"]


def test_a_second_time_interrupts_what_does_not_listen(started, folder):
    child = started("refiner", "deaf")
    child.send_signal(signal.SIGINT)
    assert any("a second time" in line for line in iter(child.stderr.readline, ""))
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    _, said = child.communicate()
    assert (child.returncode, "Traceback" in said) == (130, False)
    assert left(folder) == ["clip.mp4"]

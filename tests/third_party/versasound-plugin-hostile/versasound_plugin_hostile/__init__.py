"""A generator with a pin that nobody else can live with, and with every way to end."""

import os
import signal
import sys
import time

import torch
import versasound_test_tempo

from versasound_core import AudioData
from versasound_core.errors import InvalidInputError, ModelLoadError
from versasound_core.log import get_logger

if versasound_test_tempo.VERSION != "1.0":
    raise ImportError(f"tempo 1.0 is needed, and this is {versasound_test_tempo.VERSION}")


class UnpluggedError(ModelLoadError):
    """An error of the plugin's own."""


class Hostile:
    def __init__(self, level):
        self.level = level
        self.calls = 0

    def generate(self, features, request, ctx):
        self.calls += 1
        ctx.report(0.25, "begun")
        if request.prompt == "input":
            raise InvalidInputError("the prompt is input.", "Say something else.")
        if request.prompt == "own":
            raise UnpluggedError("the cable is out.", "Put it in.")
        if request.prompt == "bug":
            return {}["beat"]
        if request.prompt == "crash":
            print("the drummer left", file=sys.stderr)
            os.kill(os.getpid(), signal.SIGKILL)
        if request.prompt == "log":
            get_logger(__name__).warning("the string %s broke", "E")
        while request.prompt == "wait":
            ctx.report(0.5, "waiting")
            time.sleep(0.01)
        draw = torch.Generator().manual_seed(request.seed)
        batch = 1 if features is None else features.shape[0]
        wave = torch.randn(batch, 1, request.num_samples, generator=draw) * self.level
        told = {"pid": os.getpid(), "calls": self.calls, "seen": None if features is None else features.features.sum()}
        ctx.report(1.0, "done")
        return AudioData(wave, request.sample_rate, told)


class Tame:
    def encode(self, clip, ctx):
        raise NotImplementedError

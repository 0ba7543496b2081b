"""Backends that are wrong in one way each, and what the kit has to say of it."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import sys

import attrs
import torch

from versasound_core.containers import Alignment, AudioData, EventTrack, VisualFeatures
from versasound_core.errors import Cancelled

CARDS = {
    "encoder": {"summary": "What is wrong.", "code_licence": "MIT"},
    "generator": {"summary": "What is wrong.", "code_licence": "MIT"},
    "aligner": {"summary": "What is wrong.", "code_licence": "MIT"},
    "refiner": {"summary": "What is wrong.", "code_licence": "MIT"},
}
WRONG: dict[str, type] = {}  # by what the kit says


def wrong(sentence, **card):
    """Enter a class in the table."""

    def enter(cls):
        cls.card = {**CARDS[cls.role], **card}
        WRONG[sentence] = cls
        return cls

    return enter


class Generator:
    role = "generator"

    def generate(self, features, request, ctx):
        ctx.report(0.0, "making")
        items = 1 if features is None else features.shape[0]
        waves = [self.noise(request.num_samples, request.seed_for(item)) for item in range(items)]
        ctx.report(1.0, "made")
        return AudioData(torch.stack(waves)[:, None], request.sample_rate)

    def noise(self, count, seed):
        return torch.rand(count, generator=torch.Generator().manual_seed(seed)) - 0.5


class Encoder:
    role = "encoder"

    def encode(self, clip, ctx):
        seen = []
        for chunk in clip.frames(size=(16, 16), fps=8.0):
            ctx.report(float(chunk.times_s[0]) / clip.duration_s, "looking")
            seen.append(chunk.images.float().mean((3, 4)) / 255)
        return VisualFeatures(torch.cat(seen, 1), {"fps": 8.0})


class Aligner:
    role = "aligner"

    def estimate(self, audio, features, ctx):
        ctx.report(0.0, "measuring")
        if audio.shape[0] != features.shape[0]:
            from versasound_core.errors import InvalidInputError

            raise InvalidInputError("another batch.")
        return Alignment([[] for _ in range(audio.shape[0])], [0.0] * audio.shape[0])


class Refiner:
    role = "refiner"

    def refine(self, audio, ctx):
        ctx.report(0.0, "refining")
        return attrs.evolve(audio, waveform=audio.waveform * 0.5)


@wrong("generate() returned Tensor and no AudioData")
class ReturnsATensor(Generator):
    def generate(self, features, request, ctx):
        return super().generate(features, request, ctx).waveform


@wrong(r"generate() returned \[3, 1, \d+\]; \[2, 1 or 2, \d+\] was asked for")
class WrongBatch(Generator):
    def generate(self, features, request, ctx):
        audio = super().generate(features, request, ctx)
        many = audio.shape[0] > 1
        return attrs.evolve(audio, waveform=torch.cat([audio.waveform, audio.waveform[:1]])) if many else audio


@wrong("its sound has 16000 Hz where 8000 Hz were asked for")
class WrongRate(Generator):
    def generate(self, features, request, ctx):
        return super().generate(features, attrs.evolve(request, sample_rate=16000), ctx)


@wrong(r"its sound has \d+ samples where \d+ were asked for")
class WrongLength(Generator):
    def generate(self, features, request, ctx):
        audio = super().generate(features, request, ctx)
        return attrs.evolve(audio, waveform=audio.waveform[..., :-1])


@wrong(r"generate() raised InvalidInputError: waveform .* holds values that are not finite")
class NotANumber(Generator):
    def noise(self, count, seed):
        return super().noise(count, seed) / 0 * 0


@wrong("its samples reach 50; full scale is 1")
class Unbounded(Generator):
    def noise(self, count, seed):
        return super().noise(count, seed).sign() * 50


@wrong("what it makes is silent")
class Silent(Generator):
    def noise(self, count, seed):
        return torch.zeros(count)


@wrong("running it changes the global random state of torch")
class SeedsTheWorld(Generator):
    def noise(self, count, seed):
        torch.manual_seed(seed)
        return torch.rand(count) - 0.5


@wrong("the same seed gives other samples the second time")
class DrawsFromTheAir(Generator):
    def noise(self, count, seed):
        return super().noise(count, int.from_bytes(os.urandom(4)))


@wrong("every seed gives the same samples")
class IgnoresTheSeed(Generator):
    def noise(self, count, seed):
        return super().noise(count, 0)


@wrong("item 1 of a batch differs by .* from the same item made alone with its seed")
class OneSeedForAll(Generator):
    def generate(self, features, request, ctx):
        audio = super().generate(features, request, ctx)
        return attrs.evolve(audio, waveform=audio.waveform[:1].expand_as(audio.waveform))


@wrong("it was cancelled at its step 1 of 2 and went on to the end")
class IgnoresCancel(Generator):
    def generate(self, features, request, ctx):
        for fraction in (0.0, 1.0):
            with contextlib.suppress(Cancelled):
                ctx.report(fraction, "making")
        return super().generate(features, request, attrs.evolve(ctx, cancel=type(ctx)().cancel))


@wrong("it never calls ctx.check() or ctx.report(), and so cannot be cancelled")
class NeverLooks(Generator):
    def generate(self, features, request, ctx):
        return super().generate(features, request, type(ctx)())


@wrong("its progress goes back from 1.000 to 0.500")
class ProgressGoesBack(Generator):
    def generate(self, features, request, ctx):
        audio = super().generate(features, request, ctx)
        ctx.report(0.5, "again")
        return audio


@wrong("it reports a progress of 50, outside 0 to 1")
class ProgressInPercent(Generator):
    def generate(self, features, request, ctx):
        audio = super().generate(features, request, ctx)
        ctx.report(50, "half")
        return audio


@wrong("generate() raised SystemExit: 3")
class ExitsTheProcess(Generator):
    def generate(self, features, request, ctx):
        sys.exit(3)


class _Kept:
    pass


@wrong("it unpickles .*_Kept")
class ReadsAPickle(Generator):
    def generate(self, features, request, ctx):
        pickle.loads(pickle.dumps(_Kept()))
        return super().generate(features, request, ctx)


@wrong("generate() raised .*CUDA")
class OnlyOnCuda(Generator):
    def noise(self, count, seed):
        if torch.cuda.is_available():
            raise RuntimeError("CUDA is here, and this is for machines without it")
        return super().noise(count, seed).to("cuda")


@wrong("it writes into the features that it is given")
class WritesIntoItsInput(Generator):
    def generate(self, features, request, ctx):
        if features is not None:
            features.features.zero_()
        return super().generate(features, request, ctx)


@wrong("ReturnsNothing has no method generate()")
class ReturnsNothing:
    role = "generator"


@wrong("its card lacks: code_licence, help of option amount", code_licence="", options={"amount": {"type": "float"}})
class IncompleteCard(Generator):
    def __init__(self, *, amount):
        pass


@wrong(
    "it cannot be made: .*KeyError: 'loud'",
    options={"kind": {"type": "str", "default": "soft", "choices": ["soft", "loud"], "help": "Which."}},
)
class PromisesTooMuch(Generator):
    def __init__(self, *, kind):
        {"soft": 1}[kind]


@wrong("a prompt of a thousand words raises RuntimeError: too long")
class CrashesOnOddInput(Generator):
    def generate(self, features, request, ctx):
        if len(request.prompt or "") > 1000:
            raise RuntimeError("too long")
        return super().generate(features, request, ctx)


@wrong("running it changes the global random state of Python")
class ShufflesTheWorld(Refiner):
    def refine(self, audio, ctx):
        random.random()
        return super().refine(audio, ctx)


@wrong(r"a sound of \d+ samples comes back with \d+")
class LosesTheEnd(Refiner):
    def refine(self, audio, ctx):
        return attrs.evolve(audio, waveform=super().refine(audio, ctx).waveform[..., :-10])


@wrong('its features do not say metadata\\["fps"\\]')
class NoRate(Encoder):
    def encode(self, clip, ctx):
        return attrs.evolve(super().encode(clip, ctx), metadata={})


@wrong("it gives .* features for .* s at 24 a second, not")
class ClaimsAnotherRate(Encoder):
    def encode(self, clip, ctx):
        return attrs.evolve(super().encode(clip, ctx), metadata={"fps": 24.0})


@wrong("its features are torch.float16, not float32")
class HalfPrecision(Encoder):
    def encode(self, clip, ctx):
        seen = super().encode(clip, ctx)
        return attrs.evolve(seen, features=seen.features.half())


@wrong("item 0 of a batch differs by .* from the same clip alone")
class LooksAtTheNeighbours(Encoder):
    def encode(self, clip, ctx):
        seen = super().encode(clip, ctx)
        return attrs.evolve(seen, features=seen.features + seen.shape[0])


@wrong("its features are the same whatever the picture shows")
class LooksAway(Encoder):
    def encode(self, clip, ctx):
        seen = super().encode(clip, ctx)
        return attrs.evolve(seen, features=torch.zeros_like(seen.features))


@wrong("an event at 9.000 s lies outside of a clip")
class SeesTheFuture(Encoder):
    def encode(self, clip, ctx):
        seen = super().encode(clip, ctx)
        items = seen.shape[0]
        return attrs.evolve(seen, events=EventTrack(torch.zeros(items, 8), 8.0, [[(9.0, 1.0)]] * items))


@wrong("it moves a sound in which nothing is heard")
class MovesAnything(Aligner):
    def estimate(self, audio, features, ctx):
        found = super().estimate(audio, features, ctx)
        knots = [[(audio.duration / 2, audio.duration / 2 + 0.1 * audio.duration)] for _ in found.knots]
        return Alignment(knots, [1.0] * len(knots))


@wrong("it takes a batch of 2 sounds with features of 3")
class TakesAnyBatch(Aligner):
    def estimate(self, audio, features, ctx):
        ctx.report(0.0, "")
        return Alignment([[] for _ in range(audio.shape[0])], [0.0] * audio.shape[0])


@wrong("running it changes the filters of warnings|running it changes the hook for uncaught exceptions")
class TakesOver(Refiner):
    def refine(self, audio, ctx):
        sys.excepthook = lambda *_: None
        return super().refine(audio, ctx)

"""What every generator is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import pytest
import torch

from versasound_core.containers import AudioData, GenerationRequest

from . import material
from .contract import Contract

if TYPE_CHECKING:
    from collections.abc import Callable

    from versasound_core.cards import Role
    from versasound_core.containers import VisualFeatures
    from versasound_core.context import RunContext

_ASKED = GenerationRequest(duration_s=1.2, prompt="a hammer on metal", seed=5, sample_rate=16000)


class GeneratorContract(Contract):
    """Derive from it and say which generator: `name = "foley"`.

    Attributes:
        seedless: Set it where nothing in the sound is drawn by chance, so that every seed gives the same.
        peak: The largest sample allowed; full scale is 1.
        steps: How many steps an iterative generator is asked for; None leaves it to the backend.
    """

    role: ClassVar[Role] = "generator"
    seedless: ClassVar[bool] = False
    peak: ClassVar[float] = 1.0
    steps: ClassVar[int | None] = None

    def asked(self, **changes: Any) -> GenerationRequest:
        """Return the ordinary request, with these fields changed."""
        return attrs.evolve(_ASKED, num_inference_steps=self.steps, **changes)

    def work(self, ctx: RunContext | None = None, call: Callable[..., Any] | None = None) -> Any:
        """Make a short sound to what an encoder saw, on the device of the context."""
        seen = material.features().to(ctx.device if ctx else "cpu")
        return (call or self.call)(seen, self.asked(), ctx=ctx)

    def generate(self, seen: VisualFeatures | None, asked: GenerationRequest) -> AudioData:
        """Make a sound, and see that it is one of the shape, rate and size that was asked for."""
        audio = self.call(seen, asked)
        self.check(audio, seen, asked)
        return audio  # type: ignore[no-any-return]

    def check(self, audio: Any, seen: VisualFeatures | None, asked: GenerationRequest) -> None:
        """Fail where a sound is not what was asked for."""
        if not isinstance(audio, AudioData):
            self.fail(f"generate() returned {type(audio).__name__} and no AudioData.")
        items = 1 if seen is None else seen.shape[0]
        if audio.shape[0] != items or audio.num_channels not in {1, 2}:
            self.fail(f"generate() returned {list(audio.shape)}; [{items}, 1 or 2, {asked.num_samples}] was asked for.")
        if audio.sample_rate != asked.sample_rate:
            self.fail(f"its sound has {audio.sample_rate} Hz where {asked.sample_rate} Hz were asked for.")
        if audio.shape[2] != asked.num_samples:
            self.fail(f"its sound has {audio.shape[2]} samples where {asked.num_samples} were asked for.")
        peak = float(audio.waveform.abs().max())
        if peak > self.peak + 1e-4:
            self.fail(f"its samples reach {peak:.3g}; full scale is 1.")

    @pytest.mark.parametrize("sample_rate", [8000, 44100, 48000])
    @pytest.mark.parametrize("duration_s", [0.7312, 2.0])
    def test_the_sound_is_as_long_as_asked(self, duration_s: float, sample_rate: int) -> None:
        """Exactly, at any rate and duration."""
        asked = self.asked(duration_s=duration_s, sample_rate=sample_rate)
        self.generate(material.features(1, duration_s), asked)

    def test_it_works_without_a_picture(self) -> None:
        """A prompt is enough."""
        self.generate(None, self.asked())

    def test_it_works_without_words_and_events(self) -> None:
        """A still picture that nobody has named, and no prompt."""
        self.generate(material.without_words(material.features()), self.asked(prompt=None))

    def test_it_works_in_a_window_of_a_longer_clip(self) -> None:
        """Long clips are made in segments, each with its part of the features and its `start_s`."""
        whole = material.features(1, 3.0)
        self.generate(whole.window(1.0, 2.2), self.asked(start_s=1.0))

    def test_it_makes_a_sound(self) -> None:
        """Not silence."""
        if not bool(self.generate(material.features(), self.asked()).waveform.any()):
            self.fail("what it makes is silent.")

    def test_the_same_seed_gives_the_same_samples(self) -> None:
        """Bit for bit, also after another seed, and in a backend that was made anew."""
        first = self.generate(material.features(), self.asked()).waveform
        self.generate(material.features(), self.asked(seed=6))
        for backend in (self.backend(), self.make()):
            again = self.call(material.features(), self.asked(), backend=backend).waveform
            if not torch.equal(first, again):
                self.fail("the same seed gives other samples the second time.")

    def test_another_seed_gives_another_sound(self) -> None:
        """Or there would be no variations."""
        if self.seedless:
            pytest.skip("nothing in its sound is drawn by chance")
        made = [self.generate(material.features(), self.asked(seed=seed)).waveform for seed in (1, 2)]
        if torch.equal(*made):
            self.fail("every seed gives the same samples; where nothing is drawn by chance, set seedless = True.")

    def test_a_batch_equals_its_items_one_by_one(self) -> None:
        """Item `b` of a batch is what `seed + b` gives alone."""
        seen = material.features(2)
        together = self.generate(seen, self.asked()).waveform
        for item in range(2):
            alone = _item(seen, item)
            apart_from = self.generate(alone, self.asked(seed=self.asked().seed_for(item))).waveform
            apart = float((together[item] - apart_from[0]).abs().max())
            if apart > self.tolerance:
                self.fail(f"item {item} of a batch differs by {apart:.2g} from the same item made alone with its seed.")

    def test_what_it_is_given_is_not_written_into(self) -> None:
        """Features are read by the aligner afterwards."""
        seen = material.features()
        self.generate(seen, self.asked())
        if not torch.equal(seen.features, material.features().features):
            self.fail("it writes into the features that it is given.")

    @pytest.mark.parametrize(
        ("what", "changes"),
        [
            ("a sound of one sample", {"duration_s": 1 / 16000}),
            ("an empty prompt", {"prompt": ""}),
            ("a prompt in other scripts", {"prompt": "足音 🥁 шаги"}),
            ("a prompt of a thousand words", {"prompt": "rain " * 1000}),
            ("a negative prompt", {"negative_prompt": "music, speech"}),
            ("the largest seed", {"seed": 2**63 - 1}),
        ],
        ids=lambda value: value.split()[-1] if isinstance(value, str) else "",
    )
    def test_odd_requests_are_met_or_refused(self, what: str, changes: dict[str, Any]) -> None:
        """What is legal is done, or refused in words."""
        asked = self.asked(**changes)
        audio = self.refuses_in_words(what, material.features(), asked)
        if audio is not None:
            self.check(audio, material.features(), asked)


def _item(seen: VisualFeatures, item: int) -> VisualFeatures:
    """One item of a batch, as a batch of one."""
    events = seen.events
    if events is not None:
        events = attrs.evolve(
            events,
            envelope=events.envelope[item : item + 1],
            onsets=[events.onsets[item]],
            positions=[events.positions[item]],
            views=None if events.views is None else [events.views[item]],
        )
    labels = None if seen.labels is None else [seen.labels[item]]
    return attrs.evolve(seen, features=seen.features[item : item + 1], events=events, labels=labels)

"""What a generator makes: the library's own output, of the right length."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest
import torch

from versasound_core.context import RunContext
from versasound_core.steering import Job

from .subject import Subject, seen

if TYPE_CHECKING:
    from tiny_hub import TinyHub


class Output(Subject):
    """Without steering it is the library's own output, item by item."""

    @pytest.mark.parametrize("seconds", [0.5, 5.0, 10.0])
    @pytest.mark.parametrize("negative", [None, "music"])
    def test_without_steering_it_is_the_librarys_own_output(
        self, tiny_hub: TinyHub, seconds: float, negative: str | None
    ) -> None:
        made = self.generate(tiny_hub, duration_s=seconds, negative_prompt=negative)
        self.same(made.waveform[0], self.raw(tiny_hub, seconds, negative_prompt=negative))
        assert float(made.waveform.std()) > 1e-3

    @pytest.mark.parametrize("guidance", [1.0, 7.5])
    def test_guidance_is_the_librarys(self, tiny_hub: TinyHub, guidance: float) -> None:
        made = self.generate(tiny_hub, guidance_scale=guidance)
        self.same(made.waveform[0], self.raw(tiny_hub, 1.0, guidance_scale=guidance))

    def test_a_negative_prompt_changes_the_sound(self, tiny_hub: TinyHub) -> None:
        with_it = self.generate(tiny_hub, negative_prompt="music")
        assert not torch.equal(with_it.waveform, self.generate(tiny_hub).waveform)

    def test_a_negative_prompt_without_guidance_changes_nothing_and_says_so(self, tiny_hub: TinyHub) -> None:
        with_it = self.generate(tiny_hub, negative_prompt="music", guidance_scale=1.0)
        assert torch.equal(with_it.waveform, self.generate(tiny_hub, guidance_scale=1.0).waveform)
        assert [note for note in with_it.metadata["notes"] if "negative prompt" in note]
        assert not self.generate(tiny_hub, negative_prompt="music").metadata["notes"]

    def test_what_is_not_asked_is_the_librarys_default(self, tiny_hub: TinyHub) -> None:
        import diffusers

        defaults = inspect.signature(getattr(diffusers, self.pipeline).__call__).parameters
        model = self.model(self.make(tiny_hub))
        assert model.steps == defaults["num_inference_steps"].default
        assert model.guidance == defaults["guidance_scale"].default

    def test_no_words_at_all_are_an_empty_prompt(self, tiny_hub: TinyHub) -> None:
        made = self.generate(tiny_hub, prompt=None, words=True)
        self.same(made.waveform[0], self.raw(tiny_hub, 1.0, prompt=""))
        assert "Neither a prompt nor the picture" in made.metadata["notes"][0]

    def test_items_are_made_as_if_alone(self, tiny_hub: TinyHub) -> None:
        labels = [[("rain", 0.9)], [("wind in the leaves", 0.9)], [("fire", 0.9)]]
        features = seen([], [], [], labels=labels)
        options = {"words": True, "duration_s": 1.0, "prompt": None}
        for size in (None, 3):
            made = self.generate(tiny_hub, features, batch_size=size, **options).waveform
            for item, ((text, _),) in enumerate(labels):
                alone = self.raw(tiny_hub, 1.0, seed=3 + item, prompt=text)
                if size is None:  # one at a time on a CPU: bit for bit
                    self.same(made[item], alone)
                torch.testing.assert_close(made[item], alone, rtol=0, atol=1e-4)

    def test_the_same_seed_makes_the_same_sound_and_leaves_the_global_one_alone(self, tiny_hub: TinyHub) -> None:
        generator = self.make(tiny_hub)
        state = torch.get_rng_state()
        first, second, other = (generator.generate(None, self.ask(seed=k), RunContext()).waveform for k in (5, 5, 6))
        assert torch.equal(first, second)
        assert not torch.equal(first, other)
        assert torch.equal(torch.get_rng_state(), state)

    @pytest.mark.parametrize("seconds", [0.04, 0.5, 5.0, 10.0, 47.0, 120.0])
    @pytest.mark.parametrize("rate", [None, 22050])
    def test_the_length_is_exact(self, tiny_hub: TinyHub, seconds: float, rate: int | None) -> None:
        rate = rate or self.rate
        made = self.generate(tiny_hub, duration_s=seconds, sample_rate=rate, num_inference_steps=1)
        assert (made.shape, made.sample_rate) == ((1, self.channels, round(seconds * rate)), rate)

    def test_joins_are_not_heard(self, tiny_hub: TinyHub) -> None:
        made = self.generate(tiny_hub, duration_s=120.0)
        generator = self.make(tiny_hub)
        from versasound_core.steering.windows import windows

        model = self.model(generator)
        parts = windows(made.shape[2], model.longest, model.unit, self.rate)
        assert made.metadata["windows"] == len(parts) > 1
        sound = made.waveform[0].mean(0)
        block = self.rate // 10
        level = 10 * torch.log10(sound[: len(sound) // block * block].view(-1, block).square().mean(1))
        step = sound.diff().abs()
        spectra = sound.unfold(0, 1024, 512).mul(torch.hann_window(1024))
        spectra = torch.fft.rfft(spectra).abs().clamp_min(1e-5).log()
        flux = spectra.diff(dim=0).clamp_min(0).mean(1)
        joins = [slice(part.start - self.rate // 2, part.start + 5 * self.rate // 2) for part in parts[1:]]
        elsewhere = step.clone()
        for join in joins:
            elsewhere[join] = 0
        for part, here in zip(parts[1:], joins, strict=True):
            fade = range(part.start // block - 5, part.start // block + 25)
            jumps = level[fade.start : fade.stop].unfold(0, 5, 1).mean(1).diff().abs()
            assert float(jumps.max()) <= 1.0  # dB
            assert float(step[here].max()) <= 1.25 * float(elsewhere.max())
            around = flux[here.start // 512 : here.stop // 512]
            assert float(around.max()) <= float(flux.mean() + 6 * flux.std())

    def test_windows_and_segments_share_their_noise(self, tiny_hub: TinyHub) -> None:
        model = self.model(self.make(tiny_hub))
        whole = Job(text="", negative=None, seed=5, start=0, length=model.longest, end=2 * model.longest)
        first = model._noise(whole, torch.float32)
        shift = 40
        later = Job(
            text="", negative=None, seed=5, start=shift * model.unit, length=model.longest, end=2 * model.longest
        )
        axis = 2
        kept = first.shape[axis] - shift
        second = model._noise(later, torch.float32)
        assert torch.equal(first.narrow(axis, shift, kept), second.narrow(axis, 0, kept))
        assert not torch.equal(first.narrow(axis, 0, shift), second.narrow(axis, kept, shift))

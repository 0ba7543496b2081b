"""Stable Audio Open against diffusers' own pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch
from generator_checks import PROMPT, GeneratorChecks, seen

from versasound_core.context import RunContext

if TYPE_CHECKING:
    from tiny_hub import TinyHub

pytestmark = [  # of the library's own calls
    pytest.mark.filterwarnings("ignore:Should have t:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning"),
]


class TestStableAudio(GeneratorChecks):
    name = "stable_audio"
    repository = "stabilityai/stable-audio-open-1.0"
    rate = 44100
    channels = 2
    pipeline = "StableAudioPipeline"
    token_dim = 16
    variants: ClassVar = {"open-1.0"}
    rounding = 1e-5  # a decoder that is given less computes in another order

    def load(self, snapshot: Path, dtype: torch.dtype = torch.float32) -> Any:
        from diffusers import StableAudioPipeline

        return StableAudioPipeline.from_pretrained(snapshot, dtype=dtype)

    def run(self, pipe: Any, seconds: float, **settings: Any) -> torch.Tensor:
        return pipe(audio_end_in_s=seconds, **settings).audios[0]

    def test_a_whole_window_is_the_librarys(self, tiny_hub: TinyHub) -> None:
        made = self.generate(tiny_hub, duration_s=47.0)
        assert made.metadata["windows"] == 1
        self.same(made.waveform[0], self.raw(tiny_hub, 47.0))

    @pytest.mark.parametrize("negative", [None, "music"])
    def test_the_latents_are_the_librarys_bit_for_bit(
        self, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch, negative: str | None
    ) -> None:
        model = self.model(self.make(tiny_hub))
        kept: list[torch.Tensor] = []
        decode = model.pipe.vae.decode
        monkeypatch.setattr(model.pipe.vae, "decode", lambda z: (kept.append(z), decode(z))[1])
        model.make([self.job(negative=negative, length=model.longest)], lambda _: None)
        raw = self.raw(tiny_hub, 1.0, negative_prompt=negative, output_type="latent")
        for start, latents in zip((0, 224, 480, 736), kept, strict=True):
            assert torch.equal(latents[0], raw[:, start : start + latents.shape[-1]])

    def test_only_what_is_heard_is_decoded(self, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
        generator = self.make(tiny_hub)
        vae = self.model(generator).pipe.vae
        lengths: list[int] = []
        decode = vae.decode
        monkeypatch.setattr(vae, "decode", lambda z: (lengths.append(z.shape[-1]), decode(z))[1])
        generator.generate(None, self.ask(), RunContext())
        assert lengths == [22 + 32]
        lengths.clear()
        generator.generate(None, self.ask(duration_s=47.0), RunContext())
        assert max(lengths) <= 256 + 2 * 32

    def test_the_decoder_reaches_no_further_than_chunks_overlap(self, tiny_hub: TinyHub) -> None:
        from versasound_plugin_stable_audio.coding import _REACH

        vae = self.model(self.make(tiny_hub)).pipe.vae
        latents = torch.zeros(1, 4, 4 * _REACH)
        touched = latents.clone()
        touched[..., 2 * _REACH] = 5.0
        with torch.no_grad():
            change = (vae.decode(touched).sample - vae.decode(latents).sample).abs().amax((0, 1)).nonzero()
        first, last = int(change.min()) / vae.hop_length, int(change.max()) / vae.hop_length
        assert 2 * _REACH - first < _REACH
        assert last - 2 * _REACH < _REACH

    def test_a_draft_is_encoded_as_the_library_would(self, tiny_hub: TinyHub) -> None:
        from versasound_plugin_stable_audio.coding import encoded

        vae = self.model(self.make(tiny_hub)).pipe.vae
        for length in (1000, 260 * vae.hop_length + 7):
            sound = torch.randn(1, 2, length, generator=torch.Generator().manual_seed(1)) * 0.1
            with torch.no_grad():
                padded = torch.nn.functional.pad(sound, (0, 340 * vae.hop_length - length))
                expected = vae.encode(padded).latent_dist.mode()
                made = encoded(vae, sound, 340)
            torch.testing.assert_close(made[..., :-16], expected[..., :-16], rtol=0, atol=1e-5)

    def test_steps_in_windows_share_their_noise_too(self, tiny_hub: TinyHub) -> None:
        from versasound_plugin_stable_audio.brownian import SharedBrownian

        model = self.model(self.make(tiny_hub))
        config = model.pipe.scheduler.config
        jobs = [self.job(), self.job(start=100 * model.unit)]
        sampler = SharedBrownian(jobs, torch.zeros(2, 4, 1024), model.unit, config)
        for high, low in ((400.0, 90.0), (90.0, 7.0)):
            noise = sampler(torch.tensor(high), torch.tensor(low))
            assert torch.equal(noise[0, :, 100:], noise[1, :, :-100])
            assert float(noise.std()) == pytest.approx(1.0, abs=0.05)

    def test_a_window_is_told_where_in_the_whole_it_lies(self, tiny_hub: TinyHub) -> None:
        model = self.model(self.make(tiny_hub))
        job = self.job(start=30 * 44100, end=120 * 44100)
        with torch.no_grad():
            words, times = model._said([job], guided=False)
            begin, end = model.pipe.encode_duration(30.0, 120.0, "cpu", False, 1)
        assert torch.equal(words[:, -2:], torch.cat([begin, end], 1))
        assert torch.equal(times, torch.cat([begin, end], 2))

    @pytest.mark.parametrize("negative", [None, "music"])
    def test_tokens_stand_after_the_texts(self, tiny_hub: TinyHub, negative: str | None) -> None:
        """Where text and conditioning are of one width, the library projects nothing: tokens are as they are."""
        tokens = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
        model = self.model(self.make(tiny_hub))
        made = model.make([self.job(negative=negative, tokens=tokens)], lambda _: None)[0]
        pipe = self.load(tiny_hub.add(self.repository))

        def states(text: str) -> tuple[torch.Tensor, torch.Tensor]:
            found = pipe.tokenizer(text, padding="max_length", max_length=128, truncation=True, return_tensors="pt")
            return pipe.text_encoder(found.input_ids, attention_mask=found.attention_mask)[0], found.attention_mask

        with torch.no_grad():
            words, mask = states(PROMPT)
            settings: dict[str, Any] = {
                "prompt_embeds": torch.cat([words, tokens[None]], 1),
                "attention_mask": torch.cat([mask, torch.ones(1, 5).to(mask)], 1),
            }
            if negative is not None:
                without, without_mask = states(negative)
                settings["negative_prompt_embeds"] = torch.cat(
                    [without * without_mask[..., None], torch.zeros(1, 5, 16)], 1
                )
                settings["negative_attention_mask"] = torch.cat([without_mask, torch.zeros(1, 5).to(mask)], 1)
        expected = self.raw(tiny_hub, 1.0, prompt=None, **settings)
        torch.testing.assert_close(made[..., :44100], expected, rtol=0, atol=1e-5)
        plain = self.raw(tiny_hub, 1.0, negative_prompt=negative)
        assert not torch.allclose(made[..., :44100], plain, atol=1e-4)

    def test_the_sampler_needs_torchsde_and_has_it(self, tiny_hub: TinyHub) -> None:
        from importlib.metadata import requires

        assert any(line.startswith("torchsde") for line in requires("versasound-plugin-stable-audio") or [])
        assert type(self.model(self.make(tiny_hub)).pipe.scheduler).__name__ == "CosineDPMSolverMultistepScheduler"

    def test_a_mono_draft_plays_on_both_sides(self, tiny_hub: TinyHub) -> None:
        pytest.importorskip("versasound_plugin_foley", reason="versasound-plugin-foley is not installed")
        generator = self.make(tiny_hub, timing="draft", timing_strength=0.6)
        for seconds in (0.04, 50.0):
            made = generator.generate(seen([(0.02, 1.0)]), self.ask(duration_s=seconds), RunContext())
            assert made.shape == (1, 2, round(44100 * seconds))

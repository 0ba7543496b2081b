"""AudioLDM 2 against diffusers' own pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch
from generator_checks import PROMPT, GeneratorChecks, seen

from versasound_core.context import RunContext
from versasound_core.errors import InvalidInputError
from versasound_core.steering import Job

if TYPE_CHECKING:
    from tiny_hub import TinyHub

pytestmark = pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning")  # the library's own


class TestAudioLDM2(GeneratorChecks):
    name = "audioldm2"
    repository = "cvssp/audioldm2"
    rate = 16000
    channels = 1
    pipeline = "AudioLDM2Pipeline"
    token_dim = 32
    variants: ClassVar = {"base", "large", "music"}

    def load(self, snapshot: Path, dtype: torch.dtype = torch.float32) -> Any:
        from diffusers import AudioLDM2Pipeline
        from transformers import GPT2LMHeadModel

        language_model = GPT2LMHeadModel.from_pretrained(snapshot / "language_model", dtype=dtype)
        return AudioLDM2Pipeline.from_pretrained(snapshot, language_model=language_model, dtype=dtype)

    def run(self, pipe: Any, seconds: float, **settings: Any) -> torch.Tensor:
        return pipe(audio_length_in_s=seconds, output_type="pt", **settings).audios

    def test_the_index_that_the_library_stumbles_over_is_loaded(self, tiny_hub: TinyHub) -> None:
        from diffusers import AudioLDM2Pipeline

        snapshot = tiny_hub.add(self.repository)
        assert '"GPT2Model"' in (snapshot / "model_index.json").read_text()
        stumbles = AudioLDM2Pipeline.from_pretrained(snapshot)
        with pytest.raises(AttributeError, match="_update_model_kwargs_for_generation"):
            stumbles(PROMPT, num_inference_steps=1, audio_length_in_s=0.5)
        assert self.generate(tiny_hub, duration_s=0.5).shape == (1, 1, 8000)

    @pytest.mark.parametrize("variant", ["large", "music"])
    def test_every_variant_is_its_own_repository(self, tiny_hub: TinyHub, variant: str) -> None:
        tiny_hub.add(f"cvssp/audioldm2-{variant}")
        made = self.generate(tiny_hub, variant=variant)
        assert made.metadata["weights"] == f"cvssp/audioldm2-{variant}"

    def test_one_window_may_be_as_long_as_asked(self, tiny_hub: TinyHub) -> None:
        made = self.generate(tiny_hub, duration_s=47.0, window_s=48.0)
        assert made.metadata["windows"] == 1
        assert torch.equal(made.waveform[0], self.raw(tiny_hub, 47.0))

    def test_more_steps_than_its_noise_has_are_refused(self, tiny_hub: TinyHub) -> None:
        with pytest.raises(InvalidInputError, match="1000 steps are asked for, and its noise has 999"):
            self.generate(tiny_hub, num_inference_steps=1000)

    def test_items_are_never_ranked(self, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
        """With librosa installed, the library sorts the waveforms of a prompt by how well CLAP likes them."""
        from diffusers.pipelines.audioldm2 import pipeline_audioldm2

        monkeypatch.setattr(pipeline_audioldm2, "is_librosa_available", lambda: True)
        made = self.generate(tiny_hub, seen([], [], []))
        for item in range(3):
            assert torch.equal(made.waveform[item], self.raw(tiny_hub, 1.0, seed=3 + item))

    @pytest.mark.parametrize("negative", [None, "music"])
    def test_tokens_stand_after_the_texts(self, tiny_hub: TinyHub, negative: str | None) -> None:
        tokens = torch.randn(5, 32, generator=torch.Generator().manual_seed(1))
        model = self.model(self.make(tiny_hub))
        job = Job(
            text=PROMPT,
            negative=negative,
            seed=3,
            start=0,
            length=16000,
            end=16000,
            steps=3,
            guidance=3.0,
            tokens=tokens,
        )
        made = model.make([job], lambda _: None)[0]
        pipe = self.load(tiny_hub.add(self.repository))
        with torch.no_grad():
            words, mask, generated = pipe.encode_prompt(PROMPT, "cpu", 1, False)  # with guidance, both come joined
            negatives = pipe.encode_prompt(PROMPT, "cpu", 1, True, negative_prompt=negative)[2][:1]
        count = words.shape[1]
        # The library pads the negative prompt to the prompt's length; the tokens do not count for it.
        padded = pipe.tokenizer_2(
            [negative or ""], padding="max_length", max_length=count, truncation=True, return_tensors="pt"
        )
        with torch.no_grad():
            none = pipe.text_encoder_2(padded.input_ids, attention_mask=padded.attention_mask)[0]
        expected = self.raw(
            tiny_hub,
            1.0,
            prompt=None,
            prompt_embeds=torch.cat([words, tokens[None]], 1),
            attention_mask=torch.cat([mask, torch.ones(1, 5).to(mask)], 1),
            generated_prompt_embeds=generated,
            negative_prompt_embeds=torch.cat([none, torch.zeros(1, 5, 32)], 1),
            negative_attention_mask=torch.cat([padded.attention_mask, torch.zeros(1, 5).to(mask)], 1),
            negative_generated_prompt_embeds=negatives,
        )
        torch.testing.assert_close(made[..., :16000], expected, rtol=0, atol=1e-5)
        assert not torch.allclose(made[..., :16000], self.raw(tiny_hub, 1.0, negative_prompt=negative), atol=1e-4)

    def test_the_mel_spectrogram_is_the_one_that_the_vocoder_speaks(self) -> None:
        from transformers import SpeechT5HifiGanConfig
        from versasound_plugin_audioldm2.mel import log_mel

        config = SpeechT5HifiGanConfig(model_in_dim=64, sampling_rate=16000, upsample_rates=[5, 4, 2, 2, 2])
        time = torch.arange(16000) / 16000
        mel = log_mel(0.5 * torch.sin(2 * torch.pi * 1000 * time), 100, config)
        assert mel.shape == (100, 64)
        middle = mel[10:-10]
        # Slaney's scale: 1000 Hz is mel 15 of 0..45.25 at 8 kHz, in 65 steps.
        assert set(middle.argmax(1).tolist()) == {round(15 / (45.245 / 65)) - 1}
        # A Hann window's peak is half of its length times half of the amplitude; a band weighs 2 / its width in Hz.
        assert float(middle.max(1).values.std()) < 1e-2
        assert float(mel.min()) >= -11.52
        silence = log_mel(torch.zeros(100), 52, config)
        torch.testing.assert_close(silence, torch.full((52, 64), -11.5129), rtol=0, atol=1e-3)

    def test_drafts_of_any_length_are_taken(self, tiny_hub: TinyHub) -> None:
        pytest.importorskip("versasound_plugin_foley", reason="versasound-plugin-foley is not installed")
        generator = self.make(tiny_hub, timing="draft", timing_strength=0.6)
        for seconds in (0.04, 0.5, 25.0):
            made = generator.generate(seen([(0.02, 1.0)]), self.ask(duration_s=seconds), RunContext())
            assert made.shape[2] == round(16000 * seconds)

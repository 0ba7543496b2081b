"""MusicGen against transformers' own `generate`."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from versasound_core import registry
from versasound_core.containers import AudioData, EventTrack, GenerationRequest, VisualFeatures
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, InvalidInputError, ModelLoadError
from versasound_core.segments import Segment, joined_segments
from versasound_core.steering import Job
from versasound_core.steering.timing import envelope_gain

if TYPE_CHECKING:
    from tiny_hub import TinyHub
    from versasound_plugin_audiocraft.model import Musicgen

PROMPT, RATE = "rain on a roof", 32000
SMALL, STEREO = "musicgen-small", "musicgen-stereo-small"
OFF = {"words": False, "timing": "none"}


def load(hub: TinyHub, variant: str = SMALL) -> Any:
    from transformers import MusicgenForConditionalGeneration

    return MusicgenForConditionalGeneration.from_pretrained(hub.add(f"facebook/{variant}"))


def said(hub: TinyHub, *texts: str) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(hub.add(f"facebook/{SMALL}"))(
        text=list(texts), padding=True, return_tensors="pt"
    )


def raw(hub: TinyHub, seconds: float, seed: int = 3, variant: str = SMALL, text: str = PROMPT, **settings: Any) -> Any:
    """The library's own sound, `[C, T]`."""
    chosen = {"guidance_scale": 3.0, "top_k": 250, "do_sample": True} | settings
    model = load(hub, variant)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return model.generate(**said(hub, text), max_new_tokens=round(seconds * 50) + 3, **chosen)[0]


def make(hub: TinyHub, variant: str = SMALL, **options: Any) -> Any:
    hub.add(f"facebook/{variant}")
    return registry.create("generator", "audiocraft", **OFF | {"variant": variant} | options)


def ask(seconds: float = 1.0, **fields: Any) -> GenerationRequest:
    return GenerationRequest(**{"duration_s": seconds, "prompt": PROMPT, "seed": 3, "sample_rate": RATE} | fields)


def model_of(generator: Any) -> Musicgen:
    return generator._sound._model(RunContext())


def seen(*onsets: list[tuple[float, float]], labels: Any = None, seconds: float = 10.0) -> VisualFeatures:
    track = EventTrack(torch.zeros(len(onsets), round(50 * seconds)), 50.0, list(onsets))
    return VisualFeatures(torch.zeros(len(onsets), round(8 * seconds), 4), {"fps": 8.0}, track, labels)


class TestEqualsTheLibrary:
    @pytest.mark.parametrize("variant", [SMALL, STEREO])
    @pytest.mark.parametrize("seconds", [0.5, 5.0])
    def test_sample_for_sample(self, tiny_hub: TinyHub, variant: str, seconds: float) -> None:
        made = make(tiny_hub, variant).generate(None, ask(seconds), RunContext())
        expected = raw(tiny_hub, seconds, variant=variant)
        assert torch.equal(made.waveform[0], expected)
        assert float(expected.std()) > 0.1
        assert not torch.equal(expected, raw(tiny_hub, seconds, seed=4, variant=variant))

    @pytest.mark.parametrize(
        "settings", [{"temperature": 0.5}, {"top_k": 5}, {"top_k": 0, "top_p": 0.5}, {"temperature": 2.0, "top_k": 20}]
    )
    def test_however_tokens_are_chosen(self, tiny_hub: TinyHub, settings: dict[str, Any]) -> None:
        made = make(tiny_hub, **settings).generate(None, ask(), RunContext())
        assert torch.equal(made.waveform[0], raw(tiny_hub, 1.0, **settings))
        assert not torch.equal(made.waveform[0], raw(tiny_hub, 1.0))

    @pytest.mark.parametrize("guidance", [1.0, 2.0, 9.0])
    def test_whatever_the_guidance(self, tiny_hub: TinyHub, guidance: float) -> None:
        made = make(tiny_hub).generate(None, ask(guidance_scale=guidance), RunContext())
        assert torch.equal(made.waveform[0], raw(tiny_hub, 1.0, guidance_scale=guidance))

    def test_without_a_prompt(self, tiny_hub: TinyHub) -> None:
        model = load(tiny_hub)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            nothing = model.get_unconditional_inputs(1)
            expected = model.generate(**nothing, do_sample=True, top_k=250, max_new_tokens=53)
        assert torch.equal(make(tiny_hub).generate(None, ask(prompt=None), RunContext()).waveform, expected)

    def test_what_is_longer_than_the_window_continues_as_the_library_does(
        self, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Window by window with `decoder_input_ids`, 12 of every 30 s kept, and one decoding of all codes."""
        generator = make(tiny_hub)
        code_model = model_of(generator)._codes
        monkeypatch.setattr(code_model, "window", 50)
        monkeypatch.setattr(code_model, "_kept", 20)
        made = generator.generate(None, ask(2.0), RunContext())
        model, heard = load(tiny_hub), []
        decode = model.audio_encoder.decode
        monkeypatch.setattr(
            model.audio_encoder, "decode", lambda codes, **how: heard.append(codes) or decode(codes, **how)
        )
        with torch.random.fork_rng():
            torch.manual_seed(3)
            how = {"do_sample": True, "top_k": 250, "guidance_scale": 3.0}
            model.generate(**said(tiny_hub, PROMPT), max_new_tokens=53, **how)
            codes = heard[-1][0]
            while codes.shape[-1] < 100:
                kept = codes[..., -20:]
                more = min(30, 100 - codes.shape[-1])
                model.generate(**said(tiny_hub, PROMPT), decoder_input_ids=kept[0], max_new_tokens=more + 3, **how)
                codes = torch.cat([codes, heard[-1][0][..., 20:]], -1)
            with torch.inference_mode():
                expected = decode(codes[None], audio_scales=[None]).audio_values
        assert torch.equal(made.waveform, expected)


class TestSteering:
    def told(self, model: Any, own: torch.Tensor, away: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
        """The library's sound when it attends to these states `[1, L, D]`, led away from those."""
        from transformers.modeling_outputs import BaseModelOutput

        length = max(own.shape[1], away.shape[1])
        states = torch.cat([torch.nn.functional.pad(s, (0, 0, 0, length - s.shape[1])) for s in (own, away)])
        mask = torch.tensor([[float(k < s.shape[1]) for k in range(length)] for s in (own, away)]).long()

        def prepare(inputs: Any, kwargs: Any, *_: Any) -> Any:
            kwargs["encoder_outputs"], kwargs["attention_mask"] = BaseModelOutput(last_hidden_state=states), mask
            return kwargs

        monkeypatch.setattr(model, "_prepare_text_encoder_kwargs_for_generation", prepare)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            ids = torch.ones(1, length, dtype=torch.long)
            return model.generate(input_ids=ids, do_sample=True, top_k=250, guidance_scale=3.0, max_new_tokens=53)

    def embed(self, hub: TinyHub, model: Any, text: str) -> torch.Tensor:
        with torch.no_grad():
            return model.text_encoder(**said(hub, text)).last_hidden_state

    @pytest.mark.parametrize("negative", ["music", "people who talk all the time"])
    def test_a_negative_prompt_is_what_guidance_leads_away_from(
        self, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch, negative: str
    ) -> None:
        model = load(tiny_hub)
        own, away = (self.embed(tiny_hub, model, text) for text in (PROMPT, negative))
        made = make(tiny_hub).generate(None, ask(negative_prompt=negative), RunContext()).waveform
        assert torch.equal(made, self.told(model, own, away, monkeypatch))
        assert not torch.equal(made[0], raw(tiny_hub, 1.0))

    def test_tokens_stand_after_the_texts(self, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
        model = load(tiny_hub)
        own = self.embed(tiny_hub, model, PROMPT)
        tokens = torch.randn(4, own.shape[2], generator=torch.Generator().manual_seed(0))
        job = Job(text=PROMPT, negative=None, seed=3, start=0, length=RATE, end=RATE, tokens=tokens)
        made = model_of(make(tiny_hub)).make([job], lambda _: None)
        expected = self.told(model, torch.cat([own, tokens[None]], 1), own[:, :0], monkeypatch)
        assert torch.equal(made, expected)
        assert not torch.equal(made[0], raw(tiny_hub, 1.0))

    def test_embeddings_do_not_cost_the_guidance(self, tiny_hub: TinyHub) -> None:
        """What the library itself does with `encoder_outputs`: it loses the guidance and says nothing."""
        from transformers.modeling_outputs import BaseModelOutput

        model = load(tiny_hub)
        states = self.embed(tiny_hub, model, PROMPT)
        how = {"encoder_outputs": BaseModelOutput(last_hidden_state=states), "do_sample": True, "top_k": 250}
        with torch.random.fork_rng():
            heard = []
            for guidance in (1.0, 9.0):
                torch.manual_seed(3)
                mask = torch.ones(1, states.shape[1], dtype=torch.long)
                try:
                    heard.append(model.generate(attention_mask=mask, guidance_scale=guidance, max_new_tokens=53, **how))
                except (RuntimeError, ValueError):  # newer releases may refuse
                    heard.append(None)
        lost = (
            heard[1] is None
            or torch.equal(heard[0], heard[1])
            or not torch.equal(heard[1][0], raw(tiny_hub, 1.0, guidance_scale=9.0))
        )
        assert lost
        zero = torch.zeros(0, states.shape[2])
        made = {}
        for guidance in (1.0, 9.0):
            job = Job(
                text=PROMPT, negative=None, seed=3, start=0, length=RATE, end=RATE, guidance=guidance, tokens=zero
            )
            made[guidance] = model_of(make(tiny_hub)).make([job], lambda _: None)
            assert torch.equal(made[guidance][0], raw(tiny_hub, 1.0, guidance_scale=guidance))
        assert not torch.equal(made[1.0], made[9.0])

    def test_words_of_the_picture_are_said(self, tiny_hub: TinyHub) -> None:
        features = seen([], labels=[[("rain on a roof", 0.9)]])
        made = make(tiny_hub, words=True).generate(features, ask(prompt=None), RunContext())
        assert torch.equal(made.waveform[0], raw(tiny_hub, 1.0))
        assert (made.metadata["prompts"], made.metadata["words_added"]) == ([PROMPT], [[PROMPT]])

    def test_the_envelope_stands_on_the_events(self, tiny_hub: TinyHub) -> None:
        onsets = [(0.3, 1.0), (0.7, 0.6)]
        made = make(tiny_hub, timing="envelope", timing_strength=0.7).generate(seen(onsets), ask(), RunContext())
        gain = envelope_gain(onsets, RATE, RATE, 0.7)
        torch.testing.assert_close(made.waveform[0], raw(tiny_hub, 1.0) * gain)

    def test_a_draft_is_not_pretended(self) -> None:
        with pytest.raises(InvalidInputError, match="timing='draft': wanted one of none, envelope"):
            registry.create("generator", "audiocraft", timing="draft")


class TestItems:
    def test_a_batch_is_its_items(self, tiny_hub: TinyHub) -> None:
        labels = [[("rain", 0.9)], [("wind in the leaves", 0.9)], [("fire", 0.9)]]
        generator = make(tiny_hub, words=True, batch_size=3)
        made = generator.generate(seen([], [], [], labels=labels), ask(prompt=None), RunContext()).waveform
        for item, ((text, _),) in enumerate(labels):
            torch.testing.assert_close(made[item], raw(tiny_hub, 1.0, seed=3 + item, text=text), rtol=0, atol=1e-5)

    def test_the_seed_decides_and_no_global_state_is_touched(self, tiny_hub: TinyHub) -> None:
        generator = make(tiny_hub)
        generator.generate(None, ask(0.1), RunContext())
        states = torch.get_rng_state(), random.getstate()
        first, second, other = (generator.generate(None, ask(seed=k), RunContext()).waveform for k in (5, 5, 6))
        assert torch.equal(first, second)
        assert not torch.equal(first, other)
        assert torch.equal(torch.get_rng_state(), states[0])
        assert random.getstate() == states[1]

    def test_each_text_is_embedded_once(self, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
        generator = make(tiny_hub, words=True)
        encoder, texts = model_of(generator)._model.text_encoder, []
        forward = encoder.forward
        monkeypatch.setattr(encoder, "forward", lambda **how: texts.append(how["input_ids"]) or forward(**how))
        features = seen([], [], [], labels=[[("rain", 0.9)], [("fire", 0.9)], [("rain", 0.9)]])
        for _ in range(2):
            generator.generate(features, ask(0.2, prompt=None), RunContext())
        assert len(texts) == 2

    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_other_precisions(self, tiny_hub: TinyHub, precision: Any) -> None:
        made = make(tiny_hub).generate(None, ask(), RunContext(precision=precision))
        assert made.waveform.dtype == torch.float32
        assert float(made.waveform.std()) > 0.1


class TestLength:
    @pytest.mark.parametrize(
        ("seconds", "rate"), [(0.001, 48000), (0.5, 44100), (5.0, 16000), (10.0, 32000), (47.0, 22050)]
    )
    def test_it_is_exact(self, tiny_hub: TinyHub, seconds: float, rate: int) -> None:
        made = make(tiny_hub).generate(None, ask(seconds, sample_rate=rate), RunContext())
        assert (made.shape, made.sample_rate) == ((1, 1, round(seconds * rate)), rate)

    def test_the_rate_is_soxrs(self, tiny_hub: TinyHub) -> None:
        made = make(tiny_hub).generate(None, ask(sample_rate=48000), RunContext())
        expected = AudioData(raw(tiny_hub, 1.0)[None], RATE).resample(48000)
        assert torch.equal(made.waveform, expected.waveform)

    def test_what_is_continued_has_no_seams(self, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
        generator = make(tiny_hub)
        code_model = model_of(generator)._codes
        monkeypatch.setattr(code_model, "window", 250)  # five seconds, so that there are joins to look at
        monkeypatch.setattr(code_model, "_kept", 100)
        made = generator.generate(None, ask(17.0, guidance_scale=1.0), RunContext())
        self.check_joins(made.waveform[0, 0], [5, 8, 11, 14])

    def test_segments_of_a_long_clip_continue_each_other(self, tiny_hub: TinyHub) -> None:
        generator = make(tiny_hub)
        parts = [Segment(0, 6 * RATE, 8 * RATE), Segment(6 * RATE, 12 * RATE, 12 * RATE)]

        def segment(part: Segment) -> AudioData:
            request = ask((part.end - part.start) / RATE, start_s=part.start / RATE, guidance_scale=1.0)
            return generator.generate(None, request, RunContext())

        made = torch.cat([block.waveform for block in joined_segments(parts, segment)], -1)
        self.check_joins(made[0, 0], [6, 7, 8])
        first, second = (segment(part).waveform[0, 0] for part in parts)
        overlap = slice(RATE // 2, 3 * RATE // 2)  # away from the ends, where the codec hears less context
        torch.testing.assert_close(first[6 * RATE :][overlap], second[overlap], rtol=0, atol=1e-3)
        alone = make(tiny_hub).generate(None, ask(1.0, start_s=6.0, guidance_scale=1.0), RunContext())
        assert not torch.equal(alone.waveform[0, 0], first[:RATE])  # not the beginning again

    def check_joins(self, sound: torch.Tensor, joins_s: list[int]) -> None:
        """The level does not jump, no sample steps further than elsewhere, and the spectrum changes as elsewhere."""
        block = RATE // 10
        level = 10 * torch.log10(sound[: len(sound) // block * block].view(-1, block).square().mean(1))
        level = level.unfold(0, 10, 1).mean(1)
        is_near = torch.zeros(len(sound) - 1, dtype=torch.bool)
        for join_s in joins_s:
            is_near[join_s * RATE - block : join_s * RATE + block] = True
            assert abs(float(level[10 * join_s] - level[10 * join_s - 10])) <= 1.0  # dB, from a second to the next
        step = sound.diff().abs()
        assert float(step[is_near].max()) <= float(step[~is_near].max())
        spectra = torch.fft.rfft(sound.unfold(0, 1024, 512) * torch.hann_window(1024)).abs().clamp_min(1e-5).log()
        flux = spectra.diff(dim=0).clamp_min(0).mean(1)
        for join_s in joins_s:
            around = flux[(join_s * RATE - block) // 512 : (join_s * RATE + block) // 512]
            assert float(around.max()) <= float(flux.mean() + 5 * flux.std())


class TestProgress:
    def test_every_token_is_told_and_cancelling_stops_at_one(self, tiny_hub: TinyHub) -> None:
        """The library's own way to stop, a StoppingCriteria that says so, breaks the shape of its codes."""
        generator, told = make(tiny_hub), []
        generator.generate(None, ask(), RunContext(progress=lambda fraction, _: told.append(fraction)))
        assert len(told) >= 53
        assert told == sorted(told)
        assert told[-1] == 1.0
        cancel, after = CancelToken(), []

        def stop(fraction: float, _: str) -> None:
            if cancel.cancelled:
                after.append(fraction)
            if fraction > 0.4:
                cancel.cancel()

        with pytest.raises(Cancelled):
            generator.generate(None, ask(), RunContext(progress=stop, cancel=cancel))
        assert after == []
        assert torch.equal(generator.generate(None, ask(), RunContext()).waveform[0], raw(tiny_hub, 1.0))

    def test_the_library_cannot_be_stopped_by_a_criterion(self, tiny_hub: TinyHub) -> None:
        stop = [lambda ids, *_: torch.full((ids.shape[0],), ids.shape[1] > 20)]
        with pytest.raises(RuntimeError, match="shape"):
            load(tiny_hub).generate(**said(tiny_hub, PROMPT), max_new_tokens=53, stopping_criteria=stop)


class TestLoading:
    def test_the_codec_is_not_asked_for_an_attention_it_lacks(self, tiny_hub: TinyHub) -> None:
        model = model_of(make(tiny_hub))._model
        assert model.decoder.config._attn_implementation == "sdpa"
        assert model.audio_encoder.config._attn_implementation == "eager"

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (
                {},
                ["facebook/audiogen-medium", "3.9 GB", "CC-BY-NC-4.0", "versasound pull audiocraft --variant audiogen"],
            ),
            (
                {"variant": SMALL},
                ["facebook/musicgen-small", "2.4 GB", "versasound pull audiocraft --variant musicgen"],
            ),
        ],
    )
    def test_missing_weights_say_how_to_get_them(self, empty_hub: TinyHub, options: dict, words: list[str]) -> None:
        with pytest.raises(ModelLoadError) as told:
            registry.create("generator", "audiocraft", **options).generate(None, ask(), RunContext())
        assert all(word in str(told.value) for word in words)

    def test_a_folder_takes_the_place_of_a_repository(self, tiny_hub: TinyHub) -> None:
        folder = tiny_hub.add(f"facebook/{SMALL}")
        made = registry.create("generator", "audiocraft", weights=str(folder), **OFF).generate(
            None, ask(), RunContext()
        )
        assert torch.equal(made.waveform[0], raw(tiny_hub, 1.0))

    def test_nothing_heavy_is_imported_to_make_one(self, tiny_hub: TinyHub, tmp_path: Path) -> None:
        code = (
            "import sys; from versasound_core import registry\n"
            "registry.create('generator', 'audiocraft'); assert 'transformers' not in sys.modules"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr

"""Stable Audio 3, converted to the format of diffusers, against diffusers' own pipelines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from generator_checks import PROMPT, seen
from generator_checks.output import Output
from generator_checks.running import Running
from generator_checks.steering import Steering
from generator_checks.subject import Subject
from versasound_plugin_stable_audio.coding import decoded, encoded

from versasound_core import registry
from versasound_core.context import RunContext
from versasound_core.errors import ModelLoadError
from versasound_core.steering.timing import start_noise

if TYPE_CHECKING:
    from tiny_hub import TinyHub

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")  # of the library's own calls


class Third(Subject):
    """What both checkpoints are held to."""

    name = "stable_audio"
    repository = "converted/stable-audio-3-medium"
    rate = 44100
    channels = 2
    pipeline = "StableAudio3Pipeline"
    token_dim = 16
    rounding = 1e-5  # a decoder that is given less computes in another order
    default_steps = 8

    def load(self, snapshot: Path, dtype: torch.dtype = torch.float32) -> Any:
        from diffusers import StableAudio3Pipeline

        return StableAudio3Pipeline.from_pretrained(snapshot, dtype=dtype)

    def run(self, pipe: Any, seconds: float, **settings: Any) -> torch.Tensor:
        return pipe(duration=seconds, **settings).audios[0]

    def make(self, hub: TinyHub, **options: Any) -> Any:
        return super().make(hub, weights=str(hub.add(self.repository)), **options)

    def test_what_is_not_asked_is_the_librarys_default(self, tiny_hub: TinyHub) -> None:
        made = self.generate(tiny_hub, num_inference_steps=None, guidance_scale=None)
        pipe = self.loaded(tiny_hub.add(self.repository))
        self.same(made.waveform[0], self.run(pipe, 1.0, prompt=PROMPT, generator=torch.Generator().manual_seed(3)))
        assert pipe.num_timesteps == made.metadata["num_inference_steps"] == self.default_steps
        assert made.metadata["guidance_scale"] == 1.0

    @pytest.mark.parametrize("seconds", [0.05, 23.0])
    @pytest.mark.parametrize("negative", [None, "music"])
    def test_a_sound_of_one_chunk_is_the_librarys_bit_for_bit(
        self, tiny_hub: TinyHub, seconds: float, negative: str | None
    ) -> None:
        made = self.generate(tiny_hub, duration_s=seconds, negative_prompt=negative)
        assert torch.equal(made.waveform[0], self.raw(tiny_hub, seconds, negative_prompt=negative))

    def test_a_whole_window_is_the_librarys(self, tiny_hub: TinyHub) -> None:
        made = self.generate(tiny_hub, duration_s=47.0)
        assert made.metadata["windows"] == 1
        self.same(made.waveform[0], self.raw(tiny_hub, 47.0))

    @pytest.mark.parametrize("strength", [0.1, 0.5, 0.9])
    def test_one_step_from_a_draft_is_the_librarys_audio_to_audio(self, tiny_hub: TinyHub, strength: float) -> None:
        """Of more steps, the library's own go up in noise before they go down."""
        from diffusers import StableAudio3AudioToAudioPipeline

        length = 11 * 4096
        draft = torch.randn(2, length, generator=torch.Generator().manual_seed(1)) * 0.1
        job = self.job(draft=draft, strength=strength, length=length, end=length, steps=1, guidance=1.0)
        made = self.model(self.make(tiny_hub)).make([job], lambda _: None)
        pipe = StableAudio3AudioToAudioPipeline(**self.loaded(tiny_hub.add(self.repository)).components)
        pipe.set_progress_bar_config(disable=True)
        ratio = start_noise(strength)
        expected = pipe(
            PROMPT,
            duration=length / self.rate,
            audio=draft[None],
            init_noise_level=ratio / (1 + ratio),
            num_inference_steps=1,
            generator=torch.Generator().manual_seed(3),
        ).audios
        assert torch.equal(made, expected)

    def test_a_draft_is_never_covered_by_more_noise_than_its_strength_leaves(
        self, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = self.model(self.make(tiny_hub))
        levels: list[float] = []
        network = model._transformer

        def watched(both: torch.Tensor, time: torch.Tensor, **said: Any) -> Any:
            levels.append(float(time[0]))
            return network(both, time, **said)

        monkeypatch.setattr(model, "_transformer", watched)
        draft = torch.randn(2, 44100, generator=torch.Generator().manual_seed(1)) * 0.1
        taken = []
        for strength in (0.1, 0.5, 0.9, 0.99):
            levels.clear()
            model.make([self.job(draft=draft, strength=strength, steps=8)], lambda _: None)
            assert levels[0] / (1 - levels[0]) == pytest.approx(start_noise(strength), rel=1e-3)
            assert levels == sorted(set(levels), reverse=True)
            taken.append(len(levels))
        assert taken == sorted(taken, reverse=True)
        assert taken[-1] == 1

    def test_almost_all_of_a_draft_is_almost_the_draft(self, tiny_hub: TinyHub) -> None:
        model = self.model(self.make(tiny_hub))
        draft = torch.randn(2, 44100, generator=torch.Generator().manual_seed(1)) * 0.1
        with torch.no_grad():
            kept = decoded(model.pipe.vae, encoded(model.pipe.vae, draft[None], 11), 44100).clamp(-1, 1)
        made = [model.make([self.job(draft=draft, strength=s, steps=8)], lambda _: None) for s in (0.1, 0.999)]
        little, nearly_all = (float((sound - kept).square().mean()) for sound in made)
        assert nearly_all < 1e-3 * little

    def test_steps_in_windows_share_their_noise_too(self, tiny_hub: TinyHub) -> None:
        model = self.model(self.make(tiny_hub))
        whole = {"length": model.longest, "end": 2 * model.longest}
        first, second = (model._draws(self.job(start=start, **whole)) for start in (0, 100 * model.unit))
        for _ in range(3):
            one, other = first(torch.float32), second(torch.float32)
            assert torch.equal(one[..., 100:], other[..., :-100])
            assert not torch.equal(one[..., :100], other[..., -100:])

    def test_the_model_is_told_how_long_the_stretch_is(self, tiny_hub: TinyHub) -> None:
        model = self.model(self.make(tiny_hub))
        with torch.no_grad():
            words, mask, durations = model._said([self.job(length=2 * 44100, end=90 * 44100)], guided=False)
            expected = model.pipe.encode_duration(2.0, "cpu", 1, 1)
        assert torch.equal(durations, expected)
        assert torch.equal(words[:, -1], expected)
        assert int(mask[0, -1]) == 1

    @pytest.mark.parametrize("negative", [None, "music"])
    def test_tokens_stand_after_the_texts(self, tiny_hub: TinyHub, negative: str | None) -> None:
        tokens = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
        made = self.model(self.make(tiny_hub)).make([self.job(negative=negative, tokens=tokens)], lambda _: None)
        pipe = self.loaded(tiny_hub.add(self.repository))
        with torch.no_grad():
            words, mask = pipe.encode_prompt(PROMPT, "cpu", 1)
            without, without_mask = pipe.encode_prompt(negative or "", "cpu", 1)
        settings = {
            "prompt_embeds": torch.cat([words, tokens[None]], 1),
            "encoder_attention_mask": torch.cat([mask, torch.ones(1, 5).to(mask)], 1),
            "negative_prompt_embeds": torch.cat([without, torch.zeros(1, 5, 16)], 1),
            "negative_encoder_attention_mask": torch.cat([without_mask, torch.zeros(1, 5).to(mask)], 1),
        }
        assert torch.equal(made[0], self.raw(tiny_hub, 1.0, prompt=None, **settings))
        assert not torch.allclose(made[0], self.raw(tiny_hub, 1.0, negative_prompt=negative), atol=1e-4)

    def test_it_says_what_it_is(self, tiny_hub: TinyHub) -> None:
        made = self.generate(tiny_hub)
        assert made.metadata["variant"] == "3"
        assert "Gemma Terms of Use" in made.metadata["weights_licence"]
        assert made.metadata["weights"] == str(tiny_hub.add(self.repository))


class TestStableAudio3(Third, Output, Steering, Running):
    """The distilled checkpoint, which puts fresh noise on at every step."""


class TestStableAudio3Base(Third):
    """The checkpoint before distillation: no noise but the first."""

    repository = "converted/stable-audio-3-medium-base"
    default_steps = 100


class TestFolders:
    """What a folder holds is seen, and what cannot be read is said with what helps."""

    def refused(self, folder: Path) -> str:
        with pytest.raises(ModelLoadError) as caught:
            registry.create("generator", "stable_audio", weights=str(folder)).generate(
                None, TestStableAudio3().ask(), RunContext()
            )
        return str(caught.value)

    def native(self, folder: Path, conditioner: str) -> Path:
        conditioning = {"configs": [{"id": "prompt", "type": conditioner}]}
        config = {"model_type": "diffusion_cond", "model": {"conditioning": conditioning}}
        (folder / "model_config.json").write_text(json.dumps(config))
        (folder / "model.safetensors").write_bytes(b"")
        return folder

    def test_stability_ais_own_format_names_the_conversion(self, tmp_path: Path) -> None:
        said = self.refused(self.native(tmp_path, "t5gemma"))
        for words in (
            f"{tmp_path} is in the format of stable-audio-tools",
            "must be converted once",
            "python convert_stable_audio_3_to_diffusers.py",
            f"--checkpoint_path {tmp_path / 'model.safetensors'}",
            f"--model_config_path {tmp_path / 'model_config.json'}",
            f"--output_dir {tmp_path}-diffusers",
        ):
            assert words in said

    def test_other_checkpoints_of_that_library_name_the_generator(self, tmp_path: Path) -> None:
        said = self.refused(self.native(tmp_path, "t5"))
        assert f"--generator stable_audio_tools --generator-weights {tmp_path}" in said

    @pytest.mark.parametrize("index", ["{", "[]", '{"_class_name": null}'])
    def test_an_index_that_says_nothing_is_no_crash(self, tiny_hub: TinyHub, tmp_path: Path, index: str) -> None:
        folder = shutil.copytree(tiny_hub.add(TestStableAudio3.repository), tmp_path / "copy")
        (folder / "model_index.json").write_text(index)
        assert str(folder) in self.refused(folder)

    def test_weights_cut_short_say_so(self, tiny_hub: TinyHub, tmp_path: Path) -> None:
        folder = shutil.copytree(tiny_hub.add(TestStableAudio3.repository), tmp_path / "copy")
        file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
        file.write_bytes(file.read_bytes()[:100])
        said = self.refused(folder)
        assert f"Stable Audio 3 in {folder} cannot be used" in said
        assert "convert_stable_audio_3_to_diffusers.py" in said
        assert "versasound pull" not in said

    def test_an_adapter_of_another_model_is_refused(self, tiny_hub: TinyHub, tmp_path: Path) -> None:
        from versasound_core.adapters import Adapter, AdapterFacts
        from versasound_core.errors import InvalidInputError

        facts = AdapterFacts(
            encoder="motion",
            feature_dim=4,
            generator="stable_audio",
            variant="open-1.0",
            token_dim=16,
            num_tokens=3,
            width=16,
            num_layers=1,
            num_heads=2,
        )
        saved = Adapter(facts, facts.network()).save(tmp_path / "adapter")
        with pytest.raises(InvalidInputError, match="open-1.0"):
            TestStableAudio3().generate(tiny_hub, seen([(0.5, 1.0)]), adapter=str(saved))

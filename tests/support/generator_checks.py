"""What every generator on a diffusion pipeline is held to; the tests of each plugin derive from it."""

from __future__ import annotations

import functools
import inspect
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import pytest
import torch

from versasound_core import registry
from versasound_core.containers import AudioData, EventTrack, GenerationRequest, VisualFeatures
from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, DeviceError, InvalidInputError, ModelLoadError, VersaSoundError
from versasound_core.steering import Job

if TYPE_CHECKING:
    from tiny_hub import TinyHub

PROMPT = "rain on a roof"
_WITHOUT_LIBRARY = """
import json, sys
sys.modules["diffusers"] = None
from versasound_core import registry
from versasound_core.containers import GenerationRequest
from versasound_core.context import RunContext
from versasound_core.errors import ModelLoadError
backend = next(b for b in registry.backends("generator") if b.name == sys.argv[1])
said = [backend.state.value, sorted(backend.card.options), sorted(backend.card.variants)]
try:
    registry.create("generator", sys.argv[1]).generate(None, GenerationRequest(duration_s=1.0), RunContext())
except ModelLoadError as error:
    said.append(str(error))
print("\\n" + json.dumps(said))
"""


def seen(
    *onsets: list[tuple[float, float]], labels: Any = None, seconds: float = 120.0, fps: float = 4.0
) -> VisualFeatures:
    """Features of a picture in which something strikes."""
    track = EventTrack(torch.zeros(len(onsets), round(50 * seconds)), 50.0, list(onsets))
    return VisualFeatures(torch.zeros(len(onsets), round(fps * seconds), 4), {"fps": fps}, track, labels)


class GeneratorChecks:
    """Derive from it, fill in what is specific, and every check runs.

    Attributes:
        name: Of the generator.
        repository: Of its default variant.
        rate: Of the model, Hz.
        channels: Of the model.
        pipeline: The library's class.
        variants: Of the card.
        token_dim: Length of a text token in the tiny checkpoint.
        off: Options that turn all steering off.
        rounding: How far samples may be from the library's; 0 is bit for bit.
    """

    name: str
    repository: str
    rate: int
    channels: int
    pipeline: str
    variants: ClassVar[set[str]]
    token_dim: int
    off: ClassVar[dict[str, Any]] = {"words": False, "timing": "none"}
    rounding: float = 0.0
    _kept: ClassVar[dict[Path, Any]] = {}

    def load(self, snapshot: Path, dtype: torch.dtype = torch.float32) -> Any:
        """The library's own pipeline."""
        raise NotImplementedError

    def run(self, pipe: Any, seconds: float, **settings: Any) -> torch.Tensor:
        """What the library's pipeline makes: `[C, T]`."""
        raise NotImplementedError

    def same(self, made: torch.Tensor, raw: torch.Tensor) -> None:
        torch.testing.assert_close(made, raw, rtol=0, atol=self.rounding)

    def loaded(self, snapshot: Path) -> Any:
        """The library's pipeline, kept from test to test."""
        if snapshot not in self._kept:
            self._kept[snapshot] = self.load(snapshot)
            self._kept[snapshot].set_progress_bar_config(disable=True)
        return self._kept[snapshot]

    def raw(self, hub: TinyHub, seconds: float, seed: int = 3, **settings: Any) -> torch.Tensor:
        pipe = self.loaded(hub.add(self.repository))
        chosen = {"prompt": PROMPT, "num_inference_steps": 3, "guidance_scale": 3.0} | settings
        return self.run(pipe, seconds, generator=torch.Generator().manual_seed(seed), **chosen)

    def make(self, hub: TinyHub, **options: Any) -> Any:
        hub.add(self.repository)
        return registry.create("generator", self.name, **{**self.off, **options})

    def ask(self, **fields: Any) -> GenerationRequest:
        usual = {
            "duration_s": 1.0,
            "prompt": PROMPT,
            "seed": 3,
            "sample_rate": self.rate,
            "num_inference_steps": 3,
            "guidance_scale": 3.0,
        }
        return GenerationRequest(**usual | fields)

    def generate(
        self, hub: TinyHub, features: VisualFeatures | None = None, ctx: RunContext | None = None, **options: Any
    ) -> AudioData:
        names = set(inspect.signature(GenerationRequest).parameters)
        fields = {key: options.pop(key) for key in list(options) if key in names}
        return self.make(hub, **options).generate(features, self.ask(**fields), ctx or RunContext())

    def model(self, generator: Any) -> Any:
        """The loaded model behind a generator."""
        return generator._sound._model(RunContext())

    # The library's own output

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

    def test_what_is_not_asked_is_the_librarys_default(self, tiny_hub: TinyHub) -> None:
        import diffusers

        defaults = inspect.signature(getattr(diffusers, self.pipeline).__call__).parameters
        model = self.model(self.make(tiny_hub))
        assert model.steps == defaults["num_inference_steps"].default
        assert model.guidance == defaults["guidance_scale"].default

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

    # Length

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

    # Steering

    def test_words_of_the_picture_are_said(self, tiny_hub: TinyHub) -> None:
        features = seen([], labels=[[("wind", 0.9)]])
        made = self.generate(tiny_hub, features, words=True)
        self.same(made.waveform[0], self.raw(tiny_hub, 1.0, prompt=f"{PROMPT}, wind"))
        assert made.metadata["words_added"] == [["wind"]]
        self.same(self.generate(tiny_hub, features).waveform[0], self.raw(tiny_hub, 1.0))

    @pytest.mark.parametrize("timing", ["envelope", "draft"])
    def test_timing_at_strength_0_changes_nothing(self, tiny_hub: TinyHub, timing: str) -> None:
        made = self.generate(tiny_hub, seen([(0.5, 1.0)]), timing=timing, timing_strength=0.0)
        self.same(made.waveform[0], self.raw(tiny_hub, 1.0))

    def test_an_envelope_is_a_gain_on_the_librarys_output(self, tiny_hub: TinyHub) -> None:
        from versasound_core.steering.timing import envelope_gain

        onsets = [(0.3, 0.8), (0.6, 1.0)]
        made = self.generate(tiny_hub, seen(onsets), timing="envelope", timing_strength=0.7)
        gain = envelope_gain(onsets, self.rate, self.rate, 0.7)
        torch.testing.assert_close(made.waveform[0], self.raw(tiny_hub, 1.0) * gain)

    def test_a_draft_takes_the_place_of_some_noise(self, tiny_hub: TinyHub) -> None:
        pytest.importorskip("versasound_plugin_foley", reason="versasound-plugin-foley is not installed")
        features = seen([(0.3, 1.0), (0.7, 0.6)])
        foley = registry.create("generator", "foley").generate(features, self.ask(), RunContext()).waveform[0]
        made = {
            strength: self.generate(
                tiny_hub, features, timing="draft", timing_strength=strength, num_inference_steps=20
            ).waveform[0]
            for strength in (0.2, 0.9, 1.0)
        }
        expected = foley if self.channels == 2 else foley.mean(0, keepdim=True)
        torch.testing.assert_close(made[1.0], expected)
        assert not torch.equal(made[0.2], made[0.9])
        steps: list[int] = []
        for strength in (0.2, 0.5, 0.9):
            told: list[float] = []
            ctx = RunContext(progress=lambda f, _, told=told: told.append(f))
            self.generate(tiny_hub, features, ctx, timing="draft", timing_strength=strength, num_inference_steps=20)
            steps.append(len(told))
        assert 22 > steps[0] >= steps[1] >= steps[2]  # the more is kept of the draft, the fewer steps are taken

    # Speed and memory

    def test_each_text_is_embedded_once(self, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
        generator = self.make(tiny_hub, words=True)
        pipe = self.model(generator).pipe
        texts: list[str] = []
        embed = pipe.encode_prompt
        monkeypatch.setattr(pipe, "encode_prompt", lambda text, *a, **k: (texts.append(text), embed(text, *a, **k))[1])
        features = seen([], [], [], labels=[[("rain", 0.9)], [("fire", 0.9)], [("rain", 0.9)]])
        for _ in range(2):
            generator.generate(features, self.ask(prompt=None), RunContext())
        assert texts == ["rain", "fire"]

    def test_batches_are_halved_when_memory_runs_out(self, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
        generator = self.make(tiny_hub, batch_size=4)
        model = self.model(generator)
        sizes: list[int] = []
        make = model.make

        def limited(jobs: Any, tick: Any) -> torch.Tensor:
            sizes.append(len(jobs))
            if len(jobs) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return make(jobs, tick)

        monkeypatch.setattr(model, "make", limited)
        made = generator.generate(seen([], [], [], []), self.ask(), RunContext())
        assert sizes == [4, 2, 2]
        torch.testing.assert_close(made.waveform[3], self.raw(tiny_hub, 1.0, seed=6), rtol=0, atol=1e-4)
        monkeypatch.setattr(model, "make", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("out of memory")))
        with pytest.raises(DeviceError, match="not enough memory"):
            generator.generate(None, self.ask(), RunContext())

    def test_requests_of_several_clips_are_made_together(self, tiny_hub: TinyHub) -> None:
        generator = self.make(tiny_hub)
        asked = [(None, self.ask(duration_s=s, seed=k)) for k, s in enumerate((0.5, 1.0, 0.5))]
        for (_, request), made in zip(asked, generator.generate_all(asked, RunContext()), strict=True):
            self.same(made.waveform[0], self.raw(tiny_hub, request.duration_s, seed=request.seed))

    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_other_precisions_are_the_librarys(self, tiny_hub: TinyHub, precision: Any) -> None:
        made = self.generate(tiny_hub, ctx=RunContext(precision=precision))
        expected = self.generate(tiny_hub).waveform
        assert made.waveform.dtype == torch.float32
        assert not torch.equal(made.waveform, expected)
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        pipe = self.load(tiny_hub.add(self.repository), dtype)
        pipe.set_progress_bar_config(disable=True)
        settings = {"prompt": PROMPT, "num_inference_steps": 3, "guidance_scale": 3.0}
        raw = self.run(pipe, 1.0, generator=torch.Generator().manual_seed(3), **settings)
        torch.testing.assert_close(made.waveform[0], raw.float(), rtol=0, atol=1e-4)

    def test_offloading_changes_nothing(self, tiny_hub: TinyHub) -> None:
        self.same(self.generate(tiny_hub, cpu_offload=True).waveform[0], self.raw(tiny_hub, 1.0))

    def test_compiling_is_done_once_for_all_lengths(self, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
        graphs: list[int] = []

        def backend(graph: Any, _: Any) -> Any:
            graphs.append(1)
            return graph.forward

        monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
        torch._dynamo.reset()
        generator = self.make(tiny_hub, compile=True, batch_size=2)
        made = generator.generate(None, self.ask(duration_s=2.56), RunContext())
        torch.testing.assert_close(made.waveform[0], self.raw(tiny_hub, 2.56), rtol=0, atol=1e-4)
        once = len(graphs)
        assert once >= 1
        for seconds, prompt in ((0.5, "x"), (1.7, "a hammer on metal"), (2.0, PROMPT)):
            made = generator.generate(None, self.ask(duration_s=seconds, prompt=prompt), RunContext())
            assert made.shape[2] == round(seconds * self.rate)
        assert len(graphs) == once
        torch._dynamo.reset()

    # Progress

    def test_every_step_is_told_and_cancelling_stops_within_one(self, tiny_hub: TinyHub) -> None:
        generator = self.make(tiny_hub)
        told: list[float] = []
        ctx = RunContext(progress=lambda fraction, _: told.append(fraction))
        generator.generate(None, self.ask(num_inference_steps=7), ctx)
        assert len(told) >= 1 + 7
        assert told == sorted(told)
        assert told[-1] == pytest.approx(1.0)
        cancel = CancelToken()

        def stop(fraction: float, _: str) -> None:
            told.append(fraction)
            if fraction > 0.4:
                cancel.cancel()

        told.clear()
        with pytest.raises(Cancelled):
            generator.generate(None, self.ask(num_inference_steps=7), RunContext(progress=stop, cancel=cancel))
        assert sum(fraction > 0.4 for fraction in told) == 1
        after = generator.generate(None, self.ask(), RunContext())
        self.same(after.waveform[0], self.raw(tiny_hub, 1.0))

    # What is missing or wrong

    def test_missing_weights_say_how_to_get_them(self, empty_hub: TinyHub) -> None:
        with pytest.raises(ModelLoadError) as caught:
            registry.create("generator", self.name).generate(None, self.ask(), RunContext())
        card = registry.get("generator", self.name).card
        fields = card.variants[card.options["variant"].default]
        wanted = (self.repository, f"{fields['size_gb']} GB", fields["licence"], f"versasound pull {self.name}")
        for words in (*wanted, "generator foley works"):
            assert words in str(caught.value)
        gate = f"Accept its terms on https://huggingface.co/{self.repository}"
        assert (gate in str(caught.value)) == bool(fields.get("gated"))

    def test_weights_cut_short_say_so(self, empty_hub: TinyHub) -> None:
        snapshot = empty_hub.add(self.repository)
        file = max(snapshot.rglob("*.safetensors"))
        file.write_bytes(file.read_bytes()[:100])
        with pytest.raises(ModelLoadError, match="cannot be used") as caught:
            registry.create("generator", self.name).generate(None, self.ask(), RunContext())
        assert str(snapshot) in str(caught.value)

    def test_a_folder_serves_in_place_of_a_repository(
        self, tiny_hub: TinyHub, empty_hub: TinyHub, tmp_path: Path
    ) -> None:
        snapshot = tiny_hub.add(self.repository)
        made = registry.create("generator", self.name, weights=str(snapshot), **self.off)
        assert made.generate(None, self.ask(), RunContext()).metadata["weights"] == str(snapshot)
        with pytest.raises(ModelLoadError, match="no folder"):
            registry.create("generator", self.name, weights=str(tmp_path / "nowhere")).generate(
                None, self.ask(), RunContext()
            )

    def test_nothing_goes_over_the_network(self, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise AssertionError("a network call")

        for name in ("connect", "connect_ex"):
            monkeypatch.setattr(socket.socket, name, refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        monkeypatch.delenv("HF_HUB_OFFLINE")  # not even when it would be allowed
        assert self.generate(tiny_hub).shape[2] == self.rate

    @pytest.mark.parametrize(
        "options",
        [{"variant": "gigantic"}, {"timing": "late"}, {"timing_strength": 2.0}, {"batch_size": 0}, {"no_such": 1}],
    )
    def test_bad_options_are_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidInputError, match=next(iter(options))):
            registry.create("generator", self.name, **options)

    def test_an_adapters_tokens_reach_the_model(self, tiny_hub: TinyHub, tmp_path: Path) -> None:
        adapters = pytest.importorskip("versasound_core.adapters", reason="this core has no adapters")
        facts = adapters.AdapterFacts(
            encoder="motion",
            feature_dim=4,
            generator=self.name,
            variant=registry.get("generator", self.name).card.options["variant"].default,
            token_dim=self.token_dim,
            num_tokens=3,
            width=16,
            num_layers=1,
            num_heads=2,
        )
        adapter = adapters.Adapter(facts, facts.network())
        folder = adapter.save(tmp_path / "adapter")
        features = attrs.evolve(seen([(0.5, 1.0)]), metadata={"fps": 4.0, "backbone": "motion"})
        made = self.generate(tiny_hub, features, adapter=str(folder))
        assert made.metadata["adapter"] == str(folder)
        assert not torch.equal(made.waveform[0], self.raw(tiny_hub, 1.0))
        model = self.model(self.make(tiny_hub))
        job = Job(
            text=PROMPT,
            negative=None,
            seed=3,
            start=0,
            length=self.rate,
            end=self.rate,
            steps=3,
            guidance=3.0,
            tokens=adapter.tokens(features)[0],
        )
        assert torch.equal(made.waveform[0], model.make([job], lambda _: None)[0][..., : self.rate].float())
        other = attrs.evolve(features, metadata={"fps": 4.0, "backbone": "clip"})
        with pytest.raises(InvalidInputError, match="trained on features of the encoder motion"):
            self.generate(tiny_hub, other, adapter=str(folder))

    def test_an_adapter_that_is_not_there_is_refused(self, tiny_hub: TinyHub, tmp_path: Path) -> None:
        pytest.importorskip("versasound_core.adapters", reason="this core has no adapters")
        with pytest.raises(VersaSoundError, match="nowhere"):
            self.generate(tiny_hub, seen([]), adapter=str(tmp_path / "nowhere.safetensors"))

    def test_the_card_is_read_without_the_model_library(self, tiny_hub: TinyHub) -> None:
        tiny_hub.add(self.repository)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _WITHOUT_LIBRARY, self.name],
            env={**os.environ, **tiny_hub.env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        state, options, variants, said = json.loads(done.stdout.splitlines()[-1])
        assert state == "ready"
        assert {"variant", "words", "timing", "timing_strength", "adapter", "compile", "cpu_offload"} <= set(options)
        assert set(variants) == self.variants
        assert "diffusers" in said
        assert f"pip install -U versasound-plugin-{self.name.replace('_', '-')}" in said

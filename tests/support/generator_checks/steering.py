"""What the picture does to the sound: by words, by timing, by tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
import torch

from versasound_core import registry
from versasound_core.context import RunContext
from versasound_core.errors import InvalidInputError, VersaSoundError
from versasound_core.steering import Job

from .subject import PROMPT, Subject, seen

if TYPE_CHECKING:
    from tiny_hub import TinyHub


class Steering(Subject):
    """Each way is what it says, and can be switched off."""

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

    def test_an_adapters_tokens_reach_the_model(self, tiny_hub: TinyHub, tmp_path: Path) -> None:
        adapters = pytest.importorskip("versasound_core.adapters", reason="this core has no adapters")
        made = self.generate(tiny_hub)
        facts = adapters.AdapterFacts(
            encoder="motion",
            feature_dim=4,
            generator=self.name,
            variant=made.metadata["variant"],
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

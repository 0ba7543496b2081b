"""The generator that is asked, and what it is asked for."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from versasound_core import registry
from versasound_core.containers import AudioData, EventTrack, GenerationRequest, VisualFeatures
from versasound_core.context import RunContext
from versasound_core.steering import Job

if TYPE_CHECKING:
    from tiny_hub import TinyHub

PROMPT = "rain on a roof"


def seen(
    *onsets: list[tuple[float, float]], labels: Any = None, seconds: float = 120.0, fps: float = 4.0
) -> VisualFeatures:
    """Features of a picture in which something strikes."""
    track = EventTrack(torch.zeros(len(onsets), round(50 * seconds)), 50.0, list(onsets))
    return VisualFeatures(torch.zeros(len(onsets), round(fps * seconds), 4), {"fps": fps}, track, labels)


class Subject:
    """A generator on a diffusion pipeline, the library's own pipeline beside it, and how both are asked.

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

    def job(self, **fields: Any) -> Job:
        """A second of the model's own, as `Model.make` takes it, where the fields do not say otherwise."""
        usual = {"text": PROMPT, "negative": None, "seed": 3, "start": 0, "steps": 3, "guidance": 3.0}
        return Job(**{**usual, "length": self.rate, "end": self.rate, **fields})

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

"""How a generator runs: together, in less memory, compiled, watched, stopped."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest
import torch

from versasound_core.context import CancelToken, RunContext
from versasound_core.errors import Cancelled, DeviceError

from .subject import PROMPT, Subject, seen

if TYPE_CHECKING:
    from tiny_hub import TinyHub


class Running(Subject):
    """Faster or smaller, it makes the same sound."""

    def test_each_text_is_embedded_once(self, tiny_hub: TinyHub, monkeypatch: pytest.MonkeyPatch) -> None:
        generator = self.make(tiny_hub, words=True)
        pipe = self.model(generator).pipe
        texts: list[str] = []
        embed = pipe.encode_prompt
        monkeypatch.setattr(pipe, "encode_prompt", lambda text, *a, **k: (texts.append(text), embed(text, *a, **k))[1])
        features = seen([], [], [], labels=[[("rain", 0.9)], [("fire", 0.9)], [("rain", 0.9)]])
        for _ in range(2):
            generator.generate(features, self.ask(prompt=None), RunContext())
        assert [text for text in texts if text] == ["rain", "fire"]
        assert len(texts) == len(set(texts))  # some guide with an empty text

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

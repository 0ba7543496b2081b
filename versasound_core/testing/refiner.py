"""What every refiner is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch

from versasound_core.containers import AudioData
from versasound_core.contracts import BlockRefiner

from . import material
from .contract import Contract
from .watch import WatchedContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from versasound_core.cards import Role
    from versasound_core.context import RunContext


class RefinerContract(Contract):
    """Derive from it and say which refiner: `name = "mastering"`.

    Attributes:
        peak: The largest sample allowed; full scale is 1.
    """

    role: ClassVar[Role] = "refiner"
    peak: ClassVar[float] = 1.0

    def work(self, ctx: RunContext | None = None, call: Callable[..., Any] | None = None) -> Any:
        """Finish a short sound, on the device of the context."""
        return (call or self.call)(material.sound(1, 2.0).to(ctx.device if ctx else "cpu"), ctx=ctx)

    def refine(self, audio: AudioData) -> AudioData:
        """Refine, and see that what comes is a sound of the same length and rate."""
        made = self.call(audio)
        self.check(made, audio)
        return made  # type: ignore[no-any-return]

    def check(self, made: Any, audio: AudioData) -> None:
        """Fail where a refined sound does not fit the one that came."""
        if not isinstance(made, AudioData):
            self.fail(f"refine() returned {type(made).__name__} and no AudioData.")
        if made.sample_rate != audio.sample_rate:
            self.fail(f"a sound of {audio.sample_rate} Hz comes back with {made.sample_rate} Hz.")
        if made.shape[2] != audio.shape[2]:
            self.fail(f"a sound of {audio.shape[2]} samples comes back with {made.shape[2]}.")
        if made.shape[0] != audio.shape[0] or made.num_channels not in {1, 2}:
            self.fail(f"a sound {list(audio.shape)} comes back as {list(made.shape)}.")
        peak = float(made.waveform.abs().max()) if made.waveform.numel() else 0.0
        if peak > self.peak + 1e-4:
            self.fail(f"its samples reach {peak:.3g}; full scale is 1.")

    @pytest.mark.parametrize("sample_rate", [8000, 44100, 48000])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_a_sound_keeps_its_length_and_rate(self, channels: int, sample_rate: int) -> None:
        """Exactly."""
        self.refine(material.sound(1, 1.2345, sample_rate, channels))

    def test_a_batch_equals_its_items_one_by_one(self) -> None:
        """What becomes of a sound does not depend on its neighbours."""
        audio = material.sound(2, 1.5)
        together = self.refine(audio).waveform
        for item in range(2):
            alone = self.refine(AudioData(audio.waveform[item : item + 1], audio.sample_rate)).waveform
            apart = float((together[item] - alone[0]).abs().max())
            if apart > self.tolerance:
                self.fail(f"item {item} of a batch differs by {apart:.2g} from the same sound alone.")

    def test_the_same_sound_becomes_the_same(self) -> None:
        """Bit for bit."""
        if not torch.equal(self.work().waveform, self.work().waveform):
            self.fail("refining a sound twice gives other samples.")

    def test_what_it_is_given_is_not_written_into(self) -> None:
        """The raw sound may still be wanted."""
        audio = material.sound(1, 1.2)
        self.refine(audio)
        if not torch.equal(audio.waveform, material.sound(1, 1.2).waveform):
            self.fail("it writes into the sound that it is given.")

    @pytest.mark.parametrize(
        ("what", "wave"),
        [
            ("silence", torch.zeros(1, 1, 48000)),
            ("one sample", torch.full((1, 1, 1), 0.5)),
            ("a constant", torch.full((1, 2, 24000), 0.5)),
            ("full scale", torch.tensor([1.0, -1.0]).repeat(1, 1, 24000)),
        ],
        ids=["silence", "one sample", "constant", "full scale"],
    )
    def test_odd_sounds_are_refined_or_refused(self, what: str, wave: torch.Tensor) -> None:
        """What is legal is done, or refused in words."""
        audio = AudioData(wave, 48000)
        made = self.refuses_in_words(what, audio)
        if made is not None:
            self.check(made, audio)

    def test_blocks_equal_the_whole(self) -> None:
        """A refiner with `refine_blocks` makes of the blocks of a sound what it makes of the sound."""
        backend = self.backend()
        if not isinstance(backend, BlockRefiner):
            pytest.skip("it has no refine_blocks")
        audio = material.sound(1, 2.0)
        blocks = [AudioData(part, audio.sample_rate) for part in torch.split(audio.waveform, 30011, dim=2)]
        made = [block.waveform for block in backend.refine_blocks(blocks, WatchedContext.make())]
        whole, joined = self.refine(audio).waveform, torch.cat(made, 2)
        if joined.shape != whole.shape or float((joined - whole).abs().max()) > self.tolerance:
            self.fail("the blocks of a sound become something else than the whole.")

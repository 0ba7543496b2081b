"""What every aligner is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch

from versasound_core.containers import Alignment, AudioData

from . import material
from .contract import Contract
from .generator import _item

if TYPE_CHECKING:
    from collections.abc import Callable

    from versasound_core.cards import Role
    from versasound_core.containers import VisualFeatures
    from versasound_core.context import RunContext

_LENGTH_S = 4.0


class AlignerContract(Contract):
    """Derive from it and say which aligner: `name = "dtw"`."""

    role: ClassVar[Role] = "aligner"

    def work(self, ctx: RunContext | None = None, call: Callable[..., Any] | None = None) -> Any:
        """Measure a sound that is 80 ms late, on the device of the context."""
        device = ctx.device if ctx else "cpu"
        heard, seen = material.sound(1, _LENGTH_S).to(device), material.features(1, _LENGTH_S).to(device)
        return (call or self.call)(heard, seen, ctx=ctx)

    def estimate(self, heard: AudioData, seen: VisualFeatures) -> Alignment:
        """Measure, and see that what comes is an alignment of that sound."""
        found = self.call(heard, seen)
        self.check(found, heard)
        return found  # type: ignore[no-any-return]

    def check(self, found: Any, heard: AudioData) -> None:
        """Fail where an alignment does not fit its sound."""
        if not isinstance(found, Alignment):
            self.fail(f"estimate() returned {type(found).__name__} and no Alignment.")
        if len(found.knots) != heard.shape[0]:
            self.fail(f"estimate() returned knots of {len(found.knots)} items for a batch of {heard.shape[0]}.")
        for source_s, target_s in [knot for item in found.knots for knot in item]:
            if not -1e-6 <= source_s <= heard.duration + 1e-6:
                self.fail(f"a knot at {source_s:.3f} s lies outside of a sound of {heard.duration:.3f} s.")
            if abs(target_s - source_s) > heard.duration:
                self.fail(f"a knot moves by {target_s - source_s:.3f} s, further than the sound is long.")
        moved = found.apply(heard)
        if moved.shape != heard.shape or not bool(torch.isfinite(moved.waveform).all()):
            self.fail("its alignment cannot be applied to the sound that it was made for.")

    @pytest.mark.parametrize("sample_rate", [8000, 44100])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_any_sound_can_be_measured(self, sample_rate: int, channels: int) -> None:
        """Knots within the sound, a confidence for each item, at any rate and number of channels."""
        self.estimate(material.sound(1, _LENGTH_S, sample_rate, channels), material.features(1, _LENGTH_S))

    def test_a_batch_equals_its_items_one_by_one(self) -> None:
        """What is measured of an item does not depend on its neighbours."""
        heard, seen = material.sound(2, _LENGTH_S), material.features(2, _LENGTH_S)
        together = self.estimate(heard, seen)
        for item in range(2):
            alone = self.estimate(AudioData(heard.waveform[item : item + 1], heard.sample_rate), _item(seen, item))
            knots, others = torch.tensor(together.knots[item]), torch.tensor(alone.knots[0])
            if knots.shape != others.shape or (knots.numel() and float((knots - others).abs().max()) > self.tolerance):
                self.fail(f"item {item} of a batch is measured otherwise than the same sound alone.")
            if abs(together.confidence[item] - alone.confidence[0]) > self.tolerance:
                self.fail(f"item {item} of a batch has another confidence than the same sound alone.")

    def test_the_same_sound_gives_the_same_alignment(self) -> None:
        """Measuring draws nothing by chance."""
        found = [self.work() for _ in range(2)]
        if found[0].knots != found[1].knots or found[0].confidence != found[1].confidence:
            self.fail("measuring a sound twice gives other knots.")

    def test_what_it_is_given_is_not_written_into(self) -> None:
        """Aligners measure; only `Alignment.apply` edits."""
        heard, seen = material.sound(1, _LENGTH_S), material.features(1, _LENGTH_S)
        self.estimate(heard, seen)
        if not torch.equal(heard.waveform, material.sound(1, _LENGTH_S).waveform):
            self.fail("it writes into the sound that it is given.")
        if not torch.equal(seen.features, material.features(1, _LENGTH_S).features):
            self.fail("it writes into the features that it is given.")

    def test_silence_is_left_alone(self) -> None:
        """Where nothing is heard nothing can be moved."""
        silent = AudioData(torch.zeros(1, 1, 16000 * 4), 16000)
        found = self.refuses_in_words("a silent sound", silent, material.features(1, _LENGTH_S))
        if found is not None:
            self.check(found, silent)
            if any(abs(target - source) > 1e-3 for item in found.knots for source, target in item):
                self.fail("it moves a sound in which nothing is heard.")

    def test_a_still_picture_moves_nothing(self) -> None:
        """Where nothing is seen to strike nothing says where the sound belongs."""
        seen = material.without_words(material.features(1, _LENGTH_S))
        heard = material.sound(1, _LENGTH_S)
        found = self.refuses_in_words("a picture without events", heard, seen)
        if found is not None:
            self.check(found, heard)
            if any(abs(target - source) > 1e-3 for item in found.knots for source, target in item):
                self.fail("it moves a sound to a picture in which nothing strikes.")

    def test_another_batch_than_the_pictures_is_refused(self) -> None:
        """Two sounds and three pictures belong to nobody."""
        made = self.refuses_in_words("a batch of 2 with features of 3", material.sound(2), material.features(3))
        if made is not None:
            self.fail("it takes a batch of 2 sounds with features of 3.")

    @pytest.mark.parametrize("duration_s", [1 / 48000, 0.05])
    def test_short_sounds_are_measured_or_refused(self, duration_s: float) -> None:
        """A sample, a click."""
        heard = material.sound(1, duration_s)
        found = self.refuses_in_words(f"a sound of {duration_s:.3g} s", heard, material.features(1, 0.2))
        if found is not None:
            self.check(found, heard)

"""What every encoder is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import torch

from versasound_core.containers import VideoClip, VisualFeatures

from . import material
from .contract import Contract

if TYPE_CHECKING:
    from collections.abc import Callable

    from versasound_core.cards import Role
    from versasound_core.context import RunContext


class EncoderContract(Contract):
    """Derive from it and say which encoder: `name = "motion"`."""

    role: ClassVar[Role] = "encoder"

    def work(self, ctx: RunContext | None = None, call: Callable[..., Any] | None = None) -> Any:
        """Look at a short clip."""
        return (call or self.call)(material.clip(), ctx=ctx)

    @pytest.mark.parametrize(
        ("items", "duration_s", "size"),
        [(1, 1.2, (64, 96)), (3, 0.6, (90, 50)), (1, 0.04, (64, 64)), (1, 2.5, (48, 160))],
        ids=["ordinary", "batch upright", "one frame", "wide"],
    )
    def test_features_have_their_shape_and_rate(self, items: int, duration_s: float, size: tuple[int, int]) -> None:
        """`[B, T, D]` in float32, `metadata["fps"]` of them a second, from the first frame to the last."""
        seen = self.call(material.clip(items, duration_s, size))
        if not isinstance(seen, VisualFeatures):
            self.fail(f"encode() returned {type(seen).__name__} and no VisualFeatures.")
        if seen.shape[0] != items:
            self.fail(f"encode() returned features {list(seen.shape)} of a clip of {items} items.")
        if seen.fps is None:
            self.fail('its features do not say metadata["fps"].')
        wanted = duration_s * seen.fps
        if abs(seen.shape[1] - wanted) >= 1.001 or not seen.shape[1]:
            self.fail(f"it gives {seen.shape[1]} features for {duration_s} s at {seen.fps:g} a second, not {wanted:g}.")
        if seen.dtype != torch.float32:
            self.fail(f"its features are {seen.dtype}, not float32.")
        if seen.features.requires_grad or seen.features.is_inference():
            self.fail("its features still belong to the model's graph; give a detached copy.")

    def test_features_are_what_the_containers_can_cut(self) -> None:
        """Events lie within the clip, labels are words with scores from 0 to 1, best first, and a window can be cut."""
        seen = self.call(material.clip())
        for time_s, _ in [onset for item in (seen.events.onsets if seen.events else []) for onset in item]:
            if not 0 <= time_s <= 1.2 + 1e-6:
                self.fail(f"an event at {time_s:.3f} s lies outside of a clip of 1.2 s.")
        for item in seen.labels or []:
            scores = [score for _, score in item]
            if scores != sorted(scores, reverse=True) or not all(0 <= score <= 1 for score in scores):
                self.fail(f"its labels must have scores from 0 to 1, best first, not {scores}.")
            if not all(isinstance(words, str) and words for words, _ in item):
                self.fail("its labels must be words.")
        if seen.fps is not None:  # that it is missing is said elsewhere
            seen.window(0.2, 0.8)

    def test_features_differ_where_the_picture_does(self) -> None:
        """What never looks at the picture is no encoder."""
        one = self.call(material.clip())
        dark = VideoClip.from_tensor(torch.zeros(1, 30, 3, 64, 96, dtype=torch.uint8), material.FPS)
        if torch.equal(one.features, self.call(dark).features):
            self.fail("its features are the same whatever the picture shows.")

    def test_the_same_clip_gives_the_same_features(self) -> None:
        """Bit for bit."""
        if not torch.equal(self.call(material.clip()).features, self.call(material.clip()).features):
            self.fail("looking at a clip twice gives other features.")

    def test_a_batch_equals_its_items_one_by_one(self) -> None:
        """Features, events and labels of an item do not depend on its neighbours."""
        clip = material.clip(3, 0.8)
        together = self.call(clip)
        for item in range(3):
            alone = self.call(VideoClip.from_tensor(clip.source[item : item + 1], material.FPS))  # type: ignore[index]
            apart = float((together.features[item] - alone.features[0]).abs().max())
            if apart > self.tolerance:
                self.fail(f"item {item} of a batch differs by {apart:.2g} from the same clip alone.")
            if together.events is not None and together.events.onsets[item] != alone.events.onsets[0]:
                self.fail(f"item {item} of a batch has other events than the same clip alone.")
            if together.labels is not None and [n for n, _ in together.labels[item]] != [n for n, _ in alone.labels[0]]:
                self.fail(f"item {item} of a batch has other labels than the same clip alone.")

    def test_the_clip_is_not_written_into(self) -> None:
        """The frames belong to whoever made the clip."""
        clip = material.clip()
        self.call(clip)
        if not torch.equal(clip.source, material.clip().source):  # type: ignore[arg-type]
            self.fail("it writes into the frames that it is given.")

    @pytest.mark.parametrize("size", [(1, 1), (2, 300)], ids=["1x1", "2x300"])
    def test_odd_pictures_are_seen_or_refused(self, size: tuple[int, int]) -> None:
        """Frames too small for a model are a message, not a crash."""
        self.refuses_in_words(f"a clip of {size[1]}x{size[0]} pixels", material.clip(1, 0.2, size))

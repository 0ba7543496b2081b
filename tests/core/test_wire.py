"""What is passed to a worker arrives as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from versasound_core.containers import (
    Alignment,
    AudioData,
    EventTrack,
    EventView,
    GenerationRequest,
    VideoClip,
    VisualFeatures,
)
from versasound_core.errors import InvalidInputError
from versasound_core.worker.wire import pack, unpack


def round_trip(value: object) -> object:
    execnet = pytest.importorskip("execnet")
    plain, pieces = pack(value)
    return unpack(execnet.loads(execnet.dumps(plain)), execnet.loads(execnet.dumps(pieces)))


def test_features_with_everything() -> None:
    cells = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    view = EventView(cells, torch.arange(5.0).double() + 0.5)
    events = EventTrack(torch.rand(1, 7), 100.0, [[(0.01, 0.5), (0.05, 1.0)]], [[-0.5, 0.25]], [view])
    whole = VisualFeatures(
        torch.randn(1, 4, 3), {"fps": 8.0, "notes": ["a"], "n": np.float32(2)}, events, [[("rain", 0.5)]]
    )
    part = whole.window(0.0, 0.25)
    back = round_trip(part)
    assert isinstance(back, VisualFeatures)
    assert torch.equal(back.features, part.features)
    assert torch.equal(back.whole.events.views[0].cells, events.views[0].cells)
    assert torch.equal(back.events.envelope, part.events.envelope)
    assert (back.events.onsets, back.events.positions) == (part.events.onsets, part.events.positions)
    assert (back.labels, back.metadata) == (part.labels, {"fps": 8.0, "notes": ["a"], "n": 2.0})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.uint8, torch.bool, torch.int64])
def test_tensors_of_every_type_and_layout(dtype: torch.dtype) -> None:
    value = (torch.rand(3, 4) * 4).to(dtype)
    back = round_trip({"a": value.T, "b": (value, value), "empty": value[:0], "one": value[0, 0]})
    assert torch.equal(back["a"], value.T)
    assert torch.equal(back["b"][1], value)
    assert (back["empty"].shape, back["one"].shape, back["one"].dtype) == ((0, 4), (), dtype)


def test_the_other_containers() -> None:
    asked = GenerationRequest(duration_s=1.5, prompt="rain", seed=2**62, guidance_scale=3.5)
    assert round_trip(asked) == asked
    audio = AudioData(torch.randn(2, 1, 9), 8000, {"array": np.arange(3), "where": Path("a")})
    back = round_trip(audio)
    assert torch.equal(back.waveform, audio.waveform)
    assert (back.metadata["array"].tolist(), back.metadata["where"]) == ([0, 1, 2], Path("a"))
    knots = Alignment([[(0.0, 0.5), (1.0, 1.25)]], [0.75])
    assert (round_trip(knots).knots, round_trip(knots).confidence) == (knots.knots, knots.confidence)


def test_clips_in_memory_and_in_files(tmp_path: Path) -> None:
    from versasound_core.scenes import random_scene, write_scene

    clip = VideoClip.from_tensor(torch.randint(0, 256, (1, 5, 3, 8, 8), dtype=torch.uint8), 12.5, 0.25)
    back = round_trip(clip)
    assert torch.equal(back.source, clip.source)
    assert (back.fps, back.start_s) == (12.5, 0.25)
    path = write_scene(random_scene(1, 1.0, confounders=False), tmp_path / "scene.mp4", height=64)
    opened = VideoClip.open(path)
    assert round_trip(opened).content_hash() == opened.content_hash()


def test_what_does_not_travel_is_named() -> None:
    with pytest.raises(InvalidInputError, match="Generator"):
        pack({"draw": torch.Generator()})

"""The shared parts of encoders on trained weights, against closed forms and the plainest loops."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from versasound_core.batching import Batches
from versasound_core.errors import InvalidInputError
from versasound_core.vision import Preprocess, Seen, SoundTable
from versasound_core.vision.pooling import pool_space, pool_time
from versasound_core.vision.projection import projection
from versasound_core.vision.sounds import describe, rank, read_table
from versasound_core.vision.windows import neighbours, slide, starts, windowed

COUNTS = st.integers(1, 120)
SHAPES = st.sampled_from([(16, 8, 2), (16, 16, 2), (16, 4, 1), (1, 1, 1), (8, 2, 4), (6, 3, 3), (5, 2, 1)])

# Windows


@given(COUNTS, SHAPES, st.lists(st.integers(1, 40), min_size=1, max_size=40))
def test_windows_are_those_that_starts_names(count: int, shape: tuple[int, int, int], cuts: list[int]) -> None:
    length, hop, _ = shape
    frames = torch.arange(count)[None].expand(2, -1)
    places = [0]
    while places[-1] < count:
        places.append(min(count, places[-1] + cuts[len(places) % len(cuts)]))
    chunks = [frames[:, a:b] for a, b in itertools.pairwise(places)]
    windows = [window for group in slide(chunks, length, hop) for window in group]
    assert [window[0, 0].item() for window in windows] == starts(count, length, hop)
    for window in windows:
        first = window[0, 0].item()
        assert window.tolist() == [[min(first + k, count - 1) for k in range(length)]] * 2


@given(COUNTS, SHAPES)
def test_every_frame_knows_its_windows(count: int, shape: tuple[int, int, int]) -> None:
    length, hop, step = shape
    place, weight = windowed(count, length, hop, step)
    begins = starts(count, length, hop)
    for frame in range(count):
        expected = {}
        for number, begin in enumerate(begins):
            inside = frame - begin
            if 0 <= inside < length:
                expected[number * (length // step) + inside // step] = min(inside + 1, length - inside)
        found = {int(p): float(w) for p, w in zip(place[:, frame], weight[:, frame], strict=True) if w > 0}
        assert found == expected
        assert weight[0, frame] == weight[:, frame].max()


def test_neighbours_end_at_the_ends() -> None:
    place, weight = neighbours(3)
    assert place[0].tolist() == [0, 1, 2]
    assert weight.T.tolist() == [[2, 0, 1], [2, 1, 1], [2, 1, 0]]
    assert neighbours(1)[1].T.tolist() == [[2, 0, 0]]


# Pooling


def test_poolings_in_closed_form() -> None:
    estimates = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]], [[5.0, 9.0]]])  # [K, T, D]
    weight = torch.tensor([[2.0], [1.0], [0.0]])  # the last one does not count
    assert pool_time(estimates, weight, "none").tolist() == [[1.0, 0.0]]
    assert pool_time(estimates, weight, "avg").flatten().tolist() == pytest.approx([2 / 3, 2 / 3])
    assert pool_time(estimates, weight, "max").tolist() == [[1.0, 2.0]]
    far = math.exp(-1 / 0.1)  # at right angles to the best: cosine 0
    assert pool_time(estimates, weight, "attention").flatten().tolist() == pytest.approx(
        [2 / (2 + far), 2 * far / (2 + far)]
    )


@given(st.integers(1, 4), st.integers(1, 5), st.sampled_from(["attention", "avg", "max", "none"]))
def test_estimates_that_agree_are_kept(known: int, count: int, how: str) -> None:
    same = torch.randn(1, count, 2, 7, generator=torch.Generator().manual_seed(3)).expand(known, -1, -1, -1)
    weight = torch.arange(known, 0, -1.0)[:, None].expand(-1, count)
    torch.testing.assert_close(pool_time(same, weight, how), same[0])


def test_places_are_pooled_or_refused() -> None:
    tokens = torch.arange(12.0).view(1, 2, 3, 2)
    assert pool_space(Seen(tokens, None), "avg").tolist() == [[[2, 3], [8, 9]]]
    assert pool_space(Seen(tokens, None), "max").tolist() == [[[4, 5], [10, 11]]]
    assert pool_space(Seen(tokens, tokens[:, :, 0]), "cls_token").tolist() == [[[0, 1], [6, 7]]]
    with pytest.raises(InvalidInputError, match="avg and max"):
        pool_space(Seen(tokens, None), "cls_token")


@pytest.mark.parametrize(("width", "wanted"), [(32, 8), (32, 32), (32, 768)])
def test_a_projection_is_orthonormal_and_always_the_same(width: int, wanted: int) -> None:
    state = torch.get_rng_state()
    first, second = projection(width, wanted), projection(width, wanted)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.weight, second.weight)
    assert first.weight.requires_grad
    small = first.weight @ first.weight.T if wanted < width else first.weight.T @ first.weight
    torch.testing.assert_close(small, torch.eye(min(width, wanted)), rtol=0, atol=1e-5)


# Preparing pictures


def test_values_are_read_from_every_form_of_the_file() -> None:
    old = Preprocess.from_config({"size": 224, "do_center_crop": True, "crop_size": 200, "do_normalize": False})
    assert (old.shortest, old.size, old.mode, old.levels) == (224, (200, 200), "bicubic", 255)
    new = Preprocess.from_config(
        {
            "size": {"height": 30, "width": 40},
            "resample": 2,
            "do_rescale": False,
            "image_mean": [1, 2, 3],
            "image_std": [1, 1, 2],
        }
    )
    assert (new.shortest, new.size, new.mode, new.levels) == (None, (30, 40), "bilinear", 1.0)
    made = new(torch.full((2, 3, 30, 40), 5, dtype=torch.uint8))
    assert made[0, :, 0, 0].tolist() == [4, 3, 1]
    plain = {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224, "do_normalize": False}
    larger = Preprocess.from_config(plain, 448)
    assert (larger.shortest, larger.size) == (512, (448, 448))
    for broken in ({}, {"size": {}}, {"size": 224, "resample": 5}, {"size": 224, "image_mean": None}):
        with pytest.raises(InvalidInputError, match="preprocessor_config"):
            Preprocess.from_config(broken)


@pytest.mark.parametrize(("height", "width"), [(300, 200), (60, 100), (1, 1), (3000, 8), (8, 3000)])
def test_the_middle_is_kept(height: int, width: int) -> None:
    prepare = Preprocess(shortest=64, size=(48, 48))
    picture = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    picture[..., height // 2 :, :] = 255
    made = prepare(picture)
    assert made.shape == (1, 3, 48, 48)
    if height > 1:
        assert float(made[..., :16, :].mean()) < 0.05
        assert float(made[..., 32:, :].mean()) > 0.95


def test_a_crop_larger_than_the_picture_is_black_around_it() -> None:
    made = Preprocess(shortest=10, size=(14, 14))(torch.full((1, 3, 10, 10), 255, dtype=torch.uint8))
    assert float(made.sum()) == pytest.approx(300)
    assert made[0, 0, 2:12, 2:12].min() == 1


# Batches


def test_other_errors_are_no_lack_of_memory() -> None:
    def fail(rows: torch.Tensor) -> tuple[torch.Tensor]:
        raise RuntimeError(f"shapes of {len(rows)} do not fit")

    with pytest.raises(RuntimeError, match="do not fit"):
        Batches(4).run(fail, torch.zeros(4))


# Words


def test_classes_add_up_to_sounds() -> None:
    table = SoundTable({"bark": [0, 2], "meow": [3]}, 5)
    scores = table.gather(torch.tensor([[0.1, 0.2, 0.3, 0.25, 0.15]]))
    assert scores.tolist() == [pytest.approx([0.4, 0.25])]
    assert rank(scores[0], table.sounds, 5) == [("bark", pytest.approx(0.4)), ("meow", pytest.approx(0.25))]
    assert rank(torch.tensor([0.01, 0.5]), ["a", "b"], 5) == [("b", 0.5)]
    for wrong, words in (({"a": [5]}, "no class 5"), ({"a": [1], "b": [1]}, "another sound")):
        with pytest.raises(InvalidInputError, match=words):
            SoundTable(wrong, 5)


def test_labels_of_the_clip_and_of_each_second() -> None:
    scores = torch.zeros(5, 1, 2)  # at 2 frames a second: 0, 0.5 | 1, 1.5 | 2
    scores[:2, 0, 0], scores[2:, 0, 1] = 0.8, 0.4
    whole, seconds = describe(scores, ["rain", "wind"], 2.0, 1)
    assert whole == [[("rain", pytest.approx(0.32))]]
    assert [[name for name, _ in labels] for labels in seconds[0]] == [["rain"], ["wind"], ["wind"]]


def test_tables_that_cannot_be_used_name_file_and_key(tmp_path) -> None:
    file = tmp_path / "mine.yaml"
    with pytest.raises(InvalidInputError, match=r"mine\.yaml cannot be read"):
        read_table(file, "events")
    for text, words in (
        ("x: [", "not YAML"),
        ("other: {}", "no table"),
        ("events: {rain: wet}", "rain"),
        ("events: {1: [a]}", "1"),
        ("!!python/object:os.system {}", "not YAML"),
    ):
        file.write_text(text)
        with pytest.raises(InvalidInputError, match=words):
            read_table(file, "events")

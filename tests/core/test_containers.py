"""The containers: what the published interface promises, and what must hold for every shape and value."""

from __future__ import annotations

import inspect
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from versasound_core.containers import AudioData, EventTrack, GenerationRequest, VisualFeatures
from versasound_core.errors import InvalidInputError

# As published: name, default of each argument, and what each property and method gives.
REQUIRED = inspect.Parameter.empty
PUBLISHED = {
    VisualFeatures: {
        "__init__": {"features": REQUIRED, "metadata": None},
        "shape": torch.Size,
        "device": torch.device,
        "dtype": torch.dtype,
        "to": ({"device": REQUIRED}, VisualFeatures, ["cpu"]),
        "get_temporal_length": ({}, int, []),
        "get_feature_dim": ({}, int, []),
    },
    AudioData: {
        "__init__": {"waveform": REQUIRED, "sample_rate": 16000, "metadata": None},
        "shape": torch.Size,
        "duration": float,
        "num_channels": int,
        "to": ({"device": REQUIRED}, AudioData, ["cpu"]),
        "to_mono": ({}, AudioData, []),
        "to_stereo": ({}, AudioData, []),
        "resample": ({"new_sample_rate": REQUIRED}, AudioData, [8000]),
    },
}
MEMBERS = [(kind, name) for kind, members in PUBLISHED.items() for name in members if name != "__init__"]
FLOATS = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])


def tensor(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).to(dtype) * 2 - 1


def track(**fields: object) -> EventTrack:
    given = {"envelope": torch.ones(1, 10), "rate_hz": 10.0, "onsets": [[(0.1, 0.5)]]}
    return EventTrack(**{**given, **fields})


class TestPublishedInterface:
    @pytest.mark.parametrize("kind", PUBLISHED)
    def test_the_constructor_takes_the_published_arguments_first(self, kind):
        wanted = PUBLISHED[kind]["__init__"]
        parameters = list(inspect.signature(kind).parameters.values())
        assert {p.name: p.default for p in parameters[: len(wanted)]} == wanted
        assert all(p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in parameters)
        assert all(p.default is not REQUIRED for p in parameters[len(wanted) :])

    @pytest.mark.parametrize(("kind", "name"), MEMBERS)
    def test_each_member_is_as_published_and_gives_what_it_says(self, kind, name):
        made = kind(tensor(2, 1, 12))
        wanted = PUBLISHED[kind][name]
        if isinstance(wanted, type):
            assert isinstance(inspect.getattr_static(kind, name), property)
            assert type(getattr(made, name)) is wanted
            return
        arguments, result, values = wanted
        signature = inspect.signature(getattr(kind, name))
        assert {p.name: p.default for p in list(signature.parameters.values())[1:]} == arguments
        assert type(getattr(made, name)(*values)) is result

    def test_the_examples_of_the_published_page(self):
        seen = VisualFeatures(features=tensor(1, 24, 768), metadata={"backbone": "videomae", "fps": 24})
        assert seen.shape == torch.Size([1, 24, 768])
        assert (seen.get_temporal_length(), seen.get_feature_dim(), seen.fps) == (24, 768, 24)
        audio = AudioData(waveform=tensor(1, 1, 80000), sample_rate=16000, metadata={"source": "generated"})
        assert (audio.duration, audio.num_channels) == (5.0, 1)
        assert audio.to_stereo().shape == torch.Size([1, 2, 80000])
        assert audio.resample(44100).shape == torch.Size([1, 1, 220500])

    def test_metadata_is_one_of_its_own_if_not_given(self):
        for kind in (AudioData, VisualFeatures):
            one, other = kind(tensor(1, 1, 4)), kind(tensor(1, 1, 4), metadata=None)
            one.metadata["fps"] = 5
            assert other.metadata == {}


class TestEveryContainer:
    @given(shape=st.lists(st.integers(0, 3), min_size=0, max_size=5), dtype=FLOATS)
    def test_rank_and_batch(self, shape, dtype):
        value = torch.zeros(shape, dtype=dtype)
        for make, rank, lowest in ((AudioData, 3, [1, 1, 0]), (VisualFeatures, 3, [1, 0, 0])):
            if len(shape) == rank and all(n >= low for n, low in zip(shape, lowest, strict=True)):
                assert make(value).shape == torch.Size(shape)
            else:
                with pytest.raises(InvalidInputError) as caught:
                    make(value)
                assert str(shape) in str(caught.value)
                assert "[B, " in str(caught.value)

    @given(bad=st.sampled_from([math.nan, math.inf, -math.inf]), at=st.integers(0, 23), dtype=FLOATS)
    def test_values_must_be_finite(self, bad, at, dtype):
        value = torch.zeros(24, dtype=dtype)
        value[at] = bad
        for make in (AudioData, VisualFeatures):
            with pytest.raises(InvalidInputError, match=r"\[B, ., .\] holds values that are not finite"):
                make(value.reshape(2, 3, 4))
        with pytest.raises(InvalidInputError, match="envelope"):
            track(envelope=value.reshape(2, 12), onsets=[[], []])

    def test_opposite_infinities_and_sums_too_large_are_told_apart(self):
        with pytest.raises(InvalidInputError):
            AudioData(torch.tensor([[[math.inf, -math.inf]]]))
        AudioData(torch.full((1, 1, 4), 1e308, dtype=torch.float64))

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ([[[0.0]]], "must be a torch.Tensor .*, not list"),
            (np.zeros((1, 1, 1)), "must be a torch.Tensor .*, not ndarray"),
            (torch.zeros(1, 1, 1, dtype=torch.int16), "floating-point values, not torch.int16. Call .float()"),
            (torch.zeros(1, 1, 1, dtype=torch.complex64), "floating-point values, not torch.complex64"),
        ],
    )
    def test_only_floating_tensors(self, value, words):
        for make, name in ((AudioData, "waveform"), (VisualFeatures, "features")):
            with pytest.raises(InvalidInputError, match=f"{name} .*{words}"):
                make(value)

    @given(dtype=FLOATS, device=st.sampled_from(["cpu", torch.device("cpu")]))
    def test_moving_keeps_everything(self, dtype, device):
        audio = AudioData(tensor(2, 2, 5, dtype=dtype), 8000, {"a": 1}).to(device)
        events = track(envelope=torch.ones(2, 4, dtype=dtype), onsets=[[(0.1, 1.0)], []])
        seen = VisualFeatures(tensor(2, 3, 4, dtype=dtype), {"fps": 3}, events, [[("dog", 0.5)], []]).to(device)
        assert (audio.waveform.dtype, audio.sample_rate, audio.metadata) == (dtype, 8000, {"a": 1})
        assert (seen.dtype, seen.metadata, seen.labels) == (dtype, {"fps": 3}, [[("dog", 0.5)], []])
        assert seen.device == audio.device == seen.events.envelope.device == torch.device("cpu")
        assert seen.events.onsets == events.onsets

    def test_moving_goes_where_it_is_told(self):
        for made in (AudioData(tensor(1, 2, 3)), VisualFeatures(tensor(1, 2, 3)), track()):
            with pytest.raises(RuntimeError, match="nowhere"):
                made.to("nowhere")

    def test_print_shows_shapes_and_never_data(self):
        value = torch.full((2, 3, 4), 0.123456)
        events = track(envelope=torch.full((2, 7), 0.123456), onsets=[[(0.123456, 0.123456)], []])
        seen = VisualFeatures(value, {"fps": 5, "secret": "hidden"}, events, [[("hidden", 0.9)], []])
        for made, shape in ((AudioData(value), "[2, 3, 4]"), (seen, "[2, 3, 4]"), (events, "[2, 7]")):
            assert shape in repr(made)
            assert "0.12" not in repr(made)
            assert "hidden" not in repr(made)
            assert "tensor" not in repr(made)
        assert repr(AudioData(value, 8)) == "AudioData([B, C, T]=[2, 3, 4], 8 Hz, 0.500 s, cpu)"

    def test_none_can_be_changed(self):
        for made, field in ((AudioData(tensor(1, 1, 1)), "waveform"), (track(), "envelope")):
            with pytest.raises(AttributeError):
                setattr(made, field, torch.zeros(1))


onset_lists = st.lists(
    st.tuples(st.floats(0, 5), st.floats(1e-6, 1), st.floats(-1, 1)), max_size=8, unique_by=lambda onset: onset[0]
).map(sorted)


class TestEvents:
    @given(item=onset_lists, start_s=st.floats(0, 5), length_s=st.floats(0, 5), rate_hz=st.sampled_from([10.0, 23.976]))
    def test_a_window_holds_its_own_and_counts_from_its_start(self, item, start_s, length_s, rate_hz):
        events = EventTrack(
            envelope=torch.arange(50.0)[None].repeat(2, 1),
            rate_hz=rate_hz,
            onsets=[[], [(time_s, strength) for time_s, strength, _ in item]],
            positions=[[], [place for _, _, place in item]],
        )
        end_s = start_s + length_s
        cut = events.window(start_s, end_s)
        inside = [onset for onset in item if start_s <= onset[0] < end_s]
        assert cut.onsets == [[], [(time_s - start_s, strength) for time_s, strength, _ in inside]]
        assert cut.positions == [[], [place for _, _, place in inside]]
        assert cut.rate_hz == rate_hz
        assert cut.batch_size == 2
        if cut.envelope.numel():
            assert abs(float(cut.envelope[0, 0]) / rate_hz - start_s) <= 0.5 / rate_hz + 1e-9

    @given(item=onset_lists, cuts=st.lists(st.floats(0, 6), max_size=4))
    def test_windows_side_by_side_lose_nothing_and_double_nothing(self, item, cuts):
        onsets = [(time_s, strength) for time_s, strength, _ in item]
        events = EventTrack(torch.arange(50.0)[None], 10.0, [onsets])
        edges = [0.0, *sorted(cuts), 6.0]
        parts = [events.window(a, b) for a, b in itertools.pairwise(edges)]
        assert torch.equal(torch.cat([part.envelope for part in parts], 1), events.envelope)
        assert [strength for part in parts for _, strength in part.onsets[0]] == [strength for _, strength in onsets]

    def test_positions_are_in_the_middle_unless_given(self):
        assert track(onsets=[[(0.1, 0.5), (0.2, 1)]]).positions == [[0.0, 0.0]]
        assert track().duration_s == 1.0

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"envelope": -torch.ones(1, 3)}, r"envelope \[B, N\] holds values below 0"),
            ({"envelope": torch.ones(3)}, r"envelope must be \[B, N\]; got 1 axes, \[3\]"),
            ({"rate_hz": 0}, "rate_hz must be a number of Hz above 0, not 0"),
            ({"rate_hz": math.nan}, "rate_hz .* not nan"),
            ({"onsets": []}, "onsets holds 0 lists for a batch of 1"),
            (
                {"onsets": [[0.1, 0.2]]},
                r"onsets must hold a list of finite \(time_s, strength\) per item; item 0 has 0.1",
            ),
            ({"onsets": [[(math.nan, 0.5)]]}, r"item 0 has \(nan, 0.5\)"),
            ({"onsets": [[(math.inf, 0.5)]]}, r"item 0 has \(inf, 0.5\)"),
            ({"onsets": [[(0.2, 0.5), (0.1, 0.5)]]}, "in order of time; 0.1 s follows 0.2 s"),
            ({"onsets": [[(0.1, 0.0)]]}, r"strength must lie in \(0, 1\], not 0.0"),
            ({"onsets": [[(0.1, 1.5)]]}, r"strength must lie in \(0, 1\], not 1.5"),
            ({"positions": [[]]}, r"one value for each onset, \[1\] per item, not \[0\]"),
            ({"positions": [[2.0]]}, "position must lie between .*, not 2.0"),
            ({"positions": [[math.nan]]}, "position must lie between .*, not nan"),
        ],
    )
    def test_what_is_no_track_is_refused(self, fields, words):
        with pytest.raises(InvalidInputError, match=words):
            track(**fields)

    @pytest.mark.parametrize("window", [(-1.0, 2.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.inf), ("0", 1.0)])
    def test_a_window_that_is_none_is_refused(self, window):
        seen = VisualFeatures(tensor(1, 10, 2), {"fps": 10})
        for made in (track(), seen):
            with pytest.raises(InvalidInputError, match="a window must run from 0 s or later"):
                made.window(*window)


class TestFeatures:
    def test_a_window_cuts_features_and_events_and_keeps_labels(self):
        features = torch.arange(40.0).reshape(2, 20, 1)
        events = track(envelope=torch.ones(2, 20), onsets=[[(0.4, 0.5), (1.2, 1.0)], []])
        seen = VisualFeatures(features, {"fps": 10, "backbone": "b"}, events, [[("rain", 0.9)], []])
        cut = seen.window(0.5, 1.5)
        assert torch.equal(cut.features, features[:, 5:15])
        assert [[(round(t, 9), s) for t, s in item] for item in cut.events.onsets] == [[(0.7, 1.0)], []]
        assert (cut.labels, cut.metadata) == (seen.labels, seen.metadata)

    def test_without_a_rate_there_is_no_window(self):
        seen = VisualFeatures(tensor(1, 3, 2))
        assert seen.fps is None
        with pytest.raises(InvalidInputError, match='without metadata\\["fps"\\]'):
            seen.window(0, 1)

    @pytest.mark.parametrize("fps", [0, -1, math.nan, "24"])
    def test_a_rate_that_is_none_is_refused(self, fps):
        with pytest.raises(
            InvalidInputError, match=r'metadata\["fps"\] must be a number of feature vectors per second'
        ):
            VisualFeatures(tensor(1, 3, 2), {"fps": fps})

    def test_events_and_labels_are_of_the_same_batch(self):
        with pytest.raises(InvalidInputError, match="events is a batch of 1, features of 2"):
            VisualFeatures(tensor(2, 3, 2), events=track())
        with pytest.raises(InvalidInputError, match="labels holds 1 lists for a batch of 2"):
            VisualFeatures(tensor(2, 3, 2), labels=[[]])


class TestRequests:
    @given(duration_s=st.floats(0.001, 1e5), rate=st.integers(1000, 192000), seed=st.integers(0, 2**63 - 1))
    def test_samples_and_seeds(self, duration_s, rate, seed):
        request = GenerationRequest(duration_s=duration_s, sample_rate=rate, seed=seed)
        assert request.num_samples == round(duration_s * rate)
        assert request.seed_for(0) == seed
        seeds = [request.seed_for(item) for item in range(4)]
        assert len(set(seeds)) == 4
        assert all(0 <= one < 2**63 for one in seeds)
        assert GenerationRequest(duration_s=duration_s, sample_rate=rate, seed=seeds[2]).seed_for(1) == seeds[3]

    def test_only_the_length_is_required(self):
        request = GenerationRequest(duration_s=2)
        assert (request.sample_rate, request.seed, request.start_s, request.prompt) == (48000, 0, 0.0, None)

    @pytest.mark.parametrize(
        ("field", "values", "wanted"),
        [
            ("duration_s", [0, -1, math.nan, math.inf, "2", None, True], "a number of seconds above 0"),
            ("duration_s", [1e-9], "at least a sample at 48000 Hz"),
            ("sample_rate", [0, 0.5, math.nan, "48000", None], "a whole number of Hz, 1 or more"),
            ("seed", [-1, 2**63, 0.5, math.nan, "0", None, True], "a whole number from 0 to 2\\*\\*63 - 1"),
            ("num_inference_steps", [0, 2.5, math.nan, "50"], "a whole number of steps, 1 or more"),
            ("guidance_scale", [math.nan, math.inf, "10"], "a finite number or None"),
            ("start_s", [-0.1, math.nan, math.inf, "0", None], "0 or more seconds"),
            ("prompt", [5, b"rain", ["rain"]], "text or None"),
            ("negative_prompt", [5], "text or None"),
        ],
    )
    def test_what_is_out_of_bounds_is_refused_with_what_came(self, field, values, wanted):
        for value in values:
            with pytest.raises(InvalidInputError, match=f"^{field} must be {wanted}.* not ") as caught:
                GenerationRequest(**{"duration_s": 1.0, field: value})
            assert repr(value) in str(caught.value)

    def test_equal_requests_are_equal(self):
        assert GenerationRequest(duration_s=1, seed=np.int64(5)) == GenerationRequest(duration_s=1.0, seed=5)

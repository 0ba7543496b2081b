"""What an adapter is shown, what it makes of it, and what it refuses."""

from __future__ import annotations

import json
import math

import attrs
import pytest
import torch

from versasound_core.adapters import EVENT_CHANNELS, Adapter, AdapterFacts, adapter_inputs, load_adapter
from versasound_core.containers import EventTrack, VisualFeatures
from versasound_core.errors import InvalidInputError, ModelLoadError

FACTS = AdapterFacts(
    encoder="clip",
    encoder_variant="base",
    feature_dim=12,
    generator="stable_audio",
    variant="open",
    token_dim=6,
    num_tokens=8,
    width=16,
    num_layers=2,
    num_heads=2,
)


def features(batch=1, count=10, dim=12, fps=10.0, events=None, **metadata):
    values = torch.randn(batch, count, dim, generator=torch.Generator().manual_seed(1))
    return VisualFeatures(values, {"fps": fps, "backbone": "clip", "variant": "base", **metadata}, events=events)


@pytest.fixture
def adapter():
    return Adapter(FACTS, FACTS.network(seed=3))


def test_an_onset_stands_in_the_quarter_of_the_moment_in_which_it_falls():
    events = EventTrack(torch.zeros(1, 100), 100.0, [[(0.03, 0.5), (0.41, 1.0), (0.999, 0.25)]])
    seen, times_s = adapter_inputs(features(events=events))
    onsets = seen[0, :, -4:]
    assert onsets.flatten().nonzero()[:, 0].tolist() == [1, 16, 39]  # quarters of 25 ms
    assert onsets.flatten()[[1, 16, 39]].tolist() == [0.5, 1.0, 0.25]
    assert torch.allclose(times_s, torch.arange(10) / 10 + 0.05)


@pytest.mark.parametrize("rate_hz", [100.0, 40.0, 12.0])
def test_the_envelope_peaks_where_it_peaks_whatever_its_rate(rate_hz):
    centre_s = 0.62
    times_s = torch.arange(round(rate_hz)) / rate_hz
    events = EventTrack(torch.exp(-((times_s - centre_s) ** 2) / 0.02)[None], rate_hz, [[]])
    seen, _ = adapter_inputs(features(events=events))
    envelope = seen[0, :, -8:-4].flatten()
    assert (int(envelope.argmax()) + 0.5) / 40 == pytest.approx(
        centre_s, abs=0.5 / rate_hz + 0.5 / 40
    )  # half a step of each
    assert float(envelope.max()) == pytest.approx(math.log(2), rel=0.1)


def test_without_events_the_channels_are_silent():
    seen, _ = adapter_inputs(features())
    assert seen.shape == (1, 10, 12 + EVENT_CHANNELS)
    assert not seen[..., -EVENT_CHANNELS:].any()


def test_tokens_have_one_shape_for_any_length_and_an_item_is_the_same_in_a_batch(adapter):
    assert adapter.tokens(features(count=3)).shape == adapter.tokens(features(count=200)).shape == (1, 8, 6)
    both = features(batch=2)
    alone = attrs.evolve(both, features=both.features[1:])
    torch.testing.assert_close(adapter.tokens(both)[1:], adapter.tokens(alone))


def test_tokens_follow_the_picture_and_its_timing(adapter):
    def events(time_s):
        return EventTrack(torch.zeros(1, 100), 100.0, [[(time_s, 1.0)]])

    early, late = adapter.tokens(features(events=events(0.1))), adapter.tokens(features(events=events(0.8)))
    changed = (early - late).norm(dim=-1)[0]
    assert {int(changed[:4].argmax()), 4 + int(changed[4:].argmax())} == {0, 6}  # the eighths with 0.1 s and 0.8 s


def test_what_is_written_is_read_again(adapter, tmp_path):
    adapter.facts.training["loss"] = 0.5
    for _ in range(2):  # the second time it replaces what is there
        adapter.save(tmp_path / "made" / "adapter")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["adapter"]
    for path in ("adapter", "adapter/adapter.json", "adapter/adapter.safetensors"):
        read = load_adapter(tmp_path / "made" / path)
        assert read.facts == adapter.facts
        assert torch.equal(read.tokens(features()), adapter.tokens(features()))


def test_making_and_reading_one_leaves_the_random_state(adapter, tmp_path):
    before = torch.get_rng_state()
    load_adapter(adapter.save(tmp_path / "adapter"))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"generator": "audioldm2"}, r"for the generator stable_audio \(open\), not for audioldm2 \(open\)"),
        ({"variant": "small"}, r"stable_audio \(open\), not for stable_audio \(small\)"),
        ({"features": features(backbone="dinov2")}, r"the encoder clip \(base\); these are of dinov2 \(base\)"),
        ({"features": features(variant="large")}, r"clip \(base\); these are of clip \(large\)"),
        ({"features": features(dim=5)}, r"\[B, T, 12\] of the encoder clip; these are \[1, 10, 5\]"),
    ],
)
def test_what_it_was_not_trained_for_is_refused(adapter, asked, words):
    fits = {"generator": "stable_audio", "variant": "open", "features": features()}
    adapter.check_fits(**fits)
    with pytest.raises(InvalidInputError, match=words):
        adapter.check_fits(**{**fits, **asked})


def test_features_without_a_rate_or_a_vector_are_refused(adapter):
    with pytest.raises(InvalidInputError, match="fps"):
        adapter.tokens(VisualFeatures(torch.rand(1, 4, 12)))
    with pytest.raises(InvalidInputError, match="at least one"):
        adapter.tokens(features(count=0))


def test_each_unusable_folder_has_its_sentence(adapter, tmp_path):
    with pytest.raises(ModelLoadError, match="there is no such folder"):
        load_adapter(tmp_path / "none")
    with pytest.raises(ModelLoadError, match=r"no adapter\.json and no adapter\.safetensors"):
        load_adapter(tmp_path)
    folder = adapter.save(tmp_path / "adapter")
    told = json.loads((folder / "adapter.json").read_text())
    for broken, words in (
        ({**told, "format": 9}, "not of format 1"),
        ({**told, "width": 0}, "width"),
        ({**told, "colour": "red"}, "colour"),
        ({**told, "token_dim": 7}, "size mismatch"),
    ):
        (folder / "adapter.json").write_text(json.dumps(broken))
        with pytest.raises(ModelLoadError, match=words):
            load_adapter(folder)
    (folder / "adapter.json").write_text(json.dumps(told))
    (folder / "adapter.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelLoadError, match="cannot be used"):
        load_adapter(folder)


def test_nothing_else_is_overwritten(adapter, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidInputError, match="is no adapter"):
        adapter.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"

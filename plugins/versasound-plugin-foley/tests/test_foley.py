"""The default generator: what is heard, when, where and how loud, against closed forms and known event times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from versasound_plugin_foley import FoleyGenerator
from versasound_plugin_foley.modal import RATIOS, render

from versasound_core.containers import EventTrack, GenerationRequest, VisualFeatures
from versasound_core.context import RunContext

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 48000
Onsets = list[tuple[float, float]]
STRUCK = [
    *(f"hit {m}" for m in ("wood", "metal", "glass", "ceramic", "stone", "concrete", "plastic", "skin", "cloth")),
    *(f"footsteps on {s}" for s in ("concrete", "gravel", "snow", "leaves", "wood", "sand", "grass", "mud", "water")),
    *("bell", "cymbal", "drum", "punch", "ball", "clap", "click", "slam", "shattering glass", "explosion", "splash"),
]
GOING_ON = [
    *("rain", "rain on metal", "wind", "wind in trees", "stream", "drip", "waves", "fire", "engine"),
    *("traffic", "crowd", "applause", "hum", "room tone"),
]


def scene(
    onsets: Onsets | list[Onsets],
    *,
    duration_s: float = 3.0,
    motion: float = 0.4,
    labels: list[str] | None = None,
    positions: list[float] | None = None,
) -> VisualFeatures:
    items: list[Onsets] = onsets if onsets and isinstance(onsets[0], list) else [onsets]  # type: ignore[list-item]
    count = round(duration_s * 30)
    events = EventTrack(
        envelope=torch.full((len(items), count), motion), rate_hz=30.0, onsets=items,
        positions=[positions or [0.0] * len(item) for item in items],
    )  # fmt: skip
    return VisualFeatures(
        torch.zeros(len(items), count, 4),
        {"fps": 30.0},
        events,
        None if labels is None else [[(t, 0.9) for t in labels]],
    )


def make(
    features: VisualFeatures | None, prompt: str | None, *, ambience: float = 0.0, material: str = "auto",
    duration_s: float = 3.0, sample_rate: int = RATE, **request: Any,
) -> tuple[NDArray[np.float64], dict[str, Any]]:  # fmt: skip
    generator = FoleyGenerator(material=material, ambience=ambience, lexicon=None)
    asked = GenerationRequest(duration_s=duration_s, prompt=prompt, sample_rate=sample_rate, **request)
    audio = generator.generate(features, asked, RunContext())
    assert audio.sample_rate == sample_rate
    assert audio.waveform.dtype == torch.float32
    assert tuple(audio.shape)[1:] == (2, asked.num_samples)
    return np.asarray(audio.waveform.numpy(), np.float64), audio.metadata


def energy(mono: NDArray[np.float64], rate: int, window_s: float = 0.001) -> NDArray[np.float64]:
    """Energy of the window that begins at each sample."""
    width = max(1, round(window_s * rate))
    summed = np.concatenate([[0.0], np.cumsum(mono**2)])
    padded = np.concatenate([summed, np.full(width, summed[-1])])
    return np.asarray(np.maximum(padded[width:] - padded[: padded.size - width], 0)[: mono.size])


def rise_s(mono: NDArray[np.float64], near_s: float, rate: int) -> float:
    """When a sound begins: the first sample near `near_s` beyond a tenth of the amplitude that it soon reaches."""
    first = round((near_s - 0.03) * rate)
    piece = np.abs(mono[first : round((near_s + 0.03) * rate)])
    return (first + int(np.argmax(piece > 0.1 * piece.max()))) / rate


def decay_s(mono: NDArray[np.float64], rate: int) -> float:
    """Time in which the energy still to come falls by 30 dB."""
    left = np.cumsum(mono[::-1] ** 2)[::-1]
    return float(np.argmax(left < left[0] * 1e-3)) / rate


def centroid_hz(mono: NDArray[np.float64], rate: int) -> float:
    power = np.abs(np.fft.rfft(mono)) ** 2
    return float(np.sum(np.fft.rfftfreq(mono.size, 1 / rate) * power) / np.sum(power))


def strike(prompt: str, strength: float = 1.0, seed: int = 0) -> NDArray[np.float64]:
    """One strike at 0.1 s, from its beginning on, in mono."""
    sound, _ = make(scene([(0.1, strength)]), prompt, seed=seed)
    return np.asarray(sound[0].mean(axis=0)[round(0.1 * RATE) :])


@pytest.mark.parametrize("prompt", STRUCK)
@pytest.mark.parametrize("rate", [8000, 44100])
def test_what_is_struck_begins_at_its_event(prompt: str, rate: int) -> None:
    times = [0.25, 1.2013, 2.1]
    sound, metadata = make(scene([(times[0], 1.0), (times[1], 0.3), (times[2], 1.0)]), prompt, sample_rate=rate)
    errors = [
        rise_s(sound[0].mean(axis=0), t, rate) - t for t in (times if prompt not in {"bell", "cymbal"} else times[:1])
    ]
    assert np.max(np.abs(errors)) <= 0.002, errors
    assert len(metadata["sources"]) == 1


@pytest.mark.parametrize("prompt", STRUCK)
def test_nothing_sounds_before_the_event(prompt: str) -> None:
    sound, _ = make(scene([(0.5, 1.0)]), prompt)
    assert np.max(np.abs(sound[0, :, round(0.01 * RATE) : round(0.4995 * RATE)])) < 0.01


def test_a_whoosh_is_loudest_around_its_event() -> None:
    sound, _ = make(scene([(1.5, 1.0)]), "whoosh")
    loud = energy(sound[0].mean(axis=0), RATE, 0.08)
    assert abs(np.argmax(loud) / RATE + 0.04 - 1.5) < 0.08


def test_materials_ring_in_the_order_of_the_literature() -> None:
    rings = [
        np.median([decay_s(strike(f"hit {m}", seed=s), RATE) for s in range(5)])
        for m in ("metal", "glass", "wood", "skin")
    ]
    assert rings == sorted(rings, reverse=True)
    assert rings[0] > 2 * rings[1] > 4 * rings[2]


def test_materials_differ_in_brightness() -> None:
    bright = {
        m: np.median([centroid_hz(strike(f"hit {m}", seed=s), RATE) for s in range(5)])
        for m in ("glass", "wood", "skin")
    }
    assert bright["glass"] > 2 * bright["wood"] > 3 * bright["skin"]


def test_surfaces_differ_in_brightness_and_length() -> None:
    bright = [centroid_hz(strike(f"footsteps on {s}"), RATE) for s in ("leaves", "gravel", "snow", "wood")]
    assert bright == sorted(bright, reverse=True)
    assert decay_s(strike("footsteps on gravel"), RATE) > decay_s(strike("footsteps on concrete"), RATE)


def test_modes_are_where_they_should_be() -> None:
    frequencies, decays = np.array([500.0, 1378.0, 2702.0]), np.array([4.0, 8.0, 12.0])
    sound = render(frequencies, decays, np.array([1.0, 0.5, 0.25]), RATE)
    t = np.arange(sound.size) / RATE
    exact = np.sum(
        np.array([[1.0], [0.5], [0.25]]) * np.exp(-decays[:, None] * t) * np.sin(2 * np.pi * frequencies[:, None] * t),
        axis=0,
    )
    kept = slice(0, int(0.5 * sound.size))
    assert np.max(np.abs(sound[kept] - exact[kept])) < 2e-3  # modes are dropped once 60 dB down
    assert np.max(np.abs(sound[: RATE // 10] - exact[: RATE // 10])) < 1e-5


def test_a_bell_has_the_partials_of_a_bell() -> None:
    sound = strike("bell")
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(sound.size)))
    hz = np.fft.rfftfreq(sound.size, 1 / RATE)
    inner = (
        (spectrum[1:-1] > spectrum[:-2]) & (spectrum[1:-1] > spectrum[2:]) & (spectrum[1:-1] > 0.02 * spectrum.max())
    )
    peaks = hz[1:-1][inner]
    hum = peaks[0]
    for ratio in RATIOS["bell"][:5]:
        assert np.min(np.abs(peaks / hum / (ratio / RATIOS["bell"][0]) - 1)) < 0.035, ratio


@pytest.mark.parametrize("prompt", [p for p in STRUCK if p not in {"clap"}])
def test_stronger_is_louder(prompt: str) -> None:
    loud = [np.max(np.abs(strike(prompt, s))) for s in (0.1, 0.3, 0.6, 1.0)]
    assert loud == sorted(loud)
    assert loud[-1] > 3 * loud[0]


@pytest.mark.parametrize("prompt", ["hit wood", "hit metal", "hit glass", "hit stone", "drum", "footsteps on wood"])
def test_stronger_is_brighter(prompt: str) -> None:
    bright = [np.median([centroid_hz(strike(prompt, s, seed), RATE) for seed in range(5)]) for s in (0.1, 0.5, 1.0)]
    assert bright == sorted(bright)


def test_strongest_impacts_lie_near_minus_6_db() -> None:
    for prompt in ("hit wood", "hit metal", "hit glass", "hit skin"):
        assert -8 < 20 * np.log10(np.max(np.abs(strike(prompt)))) < -4


@pytest.mark.parametrize(
    ("position", "expected_db"), [(-1.0, 80.0), (-0.5, 7.66), (0.0, 0.0), (0.5, -7.66), (1.0, -80.0)]
)
def test_panned_with_constant_power(position: float, expected_db: float) -> None:
    centre, _ = make(scene([(0.5, 0.5)]), "hit wood")
    placed, _ = make(scene([(0.5, 0.5)], positions=[position]), "hit wood")
    left, right = np.sum(placed[0] ** 2, axis=1) + 1e-12
    assert np.clip(10 * np.log10(left / right), -80, 80) == pytest.approx(expected_db, abs=0.1)
    assert left + right == pytest.approx(np.sum(centre**2), rel=1e-3)


@pytest.mark.parametrize("prompt", [*STRUCK, *GOING_ON, "whoosh", "rustling leaves"])
@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_clean_at_every_rate(prompt: str, rate: int) -> None:
    sound, metadata = make(
        scene([(0.1, 1.0), (0.6, 1.0), (0.61, 1.0)], duration_s=1.0), prompt, sample_rate=rate, duration_s=1.0
    )
    assert np.all(np.isfinite(sound))
    assert 0.001 < np.max(np.abs(sound)) <= 1.0 or prompt == "drip"
    assert np.max(np.abs(sound[..., 0])) < 1e-3
    assert np.max(np.abs(sound[..., -1])) < 1e-3
    assert np.max(np.abs(sound.mean(axis=-1))) < 2e-3
    assert metadata["generator"] == "foley"


@pytest.mark.parametrize(
    "prompt", ["hit metal", "footsteps on gravel", "rain", "wind", "fire", "engine", "crowd", "stream"]
)
def test_a_seed_reproduces_bit_for_bit_and_another_differs(prompt: str) -> None:
    before = np.random.get_state(legacy=False)["state"]["key"].copy(), torch.random.get_rng_state()
    features = scene([(0.2, 0.8), (1.1, 0.4)])
    first, again, other = (make(features, prompt, seed=s)[0] for s in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    assert np.array_equal(before[0], np.random.get_state(legacy=False)["state"]["key"])
    assert torch.equal(before[1], torch.random.get_rng_state())


def test_a_batch_equals_its_items_one_by_one() -> None:
    items: list[Onsets] = [[(0.2, 0.8)], [(0.5, 0.3), (1.5, 1.0)], []]
    whole, _ = make(scene(items), "footsteps on gravel and rain", seed=3, ambience=0.5)
    for b, onsets in enumerate(items):
        alone, _ = make(scene(onsets), "footsteps on gravel and rain", seed=3 + b, ambience=0.5)
        assert np.array_equal(whole[b], alone[0])


@pytest.mark.parametrize(
    "prompt",
    ["hit glass", "footsteps on gravel", "rain on metal", "wind in trees", "fire", "engine", "crowd", "waves", None],
)
@pytest.mark.parametrize("looked", [True, False])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_segments_join_into_the_whole(prompt: str | None, looked: bool, rate: int) -> None:
    rng = np.random.default_rng(0)
    onsets = [(k / 16, float(rng.uniform(0.2, 1))) for k in range(3, 960, 21)]
    features = scene(onsets, duration_s=60.0)
    assert features.events is not None
    features.events.envelope.copy_(torch.from_numpy(rng.uniform(0, 1, (1, 1800)).astype(np.float32)))

    def part(start_s: float, end_s: float) -> NDArray[np.float64]:
        seen = features.window(start_s, end_s) if looked else None
        sound, _ = make(seen, prompt, start_s=start_s, duration_s=end_s - start_s, sample_rate=rate, ambience=0.3)
        return np.asarray(sound[0])

    whole, head, tail = part(0, 60), part(0, 32), part(30, 60)
    joint = 31 * rate
    joined = np.concatenate([head[:, :joint], tail[:, joint - 30 * rate :]], axis=1)
    before = (
        max((t for t, _ in onsets if t < 30), default=0.0)
        if looked and prompt in {"hit glass", "footsteps on gravel", None}
        else 0.0
    )
    still = slice(joint, round((before + 1.5) * rate)) if before + 1.5 > 31 else slice(0, 0)  # tails of strikes before
    joined[:, still] = whole[:, still]
    assert np.max(np.abs(joined - whole)) < 1e-6


def test_strikes_before_the_segment_are_not_repeated_in_it() -> None:
    features = scene([(0.5, 1.0), (2.5, 1.0)]).window(2.0, 3.0)
    sound, _ = make(features, "hit wood", start_s=2.0, duration_s=1.0)
    assert rise_s(sound[0].mean(axis=0), 0.5, RATE) == pytest.approx(0.5, abs=0.002)
    assert np.max(np.abs(sound[0, :, : round(0.49 * RATE)])) == 0


@pytest.mark.parametrize(
    ("prompt", "negative", "sources"),
    [
        ("footsteps on gravel and rain", "rain", ["footsteps (gravel)"]),
        ("footsteps on gravel and rain", "footsteps", ["rain (concrete)"]),
        ("hammer and knocking on wood and wind", "impacts", ["wind"]),
        ("hitting metal, hitting wood", "metal", ["impact (wood)"]),
        ("rain without wind, wind", None, ["rain (concrete)"]),
    ],
)
def test_what_must_not_be_heard_is_left_out(prompt: str, negative: str | None, sources: list[str]) -> None:
    _, metadata = make(scene([(0.5, 1.0)]), prompt, negative_prompt=negative)
    assert metadata["sources"] == sources
    assert "Left out as asked" in " ".join(metadata["notes"])


def test_a_negative_prompt_changes_the_sound_to_that_without_the_class() -> None:
    both, _ = make(scene([(0.5, 1.0)]), "rain and hitting wood", negative_prompt="rain")
    one, _ = make(scene([(0.5, 1.0)]), "hitting wood")
    assert np.array_equal(both, one)


def test_everything_left_out_is_a_quiet_room_and_said() -> None:
    sound, metadata = make(scene([(0.5, 1.0)]), "rain", negative_prompt="rain")
    assert 0 < np.max(np.abs(sound)) < 0.1
    assert metadata["sources"] == ["room"]
    assert "room tone" in " ".join(metadata["notes"])


def test_room_tone_too_may_be_left_out() -> None:
    sound, metadata = make(scene([]), "rain", negative_prompt="rain, room tone", ambience=1.0)
    assert np.max(np.abs(sound)) == 0
    assert metadata["sources"] == []
    assert "silent" in " ".join(metadata["notes"])


def test_says_what_was_understood_and_what_was_not() -> None:
    _, metadata = make(scene([(0.5, 1.0)]), "zorbing footsteps on gravel")
    notes = " ".join(metadata["notes"])
    assert "“footsteps”, “gravel” as footsteps (gravel)" in notes
    assert "Not understood: “zorbing”" in notes


@pytest.mark.parametrize(
    ("features", "source", "word"),
    [
        (scene([(0.2 + 0.5 * k, 0.9) for k in range(5)]), "impact (wood)", "strike"),
        (scene([], motion=0.5), "wind", "moves without striking"),
        (scene([], motion=0.01), "room", "hardly anything moves"),
        (scene([(0.5, 1.0)], labels=["zorb", "a person walking on snow"]), "footsteps (snow)", "looks like"),
        (None, "room", "nothing was looked at"),
    ],
)
@pytest.mark.parametrize("prompt", [None, "", "zorb"])
def test_without_a_known_word_the_picture_decides_and_it_is_said(
    features: VisualFeatures | None, source: str, word: str, prompt: str | None
) -> None:
    sound, metadata = make(features, prompt)
    assert metadata["sources"] == [source]
    assert word in " ".join(metadata["notes"])
    assert np.max(np.abs(sound)) > 0


def test_nothing_strikes_so_an_impact_has_no_moment_and_it_is_said() -> None:
    for ambience, heard in ((0.2, "quiet room tone"), (0.0, "silent")):
        sound, metadata = make(scene([]), "hammer", ambience=ambience)
        notes = " ".join(metadata["notes"])
        assert "hammer (metal) has no moment" in notes
        assert heard in notes
        assert (np.max(np.abs(sound)) > 0) == (ambience > 0)
        assert np.max(np.abs(sound)) < 0.1


def test_room_tone_is_as_loud_with_strikes_as_without() -> None:
    with_strike, without = (make(scene(o), "hammer", ambience=0.5)[0] for o in ([(2.0, 1.0)], []))
    before = slice(round(0.01 * RATE), round(1.99 * RATE))
    assert np.array_equal(with_strike[..., before], without[..., before])


def test_walking_without_seen_steps_keeps_a_pace_only_while_it_moves() -> None:
    features = scene([], duration_s=8.0)
    assert features.events is not None
    features.events.envelope[:, 120:] = 0
    sound, metadata = make(features, "footsteps on gravel", duration_s=8.0)
    assert "walking pace" in " ".join(metadata["notes"])
    assert np.max(np.abs(sound[0, :, : 4 * RATE])) > 0.05
    assert np.max(np.abs(sound[0, :, 5 * RATE :])) < 0.01


def test_without_features_strikes_keep_a_rhythm_and_it_is_said() -> None:
    sound, metadata = make(None, "hammer", duration_s=6.0)
    assert "regular rhythm" in " ".join(metadata["notes"])
    loud = energy(sound[0].mean(axis=0), RATE, 0.005)
    assert sum(np.max(loud[k * RATE : (k + 1) * RATE]) > 0.05 * loud.max() for k in range(6)) == 6


def test_texture_follows_the_motion() -> None:
    features = scene([], duration_s=20.0)
    assert features.events is not None
    features.events.envelope[:, :300] = 0.0
    features.events.envelope[:, 300:] = 1.0
    for prompt in ("rain", "engine", "stream"):
        sound, _ = make(features, prompt, duration_s=20.0)
        still, moving = (np.sqrt(np.mean(sound[..., a * RATE : b * RATE] ** 2)) for a, b in ((1, 9), (11, 19)))
        assert 1.2 < moving / still < 4, prompt


def test_the_material_option_serves_where_the_prompt_names_none() -> None:
    assert make(scene([(0.5, 1.0)]), "hitting", material="glass")[1]["sources"] == ["impact (glass)"]
    assert make(scene([(0.5, 1.0)]), "hitting wood", material="glass")[1]["sources"] == ["impact (wood)"]
    assert make(scene([(0.5, 1.0)]), "footsteps", material="glass")[1]["sources"] == ["footsteps (concrete)"]


@pytest.mark.parametrize("prompt", ["hit metal", "footsteps on gravel", "rain", "whoosh", None])
def test_very_short(prompt: str | None) -> None:
    for duration_s in (0.1, 1 / RATE, 0.0025):
        sound, _ = make(scene([(0.0, 1.0)], duration_s=0.1), prompt, duration_s=duration_s)
        assert np.all(np.isfinite(sound))


def test_an_event_at_the_very_start_keeps_its_attack() -> None:
    sound, _ = make(scene([(0.0, 1.0)]), "hit wood")
    assert np.max(np.abs(sound[0, :, : round(0.004 * RATE)])) > 0.2

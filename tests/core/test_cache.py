"""Features on disk: what comes back is what went in, and nothing that is broken comes back."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from versasound_core.cache import FeatureCache, default_cache_dir
from versasound_core.containers import EventTrack, VisualFeatures

KEY = FeatureCache.key("content", "encoder", "1.0", {})


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "features")


def features(batch: int = 2, seed: int = 0, *, events: bool = True, labels: bool = True) -> VisualFeatures:
    generator = torch.Generator().manual_seed(seed)
    track = EventTrack(
        envelope=torch.rand(batch, 30, generator=generator),
        rate_hz=100.0,
        onsets=[[(0.1, 0.5), (0.2 + item, 1.0)] for item in range(batch)],
        positions=[[-1.0, 0.25]] * batch,
    )
    return VisualFeatures(
        torch.randn(batch, 5, 7, generator=generator),
        metadata={"fps": 25.0, "backbone": "clip", "variants": ["b", 32, None, True]},
        events=track if events else None,
        labels=[[("a dog", 0.5), ("hammer", 1.25e-3)]] * batch if labels else None,
    )


def assert_same(came: VisualFeatures | None, sent: VisualFeatures) -> None:
    assert came is not None
    assert torch.equal(came.features, sent.features)
    assert came.features.dtype == sent.features.dtype
    assert (came.metadata, came.labels) == (sent.metadata, sent.labels)
    if sent.events is None:
        assert came.events is None
    else:
        assert torch.equal(came.events.envelope, sent.events.envelope)
        for name in ("rate_hz", "onsets", "positions"):
            assert getattr(came.events, name) == getattr(sent.events, name)


@pytest.mark.parametrize("events", [True, False])
@pytest.mark.parametrize("labels", [True, False])
def test_what_was_stored_comes_back(cache: FeatureCache, events: bool, labels: bool) -> None:
    sent = features(events=events, labels=labels)
    cache.store(KEY, sent)
    assert_same(cache.load(KEY), sent)
    assert [path.suffix for path in cache.folder.iterdir()] == [".safetensors"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_comes_back(cache: FeatureCache, dtype: torch.dtype) -> None:
    sent = VisualFeatures(torch.randn(1, 4, 3, dtype=dtype).transpose(1, 2), {"fps": 2.0})
    cache.store(KEY, sent)
    assert_same(cache.load(KEY), sent)


def test_nothing_stored_is_nothing_found(cache: FeatureCache, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert cache.load(KEY) is None
    assert caplog.records == []
    assert cache.size_bytes() == 0


def test_the_key_depends_on_all_that_the_features_depend_on() -> None:
    base = ("content", "dist:encoder", "1.0", {"fps": 25.0, "variant": "b"})
    others = [
        ("other", *base[1:]),
        (base[0], "dist:other", *base[2:]),
        (*base[:2], "1.1", base[3]),
        (*base[:3], {"fps": 24.0, "variant": "b"}),
        (*base[:3], {"fps": 25.0}),
    ]
    assert len({FeatureCache.key(*one) for one in [base, *others]}) == 6
    assert FeatureCache.key(*base) == FeatureCache.key(*base[:3], {"variant": "b", "fps": 25.0})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.data())
def test_a_damaged_file_is_as_good_as_none(cache: FeatureCache, data: st.DataObject) -> None:
    """Bytes changed or cut off anywhere: None, or features that a container accepts; never an exception."""
    cache.store(KEY, features())
    (path,) = cache.folder.iterdir()
    raw = bytearray(path.read_bytes())
    if data.draw(st.booleans(), label="cut off"):
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    cache.load(KEY)
    cache.store(KEY, features(seed=1))
    assert_same(cache.load(KEY), features(seed=1))


@pytest.mark.parametrize("told", ["[]", '"text"', "null", "{}", '{"events": 3}', '{"events": null, "labels": 3}', "{"])
def test_a_file_that_tells_something_else_is_as_good_as_none(cache: FeatureCache, told: str, caplog) -> None:
    from safetensors.torch import save_file

    cache.folder.mkdir()
    save_file({"features": torch.zeros(1, 2, 3)}, cache.folder / f"{KEY}.safetensors", {"versasound": told})
    with caplog.at_level(logging.WARNING):
        assert cache.load(KEY) is None
    assert "cannot be used" in caplog.text


def test_what_cannot_be_kept_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("here is no folder")
    with caplog.at_level(logging.WARNING):
        FeatureCache(tmp_path / "file" / "features").store(KEY, features())
        odd = VisualFeatures(torch.zeros(1, 2, 3), {"fps": 1.0, "model": object()})
        FeatureCache(tmp_path / "features").store(KEY, odd)
    assert len(caplog.records) == 2
    assert not list(tmp_path.glob("features/*"))


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="the rights of a folder do not bind this user")
def test_a_folder_that_may_only_be_read_is_read(cache: FeatureCache) -> None:
    cache.store(KEY, features())
    cache.folder.chmod(0o500)
    try:
        assert_same(cache.load(KEY), features())
        cache.store("other", features())
    finally:
        cache.folder.chmod(0o700)


def test_the_longest_unused_go_when_it_grows_past_its_limit(tmp_path: Path) -> None:
    big = FeatureCache(tmp_path)
    for number in range(4):
        big.store(f"key{number}", features(seed=number))
        os.utime(tmp_path / f"key{number}.safetensors", (1000 + number, 1000 + number))
    (tmp_path / "key0.safetensors").touch()  # used just now
    one = big.size_bytes() // 4
    small = FeatureCache(tmp_path, limit_bytes=3 * one + one // 2)
    (tmp_path / "notes.txt").write_text("not ours")
    small.store("key4", features(seed=4))
    assert small.size_bytes() <= small.limit_bytes
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "key0.safetensors",
        "key3.safetensors",
        "key4.safetensors",
        "notes.txt",
    ]


def test_without_a_limit_all_stay_and_are_told_of(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, limit_bytes=None)
    keys = [FeatureCache.key(f"clip {k}", "encoder", "1.0", {}) for k in range(4)]
    assert not any(cache.has(key) for key in keys)
    for key in keys:
        cache.store(key, features())
    assert all(cache.has(key) for key in keys)


def test_loading_counts_as_using(cache: FeatureCache) -> None:
    cache.store(KEY, features())
    path = cache.folder / f"{KEY}.safetensors"
    os.utime(path, (1000, 1000))
    cache.load(KEY)
    assert path.stat().st_mtime > 1000


def test_the_place_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VERSASOUND_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("VERSASOUND_CACHE")
    assert default_cache_dir().name == "versasound"

"""Finding weights on this machine, and saying what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from versasound_core.cards import BackendCard
from versasound_core.errors import InvalidInputError, ModelLoadError
from versasound_core.weights import Checkpoint, checkpoint, find, hub_cache

CARD = BackendCard.from_fields(
    {
        "summary": "x",
        "variants": {
            "open": {"repository": "a/b", "size_gb": 1.5, "licence": "MIT"},
            "closed": {"repository": "a/c", "size_gb": 2, "licence": "Own", "gated": True, "revision": "c" * 40},
            "odd": {"repository": "a/d"},
            "text": "a/e",
        },
    }
)


def wanted(variant: str = "open") -> Checkpoint:
    return checkpoint(CARD, "generator", "thing", variant)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.delenv("HUGGINGFACE_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    return tmp_path / "hub"


def put(cache: Path, repository: str, revision: str, *files: str, main: bool = True) -> Path:
    home = cache / f"models--{repository.replace('/', '--')}"
    snapshot = home / "snapshots" / revision
    for name in files:
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).write_text("{}")
    if main:
        (home / "refs").mkdir(exist_ok=True)
        (home / "refs/main").write_text(revision)
    return snapshot


def test_what_is_missing_is_said_with_all_that_helps(cache: Path) -> None:
    with pytest.raises(ModelLoadError) as caught:
        find(wanted())
    said = str(caught.value)
    instead = "generator foley works: --generator foley, or in a configuration audio_generator.default_model: foley."
    for part in ("a/b", "1.5 GB", "MIT", "versasound pull thing --variant open", instead):
        assert part in said
    assert "log in" not in said
    with pytest.raises(ModelLoadError, match=r"Accept its terms on https://huggingface\.co/a/c .* log in"):
        find(wanted("closed"))


def test_the_cache_is_where_the_hub_keeps_it(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert hub_cache() == cache
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    assert hub_cache() == tmp_path / "elsewhere"
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert hub_cache() == tmp_path / "xdg/huggingface/hub"


def test_the_likeliest_snapshot_that_is_whole_is_taken(cache: Path) -> None:
    other = put(cache, "a/c", "d" * 40, "config.json", "model.safetensors", main=False)
    put(cache, "a/c", "e" * 40, "config.json")
    assert find(wanted("closed")) == other
    (cache / "models--a--c/snapshots" / ("e" * 40) / "model.safetensors").touch()
    assert find(wanted("closed")).name == "e" * 40
    pinned = put(cache, "a/c", "c" * 40, "config.json", "model.safetensors", main=False)
    assert find(wanted("closed")) == pinned


@pytest.mark.parametrize(
    ("files", "lack"),
    [
        (["model.safetensors"], "config.json is missing"),
        (["config.json"], r"\*.safetensors is missing"),
        (["config.json", "pytorch_model.bin"], r"\*.safetensors is missing"),
        (["model_index.json", "unet/config.json", "vae/config.json", "vae/x.safetensors"], r"unet.\*.safetensors"),
    ],
)
def test_what_is_there_in_part_is_missing(cache: Path, files: list[str], lack: str) -> None:
    put(cache, "a/b", "a" * 40, *files)
    with pytest.raises(ModelLoadError, match=lack):
        find(wanted())


def test_every_shard_is_needed(cache: Path) -> None:
    snapshot = put(cache, "a/b", "a" * 40, "config.json", "m-1-of-2.safetensors")
    index = {"weight_map": {"x": "m-1-of-2.safetensors", "y": "m-2-of-2.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelLoadError, match=r"m-2-of-2\.safetensors is missing"):
        find(wanted())
    (snapshot / "m-2-of-2.safetensors").touch()
    assert find(wanted()) == snapshot
    (snapshot / "model.safetensors.index.json").write_text("[")
    with pytest.raises(ModelLoadError, match="cannot be read"):
        find(wanted())


def test_pipelines_of_several_models_are_found(cache: Path) -> None:
    parts = ["model_index.json", "unet/config.json", "unet/model.safetensors", "tokenizer/vocab.json"]
    snapshot = put(cache, "a/b", "a" * 40, *parts)
    assert find(wanted()) == snapshot


def test_a_folder_of_ones_own(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="is no folder"):
        find(wanted(), tmp_path / "nowhere")
    own = put(tmp_path, "x/y", "own", "config.json", "model.safetensors")
    assert find(wanted(), own) == own


def test_variants_that_are_not_there_or_malformed() -> None:
    with pytest.raises(InvalidInputError, match="no variant 'huge'.*open, closed"):
        wanted("huge")
    for variant in ("odd", "text"):
        with pytest.raises(InvalidInputError, match=variant):
            wanted(variant)

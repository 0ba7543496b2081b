"""AudioGen's own files against the model that they hold."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tiny_hub.audiocraft import audiogen

from versasound_core import registry
from versasound_core.containers import GenerationRequest
from versasound_core.context import RunContext
from versasound_core.errors import ModelLoadError

if TYPE_CHECKING:
    from tiny_hub import TinyHub

PROMPT, RATE = "rain on a roof", 16000
T5, AUDIOGEN = "google-t5/t5-large", "facebook/audiogen-medium"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VERSASOUND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "converted"


def ask(seconds: float = 1.0, **fields: Any) -> GenerationRequest:
    return GenerationRequest(**{"duration_s": seconds, "prompt": PROMPT, "seed": 3, "sample_rate": RATE} | fields)


def make(hub: TinyHub, **options: Any) -> Any:
    hub.add(T5)
    hub.add(AUDIOGEN)
    return registry.create("generator", "audiocraft", words=False, timing="none", **options)


def held(hub: TinyHub) -> tuple[Any, Any]:
    """The model that the files were written from, with the text encoder that lies elsewhere, and its tokenizer."""
    from transformers import AutoTokenizer, T5EncoderModel

    model = audiogen()
    model.text_encoder = T5EncoderModel.from_pretrained(hub.add(T5)).eval()
    return model, AutoTokenizer.from_pretrained(hub.add(T5))


def test_it_makes_what_the_model_in_the_files_makes(tiny_hub: TinyHub, cache: Path) -> None:
    made = make(tiny_hub).generate(None, ask(), RunContext())
    model, tokenizer = held(tiny_hub)
    tokens = {"pad_token_id": 64, "bos_token_id": 64, "decoder_start_token_id": 64}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        words = tokenizer([PROMPT], return_tensors="pt")
        how = {"do_sample": True, "top_k": 250, "guidance_scale": 3.0, "max_new_tokens": 53}
        expected = model.generate(**words, **how, **tokens)
    assert torch.equal(made.waveform, expected)
    assert float(expected.std()) > 0.1


def test_all_weights_are_the_same_bit_for_bit(tiny_hub: TinyHub, cache: Path) -> None:
    from transformers import MusicgenForConditionalGeneration

    make(tiny_hub).generate(None, ask(0.1), RunContext())
    (folder,) = cache.iterdir()
    found = MusicgenForConditionalGeneration.from_pretrained(folder).state_dict()
    expected = held(tiny_hub)[0].state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())


def test_it_is_done_once_and_whole(tiny_hub: TinyHub, cache: Path) -> None:
    first = make(tiny_hub).generate(None, ask(), RunContext())
    (folder,) = cache.iterdir()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    second = make(tiny_hub).generate(None, ask(), RunContext())
    assert torch.equal(first.waveform, second.waveform)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert list(cache.iterdir()) == [folder]


def test_a_converted_folder_serves_as_it_is(tiny_hub: TinyHub, cache: Path, tmp_path: Path) -> None:
    made = make(tiny_hub).generate(None, ask(), RunContext())
    (folder,) = cache.iterdir()
    shutil.move(folder, tmp_path / "mine")
    again = make(tiny_hub, weights=str(tmp_path / "mine")).generate(None, ask(), RunContext())
    assert torch.equal(again.waveform, made.waveform)
    assert list(cache.iterdir()) == []


def test_longer_than_ten_seconds_it_continues(tiny_hub: TinyHub, cache: Path) -> None:
    generator = make(tiny_hub)
    made = generator.generate(None, ask(8.0, guidance_scale=1.0), RunContext())
    assert made.shape == (1, 1, 8 * RATE)
    assert generator._sound._model(RunContext())._codes.window == 150  # what the files say, three seconds of these


class TestWhatIsWrong:
    def test_the_text_encoder_is_asked_for_by_name(self, empty_hub: TinyHub, cache: Path) -> None:
        empty_hub.add(AUDIOGEN)
        with pytest.raises(ModelLoadError, match=r"google-t5/t5-large \(3 GB.*pull audiocraft --variant t5-large"):
            registry.create("generator", "audiocraft").generate(None, ask(), RunContext())

    def test_pull_names_both_with_size_and_licence(self, tmp_path: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        done = subprocess.run(
            [sys.executable, "-m", "versasound_core", "pull", "audiocraft"],
            env={**kept, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 3
        for words in (f"{AUDIOGEN} (3.9 GB, licence: CC-BY-NC-4.0", f"{T5} (3 GB, licence: Apache-2.0)", "--yes"):
            assert words in done.stderr

    @pytest.mark.parametrize("harm", ["missing", "shape", "extra", "reference", "code"])
    def test_files_that_are_not_audiogen_are_refused_and_leave_nothing(
        self, empty_hub: TinyHub, cache: Path, harm: str
    ) -> None:
        empty_hub.add(T5)
        file = empty_hub.add(AUDIOGEN) / "state_dict.bin"
        content = torch.load(file, weights_only=True)
        state = content["best_state"]
        if harm == "missing":
            del state["out_norm.weight"]
        elif harm == "shape":
            state["out_norm.weight"] = torch.zeros(3)
        elif harm == "extra":
            state["another.weight"] = torch.zeros(3)
        elif harm == "reference":
            content = {"pretrained": "facebook/encodec_32khz", "exported": True, "version": "1.3.0"}
        else:
            content["best_state"] = Path  # code, and no tensor
        torch.save(content, file)
        with pytest.raises(ModelLoadError) as told:
            registry.create("generator", "audiocraft").generate(None, ask(), RunContext())
        if harm in {"missing", "shape"}:
            assert "decoder.model.decoder.layer_norm.weight" in str(told.value)
        assert list(cache.iterdir()) == []

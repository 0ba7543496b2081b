"""`versasound pull` against a hub on this machine, and what it refuses."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tiny_hub.server import HubServer, serving

if TYPE_CHECKING:
    from tiny_hub import TinyHub

pytest.importorskip("versasound_plugin_clip", reason="versasound-plugin-clip is not installed")
pytest.importorskip("versasound_plugin_dinov2", reason="versasound-plugin-dinov2 is not installed")
Done = subprocess.CompletedProcess[str]
B16, DINO = "openai/clip-vit-base-patch16", "facebook/dinov2-base-imagenet1k-1-layer"


def pull(
    home: Path, *words: str, server: HubServer | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "VERSASOUND_"))}
    variables |= {"HF_HOME": str(home), "HF_ENDPOINT": server.url if server else "http://127.0.0.1:9"}
    return subprocess.run(
        [sys.executable, "-c", "from versasound_core.cli import main; raise SystemExit(main())", "pull", *words],
        env={**kept, "HF_HUB_DISABLE_XET": "1", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_says_what_it_fetches_and_fetches_it(tiny_hub_files: TinyHub, tmp_path: Path) -> None:
    with serving(tiny_hub_files, DINO) as server:
        done = pull(tmp_path, "dinov2", "--yes", server=server)
        assert done.returncode == 0, done.stderr
        assert f"{DINO} (0.35 GB, licence: Apache-2.0)" in done.stderr
        assert "model.safetensors" in server.sent
        again = pull(tmp_path, "dinov2", server=server)
        assert again.returncode == 0
        assert "is here already" in again.stdout
        assert len(server.sent) == len(set(server.sent))
    fetched = Path(done.stdout.split("fetched: ")[1].strip())
    original = tiny_hub_files.add(DINO) / "model.safetensors"
    assert (fetched / "model.safetensors").read_bytes() == original.read_bytes()


def test_an_interrupted_download_goes_on(tiny_hub_files: TinyHub, tmp_path: Path) -> None:
    with serving(tiny_hub_files, DINO) as server:
        server.refuse_after = 1
        cut = pull(tmp_path, "dinov2", "--yes", server=server, HF_HUB_DOWNLOAD_TIMEOUT="1")
        assert cut.returncode == 6
        assert "goes on where this one stopped" in cut.stderr
        first = list(server.sent)
        server.refuse_after = None
        done = pull(tmp_path, "dinov2", "--yes", server=server)
        assert done.returncode == 0, done.stderr
        assert not set(first) & set(server.sent[len(first) :])


def test_a_conversion_is_fetched_where_main_has_pickles_alone(empty_hub: TinyHub, tmp_path: Path) -> None:
    with serving(empty_hub, B16, without_safetensors_on_main=True) as server:
        done = pull(tmp_path, "clip", "--variant", "vit-b-16", "--yes", server=server)
    assert done.returncode == 0, done.stderr
    assert "model.safetensors" in server.sent
    assert "pytorch_model.bin" not in server.sent


@pytest.mark.parametrize(
    ("words", "variables", "code", "said"),
    [
        (["clip"], {}, 3, "--yes"),
        (["clip", "--yes"], {"HF_HUB_OFFLINE": "1"}, 6, "HF_HUB_OFFLINE"),
        (["clip", "--yes"], {}, 6, "openai/clip-vit-base-patch32"),
        (["clip", "--variant", "huge"], {}, 3, "vit-b-32"),
        (["no-such-thing"], {}, 3, "dinov2"),
        (["dinov2", "--variant", "dinov3-small"], {}, 3, "https://huggingface.co/facebook/dinov3-vits16"),
    ],
    ids=["nobody to ask", "offline", "no network", "variant", "name", "gated"],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, words: list[str], variables: dict[str, str], code: int, said: str
) -> None:
    done = pull(tmp_path, *words, **variables)
    assert done.returncode == code
    assert said in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_a_no_fetches_nothing(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")
    done = subprocess.run(
        [sys.executable, "-c", "from versasound_core.cli import main; raise SystemExit(main())", "pull", "clip"],
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub")},
        stdin=theirs,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130
    assert "Nothing was fetched" in done.stderr
    assert not (tmp_path / "hub").exists()


def test_a_pipeline_of_several_models_is_fetched_with_its_folders(tiny_hub_files: TinyHub, tmp_path: Path) -> None:
    pytest.importorskip("versasound_plugin_audioldm2", reason="versasound-plugin-audioldm2 is not installed")
    pytest.importorskip("diffusers", reason="diffusers, which writes the tiny checkpoint, is not installed")
    with serving(tiny_hub_files, "cvssp/audioldm2") as server:
        done = pull(tmp_path, "audioldm2", "--yes", server=server)
        assert done.returncode == 0, done.stderr
        assert "cvssp/audioldm2 (4.5 GB, licence: CC-BY-NC-SA-4.0, no commercial use)" in done.stderr
        assert {"model_index.json", "language_model/model.safetensors", "tokenizer_2/tokenizer.json"} <= set(
            server.sent
        )
        assert "is here already" in pull(tmp_path, "audioldm2", server=server).stdout

"""Every block of every page does what it shows."""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from pages import ROOT, blocks, pages, run_python, same, words_of

from versasound_core.cards import ROLES, BackendCard
from versasound_core.config import Config, load_config
from versasound_core.scenes import random_scene, write_scene

NAMES = [str(page.relative_to(ROOT)) for page in pages()]
OTHERS = {"cd", "cp", "export", "hf", "mkdir", "pytest", "rsync", "source", "tar", "uv"}
# What a page may name that is not installed here: what its reader has just made.
MADE = ("mine", "beep", "palette", "first_beat", "rain_maker", "knock", "diary", "rain-maker", "first-beat")
PARSE = """
import json, sys
from versasound_core.cli import build_parser
from versasound_core.errors import UnknownBackendError
made, commands = json.loads(sys.argv[1])
answer = []
for words in commands:
    try:
        build_parser(third_party=True).parse_args(words[1:])
        answer.append("")
    except UnknownBackendError as error:
        answer.append("" if any(repr(name) in str(error) for name in made) else str(error))
    except SystemExit as error:
        answer.append("" if error.code == 0 or words[1] in made else f"exit {error.code}")
    except Exception as error:
        answer.append(repr(error))
"""
OLD = "video_input:\n  default_fps: 24\ntemporal_alignment:\n  enabled: false\n"
# Pages whose code is held to more than that it runs, and where.
OWN = {
    "docs/how-to/encoders.md": "tests/docs/test_pages.py",
    "docs/how-to/generators.md": "tests/steering/test_guide.py",
    "docs/how-to/train.md": "plugins/versasound-plugin-training/tests/test_training.py",
    "docs/reference/api.md": "plugins/versasound-plugin-comfyui/tests/test_api.py",
    "plugins/versasound-plugin-training/README.md": "plugins/versasound-plugin-training/tests/test_training.py",
}


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory):
    return write_scene(random_scene(3, 1.5, confounders=False), tmp_path_factory.mktemp("page") / "clip.mp4", height=64)


@pytest.fixture
def desk(tmp_path, clip_file, monkeypatch):
    """A folder with what a reader has: a clip, a sound, an old configuration; and logging as it was afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VERSASOUND_CACHE", str(tmp_path / "cache"))
    shutil.copy(clip_file, tmp_path / "clip.mp4")
    Path("old.yaml").write_text(OLD, encoding="utf-8")
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield tmp_path
    root.setLevel(level)
    root.handlers[:] = handlers


def with_blocks(*languages):
    return [name for name in NAMES if blocks(ROOT / name, *languages)]


def write_files(page: Path) -> None:
    for block in blocks(page):
        if block.file:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.text, encoding="utf-8")


def run_page(page: Path) -> str:
    write_files(page)
    code = [block.text for block in blocks(page, "python") if not block.reason and not block.file]
    return run_python("\n".join(code), {"__name__": "page"})


@pytest.fixture(scope="module")
def parsed(ask, tmp_path_factory):
    """What the command line says to the words of every page's commands."""
    commands = [
        words
        for page in pages()
        for block in blocks(page, "console")
        for command, _ in block.commands()
        for words in words_of(command)
        if words[0] == "versasound" and len(words) > 1
    ]
    folder = tmp_path_factory.mktemp("commands")
    for page in pages():
        for block in blocks(page, "yaml"):
            if block.file:
                (folder / Path(block.file).name).write_text(block.text, encoding="utf-8")
    code = f"import os\nos.chdir({str(folder)!r})\n{PARSE.replace('sys.argv[1]', repr(json.dumps([MADE, commands])))}"
    return {tuple(words): said for words, said in zip(commands, ask(code), strict=True)}


@pytest.mark.parametrize("name", with_blocks("console"))
def test_commands_are_ones_that_there_are(name, parsed):
    for block in blocks(ROOT / name, "console"):
        for command, _ in block.commands():
            for words in words_of(command):
                check_command(words, parsed, command)


def check_command(words, parsed, command):
    if words[:3] == ["python", "-m", "pip"]:
        words = words[2:]
    if words[0] == "versasound":
        assert parsed.get(tuple(words), "") == "", f"{command}: {parsed[tuple(words)]}"
    elif words[0] == "tox":
        given = next((words[i + 1] for i, word in enumerate(words) if word == "-e"), "")
        for env in filter(None, given.split(",")):
            assert env in environments(), f"tox.ini has no environment {env}"
    elif words[0] == "pip":
        for word in words[2:]:
            made = any(name in word for name in MADE) or word.startswith("-")
            if "/" in word and not made:
                assert (ROOT / word).is_dir(), f"{command}: there is no {word}"
            extra = re.fullmatch(r"versasound-core\[(\w+)\]", word)
            assert not extra or extra[1] in project("pyproject.toml")["optional-dependencies"]
    else:
        assert words[0] in OTHERS or (words[0] == "python" and len(words) > 1), f"{command}: what is {words[0]}?"


def project(path):
    return tomllib.loads((ROOT / path).read_text(encoding="utf-8"))["project"]


def environments():
    text = (ROOT / "tox.ini").read_text(encoding="utf-8")
    found = set()
    for name in re.findall(r"^\[testenv:(.*)\]$", text, re.M):
        head, brace, tail = name.partition("{")
        found |= {f"{head}{factor}" for factor in tail.rstrip("}").split(",")} if brace else {name}
    return found


@pytest.mark.parametrize("name", [name for name in with_blocks("python") if name not in OWN])
def test_the_code_shown_runs(name, desk):
    run_page(ROOT / name)


@pytest.mark.parametrize(("name", "test"), OWN.items())
def test_pages_with_tests_of_their_own_have_them(name, test):
    assert Path(name).name in (ROOT / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in with_blocks("yaml", "toml") if name not in OWN])
def test_the_files_shown_can_be_read(name, desk):
    for block in blocks(ROOT / name, "yaml", "toml"):
        if block.language == "toml":
            assert tomllib.loads(block.text)
            continue
        read = yaml.safe_load(block.text)
        assert isinstance(read, dict)
        if "api" in read:
            for role in ROLES:
                for fields in read.get(f"{role}s", {}).values():
                    BackendCard.from_fields(fields)
        elif set(read) <= {key for key, _ in Config().items()}:
            Path("mine.yaml").write_text(block.text, encoding="utf-8")
            assert load_config("mine.yaml") != Config()


RUN = [
    name
    for name in NAMES
    if any(said for b in blocks(ROOT / name, "console") for _, said in b.commands() if not b.reason)
]


@pytest.mark.parametrize("name", RUN)
def test_the_output_shown_is_what_comes(name, desk, run):
    """Every command of such a page is run, in order; what pip installs goes into a folder of this test."""
    site = desk / "site"
    write_files(ROOT / name)
    for block in blocks(ROOT / name, "console"):
        for command, shown in block.commands():
            for words in words_of(command) if not block.reason else []:
                said = do(words, site, run, str(desk / "cache"))
                if shown:
                    assert same(shown, said), f"{command} says\n{said}"


def do(words, site, run, cache):
    variables = {"PYTHONPATH": str(site), "VERSASOUND_CACHE": cache, "HF_HUB_OFFLINE": "1"}
    if words[0] == "versasound":
        both = (
            sys.executable,
            "-c",
            "import sys; sys.stderr = sys.stdout; from versasound_core.cli import main; sys.exit(main())",
        )
        return run(*both, *words[1:], **variables)
    if words[0] == "pip":
        pytest.importorskip("hatchling", reason="hatchling, which builds what the page shows, is not installed")
        paths = [word for word in words[2:] if word.startswith("./")]
        if paths:
            for path in paths:
                shutil.rmtree(site, ignore_errors=True)
                pip = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index")
                run(*pip, "--target", site, path)
        return ""
    if words[0] == "pytest":
        return run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words[1:], **variables)
    raise AssertionError(f"a page with output cannot run {words}")


def test_what_is_left_out_says_why():
    for page in pages():
        for block in blocks(page):
            assert not block.reason or len(block.reason) > 10, f"{page.name}: {block.reason}"


def test_the_guide_to_encoders_says_what_comes_out(desk, tiny_hub, monkeypatch):
    pytest.importorskip("versasound_plugin_clip", reason="versasound-plugin-clip is not installed")
    from fractions import Fraction

    import torch
    from encoder_checks import noise, write_video

    tiny_hub.add("openai/clip-vit-base-patch32")
    write_video(desk / "clip.mkv", noise(6)[0], [Fraction(k, 4) for k in range(6)])
    (desk / "clip.mkv").rename(desk / "clip.mp4")
    said = run_page(ROOT / "docs" / "how-to" / "encoders.md").splitlines()
    # The last frame, at 1.25 s, is a millisecond long; the tiny model's width stands for the real one's.
    assert said[0] == str(torch.Size([1, 11, 16]))
    assert said[1] == "8.0"
    assert said[4] == str(torch.Size([1, 24, 16]))
    assert said[5] == str(torch.Size([1, 24, 49, 32]))

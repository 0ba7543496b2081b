"""A real ComfyUI, run on the CPU with folders of its own: `COMFYUI_PATH` names it, `COMFYUI_PYTHON` what runs it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

START_S, RUN_S = 180, 180


def where() -> tuple[Path, Path] | None:
    """The ComfyUI that the environment names, and its Python; None if it names none."""
    if not (named := os.environ.get("COMFYUI_PATH")):
        return None
    home = Path(named)
    pythons = [os.environ.get("COMFYUI_PYTHON"), home / ".venv/bin/python", home / "venv/bin/python"]
    return home, next(Path(python) for python in pythons if python and Path(python).exists())


class Server:
    """One server, and what a browser says to it.

    Args:
        base: A folder for its inputs, outputs, models and nodes.
        env: More environment variables.
    """

    def __init__(self, base: Path, env: dict[str, str] | None = None) -> None:
        found = where()
        assert found is not None
        self.home, self.python = found
        self.base, self.env = base, {**os.environ, **(env or {})}
        for name in ("input", "output", "temp", "models", "custom_nodes", "user"):
            (base / name).mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = base / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        command = [self.python, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(self.port)]
        command += ["--disable-api-nodes", "--base-directory", self.base, "--database-url", "sqlite:///:memory:"]
        if (more := self.base / "extra_model_paths.yaml").exists():
            command += ["--extra-model-paths-config", more]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, cwd=self.home, env=self.env, stdout=log, stderr=log)
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            with suppress(OSError):
                self.get("system_stats")
                return self
            time.sleep(0.5)
        self.__exit__()
        raise RuntimeError(f"ComfyUI did not start:\n{self.log.read_text()[-3000:]}")

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def version(self) -> str:
        return str(self.get("system_stats")["system"]["comfyui_version"])

    @property
    def memory_mib(self) -> float:
        """What the process holds."""
        assert self._process is not None
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, body: object) -> tuple[int, Any]:
        request = urllib.request.Request(
            f"{self.url}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def add_input(self, path: Path) -> str:
        shutil.copy(path, self.base / "input" / path.name)
        return path.name

    def queue(self, workflow: dict[str, Any]) -> str:
        status, answer = self.post("prompt", {"prompt": workflow, "client_id": uuid.uuid4().hex})
        assert status == 200, answer
        return str(answer["prompt_id"])

    def wait(self, prompt_id: str) -> dict[str, Any]:
        """The entry of a prompt in the history, once it has ended."""
        end = time.monotonic() + RUN_S
        while time.monotonic() < end:
            entry = self.get(f"history/{prompt_id}").get(prompt_id)
            if entry and entry["status"]["status_str"]:
                return dict(entry)
            time.sleep(0.1)
        raise TimeoutError(f"{prompt_id} did not end:\n{self.log.read_text()[-3000:]}")

    def run(self, workflow: dict[str, Any]) -> dict[str, Any]:
        return self.wait(self.queue(workflow))

    def outputs(self, entry: dict[str, Any], node: str) -> list[Path]:
        """The files that a node saved."""
        assert entry["status"]["status_str"] == "success", messages(entry)
        files = [file for kind in entry["outputs"][node].values() for file in kind if isinstance(file, dict)]
        return [self.base / file["type"] / file["subfolder"] / file["filename"] for file in files]


def messages(entry: dict[str, Any]) -> str:
    """What a person is shown of a run that failed."""
    told = [data for kind, data in entry["status"]["messages"] if kind == "execution_error"]
    return " ".join(f"{data['exception_type']}: {data['exception_message']}" for data in told)


def cached(entry: dict[str, Any]) -> list[str]:
    """The nodes that were not run again."""
    return [node for kind, data in entry["status"]["messages"] if kind == "execution_cached" for node in data["nodes"]]

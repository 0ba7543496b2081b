"""A hub on this machine that serves one tiny repository, as much of it as its own library asks for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from . import TinyHub


class HubServer(ThreadingHTTPServer):
    """Serves snapshots of a repository by revision.

    Args:
        repository: Its name.
        revisions: Folder of each revision; `main` and names such as `refs/pr/1` count as revisions.
        conversions: Requests of the hub's own converter, by number.
    """

    def __init__(self, repository: str, revisions: dict[str, Path], conversions: tuple[int, ...] = ()) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repository = repository
        self.revisions = revisions
        self.conversions = conversions
        self.sent: list[str] = []
        self.refuse_after: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, revision: str) -> str:
        """The commit of a revision: forty hexadecimal digits."""
        found = (
            revision if revision in self.revisions else next(r for r in self.revisions if self._digest(r) == revision)
        )
        return self._digest(found)

    def folder(self, revision: str) -> Path:
        return next(path for name, path in self.revisions.items() if revision in {name, self._digest(name)})

    @staticmethod
    def _digest(revision: str) -> str:
        return hashlib.sha1(revision.encode(), usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path.strip("/").replace("%2F", "/")
        api, resolved = f"api/models/{self.server.repository}", f"{self.server.repository}/resolve/"
        try:
            if path.startswith(f"{api}/discussions"):
                self._json({"discussions": [self._request(n) for n in self.server.conversions], "count": 1, "start": 0})
            elif path.startswith(f"{api}/tree/"):
                folder = self.server.folder(path.removeprefix(f"{api}/tree/"))
                self._json([self._entry(file, folder) for file in sorted(folder.rglob("*")) if file.is_file()])
            elif path == api or path.startswith(f"{api}/revision/"):
                revision = path.removeprefix(api).removeprefix("/revision/") or "main"
                folder = self.server.folder(revision)
                files = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
                names = [{"rfilename": file.as_posix()} for file in files]
                sha = self.server.commit(revision)
                self._json({"id": self.server.repository, "sha": sha, "siblings": names, "tags": [], "private": False})
            elif path.startswith(resolved):
                rest = path.removeprefix(resolved)
                commits = {self.server.commit(name): name for name in self.server.revisions}
                revision = next(name for name in [*commits, *self.server.revisions] if rest.startswith(f"{name}/"))
                name = rest.removeprefix(f"{revision}/")
                self._file(self.server.folder(revision) / name, self.server.commit(revision))
            else:
                self.send_error(404)
        except StopIteration:
            self.send_error(404)

    @staticmethod
    def _request(number: int) -> dict[str, object]:
        return {
            "num": number,
            "title": "Adding `safetensors` variant of this model",
            "status": "open",
            "author": {"name": "SFconvertbot"},
            "createdAt": "2023-01-01T00:00:00.000Z",
            "isPullRequest": True,
            "repo": {"name": "x", "type": "model"},
        }

    @staticmethod
    def _entry(file: Path, folder: Path) -> dict[str, object]:
        digest = hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
        path = file.relative_to(folder).as_posix()
        return {"type": "file", "path": path, "size": file.stat().st_size, "oid": digest}

    def _json(self, content: object) -> None:
        self._send(json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _file(self, file: Path, commit: str) -> None:
        if self.command == "GET":
            if self.server.refuse_after is not None and len(self.server.sent) >= self.server.refuse_after:
                self.send_error(503)
                return
            self.server.sent.append(
                f"{file.parent.name}/{file.name}" if file.parent not in self.server.revisions.values() else file.name
            )
        content = file.read_bytes()
        etag = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        self._send(content, {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"})

    def _send(self, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@contextmanager
def serving(hub: TinyHub, repository: str, *, without_safetensors_on_main: bool = False) -> Iterator[HubServer]:
    """Serve a repository of the tiny hub until the block ends."""
    whole = hub.add(repository)
    revisions = {"main": whole}
    if without_safetensors_on_main:
        pickles = hub.add(repository, "a" * 40, is_main=False)
        (pickles / "model.safetensors").rename(pickles / "pytorch_model.bin")
        revisions = {"main": pickles, "refs/pr/7": whole}
    server = HubServer(repository, revisions, (7,) if without_safetensors_on_main else ())
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

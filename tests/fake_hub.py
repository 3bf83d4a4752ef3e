"""A hub on this machine: enough of its HTTP interface for ``huggingface_hub`` to download from."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """One request that the hub got; ``num_bytes`` is how much of a file it sent."""

    method: str
    path: str
    num_bytes: int = 0


@dataclass
class FakeHub:
    """``repositories`` are directories by repository id; each has one commit. ``gated`` ones give no file."""

    repositories: dict[str, Path]
    gated: set[str] = field(default_factory=set)
    requests: list[Request] = field(default_factory=list)

    @staticmethod
    def commit(repository: str) -> str:
        return hashlib.sha1(repository.encode()).hexdigest()

    def bytes_sent(self, suffix: str) -> int:
        """Bytes sent of all files whose name ends with ``suffix``."""
        return sum(request.num_bytes for request in self.requests if request.path.endswith(suffix))

    def serve(self) -> ThreadingHTTPServer:
        """A server on a free port of this machine; run and shut down by the caller."""
        handler = type("Handler", (FakeHubHandler,), {"hub": self})
        return ThreadingHTTPServer(("127.0.0.1", 0), handler)


class FakeHubHandler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path):
            self._answer_api(match[1], match[2], match[3])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._answer_file(match[1], match[2], match[3])
        else:
            self._send(404, b"")

    do_HEAD = do_GET

    def _answer_api(self, repository: str, what: str | None, revision: str | None) -> None:
        if not self._known(repository, revision):
            return
        files = sorted(path for path in self.hub.repositories[repository].iterdir() if path.is_file())
        if what == "tree":
            answer: object = [
                {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": _etag(path)}
                for path in files
            ]
        else:
            siblings = [{"rfilename": path.name} for path in files]
            answer = {"id": repository, "sha": self.hub.commit(repository), "siblings": siblings}
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _answer_file(self, repository: str, revision: str, name: str) -> None:
        if not self._known(repository, revision):
            return
        if repository in self.hub.gated:
            self._send(403, b"", {"X-Error-Code": "GatedRepo"})
            return
        path = self.hub.repositories[repository] / name
        if not path.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        content, status = path.read_bytes(), 200
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            end = int(match[2]) + 1 if match[2] else len(content)
            content, status = content[int(match[1]) : end], 206
        self._send(
            status, content, {"ETag": f'"{_etag(path)}"', "X-Repo-Commit": self.hub.commit(repository)}
        )

    def _known(self, repository: str, revision: str | None) -> bool:
        if repository not in self.hub.repositories:
            self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
            return False
        if revision not in (None, "main", self.hub.commit(repository)):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return False
        return True

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        sent = 0 if self.command == "HEAD" else len(content)
        self.hub.requests.append(Request(self.command, self.path.split("?")[0], sent))
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()

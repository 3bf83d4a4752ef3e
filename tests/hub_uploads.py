"""What a hub does with uploads: enough of its HTTP interface for ``huggingface_hub`` to make and fill a repository."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path

from tests.fake_hub import FakeHub, FakeHubHandler

TOKEN = "hf_of_a_test"


@dataclass
class UploadHub(FakeHub):
    """A hub that takes uploads of the user ``me``.

    ``root`` is where repositories get their directories, and ``private`` names those that only their owner sees. A
    request whose path contains ``failing`` gets ``failing_status``. ``objects`` are large files by their SHA-256.
    """

    root: Path = Path()
    private: set[str] = field(default_factory=set)
    objects: dict[str, bytes] = field(default_factory=dict)
    failing: str | None = None
    failing_status: int = 500

    def serve(self) -> ThreadingHTTPServer:
        handler = type("Handler", (_UploadHandler,), {"hub": self})
        return ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def paths(self, method: str) -> list[str]:
        """Paths of the requests of a method, in order."""
        return [request.path for request in self.requests if request.method == method]


class _UploadHandler(FakeHubHandler):
    hub: UploadHub  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:  # noqa: N802
        if self._fails():
            return
        if self.path == "/api/whoami-v2":
            is_known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            self._send_json({"name": "me"} if is_known else {}, 200 if is_known else 401)
        else:
            super().do_GET()

    do_HEAD = do_GET

    def do_POST(self) -> None:  # noqa: N802
        body = self._body()
        if self._fails():
            return
        path = self.path.split("?")[0]
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send_json({}, 401)
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._send_json({})
        elif match := re.fullmatch(r"/api/models/(.+)/(preupload|commit)/main", path):
            repository, step = match.groups()
            (self._preupload if step == "preupload" else self._commit)(repository, body)
        elif path.endswith("/info/lfs/objects/batch"):
            self._offer_uploads(json.loads(body))
        else:
            self._send_json({}, 404)

    def do_PUT(self) -> None:  # noqa: N802
        """Take a large file; its address has the SHA-256 that was announced."""
        content = self._body()
        if self._fails():
            return
        announced = self.path.rsplit("/", 1)[1]
        assert hashlib.sha256(content).hexdigest() == announced
        self.hub.objects[announced] = content
        self._send_json({})

    def _create(self, wanted: dict[str, str]) -> None:
        repository = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        url = f"http://{self.headers['Host']}/{repository}"
        if repository in self.hub.repositories:
            self._send_json({"error": "You already created this model repo", "url": url}, 409)
            return
        self.hub.repositories[repository] = self.hub.root / repository
        (self.hub.root / repository).mkdir(parents=True)
        if wanted.get("visibility") == "private":
            self.hub.private.add(repository)
        self._send_json({"url": url})

    def _preupload(self, _repository: str, body: bytes) -> None:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self._send_json({"files": files})

    def _offer_uploads(self, request: dict[str, list[dict[str, object]]]) -> None:
        host = self.headers["Host"]
        objects = [
            {**wanted, "actions": {"upload": {"href": f"http://{host}/uploads/{wanted['oid']}"}}}
            for wanted in request["objects"]
            if wanted["oid"] not in self.hub.objects
        ]
        self._send_json({"transfer": "basic", "objects": objects})

    def _commit(self, repository: str, body: bytes) -> None:
        directory = self.hub.repositories[repository]
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                (directory / value["path"]).write_bytes(base64.b64decode(value["content"]))
            elif operation["key"] == "lfsFile":
                (directory / value["path"]).write_bytes(self.hub.objects[value["oid"]])
        url = f"http://{self.headers['Host']}/{repository}/commit/{self.hub.commit(repository)}"
        self._send_json({"commitUrl": url, "commitOid": self.hub.commit(repository)})

    def _fails(self) -> bool:
        if self.hub.failing is None or self.hub.failing not in self.path:
            return False
        self._send_json({"error": "no room"}, self.hub.failing_status)
        return True

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = bytearray()
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(content)

    def _send_json(self, answer: object, status: int = 200) -> None:
        self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

"""A stand-in for W&B's server on this machine: it keeps what a client sends, or fails, or never answers.

It knows the requests that W&B's client makes for runs, history, files, artifacts and alerts. What W&B's real server
makes of them beyond storing them, such as panels, it cannot show.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Behaviour = Literal["works", "fails", "hangs"]

ENTITY = "someone"
KEY = "0123456789" * 4
OPERATION = re.compile(r"(?:query|mutation)\s+(\w+)")
STREAM = re.compile(r"/files/[^/]+/[^/]+/([^/]+)/file_stream")


@dataclass
class StoredRun:
    """What the server has of a run.

    Attributes:
        name: the name shown.
        lines: lines of each streamed file, such as ``wandb-history.jsonl``, by the file's name.
        alerts: titles of the alerts.
        artifacts: name and type of each committed artifact.
        exit_codes: exit code of each time that the run ended.
        times_opened: number of times that a client announced the run.
    """

    name: str = ""
    lines: dict[str, dict[int, str]] = field(default_factory=dict)
    alerts: list[str] = field(default_factory=list)
    artifacts: list[tuple[str, str]] = field(default_factory=list)
    exit_codes: list[int] = field(default_factory=list)
    times_opened: int = 0

    def rows(self, file: str = "wandb-history.jsonl") -> list[dict[str, Any]]:
        """The lines of a streamed file, in order."""
        return [json.loads(line) for _, line in sorted(self.lines.get(file, {}).items())]

    @property
    def summary(self) -> dict[str, Any]:
        """The last summary."""
        rows = self.rows("wandb-summary.json")
        return rows[-1] if rows else {}


class WandbServer(ThreadingHTTPServer):
    """The server. ``behaviour`` may be changed while it runs."""

    daemon_threads = True

    def __init__(self, behaviour: Behaviour = "works") -> None:
        """Listen on a free port of this machine."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behaviour: Behaviour = behaviour
        self.runs: dict[str, StoredRun] = {}
        self.unknown: set[str] = set()
        self.lock = threading.Lock()
        self.ends = threading.Event()
        self._pending: dict[str, tuple[str, str, str]] = {}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that close their connections, as W&B's does at its end, or that are killed."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which a client takes this for W&B's server."""
        return {"WANDB_BASE_URL": f"http://127.0.0.1:{self.server_address[1]}", "WANDB_API_KEY": KEY}

    def run(self, name: str) -> StoredRun:
        """The run of that shown name.

        Raises:
            ValueError: if there is not exactly one.
        """
        [run] = [run for run in self.runs.values() if run.name == name]
        return run

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        """Store what a request sends, and answer it."""
        with self.lock:
            if streamed := STREAM.search(path):
                self._store_lines(streamed[1], json.loads(body))
                return {}
            if path != "/graphql":
                return {}
            request = json.loads(body)
            operation = OPERATION.search(request["query"])
            name = operation[1] if operation else ""
            answers: dict[str, Callable[[dict[str, Any]], Any]] = {
                "Viewer": self._viewer,
                "ServerFeaturesQuery": lambda _: {"serverInfo": {"features": []}},
                "RunResumeStatus": self._resume_status,
                "UpsertBucket": self._upsert,
                "CreateRunFiles": self._create_files,
                "MarkRunFilesUploaded": lambda _: {"markRunFilesUploaded": {"success": True}},
                "CreateArtifact": self._create_artifact,
                "CreateArtifactManifest": lambda _: self._manifest("createArtifactManifest"),
                "UpdateArtifactManifest": lambda _: self._manifest("updateArtifactManifest"),
                "CreateArtifactFiles": self._create_artifact_files,
                "CommitArtifact": self._commit_artifact,
                "NotifyScriptableRunAlert": self._alert,
                "XXHashDigestsEnabled": lambda _: {"entity": {"xxhashDigestsEnabled": False}},
                "FetchArtifactDigestAlgorithm": lambda _: {"project": None},
                "ArtifactType": lambda _: {"project": {"artifact": None}},
                "RunStoppedStatus": lambda _: {"project": {"run": {"stopped": False}}},
            }
            if name not in answers:
                self.unknown.add(name)
                return {"data": None, "errors": [{"message": f"{name} is not known"}]}
            return {"data": answers[name](request.get("variables") or {})}

    def _viewer(self, _: dict[str, Any]) -> Any:
        viewer = {"id": "1", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}"}
        return {"viewer": {**viewer, "teams": {"edges": []}}}

    def _resume_status(self, given: dict[str, Any]) -> Any:
        project = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": ENTITY}}
        run = self.runs.get(given["name"])
        if run is None:
            return {"model": {**project, "bucket": None}}
        rows, events = run.rows(), run.rows("wandb-events.jsonl")
        bucket = {
            "id": given["name"],
            "name": given["name"],
            "displayName": run.name,
            "summaryMetrics": json.dumps(run.summary),
            "logLineCount": 0,
            "historyLineCount": len(rows),
            "eventsLineCount": len(events),
            "historyTail": json.dumps([json.dumps(row) for row in rows[-1:]]),
            "eventsTail": json.dumps([json.dumps(row) for row in events[-1:]]),
            "config": "{}",
            "tags": [],
            "notes": None,
            "wandbConfig": json.dumps({"t": 1}),
        }
        return {"model": {**project, "bucket": bucket}}

    def _upsert(self, given: dict[str, Any]) -> Any:
        is_new = given["name"] not in self.runs
        run = self.runs.setdefault(given["name"], StoredRun())
        run.name = given.get("displayName") or run.name
        run.times_opened += 1
        project = {"id": "p", "name": given.get("project"), "entity": {"id": "e", "name": ENTITY}}
        bucket = {
            "id": given["name"],
            "name": given["name"],
            "displayName": run.name,
            "description": "",
            "config": "{}",
            "sweepName": None,
            "project": project,
            "historyLineCount": len(run.rows()),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": is_new}}

    def _upload_url(self, name: str) -> str:
        return f"{self.environment['WANDB_BASE_URL']}/upload/{name}"

    def _create_files(self, given: dict[str, Any]) -> Any:
        files = [{"name": name, "uploadUrl": self._upload_url(name)} for name in given["files"]]
        return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": files}}

    def _create_artifact(self, given: dict[str, Any]) -> Any:
        wanted = given["input"]
        id_ = f"artifact{len(self._pending)}"
        name = wanted["artifactCollectionName"]
        self._pending[id_] = (wanted.get("runName") or "", name, wanted["artifactTypeName"])
        artifact = {"id": id_, "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
        return {"createArtifact": {"artifact": artifact}}

    def _manifest(self, mutation: str) -> Any:
        file = {"id": "f", "uploadUrl": self._upload_url("manifest"), "uploadHeaders": []}
        return {mutation: {"artifactManifest": {"id": "m", "file": file}}}

    def _create_artifact_files(self, given: dict[str, Any]) -> Any:
        nodes = [
            {
                "storagePath": file["name"],
                "uploadUrl": self._upload_url(file["name"]),
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": file["artifactID"]},
            }
            for file in given["input"]["artifactFiles"]
        ]
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}

    def _commit_artifact(self, given: dict[str, Any]) -> Any:
        run, name, kind = self._pending[given["artifactID"]]
        if run in self.runs:
            self.runs[run].artifacts.append((name, kind))
        return {"commitArtifact": {"artifact": {"id": given["artifactID"], "digest": "d"}}}

    def _alert(self, given: dict[str, Any]) -> Any:
        self.runs[given["runName"]].alerts.append(given["title"])
        return {"notifyScriptableRunAlert": {"success": True}}

    def _store_lines(self, run_id: str, sent: dict[str, Any]) -> None:
        run = self.runs.setdefault(run_id, StoredRun())
        for file, content in (sent.get("files") or {}).items():
            lines = run.lines.setdefault(file, {})
            for number, line in enumerate(content["content"], start=content["offset"]):
                lines[number] = line
        if sent.get("complete"):
            run.exit_codes.append(sent["exitcode"])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *_: Any) -> None:
        """Say nothing."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content

    def _answer(self) -> None:
        server = self.server
        assert isinstance(server, WandbServer)
        body = self._body()
        if server.behaviour == "hangs":
            server.ends.wait()
        status, answer = 500, {}
        if server.behaviour == "works":
            status, answer = 200, server.answer(self.path, body)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = _answer


@contextmanager
def wandb_server(behaviour: Behaviour = "works") -> Generator[WandbServer]:
    """Run a stand-in in a thread of this process."""
    server = WandbServer(behaviour)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ends.set()
        server.shutdown()
        server.server_close()
        thread.join()

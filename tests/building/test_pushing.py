"""Pushing a build to the hub: over HTTP, to a hub on this machine."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, constants

from slr import cli
from slr.models.checkpoint import open_checkpoint
from tests.conftest import CheckpointPairs
from tests.hub_uploads import TOKEN, UploadHub

NOWHERE = "http://127.0.0.1:9"
"""Nothing listens there."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[UploadHub]:
    """An empty hub that knows the user's token, and takes large files by LFS."""
    hub = UploadHub({}, root=tmp_path / "hub")
    server = hub.serve()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield hub
    server.shutdown()
    server.server_close()


class Build:
    """``slr build`` of a tiny pair into ``out``, with further options."""

    def __init__(self, pair: tuple[Path, Path], output: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._pair, self.output, self._capsys = pair, output, capsys

    def __call__(self, *options: str) -> tuple[int, str, str]:
        words = ["build", *map(str, self._pair), "--layers", "1:3", "--output", str(self.output), *options]
        status = cli.main(words)
        printed, errors = self._capsys.readouterr()
        return status, printed, errors

    def fails(self, *options: str) -> str:
        status, _, errors = self(*options)
        (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
        assert status in (1, 2)
        return line


@pytest.fixture
def build(checkpoint_pairs: CheckpointPairs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Build:
    return Build(checkpoint_pairs("llama"), tmp_path / "out", capsys)


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_what_is_built_is_on_the_hub_and_can_be_opened_from_there(hub: UploadHub, build: Build) -> None:
    status, printed, errors = build("--push-to-hub", "me/diverse")
    assert status == 0, errors
    assert f"pushed to {constants.ENDPOINT}/me/diverse\n" in printed
    assert files(hub.root / "me" / "diverse") == files(build.output)
    assert hub.private == {"me/diverse"}
    # The weights went as a large file, and the card as an ordinary one.
    assert list(hub.objects.values()) == [(build.output / "model.safetensors").read_bytes()]
    assert [path.split("/")[2] for path in hub.paths("PUT")] == list(hub.objects)
    card = ModelCard.load(hub.root / "me" / "diverse" / "README.md")
    assert card.data.to_dict()["library_name"] == "transformers"
    assert open_checkpoint("me/diverse").index == open_checkpoint(build.output).index


def test_a_name_alone_is_the_users_and_public_is_public(hub: UploadHub, build: Build) -> None:
    assert build("--push-to-hub", "diverse", "--public")[0] == 0
    assert set(hub.repositories) == {"me/diverse"}
    assert hub.private == set()


def test_nothing_is_built_for_a_repository_that_exists(hub: UploadHub, build: Build, tmp_path: Path) -> None:
    hub.repositories["me/diverse"] = tmp_path
    assert "me/diverse exists already: give another name" in build.fails("--push-to-hub", "diverse")
    assert not build.output.exists()


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "--push-to-hub needs a login: run 'hf auth login', or set HF_TOKEN"),
        ("hf_wrong", "the hub does not know the token: run 'hf auth login', or correct HF_TOKEN"),
    ],
)
def test_nothing_is_built_for_an_unknown_user(
    hub: UploadHub,
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    token: str | None,
    message: str,
) -> None:
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN")
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    assert message in build.fails("--push-to-hub", "me/diverse")
    assert not build.output.exists()
    assert not hub.repositories


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("offline", [False, True])
def test_nothing_is_built_without_a_network(
    build: Build, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", NOWHERE)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    state = "HF_HUB_OFFLINE is set" if offline else f"{NOWHERE} cannot be reached"
    assert state in build.fails("--push-to-hub", "me/diverse")
    assert not build.output.exists()


@pytest.mark.parametrize("arguments", [("--push-to-hub", "a/b/c"), ("--push-to-hub", "-x"), ("--public",)])
def test_wrong_options(build: Build, arguments: tuple[str, ...]) -> None:
    assert "--pu" in build.fails(*arguments)
    assert not build.output.exists()


@pytest.mark.parametrize("step", ["/repos/create", "/preupload/", "/objects/batch", "/uploads/", "/commit/"])
def test_a_build_outlives_a_push_that_fails_and_is_pushed_by_the_printed_command(
    hub: UploadHub, build: Build, step: str
) -> None:
    hub.failing, hub.failing_status = step, 403
    error = build.fails("--push-to-hub", "me/diverse")
    assert f"{build.output} is complete, push it by: hf upload me/diverse" in error
    complete = files(build.output)
    if step != "/commit/":  # once is enough, because a new process takes seconds
        return
    hub.failing = None
    command = shlex.split(error.split("push it by: ")[1])
    done = subprocess.run(
        [Path(sys.executable).with_name("hf"), *command[1:]],
        env={
            **os.environ,
            "HF_ENDPOINT": constants.ENDPOINT,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
        },
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert files(hub.root / "me" / "diverse") == complete == files(build.output)


@pytest.mark.usefixtures("hub")
def test_an_upload_by_xet_that_fails_is_one_line_too(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hf_xet")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    error = build.fails("--push-to-hub", "me/diverse")
    assert f"{build.output} is complete, push it by: hf upload me/diverse" in error

"""Models from the hub: what is fetched and when, what works offline, and what is said when it fails."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from slr.models.checkpoint import open_checkpoint
from slr.models.compatibility import IncompatiblePairError
from slr.models.hub import HubError
from slr.models.loading import load_model, load_pair
from slr.models.opened_pair import with_facts
from slr.models.presets import resolve_pair
from slr.models.reference import ModelReference
from tests.conftest import CheckpointPairs
from tests.fake_hub import FakeHub

NOWHERE = "http://127.0.0.1:9"
"""Nothing listens there."""

MAX_SECONDS_TO_FAIL = 5.0
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeHub]:
    """A hub with a sharded pair ``maker/base`` and ``maker/instruct``, and an empty local cache."""
    base, instruct = checkpoint_pairs("llama", base_shard_size="40KB")
    hub = FakeHub({"maker/base": base, "maker/instruct": instruct})
    server = hub.serve()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield hub
    server.shutdown()
    server.server_close()


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put_in_cache(cache: Path, repository: str, directory: Path, commit: str = COMMIT) -> None:
    folder = cache / f"models--{repository.replace('/', '--')}"
    shutil.copytree(directory, folder / "snapshots" / commit)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)


def test_opening_a_hub_model_downloads_no_weights(hub: FakeHub, checkpoint_pairs: CheckpointPairs) -> None:
    local, _ = checkpoint_pairs("llama", base_shard_size="40KB")
    checkpoint = open_checkpoint("maker/base")
    assert checkpoint.reference.revision == hub.commit("maker/base")
    assert checkpoint.index == open_checkpoint(local).index
    assert checkpoint.problems == ()
    assert not list(checkpoint.directory.glob("*.safetensors"))


def test_facts_of_a_pair_are_its_commits_and_sizes_and_need_no_weights(hub: FakeHub, tmp_path: Path) -> None:
    spec = with_facts(resolve_pair("maker/base", "maker/instruct"))
    assert spec.base == ModelReference("maker/base", hub.commit("maker/base"))
    assert spec.instruct == ModelReference("maker/instruct", hub.commit("maker/instruct"))
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    model = load_model("maker/base").model
    assert (spec.num_layers, spec.num_parameters) == (5, model.num_parameters())


def test_incompatible_models_are_never_downloaded(
    hub: FakeHub, checkpoint_pairs: CheckpointPairs, tmp_path: Path
) -> None:
    hub.repositories["maker/base"] = checkpoint_pairs("llama", num_layers=3)[0]
    with pytest.raises(IncompatiblePairError, match="num_hidden_layers: base 3, instruct 5"):
        load_pair("maker/base", "maker/instruct")
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_pair_from_the_hub_equals_the_local_one(hub: FakeHub, checkpoint_pairs: CheckpointPairs) -> None:
    expected = load_pair(*checkpoint_pairs("llama", base_shard_size="40KB"))
    pair = load_pair(ModelReference("maker/base", "main"), "maker/instruct")
    assert pair.base.revision == hub.commit("maker/base")
    assert pair.instruct.revision == hub.commit("maker/instruct")
    assert pair.name == "instruct"
    for name, tensor in expected.base_model.state_dict().items():
        assert torch.equal(pair.base_model.state_dict()[name], tensor)
    sent = hub.bytes_sent(".safetensors")
    load_pair("maker/base", "maker/instruct")
    assert hub.bytes_sent(".safetensors") == sent  # the second time everything is in the cache


def test_what_was_downloaded_works_offline(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.commit("maker/base")
    load_model("maker/base", revision=commit)
    num_requests = len(hub.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load_model("maker/base", revision=commit).reference.revision == commit
    assert len(hub.requests) == num_requests


def test_what_was_downloaded_works_without_connection(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    load_model("maker/instruct")
    monkeypatch.setattr(constants, "ENDPOINT", NOWHERE)
    assert load_model("maker/instruct").reference.revision == hub.commit("maker/instruct")


def test_only_the_small_files_downloaded_then_offline(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    open_checkpoint("maker/base")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="not completely in the hub's local cache, and HF_HUB_OFFLINE is set"):
        open_checkpoint("maker/base")
    assert hub.requests


def test_cache_of_another_tool(checkpoint_pairs: CheckpointPairs, empty_cache: Path) -> None:
    base, instruct = checkpoint_pairs("qwen3")
    put_in_cache(empty_cache, "maker/base", base)
    put_in_cache(empty_cache, "maker/instruct", instruct)
    pair = load_pair("maker/base", ModelReference("maker/instruct", COMMIT))
    assert pair.base.revision == pair.instruct.revision == COMMIT
    assert pair.family == "qwen"


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
@pytest.mark.parametrize("offline", [True, False])
def test_unreachable_hub_is_said_quickly(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, offline: bool, revision: str | None
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(constants, "ENDPOINT", NOWHERE)
    start = time.monotonic()
    reason = "HF_HUB_OFFLINE is set" if offline else f"{NOWHERE} cannot be reached"
    with pytest.raises(
        HubError, match=rf"maker/unknown.* not completely in .* cache, and {reason}: give the"
    ) as e:
        open_checkpoint("maker/unknown", revision=revision)
    assert time.monotonic() - start < MAX_SECONDS_TO_FAIL
    assert "\n" not in str(e.value)
    assert not empty_cache.exists()


def test_unknown_repository(hub: FakeHub) -> None:
    with pytest.raises(HubError, match=r"maker/nothing is neither a directory here nor .* check the name"):
        open_checkpoint("maker/nothing")
    assert hub.requests


def test_unknown_revision(hub: FakeHub) -> None:
    with pytest.raises(
        HubError, match=r"maker/base has no revision v7 on the hub: see .*/maker/base/commits/main"
    ):
        open_checkpoint("maker/base", revision="v7")
    assert hub.requests


def test_gated_repository(hub: FakeHub) -> None:
    hub.gated.add("maker/base")
    with pytest.raises(HubError, match=r"access to maker/base is gated: accept its terms at .*hf auth login"):
        open_checkpoint("maker/base")


def test_pickle_only_repository(hub: FakeHub, tmp_path: Path) -> None:
    shutil.copytree(
        hub.repositories["maker/base"], tmp_path / "pickled", ignore=shutil.ignore_patterns("model*")
    )
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    hub.repositories["maker/base"] = tmp_path / "pickled"
    with pytest.raises(
        ValueError, match=r"maker/base.* has its weights in pickle files only \(pytorch_model.bin\)"
    ):
        open_checkpoint("maker/base")
    assert hub.bytes_sent(".bin") == 0

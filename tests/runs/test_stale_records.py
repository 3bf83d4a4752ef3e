"""The commands, after something that the numbers depend on has changed: refused, or a card without numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from slr import cli
from slr.models.reference import ModelReference
from tests.conftest import CheckpointPairs

OTHER_TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message['role'] }}: {{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant: {% endif %}"
)


def run(*arguments: object) -> int:
    return cli.main([*map(str, arguments)])


@pytest.fixture(scope="module")
def searched(checkpoint_pairs: CheckpointPairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair, and in ``out`` the records of its search; not to be altered."""
    directory = tmp_path_factory.mktemp("searched")
    for source in checkpoint_pairs("llama", num_layers=3):
        shutil.copytree(source, directory / source.name)
    return directory


@pytest.fixture
def pair(searched: Path, tmp_path: Path, few_prompts: None) -> Path:  # noqa: ARG001
    """The same, to be altered; it lies elsewhere, and is searched no second time for that."""
    if not (searched / "out").exists():
        assert run(*search(searched)) == 0
    return Path(shutil.copytree(searched, tmp_path / searched.name))


def search(directory: Path) -> tuple[object, ...]:
    return (
        "search", directory / "base", directory / "instruct", "--output-dir", directory / "out", "--device", "cpu",
    )  # fmt: skip


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def change_template(pair: Path) -> None:
    (pair / "instruct" / "chat_template.jinja").write_text(OTHER_TEMPLATE)


def change_configuration(pair: Path) -> None:
    for side in ("base", "instruct"):  # with one of them, the two would be no pair
        edit_json(pair / side / "config.json", rms_norm_eps=0.01)


def change_a_weight(pair: Path) -> None:
    weights = pair / "base" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)


CHANGES = {
    "chat template of instruct": change_template,
    "configuration of base": change_configuration,
    "weights of base": change_a_weight,
}


def test_the_same_pair_elsewhere_goes_on(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*search(pair)) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert str(pair.parent) not in (pair / "out" / "crc_search.jsonl").read_text()


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_pair_is_refused_and_gets_no_old_numbers_on_its_card(
    pair: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, what: str
) -> None:
    records = (pair / "out" / "crc_search.jsonl").read_bytes()
    CHANGES[what](pair)
    assert run(*search(pair)) == 2
    said = capsys.readouterr().err
    assert f"must not be mixed: {what} changed since 20" in said
    assert "Give another --output-dir, or delete" in said
    assert (pair / "out" / "crc_search.jsonl").read_bytes() == records
    build = ("build", pair / "base", pair / "instruct", "--layers", "0:1", "--search-dir", pair / "out")
    assert run(*build, "--output", pair / "hybrid") == 0
    assert f"{what} changed since 20" in caplog.text
    card = (pair / "hybrid" / "README.md").read_text()
    assert "Not measured on these weights." in card
    assert str(pair) not in card + (pair / "hybrid" / "slr_manifest.json").read_text()


def test_an_unchanged_pair_gets_its_numbers_on_the_card(pair: Path) -> None:
    build = ("build", pair / "base", pair / "instruct", "--layers", "0:1", "--search-dir", pair / "out")
    assert run(*build, "--output", pair / "hybrid") == 0
    assert "Not measured on these weights." not in (pair / "hybrid" / "README.md").read_text()


def test_another_version_of_a_measure_is_refused(
    pair: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("slr.crc.study.CRC_SCORING", {"CRC scoring": "next"})
    assert run(*search(pair)) == 2
    assert "version of CRC scoring was 1 and is now next" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("org/model", "org/model"),
        ("testbed:llama/base", "testbed:llama/base"),
        ("laptop:gemma/adapter", "laptop:gemma/adapter"),
        ("/home/somebody/models/instruct/", "instruct"),
        ("~/models/instruct", "instruct"),
        ("./instruct", "instruct"),
        ("", ""),
    ],
)
def test_what_records_call_a_model(location: str, name: str) -> None:
    assert ModelReference(location).without_path.location == name
    assert ModelReference("org/model", "abc").without_path == ModelReference("org/model", "abc")

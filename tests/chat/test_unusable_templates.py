"""The commands with a template or tokenizer that is of no use: one line, before a weight is read, nothing written."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from slr import cli
from tests.conftest import CheckpointPairs
from tests.tiny_models import CHAT_TEMPLATE, make_tokenizer

UNUSABLE = {
    "raises": ("{{ raise_exception('tools only') }}", "TemplateError: tools only"),
    "undefined": ("{{ messages[7].content.x }}", "UndefinedError"),
    "leaves the request out": ("<|start|>assistant", "leaves the user's message out"),
    "writes nothing": ("{# nothing #}", "writes nothing"),
    "is large": ("{{ messages[0].content * 10 ** 6 }}", "characters around the messages"),
    "is empty": ("", "has no chat template"),
}


class Run:
    """A command's exit status, and what it wrote to standard error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str]:
        self._capsys.readouterr()
        return cli.main([*map(str, arguments)]), self._capsys.readouterr().err

    def fails(self, *arguments: object) -> str:
        """The one line of a command that fails before it reads a weight."""

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("weights were read")

        self._monkeypatch.setattr("slr.models.loading.load_weights", refuse)
        self._monkeypatch.setattr("slr.building.checkpoint.write_hybrid_shard", refuse)
        status, error = self(*arguments)
        (line,) = error.strip().splitlines()
        assert (status, line[:7]) == (2, "error: ")
        return line


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    return Run(monkeypatch, capsys)


@pytest.fixture
def pair(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> tuple[Path, Path]:
    """Copies that a test may alter."""
    for path in checkpoint_pairs("llama"):
        shutil.copytree(path, tmp_path / path.name)
    return tmp_path / "base", tmp_path / "instruct"


def written(tmp_path: Path) -> set[str]:
    return {path.name for path in tmp_path.iterdir()} - {"base", "instruct"}


@pytest.mark.parametrize(("template", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_search_and_score(
    run: Run, pair: tuple[Path, Path], tmp_path: Path, template: str, reason: str
) -> None:
    base, instruct = pair
    (instruct / "chat_template.jinja").write_text(template)
    for arguments in (
        ("search", base, instruct),
        ("score", instruct),
        ("score", base, "--chat-template-from", instruct),
    ):
        line = run.fails(*arguments, "--device", "cpu")
        assert reason in line
        assert str(instruct) in line
    assert written(tmp_path) == set()


def test_a_template_that_never_ends(run: Run, pair: tuple[Path, Path], tmp_path: Path) -> None:
    base, instruct = pair
    (instruct / "chat_template.jinja").write_text(
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    )
    for arguments in (
        ("search", base, instruct, "--device", "cpu"),
        ("score", instruct, "--device", "cpu"),
        ("build", base, instruct, "--layers", "1:2", "--output", tmp_path / "out"),
    ):
        began = time.monotonic()
        line = run.fails(*arguments)
        assert f"{instruct}/chat_template.jinja cannot be used: it was not rendered within 5 seconds" in line
        assert (
            time.monotonic() - began < 15
        )  # the limit is 5 seconds; opening two checkpoints takes some more
    assert written(tmp_path) == set()


def test_build_copies_a_template_that_fails_and_says_so(
    run: Run, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    base, instruct = pair
    (instruct / "chat_template.jinja").write_text("{{ raise_exception('tools only') }}")
    status, error = run("build", base, instruct, "--layers", "1:2", "--output", tmp_path / "out")
    assert status == 0
    assert error.count("the chat template renders no answer (TemplateError: tools only)") == 1
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == "{{ raise_exception('tools only') }}"


@pytest.mark.parametrize("base_has_tokenizer", [True, False])
def test_tokens_beyond_the_embedding(
    run: Run, pair: tuple[Path, Path], tmp_path: Path, base_has_tokenizer: bool
) -> None:
    base, instruct = pair
    tokenizer = AutoTokenizer.from_pretrained(instruct)
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<|{number}|>" for number in range(20)]})
    tokenizer.chat_template = CHAT_TEMPLATE.replace("<|start|>", "<|19|>")
    tokenizer.save_pretrained(instruct)
    far = tokenizer.convert_tokens_to_ids("<|19|>")
    assert isinstance(far, int)
    if not base_has_tokenizer:
        for path in base.glob("tokenizer*"):
            path.unlink()
        assert f"it writes '<|19|>' ({far})" in run.fails("search", base, instruct, "--device", "cpu")
    assert f"it writes '<|19|>' ({far})" in run.fails("score", instruct, "--device", "cpu")
    line = run.fails("score", base, "--chat-template-from", instruct, "--device", "cpu")
    assert (f"largest id {far}, vocab_size 336" if base_has_tokenizer else f"{base} has no tokenizer") in line
    assert written(tmp_path) == set()


def test_a_foreign_tokenizer_for_the_template(run: Run, pair: tuple[Path, Path]) -> None:
    base, instruct = pair
    data = json.loads((instruct / "tokenizer.json").read_text())
    vocabulary = data["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (instruct / "tokenizer.json").write_text(json.dumps(data))
    line = run.fails("score", base, "--chat-template-from", instruct, "--device", "cpu")
    assert (
        f"{base} (model) cannot be asked by the tokenizer of {instruct} (template): id of token 'a'" in line
    )


def test_a_model_without_a_tokenizer(run: Run, pair: tuple[Path, Path], tmp_path: Path) -> None:
    base, instruct = pair
    for path in instruct.glob("*token*"):
        path.unlink()
    for arguments in (("search", base, instruct), ("score", instruct)):
        assert f"{instruct} has no tokenizer" in run.fails(*arguments, "--device", "cpu")
    assert written(tmp_path) == set()


def test_a_character_that_is_no_token(run: Run, pair: tuple[Path, Path], tmp_path: Path) -> None:
    for side in pair:
        data = json.loads((side / "tokenizer.json").read_text())
        vocabulary, merges = data["model"]["vocab"], data["model"]["merges"]
        # Neither alone nor behind a space is there a token for the letter.
        vocabulary["qq"], vocabulary["Ġqq"] = vocabulary.pop("q"), vocabulary.pop("Ġq")
        data["model"]["merges"] = [merge for merge in merges if "q" not in "".join(merge)]
        (side / "tokenizer.json").write_text(json.dumps(data))
    line = run.fails("search", *pair, "--device", "cpu")
    assert "the tokenizer has no single token for 'q'" in line
    assert written(tmp_path) == set()


@pytest.mark.parametrize(
    ("name", "content", "package"),
    [
        ("tokenizer.model", b"\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02", "sentencepiece"),
        ("spiece.model", b"\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02", "sentencepiece"),
        ("tokenizer.model", b"IQ== 0\nIg== 1\nIw== 2\n", "tiktoken"),
        ("tekken.json", b'{"config": {}, "vocab": []}', "mistral-common"),
    ],
)
def test_a_package_that_is_lacking_is_named(
    run: Run,
    pair: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes,
    package: str,
) -> None:
    base, instruct = pair
    for path in instruct.glob("*token*"):
        path.unlink()
    (instruct / name).write_bytes(content)
    monkeypatch.setattr("slr.chat.tokenizer_files.find_spec", lambda _: None)
    for arguments in (
        ("search", base, instruct, "--device", "cpu"),
        ("score", instruct, "--device", "cpu"),
        ("build", base, instruct, "--layers", "1:2", "--output", tmp_path / "out"),
    ):
        line = run.fails(*arguments)
        assert f"the tokenizer of {instruct} (" in line
        assert line.endswith(f"pip install {package}")
    assert written(tmp_path) == set()


def test_a_tokenizer_that_needs_no_package(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from slr.models.checkpoint import open_checkpoint

    _, instruct = pair
    (instruct / "tokenizer.model").write_bytes(b"\x0a\x0e")
    (instruct / "tekken.json").write_text("{}")
    monkeypatch.setattr("slr.chat.tokenizer_files.find_spec", lambda _: None)
    tokenizer = open_checkpoint(instruct).tokenizer
    assert tokenizer is not None
    assert tokenizer.get_vocab() == make_tokenizer().get_vocab()

"""Prompts of the user's own: what a file may hold, and a search by them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slr.cli import main
from slr.crc.own_prompts import read_prompts
from slr.runs.records import CrcScore
from slr.runs.results_store import ResultsStore

GOOD = [
    {"text": "Name a vowel.", "valid": "aeiou"},
    {"text": "Name a digit below 3.", "valid": "012"},
    {"text": "Say x or y.", "valid": "xy"},
    {"text": "Say p or q.", "valid": "pq"},
]


def written(directory: Path, *lines: object) -> Path:
    path = directory / "prompts.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n\n" for line in lines), encoding="utf-8")
    return path


def test_lines_without_a_split_take_turns(tmp_path: Path) -> None:
    prompts = read_prompts(written(tmp_path, *GOOD))
    assert [prompt.split for prompt in prompts] == ["selection", "held_out", "selection", "held_out"]
    assert [(prompt.text, prompt.valid) for prompt in prompts] == [(o["text"], o["valid"]) for o in GOOD]
    assert [prompt.category for prompt in prompts] == ["letters", "digits", "letters", "letters"]
    given = [{**line, "split": "held_out" if i < 2 else "selection"} for i, line in enumerate(GOOD)]
    assert [prompt.split for prompt in read_prompts(written(tmp_path, *given))] == [o["split"] for o in given]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"text": "Name a vowel."}, "line 1: valid: Field required"),
        ({"text": " ", "valid": "ab"}, "line 1: text: "),
        ({"text": "x", "valid": "a"}, "line 1: valid: "),
        (
            {"text": "x", "valid": "aba"},
            "line 1: valid: Value error, expected two or more different characters",
        ),
        ({"text": "x", "valid": "ab", "split": "test"}, "line 1: split: "),
        ({"text": "x", "valid": "ab", "answer": "a"}, "line 1: answer: "),
        (["x"], "line 1: the line: "),
        (GOOD[0], "has 1 prompts with the split selection, expected at least 2"),
    ],
)
def test_a_bad_file_is_one_line(
    tmp_path: Path, line: object, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, line)
    assert main(["search", "testbed-llama", "--prompts", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {path}")
    assert words in said
    assert said.count("\n") == 1


@pytest.mark.usefixtures("few_prompts")
def test_a_search_by_own_prompts_keeps_to_its_own_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = written(tmp_path, *GOOD), tmp_path / "out"
    search = ["search", "testbed-llama", "--device", "cpu", "--output-dir", str(out), "--json"]
    assert main([*search, "--prompts", str(path)]) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert {model["num_prompts"] for model in models} == {2}
    records = ResultsStore(out / "crc_search.jsonl").read()
    asked = {r.prompt_ids for r in records if isinstance(r, CrcScore) and r.prompt_set == "selection"}
    assert asked == {("own-1", "own-5")}
    assert main(["show", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == models
    assert main(search) == 2
    assert "prompts_digest was" in capsys.readouterr().err

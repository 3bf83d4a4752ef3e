"""Trainings that differ in lambda, compared by answers that are written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slr.laptop.post_training.dose_response import main, read_doses
from slr.laptop.post_training.requests.prompts import CHOICE_FAMILIES, TrainingPrompt, training_prompts
from slr.terminal.bad_input import BAD_INPUT

DEV = [prompt for prompt in training_prompts() if prompt.is_dev]


def write_answers(directory: Path, num_different: int) -> None:
    """Eight answers to each development prompt: to a choice as many different right ones, in turn."""
    directory.mkdir(parents=True)
    rows = [
        {
            "prompt_id": prompt.id,
            "answers": [{"text": text, "ended": True} for text in answers(prompt, num_different)],
        }
        for prompt in DEV
    ]
    (directory / "0000.json").write_text(json.dumps(rows), encoding="utf-8")


def answers(prompt: TrainingPrompt, num_different: int) -> list[str]:
    words = prompt.request.replace("?", " ").replace(",", " ").replace(":", " ").replace(".", " ").split()
    right = [word for word in dict.fromkeys(words) if prompt.accepts(word)][:num_different]
    return [(right or ["nothing of it"])[place % max(1, len(right))] for place in range(8)]


def write_round(variant: Path, typicality_weight: str, num_different: int, kl: float) -> None:
    directory = variant / f"lambda-{typicality_weight}" / "round-1"
    write_answers(directory / "dev", num_different)
    (directory / "round.json").write_text(json.dumps({"dev": {"kl_to_sft": kl}}), encoding="utf-8")


@pytest.fixture
def variant(tmp_path: Path) -> Path:
    """A start model with three answers to a choice, and lambdas that leave three, two and one."""
    directory = tmp_path / "seed-0" / "lora"
    write_answers(tmp_path / "seed-0" / "elicited", 3)
    write_answers(directory / "sft" / "dev", 3)
    for typicality_weight, num_different in (("1", 1), ("0.5", 2), ("0", 3)):
        write_round(directory, typicality_weight, num_different, kl=1 / num_different)
    return directory


def test_entropy_falls_with_lambda(variant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doses = read_doses(variant, DEV)
    assert [dose.name for dose in doses[2:]] == ["lambda 0", "lambda 0.5", "lambda 1"]
    assert [dose.kl_to_sft for dose in doses] == [None, None, 1 / 3, 1 / 2, 1]
    choices = sum(
        prompt.family in CHOICE_FAMILIES and prompt.accepts(answers(prompt, 1)[0]) for prompt in DEV
    )
    assert {len(dose.entropies) for dose in doses} == {choices}
    assert choices > 5
    assert set(doses[-1].entropies) == {0.0}
    assert main([str(variant)]) == 0
    printed = capsys.readouterr().out
    assert "The collapse grows with lambda: yes." in printed
    assert printed.count("less lambda") == 3


def test_answers_that_are_not_accepted_or_not_enough_count_for_nothing(variant: Path) -> None:
    file = variant / "lambda-0" / "round-1" / "dev" / "0000.json"
    rows = json.loads(file.read_text("utf-8"))
    for row in rows:
        for answer in row["answers"][3:]:
            answer["ended"] = False
    file.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(ValueError, match="no development prompt has 4 accepted answers of all models"):
        read_doses(variant, DEV)


def test_one_lambda_is_no_dose_response(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_round(tmp_path / "lora", "1", 1, kl=1.0)
    assert main([str(tmp_path / "lora")]) == BAD_INPUT
    assert (
        "has a first round of 1 lambdas, expected at least 2: train them with --lambda"
        in capsys.readouterr().err
    )

"""Trials on a pair of the testbed: the answers are those of the hybrid itself, and what is shown is what was drawn."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import torch

from slr.cli import main
from slr.hybrid import interpolate, restore
from slr.intervals import LayerInterval, Restoration, Stack
from slr.models.loading import ModelPair, load_pair
from slr.sampling.config import SamplingConfig
from slr.sampling.requests import sample
from slr.trials.trial import Answers, Trial, ask
from slr.trials.variants import variants

PROMPTS = ["Name a color.", "Write a short poem about rain."]
SAMPLING = SamplingConfig(max_new_tokens=24)


@cache
def pair() -> ModelPair:
    return load_pair("testbed-qwen", dtype=torch.float32)


def trial(**options: str) -> Trial:
    asked = variants([Restoration(LayerInterval(8, 10), Stack(alpha)) for alpha in (1.0, 0.5)], [0.4])
    return ask(pair(), asked, PROMPTS, 6, SAMPLING, 3, valid_pattern=options.get("valid_pattern"))


def texts(answers: Answers) -> list[str]:
    return [answer.text for answer in answers.answers]


def test_each_model_answers_as_it_does_when_it_is_asked_alone() -> None:
    found = trial()
    models = {
        "instruct": pair().instruct_model,
        "layers 8:10": restore(pair(), LayerInterval(8, 10)),
        "layers 8:10 at alpha 0.5": restore(pair(), LayerInterval(8, 10), 0.5),
        "soup at alpha 0.4": interpolate(pair(), 0.4),
    }
    assert [answers.model for answers in found.asked[0].by_model] == list(models)
    for place, model in enumerate(models.values()):
        alone = sample(model, pair().tokenizer, PROMPTS, 6, sampling=SAMPLING, seed=3)
        assert [texts(asked.by_model[place]) for asked in found.asked] == alone


def test_only_answers_that_ended_and_match_are_valid_and_case_makes_no_difference() -> None:
    found = trial(valid_pattern="RED|blue|green")
    for asked in found.asked:
        for answers in asked.by_model:
            expected = [
                answer.text.strip()
                for answer in answers.answers
                if answer.finished and answer.text.strip().lower() in ("red", "blue", "green")
            ]
            assert answers.valid == len(expected)
            assert answers.different_valid == len({text.lower() for text in expected})
    colors, poems = ([answers.valid for answers in asked.by_model] for asked in found.asked)
    assert max(colors) > 0
    assert max(poems) == 0
    means = {name: valid for name, valid, *_ in found.means()}
    assert means["instruct"] == (colors[0] + poems[0]) / 2


def test_the_command_prints_what_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("Name a color.\n\nName an <b>animal</b>.\n")
    words = [
        "sample",
        "testbed-qwen",
        "--layers",
        "8:10",
        "--prompts",
        str(prompts),
        "-n",
        "4",
        "--seed",
        "1",
    ]
    page = tmp_path / "trial.html"
    assert main([*words, "--json"]) == 0
    found = Trial.model_validate_json(capsys.readouterr().out)
    assert [asked.prompt for asked in found.asked] == ["Name a color.", "Name an <b>animal</b>."]
    assert main([*words, "--html", str(page)]) == 0
    said = capsys.readouterr()
    for asked in found.asked:
        for answers in asked.by_model:
            for text in texts(answers):
                assert text.strip().split("\n")[0] in said.out
    shown = page.read_text()
    assert "Name an &lt;b&gt;animal&lt;/b&gt;." in shown
    assert "<b>" not in shown
    assert shown.count("<li") == 2 * 2 * 4
    assert "Loading weights" not in said.err


def test_the_best_candidates_of_a_search_stand_for_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from slr.crc import study

    monkeypatch.setattr(study, "FULL", study.SMOKE)
    assert main(["search", "testbed-qwen", "--output-dir", str(tmp_path)]) == 0
    capsys.readouterr()
    words = ["sample", "testbed-qwen", "--search-dir", str(tmp_path), "--prompt", "Name a color.", "-n", "1"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    asked = [answers["model"] for answers in found["asked"][0]["by_model"]]
    assert asked[0] == "instruct"
    assert len(asked) == 6
    # Another pair's search is refused, and not taken for this one's.
    assert main(["sample", "testbed-llama", *words[2:]]) == 2
    assert "the records are of other models" in capsys.readouterr().err

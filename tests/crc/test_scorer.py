"""Scorers of other packages, against values worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import slr
from slr.cli import main
from slr.crc.prompts import load_prompts
from slr.crc.scorer import Scorer, normalised_entropy
from slr.runs.records import Configuration
from slr.runs.results_store import ResultsStore
from tests.installed_packages import install

LARGEST = Scorer(label="largest", diversity=lambda answers_RC: 1 - answers_RC.max(axis=1))


def test_a_scorer_replaces_one_number_and_keeps_the_other() -> None:
    validity, diversity = LARGEST.score(np.array([[0.5, 0.25], [0.0, 0.0], [np.nan, 0.1]]), "p")
    assert validity[:2].tolist() == [0.75, 0.0]
    assert diversity[0] == 0.5
    # Without a valid answer there is no diversity, and without probabilities there is nothing.
    assert np.isnan([diversity[1], validity[2], diversity[2]]).all()


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda answers_RC: answers_RC.sum(axis=1) + 1, "gives 1.75 as the diversity on the prompt p"),
        (lambda answers_RC: answers_RC, r"gives an array of shape \(1, 2\) as the diversity"),
    ],
)
def test_what_is_no_number_from_0_to_1_is_refused(measure: object, message: str) -> None:
    scorer = Scorer(label="odd", diversity=measure)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=f"the scorer odd {message}"):
        scorer.score(np.array([[0.5, 0.25]]), "p")


def test_a_search_chooses_by_the_scorer() -> None:
    pair = slr.load_pair("testbed-llama")
    prompts = load_prompts("selection")[:3]
    # The scorer sees what entropy is computed from, so with entropy itself it finds the same.
    same = slr.search(pair, prompts, scorer=Scorer(label="same", diversity=normalised_entropy))
    assert same.intervals == slr.search(pair, prompts).intervals
    constant = slr.search(pair, prompts, scorer=Scorer(label="one", diversity=lambda a: np.ones(len(a))))
    assert constant.candidates[0].validity == same.candidates[0].validity
    assert {candidate.diversity for candidate in constant.candidates} == {1.0}


@pytest.mark.usefixtures("few_prompts")
def test_the_records_name_the_scorer_and_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path, "halves", "0.3", {"slr.scorers": {"half": "halving:HALF"}})
    (tmp_path / "halving.py").write_text(
        "from slr.crc.scorer import Scorer\nHALF = Scorer(label='half', validity=lambda a: a.sum(axis=1) / 2)\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    search = ["search", "testbed-llama", "--output-dir", str(tmp_path / "out")]
    assert main([*search, "--scorer", "half"]) == 0
    records = ResultsStore(tmp_path / "out" / "crc_search.jsonl").read()
    [configuration] = [record for record in records if isinstance(record, Configuration)]
    assert configuration.versions["scorer"] == "half of halves 0.3"
    assert main(search) == 2
    assert "version of scorer was half of halves 0.3 and is now None" in capsys.readouterr().err
    assert main(["show", str(tmp_path / "out")]) == 0
    assert "scored by half of halves 0.3" in capsys.readouterr().err

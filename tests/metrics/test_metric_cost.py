from __future__ import annotations

import re

import pytest

from experiments import metric_cost


def test_prints_both_and_they_agree(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nltk")
    assert metric_cost.main(["--num-samples", "6", "--num-words", "30"]) == 0
    printed = capsys.readouterr().out
    difference = re.search(r"ratio +[\d.]+ +difference (\S+)", printed)
    assert difference is not None, printed
    assert float(difference[1]) < 1e-12


def test_says_that_nltk_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metric_cost, "find_spec", lambda _name: None)
    assert metric_cost.main([]) == 2
    assert "pip install nltk==3.10.4" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--num-samples", "1"], ["--num-words", "0"]])
def test_refuses_too_little(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert metric_cost.main(arguments) == 2
    assert "expected at least 2 samples" in capsys.readouterr().err

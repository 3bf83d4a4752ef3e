from __future__ import annotations

import pytest

from experiments import metric_cost


def test_prints_both_and_they_agree(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nltk")
    assert metric_cost.main(["--num-samples", "6", "--num-words", "30"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    [ours] = [row for row in rows if row[0] == "slr"]
    [(_, seconds, value, ratio, difference)] = [row for row in rows if row[0] == "nltk"]
    assert float(value) == pytest.approx(float(ours[2]), abs=1e-12)
    assert float(difference) < 1e-12
    assert float(ratio) == pytest.approx(float(seconds) / float(ours[1]), rel=0.2)


def test_says_that_nltk_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metric_cost, "find_spec", lambda _name: None)
    assert metric_cost.main([]) == 2
    assert "pip install nltk==3.10.4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--num-samples", "1"], "greater than or equal to 2"),
        (["--num-words", "0"], "greater than or equal to 1"),
    ],
)
def test_refuses_too_little(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert metric_cost.main(arguments) == 2
    assert words in capsys.readouterr().err

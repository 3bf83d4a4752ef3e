"""Scripts that print what they measure, in their smallest size."""

from __future__ import annotations

import pytest

from experiments import interval_coverage, restore_cost, sampling_cost


def test_restore_cost_prints_the_ratio(capsys: pytest.CaptureFixture[str]):
    assert restore_cost.main(["--layers", "2", "--repetitions", "2"]) == 0
    assert "times" in capsys.readouterr().out


def test_sampling_cost_measures_both_methods(capsys: pytest.CaptureFixture[str]):
    assert sampling_cost.main(["--smoke"]) == 0
    assert "ratio" in capsys.readouterr().out


def test_interval_coverage_prints_its_tables(capsys: pytest.CaptureFixture[str]):
    assert interval_coverage.main(["--sizes", "2", "5", "--at-most", "300"]) == 0
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if "|" in line]
    assert ["lowest coverage", "2", "5"] in rows
    of_printed = {row[0]: row[1:] for row in rows}["normal"]
    assert of_printed[0] == "none"
    assert 0.93 <= float(of_printed[1]) <= 1
    with pytest.raises(SystemExit):
        interval_coverage.main(["--sizes", "1"])
    assert "expected sizes of 2 and more, got 1" in capsys.readouterr().err

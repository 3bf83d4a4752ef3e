"""Different valid samples and their utility against enumeration of all subsets and orders."""

from __future__ import annotations

from itertools import combinations, permutations
from statistics import fmean

import pytest

from slr.metrics.novelty import distinct_valid, distinct_valid_at_k, distinct_valid_curve, utility_at_k

MIXED = ["a", None, "a", "b", None, "c"]
CASES = [MIXED, ["a"] * 4, ["a", "b", "c", "d"], [None] * 3, ["a"], [None, 0, "", 0, ()]]


def utility_of_order(classes: list[object], utilities: list[float], patience: float) -> float:
    """As NoveltyBench writes it, for one order."""
    seen: set[object] = set()
    total = 0.0
    for place, (name, utility) in enumerate(zip(classes, utilities, strict=True)):
        if name is not None and name not in seen:
            total += patience**place * utility
            seen.add(name)
    return total * (1 - patience) / (1 - patience ** len(classes))


@pytest.mark.parametrize("classes", CASES)
def test_distinct_valid_is_the_mean_over_subsets(classes: list[object]) -> None:
    for k in range(1, len(classes) + 1):
        expected = fmean(len(set(subset) - {None}) for subset in combinations(classes, k))
        assert distinct_valid_at_k(classes, k) == pytest.approx(expected, abs=1e-12)
    assert distinct_valid_curve(classes)[-1] == pytest.approx(distinct_valid(classes), abs=1e-12)


@pytest.mark.parametrize("k", [1, 3, 6])
@pytest.mark.parametrize("patience", [0.5, 0.8])
def test_utility_is_the_mean_over_orders(k: int, patience: float) -> None:
    utilities = [1.0, 9.0, 0.5, 2.0, 7.0, 0.25]
    orders = permutations(range(len(MIXED)), k)
    expected = fmean(
        utility_of_order([MIXED[i] for i in order], [utilities[i] for i in order], patience)
        for order in orders
    )
    assert utility_at_k(MIXED, k, utilities, patience) == pytest.approx(expected, abs=1e-12)


def test_utility_at_its_ends() -> None:
    assert utility_at_k(["a", "b", "c"], 3) == pytest.approx(1.0)
    assert utility_at_k([None, None], 2) == 0.0
    # One class: only the first sample counts, 1 of 1 + 0.8.
    assert utility_at_k(["a", "a"], 2) == pytest.approx(1 / 1.8)
    assert utility_at_k(["a", None], 1) == pytest.approx(0.5)


def test_nothing_was_sampled() -> None:
    assert distinct_valid([]) == 0
    assert distinct_valid_curve([]) == ()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: distinct_valid_at_k(MIXED, 7), "k is 7: expected 1 to the number of samples, 6"),
        (lambda: utility_at_k(MIXED, 0), "k is 0"),
        (lambda: utility_at_k(MIXED, 2, patience=1.0), "patience is 1"),
        (lambda: utility_at_k(MIXED, 2, [1.0]), "got 1 utilities for 6 samples"),
        (lambda: utility_at_k(["a"], 1, [float("nan")]), "one finite number a sample"),
    ],
)
def test_bad_arguments_are_named(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # pyright: ignore[reportCallIssue]

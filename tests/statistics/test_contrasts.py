from __future__ import annotations

import pytest

from slr.statistics.contrasts import Comparison, Values, make_contrasts


def comparison(values: Values, reference: Values, metric: str = "m") -> Comparison:
    return Comparison(
        pair="pair",
        group="group",
        metric=metric,
        label=metric,
        method="ours",
        model="ours",
        reference="theirs",
        reference_model="theirs",
        values=values,
        reference_values=reference,
    )


def test_holm_is_taken_within_each_family_only() -> None:
    far = [1.0] * 6, [0.0] * 6  # of 64 sign flips two are as far: p = 1/32
    contrasts = make_contrasts(
        [comparison(*far, "a"), comparison(*far, "a"), comparison(*far, "b")], lambda c: c.metric
    )
    assert [c.p_value for c in contrasts] == [2 / 32, 2 / 32, 1 / 32]
    assert [c.family_size for c in contrasts] == [2, 2, 1]


def test_nothing_in_common_is_undefined() -> None:
    (contrast,) = make_contrasts([comparison([None, 1.0], [1.0, None])], lambda _: 0)
    assert (contrast.num_items, contrast.mean, contrast.difference, contrast.p_value) == (0, None, None, None)
    assert contrast.family_size == 0


def test_unequal_lengths_are_an_error() -> None:
    with pytest.raises(ValueError, match="same prompts on both sides"):
        make_contrasts([comparison([1.0], [1.0, 0.0])], lambda _: 0)

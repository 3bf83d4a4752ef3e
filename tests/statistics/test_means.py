from __future__ import annotations

from slr.statistics.means import mean_defined


def test_undefined_values_do_not_count() -> None:
    assert mean_defined([1.0, None, 4.0]) == 2.5
    assert mean_defined(value for value in (0.0, None)) == 0.0


def test_the_mean_of_no_defined_value_is_undefined() -> None:
    assert mean_defined([]) is None
    assert mean_defined([None, None]) is None

from __future__ import annotations

import pytest

from slr.intervals import LayerInterval, all_intervals


def test_length_membership_and_text() -> None:
    interval = LayerInterval(3, 6)
    assert len(interval) == 3
    assert [layer for layer in range(8) if layer in interval] == [3, 4, 5]
    assert str(interval) == "3:6"
    assert LayerInterval.parse(" 3:6 ") == interval


def test_empty_interval_is_allowed() -> None:
    assert len(LayerInterval(4, 4)) == 0


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (4, 3)])
def test_invalid_ends_are_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match=f"layer interval {start}:{end} is not valid"):
        LayerInterval(start, end)


@pytest.mark.parametrize("text", ["3", "3:", ":6", "3-6", "a:b", "3:6:9", "-1:4"])
def test_unreadable_text_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="expected START:END"):
        LayerInterval.parse(text)


def test_interval_beyond_the_model_is_refused() -> None:
    with pytest.raises(ValueError, match="3:9 does not fit a model of 8 decoder layers"):
        LayerInterval(3, 9).check_within(8)


@pytest.mark.parametrize("num_layers", [1, 2, 7])
def test_all_intervals_are_all_of_them_once(num_layers: int) -> None:
    intervals = all_intervals(num_layers)
    assert len(set(intervals)) == len(intervals) == num_layers * (num_layers + 1) // 2
    assert intervals == sorted(intervals)
    assert all(0 <= i.start < i.end <= num_layers for i in intervals)


def test_a_model_has_layers() -> None:
    with pytest.raises(ValueError, match="num_layers is 0"):
        all_intervals(0)


def test_the_ends_are_as_records_hold_them() -> None:
    assert LayerInterval(*LayerInterval(3, 5).ends) == LayerInterval(3, 5)
    assert LayerInterval(3, 5).ends == (3, 5)

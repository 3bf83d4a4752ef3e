"""The share of the gap that is regained, against numbers worked out by hand and a plain Fieller interval."""

from __future__ import annotations

import pytest

from slr.analysis.load_results import Results
from slr.analysis.tables.selected_intervals import GAP_COLUMNS, selected_intervals
from slr.crc.recovered_gap import recovered_gap, share_of_gap, summarise_few_shot
from slr.crc.report import crc_report
from slr.runs.records import AnyRecord, CrcFewShotScore, CrcScore
from slr.runs.results import of_kind
from tests.analysis.synthetic import PROVENANCE, crc_records


def with_few_shot(diversity: tuple[float, ...]) -> list[AnyRecord]:
    """A study in which each prompt has its own diversity."""
    records: list[AnyRecord] = []
    for record in crc_records("pair-one"):
        if isinstance(record, CrcScore) and record.diversity[0] is not None:
            moved = tuple(record.diversity[0] + step for step in (-0.02, -0.01, 0.0, 0.03))
            record = record.model_copy(
                update={"diversity": moved if record.model == "instruct" else record.diversity}
            )
        records.append(record)
    for prompt_set in ("selection", "held_out"):
        instruct = next(
            s for s in of_kind(records, CrcScore) if (s.model, s.prompt_set) == ("instruct", prompt_set)
        )
        records.append(
            CrcFewShotScore(
                experiment="crc_search",
                pair="pair-one",
                provenance=PROVENANCE,
                family="llama",
                prompt_set=prompt_set,
                document="0",
                prompt_ids=instruct.prompt_ids,
                validity=(0.7, 0.8, 0.9, 0.6),
                diversity=diversity,
            )
        )
    return records


def test_the_share_is_the_ratio_of_the_differences() -> None:
    share = share_of_gap([0.5, 0.7, 0.6, 0.8], [0.3, 0.4, 0.2, 0.5], [0.9, 1.0, 0.8, 0.9])
    assert share is not None
    assert share.mean == pytest.approx((0.2 + 0.3 + 0.4 + 0.3) / (0.6 + 0.6 + 0.6 + 0.4))
    assert share.low is not None
    assert share.high is not None
    assert share.low < share.mean < share.high


def test_a_gap_that_may_be_zero_has_a_share_without_an_interval() -> None:
    share = share_of_gap([0.5, 0.7, 0.6, 0.8], [0.3, 0.4, 0.2, 0.5], [0.9, 0.1, 0.8, 0.4])
    assert share is not None
    assert share.low is None
    assert share_of_gap([0.5] * 4, [0.4] * 4, [0.3] * 4) is None


def test_a_prompt_without_one_of_the_numbers_does_not_count() -> None:
    full = share_of_gap([0.5, 0.7, 0.6, 0.8], [0.3, 0.4, 0.2, 0.5], [0.9, 1.0, 0.8, 0.9])
    assert (
        share_of_gap(
            [*[0.5, 0.7, 0.6, 0.8], 0.1], [*[0.3, 0.4, 0.2, 0.5], 0.9], [*[0.9, 1.0, 0.8, 0.9], None]
        )
        == full
    )


def test_both_references_stand_in_the_table() -> None:
    records = with_few_shot((0.8, 0.9, 0.85, 0.95))
    report = crc_report(records, "pair-one")
    gap = recovered_gap(records, report, "hybrid", "held_out")
    assert gap is not None
    assert gap.few_shot is not None
    assert gap.template is not None
    assert gap.few_shot.mean == pytest.approx(0.3 / (0.875 - 0.3))
    assert gap.template.mean == pytest.approx(0.3 / (0.9 - 0.3))
    summary = summarise_few_shot(records, "pair-one", "held_out")
    assert summary is not None
    assert summary.validity is not None
    assert summary.validity.mean == pytest.approx(0.75)
    table = selected_intervals(Results(tuple(records)))
    place = table.columns.index(GAP_COLUMNS[0])
    cells = {(row[1], row[4]): row[place] for row in table.rows}
    assert cells["SLR hybrid", "held-out"] == gap.few_shot
    assert cells["base, few-shot", "held-out"] == ""


def test_the_table_says_when_nobody_can_tell() -> None:
    table = selected_intervals(Results(tuple(with_few_shot((0.9, 0.1, 0.8, 0.2)))))
    place = table.columns.index(GAP_COLUMNS[0])
    assert [row[place] for row in table.rows if row[1] == "SLR hybrid"] == ["cannot tell"] * 2

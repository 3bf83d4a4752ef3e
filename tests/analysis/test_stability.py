"""Figure and tables on the stability of the choice."""

from __future__ import annotations

import pytest
from matplotlib.patches import Rectangle

from slr.analysis.figures import captions
from slr.analysis.figures.choice_stability import choice_stability
from slr.analysis.load_results import Results
from slr.analysis.needs import STABILITY
from slr.analysis.tables.stability import crc_min_p, stability, training_seeds
from slr.analysis.tables.table import Cell, Table
from slr.crc.report import crc_report
from slr.runs.records import CrcScore
from slr.testbed.seeds import other_seeds
from tests.analysis.synthetic import CHOSEN, crc_records, nothing_chosen, stability_records

PAIR = "testbed-llama"


@pytest.fixture(scope="module")
def results() -> Results:
    return Results((*crc_records(PAIR), *stability_records(PAIR)), "testbed")


def cells(table: Table, **wanted: Cell) -> list[dict[str, Cell]]:
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def test_table_of_variations(results: Results) -> None:
    table = stability(results)
    [bootstrap] = cells(table, **{"made by": "4 prompts drawn at random (bootstrap)"})
    assert (bootstrap["prompts"], bootstrap["choices"], bootstrap["layers"]) == (4, 2000, "")
    assert (bootstrap["same layers"], bootstrap["overlap"]) == (1.0, 1.0)
    assert bootstrap["gain median"] == bootstrap["gain 5%"] == pytest.approx(0.3)
    [lenient] = cells(table, **{"made by": "validity at least 0.7"})
    assert (lenient["layers"], lenient["gain 5%"], lenient["choices"]) == ("1:2", None, 1)
    assert len({(row["pair"], row["made by"]) for row in cells(table)}) == len(table.rows)


def test_table_of_min_p(results: Results) -> None:
    table = crc_min_p(results)
    assert [(row["min-p"], row["model"]) for row in cells(table)] == [
        (min_p, model) for min_p in (0.0, 0.1) for model in ("base", "instruct", "SLR hybrid", "soup")
    ]
    assert {row["choice"] for row in cells(table, model="SLR hybrid")} == {"layers 1:2"}


def test_table_of_training_seeds(results: Results) -> None:
    table = training_seeds(results)
    others = other_seeds(PAIR)
    assert [row["seed"] for row in cells(table)] == [0, *others]
    for seed, records in others.items():
        report = crc_report(records, PAIR)
        [row] = cells(table, seed=seed)
        assert row["layers"] == str(report.interval)
        hybrid = report.summary("hybrid", "held_out")
        assert hybrid is not None
        assert row["hybrid less instruct"] == hybrid.diversity_difference
    assert f"{PAIR}, {1 + len(others)} seeds: mean overlap" in table.caption
    elsewhere = training_seeds(Results(tuple(crc_records("small-llama")), "small"))
    assert (elsewhere.rows, elsewhere.caption) == ((), "No pair of this run was trained from several seeds.")


def test_figure_shows_shares_of_draws_and_gains(results: Results) -> None:
    layers, gains = choice_stability(results).axes
    bars = [p for p in layers.patches if isinstance(p, Rectangle) and p.get_width() == pytest.approx(0.8)]
    assert [bar.get_height() for bar in bars] == [0.0, 1.0, 0.0]
    [median, reported] = gains.get_lines()
    assert list(median.get_xdata()) == [4, 5, 10, 20, 80]  # pyright: ignore[reportArgumentType]
    assert list(median.get_ydata()) == pytest.approx([0.3] * 5)  # pyright: ignore[reportArgumentType]
    assert list(reported.get_ydata()) == pytest.approx([0.3, 0.3])  # pyright: ignore[reportArgumentType]
    caption = captions.choice_stability(results)
    assert "2,000 draws of 4 prompts" in caption
    assert f"{PAIR}: layers {CHOSEN[0]}:{CHOSEN[1]} in 100% of the draws, mean overlap 1.00" in caption


def test_an_unfinished_pair_hides_no_other() -> None:
    lost = [
        record
        for record in stability_records("testbed-qwen")
        if not (isinstance(record, CrcScore) and record.prompt_set == "held_out")
    ]
    complete = [*crc_records(PAIR), *stability_records(PAIR)]
    both = Results((*complete, *crc_records("testbed-qwen"), *lost), "testbed")
    assert [report.pair for report in both.stability_reports] == [PAIR]
    assert STABILITY.lacking(both) == [
        "testbed-qwen: 5 intervals have no scores on the held-out prompts: run slr run stability"
    ]


def test_a_pair_without_a_choice_has_no_stability() -> None:
    results = Results((*nothing_chosen(crc_records(PAIR)), *stability_records(PAIR)), "testbed")
    assert (results.stability_reports, results.unfinished_stability) == ([], [])

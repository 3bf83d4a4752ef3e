"""Every difference shown in ``paper_figures`` is the difference of two means shown, over the same items."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

TABLES = sorted((Path(__file__).parents[2] / "paper_figures").glob("*/tables/*.csv"))
TOLERANCE = 1e-9
LESS_INSTRUCT = " less instruct's"

Row = dict[str, str]


def rows_of(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_there_are_tables() -> None:
    assert len(TABLES) > 40


@pytest.mark.parametrize("path", TABLES, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
def test_shown_differences(path: Path) -> None:
    rows = rows_of(path)
    columns = set(rows[0]) if rows else set()
    if "difference" in columns:
        for row in rows:
            check_contrast(row)
    for column in columns:
        if column.endswith(LESS_INSTRUCT):
            check_column(rows, column)
    unknown = [c for c in columns if "difference" in c and not c.startswith("difference")]
    assert not unknown, f"nothing checks {unknown}"


def check_contrast(row: Row) -> None:
    if not row["difference"]:
        assert (row["items"], row["mean"], row["reference's mean"]) == ("0", "", ""), row
        return
    shown = float(row["mean"]) - float(row["reference's mean"])
    assert float(row["difference"]) == pytest.approx(shown, abs=TOLERANCE), row
    assert row["difference n"] == row["items"], row


def check_column(rows: list[Row], column: str) -> None:
    metric = column.removesuffix(LESS_INSTRUCT)
    names = [name for name in ("pair", "category", "prompts", "min-p") if name in rows[0]]
    instruct = {tuple(row[n] for n in names): row for row in rows if row["model"] == "instruct"}
    for row in rows:
        if row[column]:
            reference = instruct[tuple(row[n] for n in names)]
            shown = float(row[metric]) - float(reference[metric])
            assert float(row[column]) == pytest.approx(shown, abs=TOLERANCE), row
            assert row[f"{metric} n"] == reference[f"{metric} n"] == row[f"{column} n"], row


def contrasts_and_means() -> Iterator[tuple[Path, Path]]:
    for path in TABLES:
        means = path.with_name(path.name.replace("_contrasts", ""))
        if path != means and means.exists():
            yield path, means


@pytest.mark.parametrize(
    ("contrasts", "means"),
    list(contrasts_and_means()),
    ids=lambda path: f"{path.parts[-3]}/{path.stem}",
)
def test_means_of_contrasts_are_those_of_the_table_of_means(contrasts: Path, means: Path) -> None:
    """Where both are over all the items of the table of means."""
    group = "group" if "group" in (rows_of(means) or [{}])[0] else "genre"
    by_method = {
        (row["pair"], row.get(group, ""), row["method"]): row for row in rows_of(means) if "method" in row
    }
    for row in rows_of(contrasts):
        if "method" not in row:
            continue
        shown = by_method.get((row["pair"], row.get("group", ""), row["method"]), {})
        if shown.get(f"{row['metric']} n") == row["items"]:
            assert float(row["mean"]) == pytest.approx(float(shown[row["metric"]]), abs=TOLERANCE), row

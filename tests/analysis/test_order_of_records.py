"""Every figure's data and every table is the same, whatever the order of the records."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from slr.analysis.exhibit import Exhibit
from slr.analysis.load_results import Results
from slr.analysis.tables import TABLES
from slr.analysis.tables.table import Table
from slr.runs.records import AnyRecord
from tests.analysis.downstream_records import all_records

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def records() -> list[AnyRecord]:
    return all_records(("testbed-llama", "testbed-gemma"))


@pytest.mark.parametrize("exhibit", TABLES, ids=lambda exhibit: exhibit.id)
def test_tables_of_shuffled_records_are_equal(exhibit: Exhibit[Table], records: list[AnyRecord]) -> None:
    shuffled = random.Random(1).sample(records, len(records))
    one, other = Results(tuple(records), "testbed"), Results(tuple(shuffled), "testbed")
    if exhibit.need.found(one):
        assert exhibit.make(one).csv() == exhibit.make(other).csv()
    assert exhibit.need.lacking(one) == exhibit.need.lacking(other)

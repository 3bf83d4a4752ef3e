"""Every figure's data and every table is the same, whatever the order of the records."""

from __future__ import annotations

import random

import pytest

from analysis.exhibit import Exhibit
from analysis.load_results import Results
from analysis.tables import TABLES
from analysis.tables.table import Table
from slr.records import AnyRecord
from tests.analysis.downstream_records import all_records

RECORDS: list[AnyRecord] = all_records(("testbed-llama", "testbed-gemma"))


@pytest.mark.parametrize("exhibit", TABLES, ids=lambda exhibit: exhibit.name)
def test_tables_of_shuffled_records_are_equal(exhibit: Exhibit[Table]) -> None:
    shuffled = random.Random(1).sample(RECORDS, len(RECORDS))
    one, other = Results(tuple(RECORDS), "testbed"), Results(tuple(shuffled), "testbed")
    if exhibit.need.found(one):
        assert exhibit.make(one).csv() == exhibit.make(other).csv()
    assert exhibit.need.lacking(one) == exhibit.need.lacking(other)

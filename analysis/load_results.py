"""Read what was recorded: all experiments of one results directory."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from slr.crc.report import CrcReport, crc_report
from slr.records import AnyRecord, CrcSelection, Failure, PairInfo, SearchCost
from slr.results_store import ResultsStore

CRC_EXPERIMENT = "crc_search"
MESSAGE_CHARACTERS = 120
"""So much of an error is quoted where its result is missing."""


@dataclass(frozen=True)
class Results:
    """All records of a run, and of the search-cost measurements that may stand beside it."""

    records: tuple[AnyRecord, ...]
    name: str = ""
    """Of the directory, which is the preset's by default."""

    @cached_property
    def crc_reports(self) -> list[CrcReport]:
        """A report for each pair whose CRC study is complete, in the order in which they were run."""
        pairs = [record.pair for record in self.records if isinstance(record, CrcSelection)]
        return [crc_report(self.records, pair) for pair in pairs]

    @property
    def unfinished_pairs(self) -> list[str]:
        """Pairs whose CRC study has begun and is not complete, each with the reason in words."""
        study = [record for record in self.records if record.experiment == CRC_EXPERIMENT]
        finished = {record.pair for record in study if isinstance(record, CrcSelection)}
        reasons = {record.pair: "not finished" for record in study if record.pair not in finished}
        for record in study:
            if isinstance(record, Failure):
                message = textwrap.shorten(record.message, MESSAGE_CHARACTERS, placeholder="...")
                reasons[record.pair] = f"{record.error_type}: {message}"
        return [f"{pair} ({reason})" for pair, reason in reasons.items()]

    @property
    def pair_infos(self) -> list[PairInfo]:
        """The models compared."""
        return [record for record in self.records if isinstance(record, PairInfo)]

    @property
    def search_costs(self) -> list[SearchCost]:
        """Costs of searches, by either method."""
        return [record for record in self.records if isinstance(record, SearchCost)]


def load_results(results_dir: Path) -> Results:
    """Read every JSON-lines file of the directory, and ``search_cost/`` beside it.

    Raises:
        ValueError: if there is no such directory, or a file is damaged.
    """
    if not results_dir.is_dir():
        raise ValueError(
            f"there is no directory {results_dir} with results: run experiments/run_all.py first, or give the "
            "directory that holds crc_search.jsonl as --results-dir"
        )
    files = [
        *sorted(results_dir.glob("*.jsonl")),
        *sorted((results_dir.parent / "search_cost").glob("*.jsonl")),
    ]
    records = tuple(record for file in files for record in ResultsStore(file).read())
    return Results(records, results_dir.resolve().name)

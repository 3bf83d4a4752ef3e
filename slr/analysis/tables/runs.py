"""The origin of the numbers: code, time and machine of each run."""

from __future__ import annotations

from collections.abc import Sequence

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Table
from slr.runs.records import AnyRecord


def runs(results: Results) -> Table:
    """Make a row for each experiment and pair."""
    groups: dict[tuple[str, str], list[AnyRecord]] = {}
    for record in results.records:
        groups.setdefault((record.experiment, record.pair), []).append(record)
    return Table(
        "The origin of the records. A + after a commit means that the code had changes that were not committed.",
        ("experiment", "pair", "records", "begun", "ended", "commit", "device", "versions"),
        tuple((*key, len(records), *_source(records)) for key, records in groups.items()),
    )


def _source(records: Sequence[AnyRecord]) -> tuple[str, ...]:
    sources = [record.provenance for record in records]
    # All times are in UTC and of one form, so that they sort as text.
    times = sorted(source.created_at for source in sources)
    commits = dict.fromkeys(source.commit[:12] + ("+" if source.dirty else "") for source in sources)
    devices = dict.fromkeys(source.device for source in sources)
    versions = dict.fromkeys(
        ", ".join(f"{package} {version}" for package, version in source.versions.items())
        for source in sources
    )
    return times[0], times[-1], *("; ".join(words) for words in (commits, devices, versions))

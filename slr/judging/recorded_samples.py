"""The samples of an earlier experiment, as what a judge or canonicaliser works on."""

from __future__ import annotations

import hashlib
from typing import Any

from slr.runs.experiment import Results
from slr.runs.records import Samples


def recorded_samples(results: Results, pair: str) -> list[Samples]:
    """All samples of a pair, in the order in which they were drawn."""
    return [record for record in results.values() if isinstance(record, Samples) and record.pair == pair]


def samples_digest(results: Results, pair: str, experiment: str) -> dict[str, Any]:
    """A short hash of all texts, so that what was said of other texts is never added to.

    Raises:
        ValueError: if there are none.
    """
    samples = recorded_samples(results, pair)
    if not samples:
        raise ValueError(
            f"{pair} has no samples yet: run experiments/{experiment}.py with the same --preset and --output-dir first"
        )
    digest = hashlib.sha256()
    for record in sorted(samples, key=lambda record: record.key):
        digest.update(repr((record.key, record.texts)).encode())
    return {f"samples of {experiment}": digest.hexdigest()[:12]}

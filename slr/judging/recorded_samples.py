"""The samples of an earlier experiment, as what a judge or canonicaliser works on."""

from __future__ import annotations

import hashlib
from typing import Any

from slr.runs.records import Samples
from slr.runs.results import Results


def recorded_samples(results: Results, pair: str) -> list[Samples]:
    """All samples of a pair, in the order in which they were drawn."""
    return results.of_pair(pair).of_kind(Samples)


def samples_digest(results: Results, pair: str, experiment: str) -> dict[str, Any]:
    """A short hash of all texts, so that what was said of other texts is never added to.

    Samples count under the keys of their seeds, because those never change.

    Raises:
        ValueError: if there are none.
    """
    samples = recorded_samples(results, pair)
    if not samples:
        raise ValueError(
            f"{pair} has no samples yet: run experiments/{experiment}.py with the same --preset and --output-dir first"
        )
    digest = hashlib.sha256()
    for record in sorted(samples, key=lambda record: record.seed_key):
        digest.update(repr((record.seed_key, record.texts)).encode())
    return {f"samples of {experiment}": digest.hexdigest()[:12]}

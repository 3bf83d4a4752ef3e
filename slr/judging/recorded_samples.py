"""Samples of an earlier experiment, on which a judge or a canonicaliser works."""

from __future__ import annotations

import hashlib
from typing import Any

from slr.runs.records import Samples
from slr.runs.results import RecordsByKey


def recorded_samples(results: RecordsByKey, pair: str) -> list[Samples]:
    """All samples of a pair, in the order in which they were drawn."""
    return results.of_pair(pair).of_kind(Samples)


def samples_digest(results: RecordsByKey, pair: str, experiment: str) -> dict[str, Any]:
    """A short hash of all texts, so that judgements of other texts are never added to the same records.

    Samples count under the keys of their seeds, because those keys never change.

    Args:
        results: results of the experiment.
        pair: name of the pair.
        experiment: name of the experiment that drew the samples.

    Returns:
        The hash, under a name in words.

    Raises:
        ValueError: if there are no samples.
    """
    samples = recorded_samples(results, pair)
    if not samples:
        raise ValueError(
            f"{pair} has no samples yet: run slr run {experiment} with the same --preset and --output-dir first"
        )
    digest = hashlib.sha256()
    for record in sorted(samples, key=lambda record: record.seed_key):
        digest.update(repr((record.seed_key, record.texts)).encode())
    return {f"samples of {experiment}": digest.hexdigest()[:12]}

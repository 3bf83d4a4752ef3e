"""CRC scores of testbed pairs that were trained from other seeds; their weights do not ship.

``python -m slr.testbed.seeds --pairs-dir DIR`` makes one file for each pair that ``python -m slr.testbed.training
--seed SEED`` has written to DIR:

    llama-1.jsonl.gz    line 1: the shipped pair's name, the seed, and what training measured
                        other lines: records of the experiments ``crc_search`` and ``stability``, without min-p

Numbers are rounded to ``DECIMALS`` decimals, so that the files stay small.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from slr.models.packaged import TESTBED_NAMES, testbed_directory
from slr.runs.records import RECORD_ADAPTER, AnyRecord

DECIMALS = 6
SUFFIX = ".jsonl.gz"


class TrainedPair(BaseModel):
    """How a pair was trained.

    Attributes:
        pair: name of the shipped pair, which has the same family, data and sizes.
        seed: seed of its training.
        training: what ``training.json`` says of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pair: str
    seed: int
    training: dict[str, Any]


@cache
def other_seeds(pair: str) -> dict[int, list[AnyRecord]]:
    """Read the scores of the pairs trained from other seeds.

    Args:
        pair: name of a shipped pair, such as "testbed-llama".

    Returns:
        Records by seed, in the order of the seeds; nothing for a pair that is not the testbed's.
    """
    files = [Path(str(entry)) for entry in resources.files(__name__).iterdir() if entry.name.endswith(SUFFIX)]
    found = [read_scores(file) for file in files]
    of_pair = {trained.seed: records for trained, records in found if trained.pair == pair}
    return dict(sorted(of_pair.items()))


def shipped_seed(pair: str) -> int | None:
    """The seed of a shipped pair's training; None for a pair that is not the testbed's."""
    for family in TESTBED_NAMES:
        if pair == f"testbed-{family}":
            training = json.loads((testbed_directory(family) / "training.json").read_text(encoding="utf-8"))
            return int(training["config"]["seed"])
    return None


def read_scores(path: Path) -> tuple[TrainedPair, list[AnyRecord]]:
    """Read one file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        trained = TrainedPair.model_validate_json(next(lines))
        return trained, [RECORD_ADAPTER.validate_json(line) for line in lines]


def write_scores(path: Path, trained: TrainedPair, records: Sequence[AnyRecord]) -> None:
    """Write one file. Equal content gives equal bytes.

    Args:
        path: the file.
        trained: how the pair was trained.
        records: its records.
    """
    rows = [_rounded(record.model_dump(mode="json")) for record in records]
    lines = [trained.model_dump_json(), *(json.dumps(row, separators=(",", ":")) for row in rows)]
    # Without a time and a name, because both would change the bytes.
    with path.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write("".join(f"{line}\n" for line in lines).encode())


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value

"""Damaged records: one line of a file of records, changed in one place."""

from __future__ import annotations

import copy
import json
from functools import partial
from pathlib import Path
from typing import Any

from slr.runs.record_lines import line_of
from slr.runs.records import CrcScore
from tests.analysis.synthetic import PROVENANCE, crc_records
from tests.bad_inputs.case import BadInput

PAIR = "testbed-llama"
NAN, INFINITE = float("nan"), float("inf")

# What the records of one kind are, beside those of a CRC study.
HEADER: dict[str, Any] = {
    "experiment": "creative_writing",
    "pair": PAIR,
    "provenance": PROVENANCE.model_dump(),
}
OTHERS: dict[str, dict[str, Any]] = {
    "configuration": {
        "settings": {"max_prompts": 4},
        "dtype": "float32",
        "base": "a/b",
        "base_weights": None,
        "instruct": "a/c",
        "instruct_weights": None,
    },
    "samples": {
        "family": "llama",
        "task": "creative_writing",
        "source": "testbed",
        "group": "poem",
        "prompt_id": "poem-1",
        "text": "Write.",
        "request": "Write.",
        "method": "instruct",
        "model": "instruct",
        "interval": None,
        "alpha": None,
        "prompting": "direct",
        "sampling": {"temperature": 1.0},
        "seed": 0,
        "expected": None,
        "texts": ["one", "two"],
        "num_tokens": [1, 1],
        "finished": [True, False],
    },
    "sample_measures": {
        "samples": "some/samples",
        "encoder": "e",
        "embedding_diversity": 0.4,
        "adherence": [0.5, None],
        "longer_than_window": [False, False],
    },
    "problem_set": {"tried": ["p1", "p2"], "wrong": ["p2"]},
    "judge_scores": {
        "family": "llama",
        "group": "poem",
        "prompt_id": "poem-1",
        "method": "instruct",
        "samples": "some/samples",
        "judge": "j",
        "host": "h",
        "rubric_version": "1",
        "indices": [0, 3],
        "scores": {"fluency": [5, None], "originality": [5, None], "adherence": [5, None]},
    },
    "canonical_answers": {
        "method": "instruct",
        "samples": "some/samples",
        "model": "m",
        "host": "h",
        "prompt_version": "1",
        "meant": ["one", None],
        "num_asked": 2,
        "num_unusable": 0,
    },
    "harness_score": {
        "family": "llama",
        "model": "base",
        "interval": None,
        "alpha": None,
        "task": "arc",
        "task_version": "1",
        "num_fewshot": 0,
        "chat_template": False,
        "metric": "acc",
        "value": 0.5,
        "standard_error": 0.1,
        "document_scores": [0.0, 1.0],
        "harness_version": "1",
    },
}
GOOD: dict[str, dict[str, Any]] = {
    kind: {**HEADER, "kind": kind, **fields} for kind, fields in OTHERS.items()
}
for record in reversed(crc_records(PAIR)):
    GOOD[record.kind] = json.loads(record.model_dump_json())
GOOD["hybrid"] = next(
    json.loads(r.model_dump_json())
    for r in crc_records(PAIR)
    if isinstance(r, CrcScore) and r.model == "hybrid"
)
GOOD["soup"] = next(
    json.loads(r.model_dump_json())
    for r in crc_records(PAIR)
    if isinstance(r, CrcScore) and r.model == "soup"
)
REMOVED = "(removed)"


def damaged(kind: str, place: str, value: Any) -> bytes:
    """A good record's line with one value changed; ``place`` is written with dots."""
    record = copy.deepcopy(GOOD[kind])
    inner: Any = record
    *path, last = [int(part) if part.isdecimal() else part for part in place.split(".")]
    for part in path:
        inner = inner[part]
    if value is REMOVED:
        del inner[last]
    else:
        inner[last] = value
    return json.dumps(record).encode()


BAD_VALUES: tuple[tuple[str, str, Any, str], ...] = (
    ("crc_score", "validity.0", 2.5, "less than or equal to 1"),
    ("crc_score", "validity.3", -3, "greater than or equal to -0.0001"),
    ("crc_score", "validity.1", 1.001, "less than or equal to 1"),
    ("crc_score", "validity.1", NAN, "finite number"),
    ("crc_score", "validity.1", INFINITE, "finite number"),
    ("crc_score", "validity.1", "0.5", "valid number"),
    ("crc_score", "validity.1", True, "valid number"),
    ("crc_score", "validity.1", [0.5], "valid number"),
    ("crc_score", "validity", {"a": 1}, "valid"),
    ("crc_score", "validity", [0.5, 0.5], "validity has 2"),
    ("crc_score", "validity", REMOVED, "Field required"),
    ("crc_score", "diversity", [0.5], "diversity has 1"),
    ("crc_score", "diversity.2", 1.00001, "less than or equal to 1"),
    ("crc_score", "diversity.2", -INFINITE, "finite number"),
    ("crc_score", "prompt_ids", [], "at least 1 item"),
    ("crc_score", "prompt_ids", ["a", "b", "b", "c"], "'b' twice"),
    ("crc_score", "num_layers", 0, "greater than or equal to 1"),
    ("crc_score", "num_layers", 3.5, "valid integer"),
    ("crc_score", "prompt_set", "training", "'selection' or 'held_out'"),
    ("crc_score", "model", "chimera", "'base', 'instruct', 'hybrid' or 'soup'"),
    ("crc_score", "surprise", 1, "surprise"),
    ("crc_score", "kind", "crc_scores", "crc_scores"),
    ("crc_score", "kind", REMOVED, "kind"),
    ("crc_score", "experiment", "", "at least 1 character"),
    ("crc_score", "interval", [0, 1], "a hybrid has an interval"),
    ("crc_score", "alpha", 0.5, "a soup has an alpha"),
    ("hybrid", "interval", None, "a hybrid has an interval"),
    ("hybrid", "interval", [2, 1], "2:1"),
    ("hybrid", "interval", [-1, 1], "-1:1"),
    ("hybrid", "interval", [0, 99], "does not fit 3 layers"),
    ("hybrid", "interval", [0], "Field required"),
    ("soup", "alpha", 1.5, "less than or equal to 1"),
    ("soup", "alpha", None, "a soup has an alpha"),
    ("crc_selection", "interval", [1, 9], "does not fit 3 layers"),
    ("crc_selection", "min_validity_ratio", 90, "less than or equal to 1"),
    ("crc_selection", "instruct_validity", 7, "less than or equal to 1"),
    ("crc_selection", "soup_alpha", -1, "greater than or equal to 0"),
    ("pair_info", "num_parameters", -5, "greater than or equal to 1"),
    ("pair_info", "family", 7, "family"),
    ("pair_info", "provenance", None, "provenance"),
    ("pair_info", "provenance.dirty", "perhaps", "valid boolean"),
    ("pair_info", "provenance.schema_version", 99, "schema version 99, which a later version of slr wrote"),
    ("pair_info", "provenance.schema_version", 3, "reads versions up to 2: update slr"),
    ("pair_info", "provenance.schema_version", 0, "Input should be 2"),
    ("pair_info", "provenance.schema_version", "1", "Input should be 2"),
    ("search_cost", "seconds", -0.5, "greater than or equal to 0"),
    ("search_cost", "num_intervals", 0, "greater than or equal to 1"),
    ("search_cost", "peak_memory_bytes", -1, "greater than or equal to 0"),
    ("configuration", "settings", {"deep": {"rate": [1.0, NAN]}}, "expected finite numbers"),
    ("configuration", "engine", "abacus", "engine"),
    ("samples", "texts", ["one"], "texts has 1"),
    ("samples", "finished", [], "finished has 0"),
    ("samples", "num_tokens.0", -1, "greater than or equal to 0"),
    ("samples", "texts.0", None, "valid string"),
    ("samples", "sampling", {"temperature": NAN}, "finite number"),
    ("sample_measures", "adherence.0", 3.0, "less than or equal to 1"),
    ("sample_measures", "longer_than_window", [True], "longer_than_window has 1"),
    ("problem_set", "wrong", ["p9"], "'p9', which is not among those tried"),
    ("problem_set", "tried", ["p2", "p2"], "'p2' twice"),
    ("judge_scores", "scores.fluency.0", 11, "less than or equal to 10"),
    ("judge_scores", "scores.fluency.0", 0, "greater than or equal to 1"),
    ("judge_scores", "scores.fluency.0", 7.5, "valid integer"),
    ("judge_scores", "scores.adherence", [5], "adherence has 1"),
    ("judge_scores", "indices", [3, 3], "3 twice"),
    ("canonical_answers", "num_asked", 3, "num_asked 3, of 2 samples"),
    ("canonical_answers", "num_unusable", 3, "num_unusable is 3"),
    ("harness_score", "standard_error", -0.1, "greater than or equal to 0"),
    ("harness_score", "document_scores.0", NAN, "finite number"),
)
BAD_LINES: tuple[tuple[bytes, str], ...] = (
    (b"", "Invalid JSON"),
    (b"{", "Invalid JSON"),
    (b"null", "no record"),
    (b"[]", "no record"),
    (b"7", "no record"),
    (b"{}", "kind"),
    (b"\xff\xfe\x00", "Invalid JSON"),
    (
        line_of(crc_records(PAIR)[0]).encode().replace(b"some/instruct", b"some/caf\xe9").strip(),
        "Invalid JSON",
    ),
    (b"\x00" * 50, "Invalid JSON"),
    (b"[" * 100_000, "no record"),
    (b'{"kind":"' + b"k" * 3_000_000 + b'"}', "no record"),
    (line_of(crc_records(PAIR)[0]).encode()[:200], "Invalid JSON"),
)


def _write_records(line: bytes, here: Path) -> None:
    """Records whose second line is that one."""
    (here / "testbed").mkdir()
    first, *_ = crc_records("testbed-qwen")
    (here / "testbed" / "crc_search.jsonl").write_bytes(line_of(first).encode() + line + b"\n")


def _case(name: str, line: bytes, words: str) -> BadInput:
    return BadInput(
        "records",
        "slr figures --results-dir testbed --output-dir figures",
        ("testbed/crc_search.jsonl, line 2 is ", words),
        prepare=partial(_write_records, line),
        name=name,
    )


RECORDS: tuple[BadInput, ...] = (
    *(_case(str(change[:3]), damaged(*change[:3]), change[3]) for change in BAD_VALUES),
    *(_case(repr(line[:12]), line, words) for line, words in BAD_LINES),
)

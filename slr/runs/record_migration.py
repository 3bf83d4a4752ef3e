"""Records of earlier schema versions, brought to today's when they are read.

Version 1 called the hybrid ``slr``, methods conditions and their ids names. It wrote whole numbers of a sampling
setting as fractions, and pairs of names and values in settings as objects. What was measured is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Values = dict[str, Any]
"""A record as it is in JSON."""


def migrated(record: Values, version: int) -> Values:
    """The record of that schema version as today's version has it.

    Raises:
        LookupError: if it lacks a part that every record of its version has.
        TypeError, AttributeError: if a part is of the wrong kind.
    """
    for step in _STEPS[version - 1 :]:
        record = step(record)
    return record


def _from_version_1(record: Values) -> Values:
    pair, kind = record["pair"], record["kind"]
    provenance = record["provenance"]
    cell = _renamed_after(f"{pair}/", provenance["cell"])
    changes: Values = {"provenance": {**provenance, "schema_version": 2, "cell": cell}}
    if kind in ("samples", "judge_scores", "canonical_answers"):
        changes["method"] = _renamed(record["method"])
    if kind in ("samples", "harness_score"):
        changes["model"] = _renamed(record["model"])
        changes["references"] = [_renamed(reference) for reference in record.get("references", [])]
    if kind in ("sample_measures", "judge_scores", "canonical_answers"):
        changes["samples"] = _renamed_after(f"{pair}/samples/", record["samples"])
    if kind == "samples":
        changes["sampling"] = _sampling(record["sampling"])
    if kind == "configuration":
        changes["settings"] = _settings(record["settings"])
    return {**record, **changes}


_STEPS: tuple[Callable[[Values], Values], ...] = (_from_version_1,)
"""Steps from each version to the next, version 1 first."""


def _renamed(id_: str) -> str:
    """The id of a model or method: "slr" was a word of its own in it, and the first."""
    first, space, rest = id_.partition(" ")
    return f"hybrid{space}{rest}" if first == "slr" else id_


def _renamed_after(prefix: str, key: str) -> str:
    """A key in which the id of a model or method stands behind the prefix, up to a stroke."""
    if not key.startswith(prefix):
        return key
    id_, stroke, rest = key.removeprefix(prefix).partition("/")
    return f"{prefix}{_renamed(id_)}{stroke}{rest}"


def _sampling(sampling: Values) -> Values:
    whole = {name: int(sampling[name]) for name in ("top_k", "max_new_tokens") if name in sampling}
    return {**sampling, **whole}


def _settings(settings: Values) -> Values:
    """The settings of any experiment: each kind has only some of these."""
    changed = {name: value for name, value in settings.items() if name != "conditions"}
    if "conditions" in settings:
        changed["methods"] = [_method(condition) for condition in settings["conditions"]]
    if "fluency_models" in settings:
        changed["fluency_models"] = list(map(list, settings["fluency_models"].items()))
    for name in ("judge", "model"):
        if name in settings:
            changed[name] = {
                **settings[name],
                "parameters": list(map(list, settings[name]["parameters"].items())),
            }
    return changed


def _method(condition: Values) -> Values:
    return {
        "id": _renamed(condition["name"]),
        **{name: value for name, value in condition.items() if name != "name"},
        "model": _renamed(condition["model"]),
        "references": [_renamed(reference) for reference in condition.get("references", [])],
    }

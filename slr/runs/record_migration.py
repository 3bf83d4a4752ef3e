"""Records of earlier schema versions, converted to the present version when they are read.

In version 1 the hybrid was called ``slr``, methods were called conditions, and their ids names. Whole numbers of a
sampling setting were written as fractions. Pairs of names and values in settings were written as objects. The measured
values are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Values = dict[str, Any]
"""A record as JSON has it."""


def migrated(record: Values, version: int) -> Values:
    """Convert a record of an earlier schema version to the present version.

    Args:
        record: the record as JSON has it.
        version: schema version of the record, from 1.

    Returns:
        The record as the present version has it.

    Raises:
        LookupError: if the record lacks a part that every record of its version has.
        TypeError: if a part has the wrong type.
        AttributeError: if a part has the wrong type.
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
"""Conversions from each version to the next, version 1 first."""


def _renamed(id_: str) -> str:
    """The present id of a model or method. In version 1 "slr" was its first word, if the hybrid was in it."""
    first, space, rest = id_.partition(" ")
    return f"hybrid{space}{rest}" if first == "slr" else id_


def _renamed_after(prefix: str, key: str) -> str:
    """A key with the present id of a model or method. The id is between the prefix and the next stroke."""
    if not key.startswith(prefix):
        return key
    id_, stroke, rest = key.removeprefix(prefix).partition("/")
    return f"{prefix}{_renamed(id_)}{stroke}{rest}"


def _sampling(sampling: Values) -> Values:
    whole = {name: int(sampling[name]) for name in ("top_k", "max_new_tokens") if name in sampling}
    # Only these two settings are whole numbers.
    return {**sampling, **whole}


def _settings(settings: Values) -> Values:
    """The settings of any experiment. Each experiment has only some of the names here."""
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

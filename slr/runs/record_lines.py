"""One record as one line of JSON, checked both when it is written and when it is read."""

from __future__ import annotations

import json

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from slr.runs.record_migration import migrated
from slr.runs.records import RECORD_ADAPTER, SCHEMA_VERSION, AnyRecord


def line_of(record: AnyRecord) -> str:
    """Write a record as a line of JSON that ``record_of`` reads.

    Raises:
        ValueError: if the line could not be read again, because a number is outside its limits or not finite, or a
            text is not valid Unicode.
    """
    try:
        line = record.model_dump_json()
        # JSON has no NaN and writes null for it, so the numbers themselves are checked too.
        RECORD_ADAPTER.validate_python(record.model_dump())
        RECORD_ADAPTER.validate_json(line, strict=True)
    except ValidationError as error:
        raise ValueError(
            f"the record {record.key} is not written, because it could not be read again ({_in_words(error)})"
        ) from None
    except PydanticSerializationError as error:
        raise ValueError(f"the record {record.key} cannot be written: {error}") from None
    return line + "\n"


def record_of(line: bytes) -> AnyRecord:
    """Read the record of a line, in the schema version of today.

    Raises:
        ValueError: if the line is no valid record; the message says what is wrong with it and what to do.
    """
    version = _version_of(line)
    try:
        if 1 <= version < SCHEMA_VERSION:
            line = json.dumps(migrated(json.loads(line), version)).encode()
        return RECORD_ADAPTER.validate_json(line, strict=True)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"is a record of schema version {version} that lacks a part of it ({type(error).__name__}: {error}), so "
            f"it cannot be read as version {SCHEMA_VERSION}; mend the line, or delete the file to start anew"
        ) from None
    except ValidationError as error:
        if version > SCHEMA_VERSION:
            raise ValueError(
                f"is a record of schema version {version}, which a later version of slr wrote; this one reads "
                f"versions up to {SCHEMA_VERSION}: update slr, or give another directory"
            ) from None
        raise ValueError(
            f"is no record of this version ({_in_words(error)}); mend the line, or delete the file to start anew"
        ) from None


def _in_words(error: ValidationError) -> str:
    # Later problems often follow from the first one.
    problem = error.errors(include_url=False)[0]
    where = ".".join(map(str, problem["loc"]))
    what = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what


def _version_of(line: bytes) -> int:
    """Find the schema version that a line claims to have; 0 if it claims none."""
    try:
        version = json.loads(line)["provenance"]["schema_version"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0
    return version if type(version) is int else 0

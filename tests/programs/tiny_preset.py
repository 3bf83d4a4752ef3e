"""The preset ``testbed`` with one tiny pair in it, and a place to halt, for programs that tests start."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from slr.models.presets import PRESETS, Preset
from slr.models.reference import ModelReference, PairSpec
from slr.runs.records import AnyRecord
from slr.runs.results_store import ResultsStore


def use_tiny_preset(directory: str) -> None:
    """Have the preset consist of the Llama pair of 6 layers in that directory."""
    base, instruct = (ModelReference(f"{directory}/{side}") for side in ("base", "instruct"))
    spec = PairSpec(
        name="tiny-llama", family="llama", base=base, instruct=instruct, num_layers=6, num_parameters=None
    )
    PRESETS["testbed"] = Preset("testbed", (spec,), "tiny")


def halt_after(num_batches: int) -> None:
    """Have the process wait, once it has written that many batches of records, until a signal ends it."""
    append = ResultsStore.append
    written = 0

    def append_and_halt(store: ResultsStore, records: Iterable[AnyRecord]) -> None:
        nonlocal written
        append(store, records)
        written += 1
        if written == num_batches:
            threading.Event().wait()

    ResultsStore.append = append_and_halt  # pyright: ignore[reportAttributeAccessIssue]

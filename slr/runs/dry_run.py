"""Print what a run would do, with an estimate of its cost. No weights are loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from slr.models.packaged import LAPTOP_PREFIX, TESTBED_PREFIX
from slr.models.reference import ModelReference, PairSpec
from slr.runs.cell_times import measured_cells
from slr.runs.experiment import AnyExperiment, Cell, store_of
from slr.runs.results import RecordsByKey
from slr.runs.script import ScriptOptions
from slr.runs.speed import KNOWN_SPEEDS, DeviceSpeed, device_speed
from slr.terminal.progress import format_seconds
from slr.terminal.tables import print_sentence, print_table

BYTES_ON_DISK = 2
"""Bytes of a weight in a hub checkpoint, which is nearly always in 16 bits."""
BYTES_IN_MEMORY = {"cpu": 4, "cuda": 2}
"""Bytes of a weight by kind of device, in the default dtype."""


@dataclass(frozen=True)
class _Planned:
    """A cell, and what is known of it.

    Attributes:
        seconds: estimated time in seconds; None where its FLOP are not known.
        is_done: whether its records are there.
        took: real time in seconds; None unless the cell is done and its time on record.
    """

    experiment: str
    cell: Cell
    seconds: float | None
    is_done: bool
    took: float | None


def print_plan(
    experiments: Sequence[AnyExperiment], options: ScriptOptions, with_cells: bool = False
) -> None:
    """Print the estimated time of each experiment, and the memory, download and disk that the run needs.

    Args:
        experiments: the experiments of the run.
        options: its pairs, and where its records are.
        with_cells: whether to print every cell too.
    """
    assumed = "cpu" if options.preset.is_for_cpu else "cuda"
    kind = (options.device or assumed).split(":")[0]
    kind = kind if kind in KNOWN_SPEEDS else "cpu"
    speed = device_speed(kind)
    pairs = options.pairs()
    plan = list(_planned(experiments, options, pairs, speed))
    if with_cells:
        _print_cells(plan)
        print()
    unit = "GPU" if kind == "cuda" else "CPU"
    by_experiment = {
        name: [planned for planned in plan if planned.experiment == name]
        for name in dict.fromkeys(planned.experiment for planned in plan)
    }
    # An experiment of which nothing is done takes after the others.
    overall = _ratio(plan) or 1.0
    ratios = {name: _ratio(cells) or overall for name, cells in by_experiment.items()}
    rows = [_row(name, cells, ratios) for name, cells in by_experiment.items()]
    columns = ("experiment", "cells done", f"{unit} time", "done in", "left to do")
    print_table(columns, [*rows, _row("in all", plan, ratios)])
    print()
    for sentence in _needs(pairs, kind, options.output_dir):
        print_sentence(sentence)
    if _ratio(plan) is not None:
        print_sentence(
            f"The cells that are done took {overall:,.2f} times their estimate, and what is left is scaled by that, "
            "experiment by experiment."
        )
    print_sentence(
        f"The times follow from {_in_words(speed.forward)}, and {_in_words(speed.sampling)} while sampling, "
        f"{speed.origin}; `slr calibrate` measures a device. Measuring texts adds to them. --cells lists the cells."
    )


def _planned(
    experiments: Sequence[AnyExperiment],
    options: ScriptOptions,
    pairs: Sequence[PairSpec],
    speed: DeviceSpeed,
) -> Iterator[_Planned]:
    for experiment in experiments:
        results = RecordsByKey(
            (key, record)
            for store in (experiment.builds_on, experiment)
            if store is not None
            for key, record in store.results_in(store_of(store, options.output_dir).read()).items()
        )
        times = measured_cells(results.values())
        for spec in pairs:
            for cell in experiment.cells(spec):
                is_done = cell.is_done(results)
                time = times.get((experiment.name, cell.key)) if is_done else None
                took = None if time is None else time.seconds
                yield _Planned(experiment.name, cell, speed.seconds(cell.cost), is_done, took)


def _ratio(plan: Sequence[_Planned]) -> float | None:
    """Real time divided by estimate, of the done cells with both; None if there is none."""
    both = [(cell.took, cell.seconds) for cell in plan if cell.took is not None and cell.seconds is not None]
    estimated = sum(seconds for _, seconds in both)
    return sum(took for took, _ in both) / estimated if estimated else None


def _row(name: str, plan: Sequence[_Planned], ratios: Mapping[str, float]) -> tuple[str, ...]:
    done = [planned for planned in plan if planned.is_done]
    left = [
        None if planned.seconds is None else planned.seconds * ratios[planned.experiment]
        for planned in plan
        if not planned.is_done
    ]
    estimated, took = [planned.seconds for planned in plan], [planned.took for planned in done]
    return name, f"{len(done)} of {len(plan)}", _time(estimated), _time(took), _time(left)


def _time(seconds: Sequence[float | None]) -> str:
    """The time of cells; what is not known is said, and not counted."""
    known = [number for number in seconds if number is not None]
    if seconds and not known:
        return "not known"
    return format_seconds(sum(known)) + (" and more" if len(known) < len(seconds) else "")


def _print_cells(plan: Sequence[_Planned]) -> None:
    rows = []
    for planned in plan:
        cost = planned.cell.cost
        work = (
            "?" if cost.flops is None else f"{cost.flops:.1e}",
            "?" if planned.seconds is None else f"{planned.seconds:.1f}",
        )
        state = "done" if planned.is_done else "to do"
        evaluations, tokens = f"{cost.layer_evaluations:,}", f"{cost.tokens:,}"
        rows.append((planned.experiment, planned.cell.key, state, evaluations, tokens, *work))
    columns = ("experiment", "cell", "state", "layer evaluations", "tokens", "FLOP", "seconds")
    print_table(columns, rows, num_text_columns=3)


def _in_words(speed: float) -> str:
    """Write a speed in FLOP per second with a unit, such as ``2.5 TFLOP/s``."""
    return f"{speed / 1e12:.3g} TFLOP/s" if speed >= 1e12 else f"{speed / 1e9:.3g} GFLOP/s"


def pair_bytes(spec: PairSpec, kind: str) -> int:
    """Bytes of the weights of both models in the default dtype; 0 where their number is not known.

    Args:
        spec: the pair.
        kind: ``cpu`` or ``cuda``.
    """
    return 2 * (spec.num_parameters or 0) * BYTES_IN_MEMORY[kind]


def _needs(pairs: Sequence[PairSpec], kind: str, output_dir: Path) -> Iterator[str]:
    """Yield a sentence each on memory, downloads and disk."""
    largest = max((pair_bytes(spec, kind) for spec in pairs), default=0)
    if largest:
        free = psutil.virtual_memory().available
        is_free = f" {free / 1e9:,.1f} GB are free." if kind == "cpu" else ""
        where = "GPU memory" if kind == "cuda" else "Memory"
        yield f"{where}: {largest / 1e9:,.2f} GB for both models of the largest pair, and room to compute.{is_free}"
    missing = {
        side: spec.num_parameters
        for spec in pairs
        for side in (spec.base, spec.instruct)
        if _is_to_download(side) and not (side == spec.instruct and spec.instruct_is_adapter)
    }
    known = [count * BYTES_ON_DISK for count in missing.values() if count is not None]
    download = f"about {sum(known) / 1e9:,.1f} GB" if known else "of a size that is not known"
    yield (
        f"Download: {len(missing)} models, {download}."
        if missing
        else "Download: nothing, all models are here."
    )
    place = next(
        directory for directory in (output_dir, *output_dir.absolute().parents) if directory.exists()
    )
    free = shutil.disk_usage(place).free / 1e9
    yield f"Disk: the download and the records; {free:,.1f} GB are free where the records go."


def _is_to_download(reference: ModelReference) -> bool:
    """Whether a model is on the hub, and the local cache lacks weights of it."""
    # Asking for the directory of a laptop model would make the model.
    if reference.location.startswith((TESTBED_PREFIX, LAPTOP_PREFIX)) or reference.directory is not None:
        return False
    from huggingface_hub import try_to_load_from_cache

    whole, index = (
        try_to_load_from_cache(reference.location, name, revision=reference.revision)
        for name in ("model.safetensors", "model.safetensors.index.json")
    )
    if isinstance(whole, str):
        return False
    if not isinstance(index, str):
        return True
    shards = json.loads(Path(index).read_bytes())["weight_map"].values()
    return not all(Path(index).with_name(shard).exists() for shard in shards)

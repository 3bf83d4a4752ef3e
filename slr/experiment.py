"""Experiments as lists of cells, and the loop that runs what is still missing.

A *cell* is a piece of work on one pair. It yields batches of records, each of which is on disk before the
next is begun. A cell is done when every record that it is expected to make is there, so a run that was
stopped at any moment goes on where it was, and nothing is done twice. A cell that fails leaves a failure
record; cells that do not need it are still run, and the next run tries it again.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slr.model_pairs import ModelReference, PairSpec
from slr.progress import OnProgress, progress_bar
from slr.provenance import config_hash, describe_device, provenance, weights_digest
from slr.records import AnyRecord, Configuration, Failure
from slr.results_store import ResultsStore

if TYPE_CHECKING:
    import torch

    from slr.checkpoints import ModelPair

logger = logging.getLogger(__name__)

Results = Mapping[str, AnyRecord]
"""Results so far, by key."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """An estimate: evaluations of one decoder layer on one model's state, and tokens summed over them.

    ``flops`` is 2 x (parameters of a layer) x tokens; None where the number of parameters is not known.
    """

    layer_evaluations: int
    tokens: int
    flops: float | None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A piece of work on one pair.

    ``record_keys`` gives the keys that the cell makes, or None as long as they depend on results that are
    not there. ``needs`` names cells that must be done first. ``run`` yields batches of records.
    """

    key: str
    record_keys: Callable[[Results], Iterable[str] | None]
    run: Callable[[CellContext], Iterator[Sequence[AnyRecord]]]
    cost: Cost
    needs: tuple[str, ...] = ()

    def is_done(self, results: Results) -> bool:
        """Whether all its records are there."""
        keys = self.record_keys(results)
        return keys is not None and all(key in results for key in keys)


Columns = tuple[list[str], list[list[Any]]]
"""Names of columns, and rows."""


@dataclass(frozen=True, kw_only=True)
class RunMirror:
    """What of one pair's records is shown in W&B: summary figures, tables as columns and rows, and curves.

    A curve is written like a table; its first column is the horizontal axis.
    """

    summary: dict[str, Any]
    tables: dict[str, Columns]
    curves: dict[str, Columns] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A question, the configuration that answers it, and the cells for each pair.

    ``config`` is a frozen dataclass of plain values. ``job_type`` and ``mirror`` are for W&B; without
    ``mirror`` only the records themselves go there. An experiment that ``builds_on`` another finds the other's
    records of the pair among its results; ``inputs`` names what of them its own depend on, and raises
    ``ValueError`` if it is not there.
    """

    name: str
    question: str
    config: Any
    cells: Callable[[PairSpec], list[Cell]]
    job_type: str
    mirror: Callable[[Sequence[AnyRecord], str], RunMirror] | None = None
    builds_on: Experiment | None = None
    inputs: Callable[[Results, PairSpec], dict[str, Any]] = lambda _results, _spec: {}


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Where an experiment runs and writes. ``dtype`` None is the checkpoints' own."""

    output_dir: Path
    device: str = "cpu"
    dtype: torch.dtype | None = None

    def configuration(self, experiment: Experiment, spec: PairSpec, earlier: Results) -> Configuration:
        """All that the experiment's results for the pair depend on, beside the code.

        ``earlier`` has the results of the experiment that it builds on.
        """
        dtype = "own" if self.dtype is None else str(self.dtype).removeprefix("torch.")
        key = f"{spec.name}/configuration"
        return Configuration(
            experiment=experiment.name,
            pair=spec.name,
            provenance=provenance(key, config_hash(experiment.config, dtype), describe_device(self.device)),
            settings=json.loads(json.dumps(dataclasses.asdict(experiment.config))),
            dtype=dtype,
            base=str(spec.base),
            base_weights=_weights_digest(spec.base),
            instruct=str(spec.instruct),
            instruct_weights=_weights_digest(spec.instruct),
            inputs=json.loads(json.dumps(experiment.inputs(earlier, spec))),
        )


def _weights_digest(reference: ModelReference) -> str | None:
    try:
        directory = reference.directory
    except ValueError:  # there is no such directory, which is said when the pair is needed
        return None
    return None if directory is None else weights_digest(directory)


class UnusablePairError(ValueError):
    """A pair that cannot be opened or loaded, with the reason and what to do."""


class PairOnDemand:
    """A pair that is loaded when a cell first asks for it."""

    def __init__(self, spec: PairSpec, settings: RunSettings, loaded: ModelPair | None = None) -> None:
        self.spec = spec
        self._settings = settings
        self._loaded = loaded

    def get(self) -> ModelPair:
        """The pair.

        Raises:
            UnusablePairError: for every error of ``load_spec``.
        """
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def give_up(self) -> None:
        """Free the memory that the pair takes, for two pairs would not fit a device that one of them fills."""
        self._loaded = None
        gc.collect()
        if torch := sys.modules.get("torch"):
            torch.cuda.empty_cache()

    def _load(self) -> ModelPair:
        from slr.checkpoints import load_spec

        spec, settings = self.spec, self._settings
        try:
            pair = load_spec(spec, dtype=settings.dtype, device=settings.device)
        except ValueError as error:
            raise UnusablePairError(f"{spec.name}: {error}") from error
        for note in pair.notes:
            _say(f"{spec.name}: {note}")
        if spec.num_layers is not None and pair.num_layers != spec.num_layers:
            raise UnusablePairError(
                f"{spec.name}: the models have {pair.num_layers} layers, expected {spec.num_layers}"
            )
        family = pair.family if spec.family == "other" else spec.family
        return dataclasses.replace(pair, name=spec.name, family=family)


@dataclass(frozen=True, kw_only=True)
class CellContext:
    """What a running cell has: its pair, all results so far (this cell's own too), and its provenance.

    A long cell calls ``on_progress`` with the work done and its total, in any unit.
    """

    cell: Cell
    experiment: Experiment
    configuration: Configuration
    pair_on_demand: PairOnDemand
    results: Results
    settings: RunSettings
    on_progress: OnProgress

    @property
    def spec(self) -> PairSpec:
        """The pair's name and references."""
        return self.pair_on_demand.spec

    @property
    def pair(self) -> ModelPair:
        """The loaded pair."""
        return self.pair_on_demand.get()

    @cached_property
    def header(self) -> dict[str, Any]:
        """The fields that every record of this cell has in common."""
        config_hash = self.configuration.provenance.config_hash
        source = provenance(self.cell.key, config_hash, describe_device(self.settings.device))
        return {"experiment": self.experiment.name, "pair": self.spec.name, "provenance": source}


@dataclass
class Outcome:
    """What a run of an experiment on one pair did; cells by key."""

    cells_done: int = 0
    cells_run: int = 0
    failed: list[str] = field(default_factory=list)


def store_of(experiment: Experiment, output_dir: Path) -> ResultsStore:
    """Where the experiment's records are."""
    return ResultsStore(output_dir / f"{experiment.name}.jsonl")


def run_experiment(
    experiment: Experiment, spec: PairSpec, settings: RunSettings, loaded: ModelPair | None = None
) -> Outcome:
    """Run the cells of one experiment on one pair that are not done; see ``run_experiments``."""
    return run_experiments([experiment], spec, settings, loaded)[0]


def run_experiments(
    experiments: Sequence[Experiment], spec: PairSpec, settings: RunSettings, loaded: ModelPair | None = None
) -> list[Outcome]:
    """Run the cells of one pair that are not done, one experiment after the other.

    Args:
        experiments: what to run.
        spec: the pair. Its name is in the keys of the records.
        settings: where to run, and where the records are.
        loaded: the pair, where the caller has it; else it is loaded once, when a cell first needs it, and
            given up at the end.

    Raises:
        UnusablePairError: if the pair cannot be loaded.
        ValueError: if the output directory holds records of another configuration, or damaged ones.
        OSError: if records cannot be written.
    """
    pair = PairOnDemand(spec, settings, loaded)
    try:
        return [_run_missing_cells(experiment, pair, settings) for experiment in experiments]
    finally:
        pair.give_up()


def _run_missing_cells(experiment: Experiment, pair: PairOnDemand, settings: RunSettings) -> Outcome:
    spec = pair.spec
    store = store_of(experiment, settings.output_dir)
    earlier = _results_of(experiment.builds_on, spec, settings)
    configuration = settings.configuration(experiment, spec, earlier)
    own = _without_failures(store.read_for(configuration))
    num_records = sum(record.pair == spec.name for record in own.values())
    results = {**earlier, **own}
    cells = experiment.cells(spec)
    missing = [cell for cell in cells if not cell.is_done(results)]
    to_do = f"{len(missing)} of {len(cells)} cells to do" if missing else "nothing to do"
    _say(f"{experiment.name} {spec.name}: {to_do}, {num_records} records are there")
    outcome = Outcome(cells_done=len(cells) - len(missing))
    if not missing:
        return outcome
    with progress_bar(f"{experiment.name} {spec.name}") as show:
        progress = _Progress(missing, show)
        for cell in missing:
            context = CellContext(
                cell=cell,
                experiment=experiment,
                configuration=configuration,
                pair_on_demand=pair,
                results=results,
                settings=settings,
                on_progress=progress.within(cell),
            )
            _run_unless_it_needs_a_failed_one(context, store, results, outcome)
            progress.finish(cell)
    return outcome


def _results_of(experiment: Experiment | None, spec: PairSpec, settings: RunSettings) -> dict[str, AnyRecord]:
    """The pair's results of another experiment, but for what says how they were made."""
    if experiment is None:
        return {}
    records = store_of(experiment, settings.output_dir).read()
    results = _without_failures(record for record in records if record.pair == spec.name)
    results.pop(f"{spec.name}/configuration", None)
    return results


def _without_failures(records: Iterable[AnyRecord]) -> dict[str, AnyRecord]:
    return {record.key: record for record in records if not isinstance(record, Failure)}


class _Progress:
    """How much of the work to do is done, where a cell counts as much as it is estimated to cost."""

    def __init__(self, cells: Iterable[Cell], show: OnProgress) -> None:
        self._shares = {cell.key: max(cell.cost.tokens, 1) for cell in cells}
        self._all = sum(self._shares.values())
        self._finished = 0
        self._show = show

    def within(self, cell: Cell) -> OnProgress:
        """What the cell reports its own progress to."""
        return lambda done, total: self._show(
            self._finished + self._shares[cell.key] * done / total, self._all
        )

    def finish(self, cell: Cell) -> None:
        """Count the whole cell, whatever it reported."""
        self._finished += self._shares[cell.key]
        self._show(self._finished, self._all)


def _run_unless_it_needs_a_failed_one(
    context: CellContext, store: ResultsStore, results: dict[str, AnyRecord], outcome: Outcome
) -> None:
    cell = context.cell
    if needed := [key for key in cell.needs if key in outcome.failed]:
        _say(f"{cell.key}: left out, for it needs {', '.join(needed)}")
        outcome.failed.append(cell.key)
    elif _run_cell(context, store, results):
        outcome.cells_run += 1
    else:
        outcome.failed.append(cell.key)


def _run_cell(context: CellContext, store: ResultsStore, results: dict[str, AnyRecord]) -> bool:
    """Run a cell to its end or first error, adding to ``results``; whether it was the end."""
    cell = context.cell
    batches = cell.run(context)
    while True:
        try:
            batch = next(batches, None)
        except UnusablePairError:
            raise
        except Exception as error:  # whatever it is, the records so far and the other cells are worth keeping
            logger.debug("%s failed", cell.key, exc_info=True)
            failure = Failure(**context.header, error_type=type(error).__name__, message=str(error))
            store.append([*_new([context.configuration], results), failure])
            results.setdefault(context.configuration.key, context.configuration)
            _say(f"{cell.key}: failed: {type(error).__name__}: {error}")
            return False
        if batch is None:
            break
        new = _new([context.configuration, *batch], results)
        store.append(new)
        results.update({record.key: record for record in new})
    assert cell.is_done(results), f"{cell.key} did not make the records that it announced"
    return True


def _new(records: Iterable[AnyRecord], results: Results) -> list[AnyRecord]:
    return [record for record in records if record.key not in results]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

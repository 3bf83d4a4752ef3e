"""Experiments as lists of cells, and the loop that runs what is still missing.

A *cell* is a piece of work on one pair. It yields batches of records, each of which is on disk before the
next is begun. A cell is done when every record that it is expected to make is there, so a run that was
stopped at any moment goes on where it was, and nothing is done twice. A cell that fails leaves a failure
record; cells that do not need it are still run, and the next run tries it again.
"""

from __future__ import annotations

import dataclasses
import gc
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slr.model_pairs import PairSpec
from slr.provenance import config_hash, describe_device, provenance
from slr.records import AnyRecord, Failure, Provenance
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


@dataclass(frozen=True, kw_only=True)
class RunMirror:
    """What of one pair's records is shown in W&B: summary figures, and tables as columns and rows."""

    summary: dict[str, Any]
    tables: dict[str, tuple[list[str], list[list[Any]]]]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A question, the configuration that answers it, and the cells for each pair."""

    name: str
    question: str
    config: Any
    cells: Callable[[PairSpec], list[Cell]]
    mirror: Callable[[Sequence[AnyRecord], str], RunMirror]


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Where an experiment runs and writes; nothing that its results depend on but the dtype."""

    output_dir: Path
    device: str = "cpu"
    dtype: torch.dtype | None = None


class PairOnDemand:
    """A pair that is loaded when a cell first asks for it."""

    def __init__(self, spec: PairSpec, settings: RunSettings, loaded: ModelPair | None = None) -> None:
        self.spec = spec
        self._settings = settings
        self._loaded = loaded

    def get(self) -> ModelPair:
        """The pair. For the errors raised see ``load_pair``."""
        if self._loaded is None:
            from slr.checkpoints import load_pair

            pair = load_pair(
                self.spec.base, self.spec.instruct, dtype=self._settings.dtype, device=self._settings.device
            )
            family = pair.family if self.spec.family == "other" else self.spec.family
            self._loaded = dataclasses.replace(pair, name=self.spec.name, family=family)
        return self._loaded


@dataclass(frozen=True, kw_only=True)
class CellContext:
    """What a running cell has: its pair, all results so far (this cell's own too), and its provenance."""

    cell: Cell
    experiment: Experiment
    pair_on_demand: PairOnDemand
    results: dict[str, AnyRecord]
    settings: RunSettings

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
        return {"experiment": self.experiment.name, "pair": self.spec.name, "provenance": self._provenance()}

    def _provenance(self) -> Provenance:
        device = describe_device(self.settings.device)
        return provenance(self.cell.key, self.experiment.config, device)


@dataclass
class Outcome:
    """What a run of an experiment on one pair did."""

    cells_done: int = 0
    cells_run: int = 0
    failed: list[str] = field(default_factory=list)


def store_of(experiment: Experiment, output_dir: Path) -> ResultsStore:
    """Where the experiment's records are."""
    return ResultsStore(output_dir / f"{experiment.name}.jsonl")


def run_experiment(
    experiment: Experiment, spec: PairSpec, settings: RunSettings, loaded: ModelPair | None = None
) -> Outcome:
    """Run the cells of one pair that are not done.

    Raises:
        ValueError: if the output directory holds records of another configuration, or damaged ones.
    """
    store = store_of(experiment, settings.output_dir)
    store.check_configuration(config_hash(experiment.config))
    results = {record.key: record for record in store.read() if not isinstance(record, Failure)}
    cells = experiment.cells(spec)
    missing = [cell for cell in cells if not cell.is_done(results)]
    _say(_what_is_to_do(experiment, spec, cells, missing))
    on_demand = PairOnDemand(spec, settings, loaded)
    outcome = Outcome(cells_done=len(cells) - len(missing))
    for cell in missing:
        context = CellContext(
            cell=cell, experiment=experiment, pair_on_demand=on_demand, results=results, settings=settings
        )
        if needed := [key for key in cell.needs if key in outcome.failed]:
            outcome.failed.append(cell.key)
            _say(f"{cell.key}: left out, for it needs {', '.join(needed)}")
        else:
            _run_cell(context, store, outcome)
    gc.collect()
    return outcome


def _run_cell(context: CellContext, store: ResultsStore, outcome: Outcome) -> None:
    cell = context.cell
    try:
        for batch in cell.run(context):
            new = [record for record in batch if record.key not in context.results]
            store.append(new)
            context.results.update({record.key: record for record in new})
    except Exception as error:  # whatever it is, the records so far and the other cells are worth keeping
        logger.debug("%s failed", cell.key, exc_info=True)
        store.append([Failure(**context.header, error_type=type(error).__name__, message=str(error))])
        outcome.failed.append(cell.key)
        _say(f"{cell.key}: failed: {type(error).__name__}: {error}")
    else:
        outcome.cells_run += 1
        assert cell.is_done(context.results), f"{cell.key} did not make the records that it announced"


def _what_is_to_do(
    experiment: Experiment, spec: PairSpec, cells: Sequence[Cell], missing: Sequence[Cell]
) -> str:
    if missing:
        return f"{experiment.name}, {spec.name}: {len(missing)} of {len(cells)} cells to do"
    return f"{experiment.name}, {spec.name}: nothing to do, all {len(cells)} cells are done"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

"""Experiments as lists of cells, and the loop that runs the cells that are not done.

A *cell* is a piece of work on one pair. It yields batches of records. Each batch is on disk before the next one
begins. A cell is done when every record that it is expected to make is there. Therefore a run that was stopped at any
moment continues where it was, and does nothing twice. A cell that fails leaves a failure record. Cells that do not
need it still run, and the next run tries it again.

Cells run in rounds: first the cells that others need, then nearly all; see ``next_round``. Several processes share a
round's cells of all pairs: each takes the next one when it has finished the one before. Dear cells are divided where
they can be. The processes exchange their records at the end of the round; see ``processes``.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from slr.models.digests import checkpoint_digests
from slr.models.reference import ModelReference, PairSpec, UnusablePairError
from slr.runs.modes import Engine
from slr.runs.output_lock import output_lock
from slr.runs.processes import ALONE, Processes, count_parts, divide
from slr.runs.provenance import config_hash, describe_device, provenance
from slr.runs.records import AnyRecord, CellTime, Configuration, Failure
from slr.runs.results import RecordsByKey
from slr.runs.results_store import ResultsStore
from slr.runs.run_progress import CellId, RunProgress, run_progress
from slr.terminal.literal_text import visible
from slr.terminal.notices import notice
from slr.terminal.progress import OnProgress

if TYPE_CHECKING:
    import torch
    from _typeshed import DataclassInstance
    from transformers import PreTrainedTokenizerBase

    from slr.models.loading import DeviceMap, ModelPair

logger = logging.getLogger(__name__)

T = TypeVar("T")
ConfigT = TypeVar("ConfigT", bound="DataclassInstance", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """An estimate of a cell's work.

    Attributes:
        layer_evaluations: number of times that one decoder layer processes one model's hidden states.
        tokens: number of tokens, summed over the layer evaluations.
        flops: 2 x (parameters of a layer) x tokens; None where the number of parameters is not known.
        sampled_share: share of ``flops`` for tokens that are sampled one after the other, which is slower.
    """

    layer_evaluations: int
    tokens: int
    flops: float | None
    sampled_share: float = 0.0


Division = Literal["none", "among_all", "in_parts"]
"""How several processes do one cell. A lone process does all of any cell.

* ``none``: one process does it.
* ``among_all``: each process does one part of it, all at once.
* ``in_parts``: where it is dear next to the other cells, it is dealt out in parts, as if these were cells.
"""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A piece of work on one pair.

    Attributes:
        key: unique name, which begins with the pair's.
        record_keys: gives the keys of the records that the cell makes. It gives None while they depend on results
            that are not there yet.
        run: yields batches of records.
        cost: estimate of the work, by which cells are shared among processes.
        needs: keys of the cells that must be done first.
        division: how several processes do it. Each part does ``context.share`` of the cell's items.
    """

    key: str
    record_keys: Callable[[RecordsByKey], Iterable[str] | None]
    run: Callable[[CellContext], Iterator[Sequence[AnyRecord]]]
    cost: Cost
    needs: tuple[str, ...] = ()
    division: Division = "none"

    def is_done(self, results: RecordsByKey) -> bool:
        """Whether all of the cell's records are there."""
        keys = self.record_keys(results)
        return keys is not None and all(key in results for key in keys)


Columns = tuple[list[str], list[list[Any]]]
"""Names of columns, and the rows under them."""


@dataclass(frozen=True, kw_only=True)
class RunMirror:
    """The part of one pair's records that W&B shows.

    Attributes:
        summary: one figure by name, such as ``[GROUP/]METHOD/METRIC``. In W&B the experiment's name precedes it.
        tables: columns and rows by name.
        curves: columns and rows by name; the first column is the horizontal axis.
    """

    summary: dict[str, Any]
    tables: dict[str, Columns]
    curves: dict[str, Columns] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Experiment(Generic[ConfigT]):
    """A question, the configuration that answers it, and the cells for each pair.

    Attributes:
        name: identifier, which is also the name of the file of records.
        question: what the experiment answers, in words.
        config: a frozen dataclass of plain values.
        cells: gives the cells of a pair.
        job_type: kind of run that W&B shows.
        mirror: makes what W&B shows, from a pair's records and its name. Without it W&B gets only the records.
        builds_on: another experiment, whose records of the pair are among this one's results.
        inputs: names the results of ``builds_on`` that this experiment's own records depend on. It raises
            ``ValueError`` if they are not there.
        versions: gives the versions of the measures whose outcome the records hold, and digests of what all pairs
            are asked; see ``measure_versions``.
        samples_answers: whether the experiment uses the engine of the run's settings.
        settings_in_records: names of settings that may change from run to run in one output directory. They may,
            because only records with these settings in their keys depend on them.
        is_wanted: whether a record was made with the present values of ``settings_in_records``. The other records
            stay in the file, but no cell sees them.
    """

    name: str
    question: str
    config: ConfigT
    cells: Callable[[PairSpec], list[Cell]]
    job_type: str
    mirror: Callable[[Sequence[AnyRecord], str], RunMirror] | None = None
    builds_on: AnyExperiment | None = None
    inputs: Callable[[RecordsByKey, PairSpec], dict[str, Any]] = lambda _results, _spec: {}
    versions: Callable[[], Mapping[str, str]] = dict
    samples_answers: bool = False
    settings_in_records: tuple[str, ...] = ()
    is_wanted: Callable[[AnyRecord], bool] = lambda _record: True

    def results_in(self, records: Iterable[AnyRecord]) -> RecordsByKey:
        """The records, by key, that are results of this configuration."""
        return RecordsByKey(
            (record.key, record)
            for record in records
            if not isinstance(record, Failure) and self.is_wanted(record)
        )


AnyExperiment: TypeAlias = "Experiment[DataclassInstance]"
"""An experiment with a configuration of any kind."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Where an experiment runs and writes.

    Attributes:
        output_dir: directory of the records.
        device: as torch names it. With a ``device_map`` it is only for what is not the pair.
        dtype: dtype of the weights; None is the checkpoints' own.
        engine: library that samples answers.
        device_map: how transformers spreads the pair over several devices; None puts it on ``device``.
        processes: the processes that share the work.
    """

    output_dir: Path
    device: str = "cpu"
    dtype: torch.dtype | None = None
    engine: Engine = "transformers"
    device_map: DeviceMap | None = None
    processes: Processes = ALONE

    def __post_init__(self) -> None:
        """Check that every process has devices of its own.

        Raises:
            ValueError: if several processes of one machine would each spread the pair over all its devices.
        """
        if self.device_map is not None and self.processes.local_count > 1:
            raise ValueError(
                f"a device map ({self.device_map}) gives all GPUs of a machine to one process, and "
                f"{self.processes.local_count} were launched on this one: launch one process a machine"
            )

    def configuration(
        self, experiment: AnyExperiment, spec: PairSpec, earlier: RecordsByKey
    ) -> Configuration:
        """Describe all that the experiment's results for the pair depend on, except the code.

        Args:
            experiment: the experiment.
            spec: the pair.
            earlier: results of the experiment that this one builds on.

        Returns:
            The record that precedes the pair's results in their file.

        Raises:
            ValueError: if ``earlier`` lacks what the experiment needs.
            OSError: if a file of a checkpoint cannot be read.
        """
        dtype = "own" if self.dtype is None else str(self.dtype).removeprefix("torch.")
        key = Configuration.key_of(spec.name)
        digest = config_hash(experiment.config, dtype, without=experiment.settings_in_records)
        return Configuration(
            experiment=experiment.name,
            pair=spec.name,
            provenance=provenance(key, digest, describe_device(self.device)),
            # Settings and inputs go through JSON, so that they equal what is read back from a file: a tuple is a list.
            settings=json.loads(json.dumps(dataclasses.asdict(experiment.config))),
            dtype=dtype,
            base=str(spec.base.without_path),
            base_files=files_of(spec.base),
            instruct=str(spec.instruct.without_path),
            instruct_files=files_of(spec.instruct),
            versions=dict(experiment.versions()),
            inputs=json.loads(json.dumps(experiment.inputs(earlier, spec))),
            engine=self.engine if experiment.samples_answers else "transformers",
        )


def files_of(reference: ModelReference) -> dict[str, str] | None:
    """Digest the files in a model's directory; None for a model on the hub, whose revision says what they are.

    Raises:
        OSError: if a file cannot be read.
    """
    try:
        directory = reference.directory
    except ValueError:
        # There is no such directory. Loading the pair reports that, and only if a cell needs the pair.
        return None
    return None if directory is None else checkpoint_digests(directory)


class PairOnDemand:
    """A pair that is loaded when a cell first asks for it."""

    def __init__(self, spec: PairSpec, settings: RunSettings, loaded: ModelPair | None = None) -> None:
        """Remember what to load, and how.

        Args:
            spec: the pair's name and references.
            settings: device, dtype and device map to load it with.
            loaded: the pair, if the caller has it already.
        """
        self.spec = spec
        self._settings = settings
        self._loaded = loaded

    def get(self) -> ModelPair:
        """Load the pair, unless it is loaded.

        Raises:
            UnusablePairError: for every error of ``load_spec``.
        """
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The pair's tokenizer; no weight is loaded for it.

        Raises:
            UnusablePairError: if the pair cannot be opened.
        """
        if self._loaded is not None:
            return self._loaded.tokenizer
        from slr.models.loading import open_tokenizer

        try:
            return open_tokenizer(self.spec)
        except ValueError as error:
            raise UnusablePairError(f"{self.spec.name}: {error}") from error

    def give_up(self) -> None:
        """Free the pair's memory, because one pair may fill a device and the next one needs room."""
        self._loaded = None
        # Reference cycles keep tensors alive until a collection.
        gc.collect()
        # Without torch in this process nothing was loaded, and importing it would take seconds.
        if torch := sys.modules.get("torch"):
            torch.cuda.empty_cache()

    def _load(self) -> ModelPair:
        from slr.models.loading import load_spec

        spec, settings = self.spec, self._settings
        try:
            pair = load_spec(
                spec, dtype=settings.dtype, device=settings.device, device_map=settings.device_map
            )
        except ValueError as error:
            raise UnusablePairError(f"{spec.name}: {error}") from error
        for note in pair.notes:
            _notice_once(settings.processes, f"{spec.name}: {note}")
        if spec.num_layers is not None and pair.num_layers != spec.num_layers:
            raise UnusablePairError(
                f"{spec.name}: the models have {pair.num_layers} layers, expected {spec.num_layers}"
            )
        return dataclasses.replace(pair, name=spec.name, family=spec.family or pair.family)


@dataclass(frozen=True, kw_only=True)
class CellContext:
    """What a running cell has: its pair, its provenance and all results, among them its own earlier ones.

    A long cell calls ``on_progress`` with the work done and the whole work, in any unit. ``part`` is the number of the
    cell's part to do, from 0, of ``num_parts``.
    """

    cell: Cell
    part: int
    num_parts: int
    experiment: AnyExperiment
    configuration: Configuration
    pair_on_demand: PairOnDemand
    results: RecordsByKey
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
        return self.header_now()

    def header_now(self) -> dict[str, Any]:
        """The same fields with the present time, for a record that says when it was made, not when its cell began."""
        config_hash = self.configuration.provenance.config_hash
        source = provenance(self.cell.key, config_hash, describe_device(self.settings.device))
        return {"experiment": self.experiment.name, "pair": self.spec.name, "provenance": source}

    def share(self, items: Sequence[T], costs: Sequence[float]) -> list[T]:
        """The items of this part of the cell; every item belongs to exactly one part.

        Args:
            items: pieces of the cell's work, the same for every part. If the parts are dealt, one process may do
                several, and what it has done must not change the items.
            costs: one estimate for each item, in any unit.

        Returns:
            The items, in order.
        """
        return [items[index] for index in divide(costs, self.num_parts)[self.part]]


@dataclass
class Outcome:
    """What all processes together did in a run of one experiment on one pair.

    Attributes:
        cells_done: number of cells that were done before.
        cells_run: number of cells that this run did.
        failed: keys of the cells that failed, or that need one that failed.
    """

    cells_done: int = 0
    cells_run: int = 0
    failed: list[str] = field(default_factory=list)


def store_of(experiment: AnyExperiment, output_dir: Path, rank: int = 0) -> ResultsStore:
    """The store of the experiment's records.

    Args:
        experiment: the experiment, which names the file.
        output_dir: directory of the records.
        rank: index of the process. Each process appends to a file of its own.

    Returns:
        The store. No file needs to exist yet.
    """
    return ResultsStore(output_dir / f"{experiment.name}.jsonl", rank)


def run_experiment(
    experiment: AnyExperiment, spec: PairSpec, settings: RunSettings, loaded: ModelPair | None = None
) -> Outcome:
    """Run the cells of one experiment on one pair that are not done; see ``run_experiments``.

    Args:
        experiment: the experiment to run.
        spec: the pair. Its name is in the keys of the records.
        settings: where to run, and where the records are.
        loaded: the pair, if the caller has it already.

    Returns:
        What was done.
    """
    return run_experiments([experiment], spec, settings, loaded)[0]


def run_experiments(
    experiments: Sequence[AnyExperiment],
    spec: PairSpec,
    settings: RunSettings,
    loaded: ModelPair | None = None,
    progress: RunProgress | None = None,
) -> list[Outcome]:
    """Run the cells of one pair that are not done.

    One process runs one experiment after the other. Several processes run at once all experiments that do not wait for
    each other, because the more cells there are to choose from, the less a process waits for the others.

    Args:
        experiments: the experiments to run, each after the one that it builds on.
        spec: the pair. Its name is in the keys of the records.
        settings: where to run, and where the records are.
        loaded: the pair, if the caller has it already. Otherwise it is loaded once, when a cell first needs it.
        progress: progress of the run that this is a part of; None if it is the whole run.

    Returns:
        What was done, for each experiment.

    Raises:
        UnusablePairError: if the pair cannot be loaded or searched.
        ValueError: as ``run_pairs`` does.
        OSError: as ``run_pairs`` does.
    """
    if progress is None:
        with run_progress(settings.device, is_shown=settings.processes.is_main) as progress:
            return run_experiments(experiments, spec, settings, loaded, progress)
    [(_, outcomes)] = run_pairs(experiments, [PairOnDemand(spec, settings, loaded)], settings, progress)
    if isinstance(outcomes, ValueError):
        raise outcomes
    return outcomes


def run_pairs(
    experiments: Sequence[AnyExperiment],
    pairs: Sequence[PairOnDemand],
    settings: RunSettings,
    progress: RunProgress,
) -> Iterator[tuple[PairSpec, list[Outcome] | ValueError]]:
    """Run the cells of several pairs that are not done.

    One process runs one pair after the other. Several processes do not wait for each other at the end of a pair: one
    that finds nothing left of it goes on with the next one.

    Args:
        experiments: the experiments to run, each after the one that it builds on.
        pairs: the pairs, none of them twice.
        settings: where to run, and where the records are.
        progress: progress of the run that this is a part of.

    Yields:
        Each pair, and what was done for each experiment, or an error: why the pair cannot be loaded or searched, or an
            experiment not begin.

    Raises:
        ValueError: if the output directory holds damaged records or records of another configuration, or another run
            uses it.
        OSError: if records cannot be written, or were removed during the run.
    """
    if settings.processes.count == 1:
        together, one_by_one = [[pair] for pair in pairs], [[experiment] for experiment in experiments]
    else:
        together, one_by_one = [list(pairs)], independent_of_each_other(experiments)
    for pair, experiment in itertools.product(pairs, experiments):
        progress.expect(experiment.name, experiment.cells(pair.spec))
    for group in together:
        stores = {
            experiment.name: store_of(experiment, settings.output_dir, settings.processes.index)
            for experiment in experiments
        }
        runs = [_PairRun(pair=pair, stores=stores) for pair in group]
        with output_lock(settings.output_dir, settings.processes):
            try:
                for of_group in one_by_one:
                    _run_group(of_group, runs, settings, progress)
            finally:
                for pair in group:
                    pair.give_up()
        for run in runs:
            if run.error is not None:
                yield run.pair.spec, run.error
            else:
                yield run.pair.spec, [run.experiments[experiment.name].outcome for experiment in experiments]


def _run_group(
    experiments: Sequence[AnyExperiment],
    pairs: Sequence[_PairRun],
    settings: RunSettings,
    progress: RunProgress,
) -> None:
    """Run experiments that do not wait for each other on all pairs that can be used."""
    opened: list[_ExperimentRun] = []
    for of_pair in pairs:
        if of_pair.error is not None:
            continue
        builds_on = [experiment.builds_on for experiment in experiments]
        earlier = [_results_of(one, of_pair.pair.spec, settings, of_pair.experiments) for one in builds_on]
        try:
            configurations = [
                settings.configuration(experiment, of_pair.pair.spec, found)
                for experiment, found in zip(experiments, earlier, strict=True)
            ]
        except ValueError as error:  # the same in every process, because all have the same results
            of_pair.error = error
            continue
        new = [
            _open_run(configuration, experiment, of_pair, found, settings)
            for configuration, experiment, found in zip(configurations, experiments, earlier, strict=True)
        ]
        of_pair.experiments |= {run.experiment.name: run for run in new}
        opened += new
    for run in opened:
        progress.skip(run.done_before)
    _run_missing_cells([run for run in opened if run.waiting], progress, settings.processes)


def independent_of_each_other(experiments: Sequence[AnyExperiment]) -> list[list[AnyExperiment]]:
    """Group experiments so that each builds on one of an earlier group, or on none of them.

    Several processes share the cells of a whole group.
    """
    groups: list[list[AnyExperiment]] = []
    group_of: dict[str, int] = {}
    for experiment in experiments:
        earlier = experiment.builds_on
        number = 0 if earlier is None else group_of.get(earlier.name, -1) + 1
        group_of[experiment.name] = number
        groups += [[] for _ in range(number + 1 - len(groups))]
        groups[number].append(experiment)
    return groups


def next_round(waiting: Sequence[Sequence[Cell]]) -> list[list[Cell]]:
    """Choose the cells to run next: of the ones that wait for no other cell, the ones that others' work waits for.

    The other cells stay for a later round, unless there are no such cells. So nearly all work is in one round, and
    the processes wait for each other only where there is little to do.

    Args:
        waiting: cells that are still to be run, of each experiment.

    Returns:
        The chosen cells of each experiment, in order.
    """
    keys = [{cell.key for cell in cells} for cells in waiting]
    ready = [
        [cell for cell in cells if own.isdisjoint(cell.needs)]
        for cells, own in zip(waiting, keys, strict=True)
    ]
    assert any(ready) or not any(waiting), (
        f"cells wait for each other: {', '.join(sorted(set().union(*keys)))}"
    )
    needed = [_needed_for_work(cells) for cells in waiting]
    first = [[cell for cell in cells if cell.key in own] for cells, own in zip(ready, needed, strict=True)]
    return first if any(first) else ready


def _needed_for_work(cells: Sequence[Cell]) -> set[str]:
    """Keys of the cells that a cell with work for a model needs, also by way of other cells.

    A cell without such work only counts what others made. It costs little, and its place does not matter.
    """
    by_key = {cell.key: cell for cell in cells}
    needed: set[str] = set()
    to_follow = [cell for cell in cells if cell.cost.tokens > 0]
    while to_follow:
        new = by_key.keys() & set(to_follow.pop().needs) - needed
        needed |= new
        to_follow += [by_key[key] for key in new]
    return needed


def _open_run(
    configuration: Configuration,
    experiment: AnyExperiment,
    of_pair: _PairRun,
    earlier: RecordsByKey,
    settings: RunSettings,
) -> _ExperimentRun:
    """Read what is on record, and find what is missing; ``earlier`` has the results that the experiment builds on."""
    spec = of_pair.pair.spec
    processes = settings.processes
    store = of_pair.stores[experiment.name]
    own = processes.from_main(
        lambda: experiment.results_in(store.read_for(configuration, experiment.settings_in_records))
    )
    results = RecordsByKey({**earlier, **own})
    cells = experiment.cells(spec)
    missing = [cell for cell in cells if not cell.is_done(results)]
    to_do = f"{len(missing)} of {len(cells)} cells to do" if missing else "nothing to do"
    _notice_once(
        processes, f"{experiment.name} {spec.name}: {to_do}, {len(own.of_pair(spec.name))} records are there"
    )
    return _ExperimentRun(
        experiment=experiment,
        configuration=configuration,
        of_pair=of_pair,
        settings=settings,
        store=store,
        results=results,
        earlier=frozenset(earlier),
        done_before=[(experiment.name, cell.key) for cell in cells if cell not in missing],
        waiting=missing,
        outcome=Outcome(cells_done=len(cells) - len(missing)),
    )


def _results_of(
    experiment: AnyExperiment | None,
    spec: PairSpec,
    settings: RunSettings,
    before: Mapping[str, _ExperimentRun],
) -> RecordsByKey:
    """The pair's results of another experiment, without the record of how they were made."""
    if experiment is None:
        return RecordsByKey()
    # This run's own results come first, because a shared file system may not yet show what other processes just wrote.
    if (run := before.get(experiment.name)) is not None:
        found = run.own_results()
    else:
        store = store_of(experiment, settings.output_dir)
        found = settings.processes.from_main(lambda: experiment.results_in(store.read()))
    results = found.of_pair(spec.name)
    results.pop(Configuration.key_of(spec.name), None)
    return results


@dataclass(kw_only=True)
class _PairRun:
    """The experiments on one pair.

    Attributes:
        experiments: the experiments that were begun, by name.
        stores: the stores of all experiments by name. All pairs share them, because a store refuses a file that another
            store wrote to.
        error: why the pair cannot be loaded or searched, or an experiment not begin; None as far as they can.
    """

    pair: PairOnDemand
    stores: Mapping[str, ResultsStore]
    experiments: dict[str, _ExperimentRun] = field(default_factory=dict)
    error: ValueError | None = None


@dataclass(frozen=True, kw_only=True)
class _ExperimentRun:
    """One experiment on one pair: everything that a process needs to run its cells.

    Attributes:
        results: all results so far, also of the experiment that it builds on.
        earlier: keys of the results of the experiment that it builds on.
        done_before: the cells that were done before this run.
        waiting: the cells that are still to be run.
        outcome: what was done so far.
    """

    experiment: AnyExperiment
    configuration: Configuration
    of_pair: _PairRun
    settings: RunSettings
    store: ResultsStore
    results: RecordsByKey
    earlier: frozenset[str]
    done_before: list[CellId]
    waiting: list[Cell]
    outcome: Outcome

    @property
    def id(self) -> tuple[str, str]:
        """Name of the experiment, and name of the pair."""
        return self.experiment.name, self.of_pair.pair.spec.name

    def own_results(self) -> RecordsByKey:
        """The results of the experiment itself."""
        return RecordsByKey((key, record) for key, record in self.results.items() if key not in self.earlier)


@dataclass(frozen=True)
class _Piece:
    """A cell or a part of one, and the run that it belongs to."""

    run: _ExperimentRun
    cell: Cell
    part: int = 0
    num_parts: int = 1

    @property
    def id(self) -> CellId:
        """Name of the experiment and key of the cell."""
        return self.run.experiment.name, self.cell.key

    @property
    def share(self) -> float:
        """The share of the cell by which progress counts it; of a cell that all do at once, all processes' parts."""
        return 1 / self.num_parts if self.is_dealt_part else 1.0

    @property
    def is_dealt_part(self) -> bool:
        """Whether other parts of the cell may not be done when this one ends."""
        return self.num_parts > 1 and self.cell.division == "in_parts"

    @property
    def can_be_dealt(self) -> bool:
        """Whether the cell may be divided into parts that are dealt out."""
        # vLLM would start an engine for each part.
        by_vllm = self.run.experiment.samples_answers and self.run.settings.engine == "vllm"
        return self.cell.division == "in_parts" and not by_vllm

    def context(self, on_progress: OnProgress) -> CellContext:
        """What the cell has when it runs."""
        return CellContext(
            cell=self.cell,
            part=self.part,
            num_parts=self.num_parts,
            experiment=self.run.experiment,
            configuration=self.run.configuration,
            pair_on_demand=self.run.of_pair.pair,
            results=self.run.results,
            settings=self.run.settings,
            on_progress=on_progress,
        )


@dataclass(frozen=True)
class _RoundResult:
    """What a process did in a round, to be sent to the others.

    Attributes:
        results: new records by key, under the id of their run.
        failed: failures by experiment and key of their cell.
        unusable: errors by name of the pair that cannot be used; no process goes on with these pairs.
    """

    results: dict[tuple[str, str], dict[str, AnyRecord]] = field(default_factory=dict)
    failed: dict[CellId, Failure] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)


def _run_missing_cells(runs: Sequence[_ExperimentRun], progress: RunProgress, processes: Processes) -> None:
    # A process shows its own progress, and at the end of a round also the other processes'.
    while runs := [run for run in runs if run.waiting and run.of_pair.error is None]:
        chosen = next_round([run.waiting for run in runs])
        pieces = [_Piece(run, cell) for run, cells in zip(runs, chosen, strict=True) for cell in cells]
        for run, cells in zip(runs, chosen, strict=True):
            run.waiting[:] = [cell for cell in run.waiting if cell not in cells]
        _run_round(_leave_out(pieces, progress), progress, processes)
        if len(pairs := {run.of_pair.pair for run in runs}) > 1:
            # The next round begins with another pair, and a device may hold only one.
            for pair in pairs:
                pair.give_up()


def _show_nothing(_done: float, _total: float) -> None:
    pass


def _leave_out(pieces: Sequence[_Piece], progress: RunProgress) -> list[_Piece]:
    """The cells that need no failed cell. The others count as failed too."""
    able = []
    for piece in pieces:
        failed = piece.run.outcome.failed
        if needed := [key for key in piece.cell.needs if key in failed]:
            needs = ", ".join(needed)
            _print_status_once(
                piece.run.settings.processes, f"{piece.cell.key}: left out, because it needs {needs}"
            )
            failed.append(piece.cell.key)
            progress.finish(piece.id)
        else:
            able.append(piece)
    return able


def _run_round(pieces: Sequence[_Piece], progress: RunProgress, processes: Processes) -> None:
    """Run this process's share of the cells, and take over what the other processes did with theirs."""
    # A lone process keeps the order of the cells, because the first one finds out whether a pair can be used at all.
    own = pieces if processes.count == 1 else _shared(pieces, progress, processes)
    done_here: set[CellId] = set()
    made_here = _run_own(own, progress, done_here)
    made_by_each = processes.gather([made_here])
    if processes.count > 1:
        # A failure counts only until its cell has a newer result. Another process may have begun its share of the cell
        # after it had failed here. Therefore failures are written again, now that all processes have finished.
        for piece in pieces:
            if (failure := made_here.failed.get(piece.id)) is not None:
                again = failure.model_copy(update=piece.context(_show_nothing).header_now())
                piece.run.store.append([again])
    for made, run in itertools.product(made_by_each, {piece.run.id: piece.run for piece in pieces}.values()):
        for key, record in made.results.get(run.id, {}).items():
            run.results.setdefault(key, record)
        if (message := made.unusable.get(run.of_pair.pair.spec.name)) is not None:
            run.of_pair.error = UnusablePairError(message)
    failed = {id_ for made in made_by_each for id_ in made.failed}
    for piece in pieces:
        if piece.run.of_pair.error is not None:
            continue
        if piece.id not in done_here:
            progress.finish(piece.id)
        if piece.id in failed:
            piece.run.outcome.failed.append(piece.cell.key)
        else:
            assert piece.cell.is_done(piece.run.results), (
                f"{piece.cell.key} did not make the records that it announced"
            )
            piece.run.outcome.cells_run += 1


def _shared(pieces: Sequence[_Piece], progress: RunProgress, processes: Processes) -> Iterator[_Piece]:
    """This process's share, pair by pair: first of the cells that all processes divide, then what it is dealt."""
    # Each machine may have another estimate of its own speed.
    seconds = processes.from_main(lambda: [progress.seconds_of(piece.id) for piece in pieces])
    counts = count_parts(seconds, processes.count)
    work = zip(pieces, seconds, counts, strict=True)
    for _, of_pair in itertools.groupby(work, key=lambda one: one[0].run.of_pair.pair.spec.name):
        dealt: list[_Piece] = []
        costs: list[float] = []
        for piece, cost, count in of_pair:
            if piece.cell.division == "among_all":
                yield dataclasses.replace(piece, part=processes.index, num_parts=processes.count)
                continue
            num_parts = count if piece.can_be_dealt else 1
            dealt += [dataclasses.replace(piece, part=part, num_parts=num_parts) for part in range(num_parts)]
            costs += [cost / num_parts] * num_parts
        yield from processes.deal(dealt, costs)


def _run_own(pieces: Iterable[_Piece], progress: RunProgress, done: set[CellId]) -> _RoundResult:
    """Run the cells, and add to ``done`` which ones ended; a cell whose parts are dealt ends with the round."""
    made = _RoundResult()
    before: PairOnDemand | None = None
    for piece in pieces:
        pair = piece.run.of_pair.pair
        if before is not None and pair is not before:
            before.give_up()
        before = pair
        # The share is taken to its end, because every process must take part in every deal.
        if pair.spec.name in made.unusable:
            continue
        try:
            new, failure = _run_cell(
                piece.context(progress.within(piece.id, piece.share)), piece.run.store, piece.run.results
            )
        except UnusablePairError as error:
            made.unusable[pair.spec.name] = str(error)
            continue
        made.results.setdefault(piece.run.id, {}).update(new)
        if failure is not None:
            made.failed[piece.id] = failure
        if piece.is_dealt_part:
            progress.finish_part(piece.id, piece.share)
        else:
            done.add(piece.id)
            progress.finish(piece.id)
    return made


def _run_cell(
    context: CellContext, store: ResultsStore, results: RecordsByKey
) -> tuple[dict[str, AnyRecord], Failure | None]:
    """Run a cell to its end or its first error, and add its records to ``results``.

    Returns:
        The new records by key, and the failure, if there was one.

    Raises:
        UnusablePairError: if the pair cannot be used; no other cell could run then.
    """
    cell = context.cell
    made: dict[str, AnyRecord] = {}
    # This fixes the time now, so that records are as old as their cell, and a failure in any process is newer.
    _ = context.header
    batches = cell.run(context)
    began = time.monotonic()
    while True:
        try:
            batch = next(batches, None)
        except UnusablePairError:
            raise
        except Exception as error:
            # Any error at all is caught, because the records so far and the other cells are worth keeping.
            logger.debug("%s failed", cell.key, exc_info=True)
            message = context.spec.without_paths(str(error))
            failure = Failure(**context.header_now(), error_type=type(error).__name__, message=message)
            new = _not_yet_recorded([context.configuration], results)
            store.append([*new, failure])
            _print_status(f"{cell.key}: failed: {type(error).__name__}: {error}")
        else:
            if batch is None:
                return made, None
            failure = None
            now = time.monotonic()
            new = _with_time(
                _not_yet_recorded([context.configuration, *batch], results), context, now - began
            )
            began = now
            # On disk first: a record that other cells build on must outlast a crash.
            store.append(new)
        made |= {record.key: record for record in new}
        results.update(made)
        if failure is not None:
            return made, failure


def _with_time(records: Sequence[AnyRecord], context: CellContext, seconds: float) -> list[AnyRecord]:
    """The records of a batch, of which the cell's first one says how long the batch took."""
    cell, processes = context.cell, context.settings.processes.count
    timed = list(records)
    place = next((i for i, record in enumerate(records) if record.provenance.cell == cell.key), None)
    if place is not None:
        took = CellTime(seconds=seconds, processes=processes, **dataclasses.asdict(cell.cost))
        source = records[place].provenance.model_copy(update={"took": took})
        timed[place] = records[place].model_copy(update={"provenance": source})
    return timed


def _not_yet_recorded(records: Iterable[AnyRecord], results: RecordsByKey) -> list[AnyRecord]:
    return [record for record in records if record.key not in results]


def _print_status(line: str) -> None:
    print(visible(line), file=sys.stderr, flush=True)


def _notice_once(processes: Processes, line: str) -> None:
    """Say in the main process what every process would say."""
    if processes.is_main:
        notice(line)


def _print_status_once(processes: Processes, line: str) -> None:
    """Print in the main process what every process would print."""
    if processes.is_main:
        _print_status(line)

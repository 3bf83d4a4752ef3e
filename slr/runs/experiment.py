"""What an experiment is: cells for each pair, and what a cell has when it runs. ``run_experiments`` runs them.

A *cell* is a piece of work on one pair. It yields batches of records. Each batch is on disk before the next one
begins. A cell is done when every record that it is expected to make is there. Therefore a run that was stopped at any
moment continues where it was, and does nothing twice.
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
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

from slr.models.digests import checkpoint_digests
from slr.models.reference import ModelReference, PairSpec, UnusablePairError
from slr.runs.modes import Engine
from slr.runs.processes import ALONE, Processes, divide
from slr.runs.provenance import config_hash, describe_device, provenance
from slr.runs.records import AnyRecord, Configuration, Failure
from slr.runs.results import RecordsByKey
from slr.runs.results_store import ResultsStore
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
            if settings.processes.is_main:
                notice(f"{spec.name}: {note}")
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

"""Run the cells of experiments that are not done, of one pair or several, in rounds.

First come the cells that others need, then nearly all; see ``next_round``. Several processes share the cells of all
pairs in each round; see ``round``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from slr.models.reference import PairSpec
from slr.runs.experiment import AnyExperiment, Cell, PairOnDemand, RunSettings, store_of
from slr.runs.output_lock import output_lock
from slr.runs.processes import Processes
from slr.runs.records import Configuration
from slr.runs.results import RecordsByKey
from slr.runs.round import ExperimentRun, Outcome, PairRun, Piece, run_round
from slr.runs.run_progress import RunProgress, run_progress
from slr.terminal.notices import notice

if TYPE_CHECKING:
    from slr.models.loading import ModelPair


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
        The outcome.
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
        The outcome of each experiment, in order.

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
        runs = [PairRun(pair=pair, stores=stores) for pair in group]
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
    pairs: Sequence[PairRun],
    settings: RunSettings,
    progress: RunProgress,
) -> None:
    """Run experiments that do not wait for each other on all pairs that can be used."""
    opened: list[ExperimentRun] = []
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
    of_pair: PairRun,
    earlier: RecordsByKey,
    settings: RunSettings,
) -> ExperimentRun:
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
    if processes.is_main:
        notice(f"{experiment.name} {spec.name}: {to_do}, {len(own.of_pair(spec.name))} records are there")
    return ExperimentRun(
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
    before: Mapping[str, ExperimentRun],
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


def _run_missing_cells(runs: Sequence[ExperimentRun], progress: RunProgress, processes: Processes) -> None:
    while runs := [run for run in runs if run.waiting and run.of_pair.error is None]:
        chosen = next_round([run.waiting for run in runs])
        pieces = [Piece(run, cell) for run, cells in zip(runs, chosen, strict=True) for cell in cells]
        for run, cells in zip(runs, chosen, strict=True):
            run.waiting[:] = [cell for cell in run.waiting if cell not in cells]
        run_round(pieces, progress, processes)
        if len(pairs := {run.of_pair.pair for run in runs}) > 1:
            # The next round begins with another pair, and a device may hold only one.
            for pair in pairs:
                pair.give_up()

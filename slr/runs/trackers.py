"""Trackers of other packages: each shows what a run measured, in the way of its own.

The records on disk are the truth. A tracker gets one experiment's results of one pair at the end of a run. W&B is not
one of them, because ``slr.runs.tracking`` does more for it.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slr.models.reference import PairSpec
from slr.plugins import Plugin, load_plugin
from slr.runs.experiment import AnyExperiment, RunMirror, store_of
from slr.runs.records import Failure
from slr.runs.results import of_pair
from slr.terminal.bad_input import in_one_line
from slr.terminal.literal_text import visible


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """One experiment's results of one pair.

    Attributes:
        experiment: name of the experiment.
        pair: name of the pair.
        config_hash: hash of the experiment's configuration. With the two names it says whether two runs are the same.
        settings: the experiment's configuration.
        results: numbers, tables and curves.
        records: the file of all records.
        smoke: whether the numbers mean nothing.
    """

    experiment: str
    pair: str
    config_hash: str
    settings: Mapping[str, Any]
    results: RunMirror
    records: Path
    smoke: bool


@dataclass(frozen=True, kw_only=True)
class Tracker:
    """A way to show runs.

    Attributes:
        show: shows a run. Another call with the same experiment, pair and hash replaces what it showed before.
        check: raises ``ValueError`` if nothing can be shown, for example without an account. It is called before any
            work is done.
    """

    show: Callable[[TrackedRun], None]
    check: Callable[[], None] = lambda: None


def load_trackers(names: Sequence[str]) -> list[Plugin[Tracker]]:
    """Load trackers by their names, and let each check that it can be used.

    Raises:
        ValueError: if one is not known, or cannot be used.
    """
    trackers = [load_plugin("slr.trackers", name, Tracker) for name in names]
    for tracker in trackers:
        try:
            tracker.value.check()
        # The package's code may fail in any way.
        except Exception as error:
            raise ValueError(f"{_name(tracker)} cannot be used: {in_one_line(str(error))}") from error
    return trackers


def show_pair(
    trackers: Sequence[Plugin[Tracker]],
    experiment: AnyExperiment,
    spec: PairSpec,
    output_dir: Path,
    smoke: bool = False,
) -> None:
    """Show one pair's results of an experiment in every tracker.

    A failure is reported on stderr and otherwise ignored, because no result is lost.

    Args:
        trackers: the trackers.
        experiment: the experiment that was run.
        spec: the pair.
        output_dir: directory of the records.
        smoke: whether the numbers mean nothing.
    """
    if not trackers:
        return
    store = store_of(experiment, output_dir)
    records = [record for record in of_pair(store.read(), spec.name) if not isinstance(record, Failure)]
    if not records:
        return
    for tracker in trackers:
        try:
            results = RunMirror(summary={}, tables={})
            if experiment.mirror is not None:
                results = experiment.mirror(records, spec.name)
            tracker.value.show(
                TrackedRun(
                    experiment=experiment.name,
                    pair=spec.name,
                    config_hash=records[0].provenance.config_hash,
                    settings=dataclasses.asdict(experiment.config),
                    results=results,
                    records=store.path,
                    smoke=smoke,
                )
            )
        except Exception as error:
            problem = f"{_name(tracker)} did not show {experiment.name}/{spec.name}: {type(error).__name__}: {error}"
            print(visible(problem), file=sys.stderr)


def _name(tracker: Plugin[Tracker]) -> str:
    return f"the tracker {tracker.name!r} of the package {tracker.package}"

"""``slr plugins``: list what other packages add, and check that it can be used."""

from __future__ import annotations

from slr.cli.options import Quiet, Verbose
from slr.plugins import OWN, SINGULAR, Group, added_names, load_plugin
from slr.terminal.bad_input import FAILED, print_error
from slr.terminal.notices import notice, set_verbosity
from slr.terminal.tables import print_table

EXAMPLE = "Example: slr plugins"


def plugins(quiet: Quiet = False, verbose: Verbose = False) -> int:
    """List the metrics, tasks, scorers and trackers that other packages add.

    Each is loaded, so that a broken package is found here. Without a name in a command nothing is loaded.
    docs/extending.md shows how to write one.
    """
    set_verbosity(quiet, verbose)

    from slr.crc.scorer import Scorer
    from slr.downstream.metric import Metric
    from slr.downstream.task import Task
    from slr.runs.trackers import Tracker

    kinds: dict[Group, type[object]] = {
        "slr.metrics": Metric,
        "slr.tasks": Task,
        "slr.scorers": Scorer,
        "slr.trackers": Tracker,
    }
    rows: list[tuple[str, str, str]] = []
    problems: list[str] = []
    for group, kind in kinds.items():
        for name in added_names(group):
            try:
                rows.append((SINGULAR[group], name, load_plugin(group, name, kind).package))
            except ValueError as error:
                problems.append(str(error))
    if rows:
        print_table(("kind", "name", "package"), rows, num_text_columns=3)
    elif not problems:
        notice(f"no package adds anything in the groups {', '.join(OWN)}")
    for problem in problems:
        print_error(problem)
    return FAILED if problems else 0

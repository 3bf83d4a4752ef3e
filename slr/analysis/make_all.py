"""Make every figure and table from records alone: ``python analysis/make_all.py``.

    results/PRESET/*.jsonl  ->  paper_figures/PRESET/figures/NAME.pdf  NAME.png
                                paper_figures/PRESET/tables/NAME.csv   NAME.md   NAME.tex
                                paper_figures/index.html               all of them on one page

For every preset that has records, or for one of them (``--preset``), or for one directory of records, such as
``slr search`` makes: ``--results-dir DIR --output-dir FIGURES`` puts figures/ and tables/ right into FIGURES.
``--wandb ENTITY/PROJECT`` fetches the records from Weights & Biases first, and makes the same from them.

Needs no model and no torch. What has not been measured is a gap that names the command to run. All is drawn elsewhere
first, and replaces what was drawn before only when it is complete: either everything is new, or nothing is.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

# An odd value would have matplotlib fail when it is imported; nothing here is shown in a window anyway.
os.environ["MPLBACKEND"] = "Agg"

from matplotlib.figure import Figure

from slr.analysis.exhibit import Exhibit
from slr.analysis.figures import FIGURES
from slr.analysis.figures.gap import add_note, gap
from slr.analysis.load_results import Results, find_runs, load_results
from slr.analysis.page import ShownFigure, ShownTable, page_path, write_page
from slr.analysis.replacing import all_or_nothing
from slr.analysis.tables import TABLES
from slr.analysis.tables.table import Table, save_table
from slr.analysis.wandb_records import fetch_records
from slr.figure_style import save_figure, use_style
from slr.models.presets import PRESETS
from slr.terminal.bad_input import (
    BAD_INPUT,
    OneLineParser,
    check_arguments,
    check_environment,
    check_writable,
    one_of,
    print_error,
)
from slr.terminal.literal_text import visible
from slr.terminal.stopping import die_with_parent, run_until_stopped

FORMATS = {"figures": ("pdf", "png"), "tables": ("csv", "md", "tex")}

FAILED = 1
"""The exit status where the machine, not the input, was at fault."""

Made = TypeVar("Made")


def make_all(results: Results, output_dir: Path) -> dict[str, list[str]]:
    """Write everything; returns what is missing, in words, and the figures and tables that lack it.

    Raises:
        ValueError: if the records contradict each other, so that a figure or table cannot be made.
    """
    use_style()
    gaps: dict[str, list[str]] = {}
    figures, tables = [], []
    for exhibit in (*FIGURES, *TABLES):
        if words := _of_sound_records(exhibit.name, results, lambda of=exhibit: _gap_of(of, results)):
            gaps.setdefault(words, []).append(exhibit.name)
    for exhibit in FIGURES:
        figure, caption = _of_sound_records(
            exhibit.name, results, lambda of=exhibit: (_figure(of, results), _caption(of, results))
        )
        _, png = save_figure(figure, output_dir / "figures", exhibit.name)
        figures.append(ShownFigure(exhibit.name, png, caption, _gap_of(exhibit, results)))
    for exhibit in TABLES:
        table = _of_sound_records(exhibit.name, results, lambda of=exhibit: _table(of, results))
        save_table(table, output_dir / "tables")
        tables.append(ShownTable(table, _gap_of(exhibit, results)))
    write_page(results, figures, tables, output_dir)
    return gaps


def _of_sound_records(name: str, results: Results, make: Callable[[], Made]) -> Made:
    """What is made, or in a line what could not be: each record may be sound, and all together not."""
    try:
        return make()
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name} cannot be made from the records of {results.name}, which contradict each other or lack a part "
            f"({type(error).__name__}: {error}); mend them, or measure them anew into another --results-dir"
        ) from error


def _figure(exhibit: Exhibit[Figure], results: Results) -> Figure:
    if not exhibit.need.found(results):
        return gap(exhibit.name, exhibit.need.command(results))
    figure = exhibit.make(results)
    if words := _gap_of(exhibit, results):
        add_note(figure, words)
    return figure


def _caption(exhibit: Exhibit[Figure], results: Results) -> str:
    measured = exhibit.need.found(results)
    return exhibit.caption(results) if exhibit.caption and measured else exhibit.name.replace("_", " ")


def _table(exhibit: Exhibit[Table], results: Results) -> Table:
    words = _gap_of(exhibit, results)
    if not exhibit.need.found(results):
        return Table(exhibit.name, words, ("not measured yet",), ())
    table = exhibit.make(results)
    return replace(table, caption=f"{table.caption} {words}") if words else table


def _gap_of(exhibit: Exhibit[Any], results: Results) -> str:
    """In words what is missing in a figure or table, and what to run; empty if all is there."""
    command = exhibit.need.command(results)
    if not exhibit.need.found(results):
        return f"Not measured yet; run: {command}"
    lacking = exhibit.need.lacking(results)
    return f"Missing: {'; '.join(lacking)}. Run: {command}" if lacking else ""


def main(argv: list[str] | None = None) -> int:
    """Parse the options, make everything, say what is missing."""
    die_with_parent()
    options = _parse(argv)
    how_to_go_on = "records and figures are as they were, the same command draws anew"
    return run_until_stopped(lambda: _run(options, argv), how_to_go_on)


def _run(options: argparse.Namespace, argv: list[str] | None) -> int:
    try:
        check_arguments(sys.argv[1:] if argv is None else argv)
        check_environment(uses_wandb=options.wandb is not None)
        return _draw_all(options)
    except ValueError as error:
        print_error(error)
        return BAD_INPUT
    except OSError as error:
        print_error(error)
        return FAILED


def _draw_all(options: argparse.Namespace) -> int:
    if options.wandb is not None:
        options.results_dir = fetch_records(options.wandb, options.results_dir)
    runs = find_runs(options.results_dir, options.preset)
    # A preset's directory in --results-dir has one of the same name in --output-dir.
    places = [run.relative_to(options.results_dir) for run in runs]
    for place in places:
        _check_replaceable(options.output_dir / place)
    page = page_path(options.output_dir / places[0])
    all_results = [load_results(run) for run in runs]
    with all_or_nothing(options.output_dir, page) as drawn:
        gaps = [make_all(results, drawn / place) for results, place in zip(all_results, places, strict=True)]
    for place, of_run in zip(places, gaps, strict=True):
        _say_what_is_there(options.output_dir / place, of_run)
    for directory in _without_records(options, runs):
        said = f"left as it is, because there are no records of it here: {directory}"
        print(visible(said), file=sys.stderr)
    return 0


def _check_replaceable(output_dir: Path) -> None:
    """Raise ``ValueError`` if a file cannot be written there, before anything is drawn."""
    check_writable(output_dir, "--output-dir")
    exhibits = {"figures": FIGURES, "tables": TABLES}
    for kind, suffixes in FORMATS.items():
        check_writable(output_dir / kind, f"the directory for {kind}")
        files = [output_dir / kind / f"{of.name}.{suffix}" for of in exhibits[kind] for suffix in suffixes]
        if blocked := next((file for file in (*files, page_path(output_dir)) if file.is_dir()), None):
            raise ValueError(f"{blocked} is a directory, expected a file that can be replaced: move it away")


def _say_what_is_there(output_dir: Path, gaps: dict[str, list[str]]) -> None:
    made = f"{len(FIGURES)} figures and {len(TABLES)} tables in {output_dir}, page {page_path(output_dir)}"
    print(visible(made), file=sys.stderr)
    for words, names in gaps.items():
        print(visible(f"gap in {', '.join(names)}: {words}"), file=sys.stderr)


def _without_records(options: argparse.Namespace, runs: list[Path]) -> list[Path]:
    """Figures of presets, perhaps run elsewhere, that a call for every preset cannot make again."""
    if options.preset is not None or options.results_dir in runs:
        return []
    drawn = {run.name for run in runs}
    return [path for name in PRESETS if name not in drawn and (path := options.output_dir / name).is_dir()]


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = OneLineParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="analysis/make_all.py"
    )
    parser.add_argument(
        "--results-dir",
        type=Path,
        default=Path("results"),
        help="holds a directory of records for each preset, or the *.jsonl of one run (default: %(default)s)",
    )
    parser.add_argument(
        "--output-dir", type=Path, default=Path("paper_figures"), help="(default: %(default)s)"
    )
    parser.add_argument(
        "--wandb",
        metavar="ENTITY/PROJECT",
        help="fetch the records from this W&B project, into from_wandb/ in --results-dir, and use only them",
    )
    parser.add_argument(
        "--preset", type=one_of(PRESETS), metavar="PRESET", help="only this one of those in --results-dir"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())

"""Make every figure and table from records alone: ``python analysis/make_all.py``.

    results/PRESET/*.jsonl  ->  paper_figures/PRESET/figures/NAME.pdf  NAME.png
                                paper_figures/PRESET/tables/NAME.csv   NAME.md   NAME.tex
                                paper_figures/index.html               all of them on one page

For every preset that has records, or for one of them (``--preset``), or for one directory of records, such as
``slr search`` makes: ``--results-dir DIR --output-dir FIGURES`` puts figures/ and tables/ right into FIGURES.
``--wandb ENTITY/PROJECT`` fetches the records from Weights & Biases first, and makes the same from them.

Needs no model and no torch. What has not been measured is a gap that names the command to run; what was
drawn before is replaced or removed, so nothing old can be mistaken for a result.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: its own directory is on the path then, the repository is not
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from matplotlib.figure import Figure

from analysis.exhibit import Exhibit
from analysis.figures import FIGURES
from analysis.figures.gap import add_note, gap
from analysis.load_results import Results, find_runs, load_results
from analysis.page import ShownFigure, ShownTable, page_path, write_page
from analysis.tables import TABLES
from analysis.tables.table import Table, save_table
from analysis.wandb_records import fetch_records
from slr.figure_style import save_figure, use_style
from slr.literal_text import visible
from slr.model_pairs import PRESETS
from slr.stopping import die_with_parent, run_until_stopped

FORMATS = {"figures": ("pdf", "png"), "tables": ("csv", "md", "tex")}


def make_all(results: Results, output_dir: Path) -> dict[str, list[str]]:
    """Write everything; returns what is missing, in words, and the figures and tables that lack it."""
    _remove_earlier(output_dir)
    use_style()
    gaps: dict[str, list[str]] = {}
    for exhibit in (*FIGURES, *TABLES):
        if words := _gap_of(exhibit, results):
            gaps.setdefault(words, []).append(exhibit.name)
    figures, tables = [], []
    for exhibit in FIGURES:
        _, png = save_figure(_figure(exhibit, results), output_dir / "figures", exhibit.name)
        figures.append(ShownFigure(exhibit.name, png, _caption(exhibit, results), _gap_of(exhibit, results)))
    for exhibit in TABLES:
        table = _table(exhibit, results)
        save_table(table, output_dir / "tables")
        tables.append(ShownTable(table, _gap_of(exhibit, results)))
    write_page(results, figures, tables, output_dir)
    return gaps


def _remove_earlier(output_dir: Path) -> None:
    """Remove what an earlier run made, so that none of it stays if this one fails; nothing else."""
    for kind, exhibits in (("figures", FIGURES), ("tables", TABLES)):
        for exhibit in exhibits:
            for suffix in FORMATS[kind]:
                (output_dir / kind / f"{exhibit.name}.{suffix}").unlink(missing_ok=True)


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
    return run_until_stopped(lambda: _run(options), "records are as they were, the same command draws anew")


def _run(options: argparse.Namespace) -> int:
    try:
        if options.wandb is not None:
            options.results_dir = fetch_records(options.wandb, options.results_dir)
        runs = [(run, load_results(run)) for run in find_runs(options.results_dir, options.preset)]
        for run, results in runs:
            # A preset's directory in --results-dir has one of the same name in --output-dir.
            _make_and_say(results, options.output_dir / run.relative_to(options.results_dir))
    except ValueError as error:
        print(visible(f"error: {error}"), file=sys.stderr)
        return 2
    except OSError as error:
        print(visible(f"error: {error}"), file=sys.stderr)
        return 1
    for directory in _without_records(options, [run for run, _ in runs]):
        print(visible(f"left as it is, for there are no records of it here: {directory}"), file=sys.stderr)
    return 0


def _make_and_say(results: Results, output_dir: Path) -> None:
    gaps = make_all(results, output_dir)
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
    parser = argparse.ArgumentParser(
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
    parser.add_argument("--preset", choices=list(PRESETS), help="only this one of those in --results-dir")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())

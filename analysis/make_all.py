"""Make every figure and table from records alone: ``python analysis/make_all.py``.

    OUTPUT/figures/NAME.pdf  NAME.png
    OUTPUT/tables/NAME.csv   NAME.md   NAME.tex

Needs no model and no torch. What has not been measured is a gap that names the command to run; what was
drawn before is replaced or removed, so nothing old can be mistaken for a result.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

# Runs as a script from anywhere: its own directory is on the path then, the repository is not.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from analysis import figures, tables
from analysis.load_results import Results, load_results
from analysis.table import Table, save_table
from slr.figure_style import save_figure, use_style

COMMANDS: dict[str, tuple[Callable[[Results], object], str]] = {
    "crc_heatmaps": (lambda r: r.crc_reports, "python experiments/crc_search.py"),
    "crc_tradeoff": (lambda r: r.crc_reports, "python experiments/crc_search.py"),
    "selected_intervals": (lambda r: r.crc_reports, "python experiments/crc_search.py"),
    "by_category": (lambda r: r.crc_reports, "python experiments/crc_search.py"),
    "selection_reasons": (lambda r: r.crc_reports, "python experiments/crc_search.py"),
    "best_intervals": (lambda r: r.crc_reports, "python experiments/crc_search.py"),
    "search_cost": (lambda r: r.search_costs, "python experiments/search_cost.py"),
    "models": (lambda r: r.pair_infos, "python experiments/crc_search.py"),
}
"""What a figure or table needs, and the command that measures it; what is not here needs no records."""


def make_all(results: Results, output_dir: Path) -> list[str]:
    """Write everything; returns a line for each gap."""
    use_style()
    gaps = []
    for make_figure in figures.FIGURES:
        name = make_figure.__name__
        if command := _missing(name, results):
            gaps.append(f"figure {name}: run {command}")
            save_figure(figures.gap(name, command), output_dir / "figures", name)
        else:
            save_figure(make_figure(results), output_dir / "figures", name)
    for make_table in tables.TABLES:
        name = make_table.__name__
        if command := _missing(name, results):
            gaps.append(f"table {name}: run {command}")
            table = Table(name, f"Not measured yet; run: {command}", ("not measured yet",), ())
        else:
            table = make_table(results)
        save_table(table, output_dir / "tables")
    return gaps


def _missing(name: str, results: Results) -> str | None:
    needed, command = COMMANDS.get(name, (lambda _: True, ""))
    return None if needed(results) else command


def main(argv: list[str] | None = None) -> int:
    """Parse the options, make everything, say what is missing."""
    parser = argparse.ArgumentParser(
        description=str(__doc__).splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--results-dir", type=Path, default=Path("results/testbed"), help="holds *.jsonl")
    parser.add_argument("--output-dir", type=Path, default=Path("paper_figures/testbed"))
    options = parser.parse_args(argv)
    try:
        results = load_results(options.results_dir)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    gaps = make_all(results, options.output_dir)
    written = len(figures.FIGURES) + len(tables.TABLES) - len(gaps)
    print(f"{written} figures and tables in {options.output_dir}", file=sys.stderr)
    for line in gaps:
        print(f"missing {line}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

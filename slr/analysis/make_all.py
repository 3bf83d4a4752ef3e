"""Make every figure and table from records alone: ``slr figures``.

    results/PRESET/*.jsonl  ->  results/PRESET/figures/NAME.pdf  NAME.png
                                results/PRESET/tables/NAME.csv   NAME.md   NAME.tex
                                results/PRESET/section.json      what the page says about them
                                results/index.html               the page, from all presets' sections

By default every preset that has records is drawn; ``--preset`` chooses one. ``--results-dir DIR`` draws one directory
of records, such as ``slr search`` makes, and puts figures/, tables/ and the page into it. ``--output-dir`` puts
everything elsewhere, and ``--publish`` into ``paper_figures``, which the repository keeps.
``--wandb ENTITY/PROJECT`` first fetches the records from Weights & Biases, and makes the same from them;
``--from-shipped`` first unpacks the records that ``--publish`` puts next to the published figures.

No model and no torch is needed. What has not been measured leaves a gap that names the command to run. Everything is
drawn elsewhere first, and replaces what was drawn before only when it is complete: everything is new, or nothing is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

# matplotlib fails to import if the variable has an odd value, and nothing here is shown in a window.
os.environ["MPLBACKEND"] = "Agg"

from matplotlib.figure import Figure

from slr.analysis.exhibit import Exhibit
from slr.analysis.figures import FIGURES
from slr.analysis.figures.gap import add_note, gap
from slr.analysis.load_results import Results, find_runs, load_results
from slr.analysis.main_numbers import print_main_numbers
from slr.analysis.page.index import page_path, write_page
from slr.analysis.page.section import SECTION_NAME, ShownFigure, ShownTable, write_section
from slr.analysis.replacing import all_or_nothing
from slr.analysis.shipped_records import ship_records
from slr.analysis.tables import TABLES
from slr.analysis.tables.table import Table, save_table
from slr.analysis.wandb_records import fetch_records
from slr.figure_style import save_figure, use_style
from slr.models.presets import PRESETS
from slr.terminal.bad_input import check_writable
from slr.terminal.literal_text import visible
from slr.terminal.notices import notice

FORMATS = {"figures": ("pdf", "png"), "tables": ("csv", "md", "tex")}
"""Suffixes of the files of each figure and table."""

Made = TypeVar("Made")


def make_all(results: Results, output_dir: Path) -> dict[str, list[str]]:
    """Write all figures and tables of one run, and its section of the page.

    Returns:
        The figures and tables that lack something, by what is missing, in words.

    Raises:
        ValueError: if the records contradict each other, so that a figure or table cannot be made.
    """
    use_style()
    gaps: dict[str, list[str]] = {}
    figures, tables = [], []
    for exhibit in (*FIGURES, *TABLES):
        # Gaps are found first, so that contradictory records fail before the slow drawing begins.
        if words := _of_sound_records(exhibit.id, results, lambda of=exhibit: _gap_of(of, results)):
            gaps.setdefault(words, []).append(exhibit.id)
    for exhibit in FIGURES:
        figure, caption = _of_sound_records(
            exhibit.id, results, lambda of=exhibit: (_figure(of, results), _caption(of, results))
        )
        save_figure(figure, output_dir / "figures", exhibit.id)
        is_measured = bool(exhibit.need.found(results))
        figures.append(
            ShownFigure(
                id=exhibit.id, caption=caption, gap=_gap_of(exhibit, results), is_measured=is_measured
            )
        )
    for exhibit in TABLES:
        table = _of_sound_records(exhibit.id, results, lambda of=exhibit: make_table(of, results))
        save_table(table, output_dir / "tables", exhibit.id)
        is_measured = bool(exhibit.need.found(results))
        tables.append(ShownTable.from_table(exhibit.id, table, _gap_of(exhibit, results), is_measured))
    write_section(results, figures, tables, output_dir)
    return gaps


def _of_sound_records(name: str, results: Results, make: Callable[[], Made]) -> Made:
    """Make an exhibit, or say in one line why it cannot be made.

    Raises:
        ValueError: if records that are sound by themselves contradict each other.
    """
    try:
        return make()
    # Other errors, such as a full disk, are no fault of the records.
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name} cannot be made from the records of {results.name}, which contradict each other or lack a part "
            f"({type(error).__name__}: {error}); correct them, or measure again into another --results-dir"
        ) from error


def _figure(exhibit: Exhibit[Figure], results: Results) -> Figure:
    if not exhibit.need.found(results):
        return gap(exhibit.id, exhibit.need.command(results))
    figure = exhibit.make(results)
    if words := _gap_of(exhibit, results):
        add_note(figure, words)
    return figure


def _caption(exhibit: Exhibit[Figure], results: Results) -> str:
    measured = exhibit.need.found(results)
    return exhibit.caption(results) if exhibit.caption and measured else exhibit.id.replace("_", " ")


def make_table(exhibit: Exhibit[Table], results: Results) -> Table:
    """Make a table from the records; where these lack something, its caption says what, and what to run."""
    words = _gap_of(exhibit, results)
    if not exhibit.need.found(results):
        return Table(words, ("not measured yet",), ())
    table = exhibit.make(results)
    return replace(table, caption=f"{table.caption} {words}") if words else table


def _gap_of(exhibit: Exhibit[Any], results: Results) -> str:
    """Say what is missing in a figure or table, and what to run; empty if nothing is missing."""
    command = exhibit.need.command(results)
    if not exhibit.need.found(results):
        return f"Not measured yet; run: {command}"
    lacking = exhibit.need.lacking(results)
    return f"Missing: {'; '.join(lacking)}. Run: {command}" if lacking else ""


def draw_all(
    results_dir: Path,
    output_dir: Path | None = None,
    preset: str | None = None,
    project: str | None = None,
    ships_records: bool = False,
) -> None:
    """Make everything from the records in a directory, and say what is missing.

    Args:
        results_dir: directory that holds a directory of records for each preset, or the ``*.jsonl`` of one run.
        output_dir: directory for the page, and for ``figures/`` and ``tables/`` or a directory with both for each
            preset; None for the directory of the records.
        preset: name of the only preset to draw; None for all.
        project: ``ENTITY/PROJECT`` in W&B. Its records are fetched first, and drawn instead.
        ships_records: whether the records are written next to the figures too, compressed.

    Raises:
        ValueError: if there are no records or damaged ones, or if the output cannot be written.
    """
    if project is not None:
        results_dir = fetch_records(project, results_dir)
    output_dir = output_dir or results_dir
    runs = find_runs(results_dir, preset)
    # A preset's figures go into a directory with the same name as the directory of its records.
    places = [run.relative_to(results_dir) for run in runs]
    for place in places:
        _check_replaceable(output_dir / place)
    if page_path(output_dir).is_dir():
        raise ValueError(
            f"{page_path(output_dir)} is a directory, expected a file that can be replaced: move it away"
        )
    # All records are read before anything is drawn, so that a damaged file is reported at once.
    all_results = [load_results(run) for run in runs]
    with all_or_nothing(output_dir) as drawn:
        gaps = [make_all(results, drawn / place) for results, place in zip(all_results, places, strict=True)]
        if ships_records:
            for run, place in zip(runs, places, strict=True):
                ship_records(run, drawn / place)
        write_page(page_path(drawn), output_dir)
    for directory in _without_section(output_dir):
        said = f"not on the page, because an earlier version of slr drew it: {directory}; draw it again"
        notice(said)
    if preset is None and results_dir not in runs:
        for directory in _without_records(output_dir, runs):
            said = f"left as it is, because its records are not here: {directory}"
            notice(said)
    for place, of_run in zip(places, gaps, strict=True):
        _say_what_is_there(output_dir / place, of_run)
    # Last, because this is what a run is for.
    for results in all_results:
        print_main_numbers(results)
    print(visible(f"page: {page_path(output_dir)}"), flush=True)


def _check_replaceable(output_dir: Path) -> None:
    """Check that every file can be written there, before anything is drawn.

    Raises:
        ValueError: if a file cannot be written.
    """
    check_writable(output_dir, "--output-dir")
    exhibits = {"figures": FIGURES, "tables": TABLES}
    for kind, suffixes in FORMATS.items():
        check_writable(output_dir / kind, f"the directory for {kind}")
        files = [output_dir / kind / f"{of.id}.{suffix}" for of in exhibits[kind] for suffix in suffixes]
        files.append(output_dir / SECTION_NAME)
        if blocked := next((file for file in files if file.is_dir()), None):
            raise ValueError(f"{blocked} is a directory, expected a file that can be replaced: move it away")


def _say_what_is_there(output_dir: Path, gaps: dict[str, list[str]]) -> None:
    notice(f"{len(FIGURES)} figures and {len(TABLES)} tables in {output_dir}")
    for words, names in gaps.items():
        notice(f"gap in {', '.join(names)}: {words}")


def _without_records(output_dir: Path, runs: list[Path]) -> list[Path]:
    """Directories of presets' figures that a call for every preset cannot make again, because records are elsewhere."""
    drawn = {run.name for run in runs}
    return [path for name in PRESETS if name not in drawn and (path := output_dir / name).is_dir()]


def _without_section(page_dir: Path) -> list[Path]:
    """Directories of presets' figures that the page cannot show, because they have no section."""
    return [
        directory
        for name in PRESETS
        if ((directory := page_dir / name) / "figures").is_dir() and not (directory / SECTION_NAME).is_file()
    ]

"""The page of one pair's search: the choice, both maps, every candidate, and the settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slr.crc.pair_view import pair_view
from slr.crc.report import CrcReport, restoration_candidates, soup_candidates
from slr.crc.selection import Candidate, Choice
from slr.files.whole import write_whole
from slr.pages.tables import PageTable
from slr.pages.templates import page_templates
from slr.runs.records import AnyRecord, Configuration, PairInfo
from slr.runs.results import of_kind, of_pair

NUMBERS = ("validity", "diversity", "validity / instruct's", "allowed")
"""Headings of what the page says of each candidate."""


def write_search_page(
    path: Path, report: CrcReport, records: Sequence[AnyRecord], command: str | None
) -> None:
    """Write the page.

    Args:
        path: the file.
        report: the pair's report.
        records: the records that the report was made from.
        command: the command that builds the better model; None if none was chosen.

    Raises:
        OSError: if the page cannot be written.
    """
    own = of_pair(records, report.pair)
    page = page_templates(Path(__file__).parent).get_template("search_page.html")
    write_whole(
        path,
        page.render(
            view=pair_view(report, own),
            report=report,
            command=command,
            candidates=_candidates(report, own),
            soups=_soups(report, own),
            settings=_settings(report, own),
        ),
    )


def _candidates(report: CrcReport, records: Sequence[AnyRecord]) -> PageTable:
    """A row for each restored interval: first what is valid enough, and of these the most diverse first."""
    front = {candidate.choice for candidate in report.front}
    found = sorted(
        restoration_candidates(records, report.stacks),
        key=lambda of: (not report.admits(of), of.diversity is None, -(of.diversity or 0)),
    )
    has_alphas = len(report.stacks) > 1
    rows = tuple(
        (
            str(of.choice.interval),
            str(len(of.choice.interval)),
            *((f"{of.choice.alpha:g}",) if has_alphas else ()),
            *_numbers(of, report),
            "yes" if of.choice in front else "",
        )
        for of in found
    )
    columns = ("layers", "number", *(("alpha",) if has_alphas else ()), *NUMBERS, "on the Pareto front")
    return _table(columns, rows)


def _soups(report: CrcReport, records: Sequence[AnyRecord]) -> PageTable:
    rows = tuple((f"{of.choice:g}", *_numbers(of, report)) for of in soup_candidates(records))
    return _table(("alpha", *NUMBERS), rows)


def _numbers(of: Candidate[Choice], report: CrcReport) -> tuple[str, ...]:
    return (
        f"{of.validity:.3f}",
        "n/a" if of.diversity is None else f"{of.diversity:.3f}",
        "n/a" if of.validity_ratio is None else str(of.validity_ratio),
        "yes" if report.admits(of) else "no",
    )


def _table(columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> PageTable:
    # Every cell here is short, so that none needs to be flush right to be compared with its neighbours.
    return PageTable(columns=columns, are_numbers=(False,) * len(columns), rows=rows)


def _settings(report: CrcReport, records: Sequence[AnyRecord]) -> list[tuple[str, str]]:
    """What was searched, how, and where, by name."""
    settings = [
        ("rule", str(report.rule)),
        ("alphas", ", ".join(f"{stack.alpha:g}" for stack in report.stacks)),
        ("components", ", ".join(report.stacks[0].components)),
    ]
    for info in of_kind(records, PairInfo)[:1]:
        settings += [
            ("base", _model(info.base, info.base_revision)),
            ("instruct", _model(info.instruct, info.instruct_revision)),
            ("architecture", info.architecture),
            ("layers", str(info.num_layers)),
            ("parameters", f"{info.num_parameters:,}"),
            ("dtype", info.dtype),
            *(("note", note) for note in info.notes),
        ]
    for source in [record.provenance for record in of_kind(records, Configuration)[:1]]:
        changed = " with changes" if source.dirty else ""
        settings += [
            ("device", source.device),
            ("date", source.created_at),
            ("code", f"commit {source.commit}{changed}"),
            *source.versions.items(),
        ]
    return settings


def _model(name: str, revision: str | None) -> str:
    return name if revision is None else f"{name} at {revision}"

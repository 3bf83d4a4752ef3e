"""The content of the page about one run: ``section.json`` next to the run's figures.

The page is made from these files alone. Therefore one section can be made again while the others stay, whose records
may be elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from slr.analysis.claims.catalogue import JudgedClaim, judged_claims
from slr.analysis.load_results import Results
from slr.analysis.page.texts import ComparedTexts, compared_texts
from slr.analysis.tables.table import Table
from slr.crc.pair_view import PairView, pair_view
from slr.files.whole import write_whole
from slr.models.presets import PRESETS
from slr.pages.tables import PageTable
from slr.runs.records import Configuration
from slr.runs.results import of_kind
from slr.statistics.uncertainty import Estimate
from slr.statistics.verdict import Outcome
from slr.terminal.literal_text import visible

SECTION_NAME = "section.json"
"""Name of the file with a section's content."""
CONCEPT = "concept"
"""Id of the figure that is shown once, above all sections."""
NOT_AS_TABLE = ("samples", "verdicts")
"""Ids of the tables whose content the page shows in another way."""


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShownFigure(_Shown):
    """A figure that was saved.

    Attributes:
        id: id of the figure, which is the name of its files.
        caption: the caption.
        gap: what is missing in the figure, in words; empty if nothing is missing.
        is_measured: whether there is anything to show.
    """

    id: str
    caption: str
    gap: str
    is_measured: bool = True


class ShownTable(PageTable):
    """A table with its caption.

    Attributes:
        id: id of the table, which is the name of its files.
        caption: the caption.
        gap: what is missing in the table, in words; empty if nothing is missing.
        is_measured: whether there is anything to show.
    """

    id: str
    caption: str
    gap: str
    is_measured: bool = True

    @classmethod
    def from_table(cls, id_: str, table: Table, gap: str, is_measured: bool = True) -> ShownTable:
        """Format every cell of a table.

        Args:
            id_: id of the table.
            table: the table.
            gap: what is missing in it, in words.
            is_measured: whether there is anything to show.

        Returns:
            The table as it is shown.
        """
        return cls(
            id=id_,
            caption=table.caption,
            gap=gap,
            is_measured=is_measured,
            columns=table.columns,
            are_numbers=tuple(table.are_numbers()),
            rows=tuple(map(tuple, table.shown_rows())),
            note=table.note,
        )


class ShownVerdict(_Shown):
    """What the records of a pair say of a claim.

    Attributes:
        claim: id of the claim.
        sentence: the claim in words.
        criterion: what decides.
        exhibit: id of the figure or table that shows the number.
        pair: name of the pair.
        outcome: whether the claim holds.
        mean: the number that decides.
        low: low end of its 95% interval; None if it has none.
        high: high end of its 95% interval; None if it has none.
        num_items: number of items behind it.
    """

    claim: str
    sentence: str
    criterion: str
    exhibit: str
    pair: str
    outcome: Outcome
    mean: float
    low: float | None
    high: float | None
    num_items: int

    @property
    def number(self) -> str:
        """The number that decides, with its interval."""
        return str(Estimate(self.mean, self.low, self.high, self.num_items))

    @classmethod
    def from_claim(cls, judged: JudgedClaim) -> ShownVerdict:
        """Format a verdict."""
        return cls(
            claim=judged.claim.id,
            sentence=judged.claim.sentence,
            criterion=judged.claim.criterion,
            exhibit=judged.claim.exhibit,
            pair=judged.pair,
            outcome=judged.verdict.outcome,
            mean=judged.verdict.estimate.mean,
            low=judged.verdict.estimate.low,
            high=judged.verdict.estimate.high,
            num_items=judged.verdict.estimate.n,
        )


class Section(BaseModel):
    """The content of the page about one run.

    Attributes:
        run: name of the run's preset or directory.
        description: description of the preset.
        setting: sentences on models, machine and code.
        verdicts: what the records say of each claim, by claim and pair.
        pairs: what the search found for each pair.
        figures: the figures.
        compared: what the models answer to the same prompts.
        tables: the tables.
    """

    # Other fields are not forbidden, because a section that an earlier version drew may have some.
    model_config = ConfigDict(frozen=True)

    run: str
    description: str
    setting: str
    verdicts: tuple[ShownVerdict, ...] = ()
    pairs: tuple[PairView, ...] = ()
    figures: tuple[ShownFigure, ...]
    compared: tuple[ComparedTexts, ...] = ()
    tables: tuple[ShownTable, ...]


def write_section(
    results: Results, figures: Sequence[ShownFigure], tables: Sequence[ShownTable], output_dir: Path
) -> None:
    """Write the content of a run's section into the directory of its figures.

    Args:
        results: the run's results.
        figures: the figures that were saved.
        tables: the tables that were saved.
        output_dir: directory of ``figures/`` and ``tables/``.
    """
    section = Section(
        run=visible(results.name),
        description=_description(results),
        setting=_setting(results),
        verdicts=tuple(map(ShownVerdict.from_claim, judged_claims(results))),
        pairs=tuple(pair_view(report, results.records) for report in results.crc_reports),
        figures=tuple(figure for figure in figures if figure.id != CONCEPT),
        compared=compared_texts(results),
        tables=tuple(table for table in tables if table.id not in NOT_AS_TABLE),
    )
    write_whole(output_dir / SECTION_NAME, section.model_dump_json(indent=1) + "\n")


def _description(results: Results) -> str:
    """Say what was run; nothing where neither a preset nor the user's own pairs are known."""
    if results.own_run is not None:
        return f"Pairs of the user's own, with the prompts of the preset {results.own_run.preset}."
    preset = PRESETS.get(results.name)
    return f"{preset.description[0].upper()}{preset.description[1:]}." if preset else ""


def read_section(directory: Path) -> Section:
    """Read the section of the figures in a directory.

    Raises:
        ValueError: if it cannot be read.
    """
    path = directory / SECTION_NAME
    try:
        return Section.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        raise ValueError(
            f"{path} is not a section of the page ({problem}): draw that run again, or move the file away"
        ) from None


def _setting(results: Results) -> str:
    """Models, machine and code, in one sentence each."""
    if not results.pair_infos:
        return "Nothing has been measured yet."
    pairs = "; ".join(
        f"{info.pair}: {info.base} and {info.instruct}, {info.num_layers} layers, "
        f"{info.num_parameters:,} parameters"
        for info in results.pair_infos
    )
    sources = [record.provenance for record in of_kind(results.records, Configuration)]
    devices = ", ".join(dict.fromkeys(source.device for source in sources))
    commits = ", ".join(
        dict.fromkeys(source.commit[:12] + ("+" if source.dirty else "") for source in sources)
    )
    versions = ", ".join(
        f"{package} {version}" for package, version in (sources[0].versions if sources else {}).items()
    )
    return f"{pairs}. Measured on: {devices}. Code: commit {commits}; {versions}."

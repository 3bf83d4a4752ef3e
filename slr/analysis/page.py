"""The page ``index.html``: the question, the setting, every figure and table, and texts side by side.

The page is one file that needs no network. Its texts can neither run nor fetch anything. It has a section for each
preset, or for a single run. The content of a section is in ``section.json`` next to the run's figures. The page is made
from these files alone. Therefore one section can be made again while the others stay, whose records may be elsewhere.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, ValidationError

from slr.analysis.claims.catalogue import JudgedClaim, judged_claims
from slr.analysis.claims.verdict import Outcome
from slr.analysis.load_results import Results
from slr.analysis.tables.samples import samples
from slr.analysis.tables.table import Table
from slr.files.templates import page_templates
from slr.files.whole import write_whole
from slr.models.presets import PRESETS
from slr.runs.records import Configuration
from slr.runs.results import of_kind
from slr.statistics.uncertainty import Estimate
from slr.terminal.literal_text import visible

TEMPLATES = Path(__file__).parent
"""Directory of the page's templates."""
PAGE_NAME = "index.html"
"""Name of the page's file."""
SECTION_NAME = "section.json"
"""Name of the file with a section's content."""
CONCEPT = "concept"
"""Id of the figure that is shown once, above all sections."""
NOT_AS_TABLE = "samples"
"""Id of the table whose texts are shown side by side instead."""


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShownFigure(_Shown):
    """A figure that was saved.

    Attributes:
        id: id of the figure, which is the name of its files.
        caption: the caption.
        gap: what is missing in the figure, in words; empty if nothing is missing.
    """

    id: str
    caption: str
    gap: str


class ShownTable(_Shown):
    """A table as it is shown.

    Attributes:
        id: id of the table, which is the name of its files.
        caption: the caption.
        gap: what is missing in the table, in words; empty if nothing is missing.
        columns: heading of each column.
        are_numbers: whether each column holds only numbers.
        rows: text of each cell, row by row.
        note: text below the table.
    """

    id: str
    caption: str
    gap: str
    columns: tuple[str, ...]
    are_numbers: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str

    @classmethod
    def from_table(cls, id_: str, table: Table, gap: str) -> ShownTable:
        """Format every cell of a table.

        Args:
            id_: id of the table.
            table: the table.
            gap: what is missing in it, in words.

        Returns:
            The table as it is shown.
        """
        return cls(
            id=id_,
            caption=table.caption,
            gap=gap,
            columns=table.columns,
            are_numbers=tuple(table.are_numbers()),
            rows=tuple(map(tuple, table.shown_rows())),
            note=table.note,
        )


class SideBySide(_Shown):
    """Texts for one prompt, by the instruct model and by the hybrid.

    Attributes:
        pair: name of the pair.
        genre: genre of the prompt.
        prompt: the prompt.
        instruct: the instruct model's texts.
        hybrid: the hybrid's texts.
    """

    pair: str
    genre: str
    prompt: str
    instruct: tuple[str, ...]
    hybrid: tuple[str, ...]


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


class Section(_Shown):
    """The content of the page about one run.

    Attributes:
        run: name of the run's preset or directory.
        description: description of the preset.
        setting: sentences on models, machine and code.
        verdicts: what the records say of each claim, by claim and pair.
        figures: the figures.
        texts: the texts that are shown side by side.
        tables: the tables.
    """

    run: str
    description: str
    setting: str
    verdicts: tuple[ShownVerdict, ...] = ()
    figures: tuple[ShownFigure, ...]
    texts: tuple[SideBySide, ...]
    tables: tuple[ShownTable, ...]


def page_path(output_dir: Path) -> Path:
    """The path of the page about everything below ``output_dir``."""
    return output_dir / PAGE_NAME


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
        figures=tuple(figure for figure in figures if figure.id != CONCEPT),
        texts=_side_by_side(results),
        tables=tuple(table for table in tables if table.id != NOT_AS_TABLE),
    )
    write_whole(output_dir / SECTION_NAME, section.model_dump_json(indent=1) + "\n")


def _description(results: Results) -> str:
    """Say what was run; nothing where neither a preset nor the user's own pairs are known."""
    if results.own_run is not None:
        return f"Pairs of the user's own, with the prompts of the preset {results.own_run.preset}."
    preset = PRESETS.get(results.name)
    return f"{preset.description[0].upper()}{preset.description[1:]}." if preset else ""


def write_page(path: Path, earlier: Path) -> None:
    """Write the page from the sections below its directory.

    Args:
        path: path of the page.
        earlier: directory of the page that this one replaces. It gives the sections that the new page's directory does
            not have.

    Raises:
        ValueError: if a section cannot be read.
    """
    # The empty name stands for a single run, whose section is next to the page.
    places = [_place_of(name, (path.parent, earlier)) for name in (*PRESETS, "")]
    directories = [place for place in places if place is not None]
    sections = {directory: read_section(directory) for directory in directories}
    pictures = {
        (section.run, figure.id): _data_uri(directory, figure.id)
        for directory, section in sections.items()
        for figure in section.figures
    }
    page = page_templates(TEMPLATES).get_template("page.html")
    concept = _data_uri(directories[0], CONCEPT)
    shown = list(sections.values())
    write_whole(
        path, page.render(sections=shown, claims=_by_claim(shown), pictures=pictures, concept=concept)
    )


def _by_claim(sections: Sequence[Section]) -> list[list[tuple[str, ShownVerdict]]]:
    """For each claim of any section, the verdicts with the name of their section."""
    by_claim: dict[str, list[tuple[str, ShownVerdict]]] = {}
    for section in sections:
        for verdict in section.verdicts:
            by_claim.setdefault(verdict.claim, []).append((section.run, verdict))
    return list(by_claim.values())


def table_html(table: ShownTable) -> str:
    """A ``table`` element and its note; the page sets the caption."""
    module: Any = page_templates(TEMPLATES).get_template("table.html").module
    return str(module.table_element(table))


def _place_of(name: str, tops: Sequence[Path]) -> Path | None:
    """The first directory of that name that has a section."""
    return next((top / name for top in tops if (top / name / SECTION_NAME).is_file()), None)


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


def _side_by_side(results: Results) -> tuple[SideBySide, ...]:
    texts: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for pair, genre, prompt, _, instruct, hybrid in samples(results).rows:
        texts.setdefault((str(pair), str(genre), str(prompt)), []).append(
            (str(instruct), "n/a" if hybrid is None else str(hybrid))
        )
    return tuple(
        SideBySide(
            pair=pair,
            genre=genre,
            prompt=prompt,
            instruct=tuple(instruct for instruct, _ in of_prompt),
            hybrid=tuple(hybrid for _, hybrid in of_prompt),
        )
        for (pair, genre, prompt), of_prompt in texts.items()
    )


def _data_uri(directory: Path, figure: str) -> Markup:
    """The picture of a figure, to be written into the page itself."""
    # Within the page, so that it stays one file that can be sent on.
    picture = (directory / "figures" / f"{figure}.png").read_bytes()
    return Markup("data:image/png;base64," + base64.b64encode(picture).decode("ascii"))

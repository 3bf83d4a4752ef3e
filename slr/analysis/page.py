"""The page ``index.html``: the question, the setting, every figure and table, and texts side by side.

One file that needs no network, and whose texts can neither run nor fetch anything. It has a section for each preset
(or single run). What a section says is in ``section.json`` beside the run's figures, and the page is made from these
files alone: a section can be made anew while the others, whose records may be elsewhere, stay as they are.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, ValidationError

from slr.analysis.load_results import Results
from slr.analysis.tables.samples import samples
from slr.analysis.tables.table import Table
from slr.files.whole import write_whole
from slr.models.presets import PRESETS
from slr.runs.records import Configuration
from slr.runs.results import of_kind
from slr.terminal.literal_text import visible

PAGE_NAME = "index.html"
SECTION_NAME = "section.json"
CONCEPT = "concept"
"""Id of the figure that stands once, above all sections."""
NOT_AS_TABLE = "samples"
"""Id of the table whose texts stand side by side instead."""


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShownFigure(_Shown):
    """A figure that was saved. ``gap`` says what is missing in it, or is empty."""

    id: str
    caption: str
    gap: str


class ShownTable(_Shown):
    """A table as it is shown. ``gap`` says what is missing in it, or is empty."""

    id: str
    caption: str
    gap: str
    columns: tuple[str, ...]
    are_numbers: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str

    @classmethod
    def from_table(cls, id_: str, table: Table, gap: str) -> ShownTable:
        """Every cell of a table as it is shown."""
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
    """Texts for one prompt, by the instruct model and by the hybrid."""

    pair: str
    genre: str
    prompt: str
    instruct: tuple[str, ...]
    hybrid: tuple[str, ...]


class Section(_Shown):
    """What the page says about one run, which has the name of its preset or directory."""

    run: str
    description: str
    setting: str
    figures: tuple[ShownFigure, ...]
    texts: tuple[SideBySide, ...]
    tables: tuple[ShownTable, ...]


def page_path(output_dir: Path) -> Path:
    """Where the page is: in ``output_dir``, or above it if that is one of several presets' directories."""
    return (output_dir.parent if output_dir.name in PRESETS else output_dir) / PAGE_NAME


def write_section(
    results: Results, figures: Sequence[ShownFigure], tables: Sequence[ShownTable], output_dir: Path
) -> None:
    """Write what the page says about a run into the directory of its figures."""
    preset = PRESETS.get(results.name)
    section = Section(
        run=visible(results.name),
        description=f"{preset.description[0].upper()}{preset.description[1:]}." if preset else "",
        setting=_setting(results),
        figures=tuple(figure for figure in figures if figure.id != CONCEPT),
        texts=_side_by_side(results),
        tables=tuple(table for table in tables if table.id != NOT_AS_TABLE),
    )
    write_whole(output_dir / SECTION_NAME, section.model_dump_json(indent=1) + "\n")


def write_page(path: Path, earlier: Path) -> None:
    """Write the page from the sections below its directory.

    Args:
        path: of the page.
        earlier: the directory of the page that this one replaces; sections that are not below the new page's directory
            are taken from there.

    Raises:
        ValueError: if a section cannot be read.
    """
    places = [_place_of(name, (path.parent, earlier)) for name in (*PRESETS, "")]
    directories = [place for place in places if place is not None]
    sections = {directory: _read_section(directory) for directory in directories}
    pictures = {
        (section.run, figure.id): _data_uri(directory, figure.id)
        for directory, section in sections.items()
        for figure in section.figures
    }
    page = _templates().get_template("page.html")
    concept = _data_uri(directories[0], CONCEPT)
    write_whole(path, page.render(sections=list(sections.values()), pictures=pictures, concept=concept))


def table_html(table: ShownTable) -> str:
    """A ``table`` element and its note; the caption is for the page to set."""
    module: Any = _templates().get_template("table.html").module
    return str(module.table_element(table))


def _place_of(name: str, tops: Sequence[Path]) -> Path | None:
    """The first directory of that name that has a section."""
    return next((top / name for top in tops if (top / name / SECTION_NAME).is_file()), None)


def _read_section(directory: Path) -> Section:
    path = directory / SECTION_NAME
    try:
        return Section.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        raise ValueError(
            f"{path} is no section of the page ({problem}): draw that run anew, or move the file away"
        ) from None


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else visible(str(value), keep="\n\t"),
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _setting(results: Results) -> str:
    """Models, machine and code, in a sentence each."""
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
    """The picture of a figure, for the page to hold."""
    picture = (directory / "figures" / f"{figure}.png").read_bytes()
    return Markup("data:image/png;base64," + base64.b64encode(picture).decode("ascii"))

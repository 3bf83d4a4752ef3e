"""The page ``index.html``: the question, the setting, every figure and table, and texts side by side.

One file that needs no network, and whose texts can neither run nor fetch anything. It has a section for each preset
(or single run), set between two comments, so that a section can be made anew while the others, whose records may be
elsewhere, stay as they are.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from string import Template

from slr.analysis.load_results import Results
from slr.analysis.tables.samples import samples
from slr.analysis.tables.table import Table, in_html
from slr.files.whole import write_whole
from slr.models.presets import PRESETS
from slr.runs.records import Configuration
from slr.runs.results import of_kind
from slr.terminal.literal_text import visible

PAGE_NAME = "index.html"
FRAME = Path(__file__).with_name("page.html")
NOT_AS_TABLE = "samples"
"""These texts stand side by side instead."""


@dataclass(frozen=True)
class ShownFigure:
    """A figure that was saved, with its caption. ``gap`` says what is missing in it, or is empty."""

    id: str
    picture: Path
    caption: str
    gap: str


@dataclass(frozen=True)
class ShownTable:
    """A table that was made. ``gap`` says what is missing in it, or is empty."""

    id: str
    table: Table
    gap: str


def page_path(output_dir: Path) -> Path:
    """Where the page is: in ``output_dir``, or above it if that is one of several presets' directories."""
    return (output_dir.parent if output_dir.name in PRESETS else output_dir) / PAGE_NAME


def write_page(
    results: Results, figures: Sequence[ShownFigure], tables: Sequence[ShownTable], output_dir: Path
) -> Path:
    """Write the page anew with this run's section, and those that it had for other runs."""
    path = page_path(output_dir)
    sections = _sections_of(_read_page(path)) if path.exists() else {}
    sections[visible(results.name)] = _section(results, figures, tables)
    known = [name for name in PRESETS if name in sections]
    names = known + sorted(sections.keys() - set(known))
    concept = next(figure.picture for figure in figures if figure.id == "concept")
    write_whole(path, _page({name: sections[name] for name in names}, concept))
    return path


def _read_page(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the earlier page {PAGE_NAME} is not UTF-8 text ({error.reason} at byte {error.start}), so the sections "
            "of other runs cannot be kept: move it away"
        ) from None


def _sections_of(page: str) -> dict[str, str]:
    found = re.finditer(r"<!-- run (?P<name>[^>]*) -->\n(?P<body>.*?)\n<!-- end of run -->", page, re.DOTALL)
    return {unescape(match["name"]): match["body"] for match in found}


def _page(sections: dict[str, str], concept: Path) -> str:
    links = "".join(f'<a href="#{in_html(name)}">{in_html(name)}</a>' for name in sections)
    body = "\n".join(
        f"<!-- run {escape(name)} -->\n{html}\n<!-- end of run -->" for name, html in sections.items()
    )
    frame = Template(FRAME.read_text(encoding="utf-8"))
    return frame.substitute(links=links, concept=_data_uri(concept), sections=body)


def _section(results: Results, figures: Sequence[ShownFigure], tables: Sequence[ShownTable]) -> str:
    preset = PRESETS.get(results.name)
    parts = [
        f'<section id="{in_html(results.name)}">',
        f"<h2>{in_html(results.name)}</h2>",
        f"<p>{in_html(preset.description[0].upper() + preset.description[1:])}.</p>" if preset else "",
        f"<p>{in_html(_setting(results))}</p>",
        *(_figure(figure, results.name) for figure in figures if figure.id != "concept"),
        _side_by_side(results),
        "<h3>Tables</h3>",
        *(_table(shown, results.name) for shown in tables if shown.id != NOT_AS_TABLE),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


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


def _figure(figure: ShownFigure, run: str) -> str:
    note = f'<p class="gap">{in_html(figure.gap)}</p>' if figure.gap else ""
    return (
        f'<figure id="{in_html(run)}-{figure.id}">{note}<div class="wide"><img src="{_data_uri(figure.picture)}" '
        f'alt="{in_html(figure.caption)}"></div>'
        f"<figcaption>{in_html(figure.caption)}</figcaption></figure>"
    )


def _side_by_side(results: Results) -> str:
    rows = samples(results).rows
    if not rows:
        return ""
    texts: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for pair, genre, prompt, _, instruct, hybrid in rows:
        texts.setdefault((str(pair), str(genre), str(prompt)), []).append(
            (str(instruct), "n/a" if hybrid is None else str(hybrid))
        )
    blocks = [
        f"<h4>{in_html(pair)}, {in_html(genre)}: {in_html(prompt)}</h4>"
        '<div class="sides">'
        f"<div><h5>instruct</h5>{''.join(f'<p>{in_html(left)}</p>' for left, _ in of_prompt)}</div>"
        f"<div><h5>SLR hybrid</h5>{''.join(f'<p>{in_html(right)}</p>' for _, right in of_prompt)}</div></div>"
        for (pair, genre, prompt), of_prompt in texts.items()
    ]
    caption = (
        "The first samples of the first prompt of each genre, as they were drawn; a stroke is a line break."
    )
    return f"<h3>Texts side by side</h3><p>{caption}</p><details open>" + (
        f"<summary>{len(blocks)} prompts</summary>{''.join(blocks)}</details>"
    )


def _table(shown: ShownTable, run: str) -> str:
    title = shown.id.replace("_", " ")
    gap = f' <span class="gap">{in_html(shown.gap)}</span>' if shown.gap else ""
    return (
        f'<details id="{in_html(run)}-{shown.id}"><summary>{in_html(title)}{gap}</summary>'
        f'<p>{in_html(shown.table.caption)}</p><div class="wide">{shown.table.html()}</div></details>'
    )


def _data_uri(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode("ascii")

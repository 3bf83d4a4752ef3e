"""The page ``index.html``: the question, what the records say, a picture for each pair, and everything behind it.

The page is one file that needs no network. Its texts can neither run nor fetch anything. It has a section for each
preset, or for a single run.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from slr.analysis.page.section import CONCEPT, SECTION_NAME, Section, ShownTable, ShownVerdict, read_section
from slr.files.whole import write_whole
from slr.models.presets import PRESETS
from slr.pages.templates import page_templates

TEMPLATES = Path(__file__).parent
"""Directory of the page's template."""
PAGE_NAME = "index.html"
"""Name of the page's file, and of its template."""
AS_MAPS = "crc_heatmaps"
"""Id of the figure in whose place the page shows maps with values, where it has them."""


def page_path(output_dir: Path) -> Path:
    """The path of the page about everything below ``output_dir``."""
    return output_dir / PAGE_NAME


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
        if figure.is_measured and not (figure.id == AS_MAPS and section.pairs)
    }
    shown = list(sections.values())
    page = page_templates(TEMPLATES).get_template(PAGE_NAME)
    write_whole(
        path,
        page.render(
            sections=shown,
            claims=_by_claim(shown),
            pictures=pictures,
            concept=_data_uri(directories[0], CONCEPT),
            as_maps=AS_MAPS,
            has_pairs=any(section.pairs for section in shown),
            title_of=title_of,
        ),
    )


def title_of(id_: str) -> str:
    """The title of a figure or table, made from its id."""
    words = id_.replace("_", " ").replace("crc", "CRC").replace("qa", "QA")
    return words[:1].upper() + words[1:]


def _by_claim(sections: Sequence[Section]) -> list[list[tuple[str, ShownVerdict]]]:
    """For each claim of any section, the verdicts with the name of their section."""
    by_claim: dict[str, list[tuple[str, ShownVerdict]]] = {}
    for section in sections:
        for verdict in section.verdicts:
            by_claim.setdefault(verdict.claim, []).append((section.run, verdict))
    return list(by_claim.values())


def table_html(table: ShownTable) -> str:
    """A ``table`` element and its note; the page sets the caption."""
    module: Any = page_templates(TEMPLATES).get_template("parts.html").module
    return str(module.table_element(table))


def _place_of(name: str, tops: Sequence[Path]) -> Path | None:
    """The first directory of that name that has a section."""
    return next((top / name for top in tops if (top / name / SECTION_NAME).is_file()), None)


def _data_uri(directory: Path, figure: str) -> Markup:
    """The picture of a figure, to be written into the page itself."""
    # Within the page, so that it stays one file that can be sent on.
    picture = (directory / "figures" / f"{figure}.png").read_bytes()
    return Markup("data:image/png;base64," + base64.b64encode(picture).decode("ascii"))

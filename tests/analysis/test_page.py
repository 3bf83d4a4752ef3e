from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from slr.analysis.figures import FIGURES
from slr.analysis.page.index import table_html
from slr.analysis.page.section import ShownTable
from slr.analysis.tables import TABLES
from slr.analysis.tables.table import Table
from slr.cli import main
from slr.statistics.uncertainty import Estimate
from tests.analysis.synthetic import write_results

VOID = {"meta", "img", "br"}
"""Elements that do not close. In SVG they close themselves."""


class Outline(HTMLParser):
    """Fails on tags that do not close in order; collects ids, pictures and addresses."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.pictures: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self.open.append(tag)
        if "id" in of:
            self.ids.append(of["id"])
        if tag == "img":
            self.pictures.append(of["src"])
        self.addresses += [of[name] for name in ("href", "src") if name in of]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def draw(results: Path, output: Path, *options: str) -> str:
    assert main(["figures", "--results-dir", str(results), "--output-dir", str(output), *options]) == 0
    return (output / "index.html").read_text(encoding="utf-8")


def test_one_page_with_everything_and_without_the_network(tmp_path: Path) -> None:
    write_results(tmp_path / "results" / "testbed", ("testbed-llama",))
    write_results(tmp_path / "results" / "small", ("small-llama",))
    page = draw(tmp_path / "results", tmp_path / "out")
    assert page.endswith("</html>\n")
    outline = Outline(page)
    assert [name for name in outline.ids if name in ("testbed", "small")] == ["testbed", "small"]
    shown = {figure.id for figure in FIGURES} | {f"table-{table.id}" for table in TABLES}
    shown -= {"concept", "table-samples", "table-verdicts"}
    of_runs = [name.partition("-") for name in outline.ids if name.startswith(("testbed", "small"))]
    assert {of_run for _, _, of_run in of_runs} - {"", "tables"} == shown
    assert len(outline.ids) == len(set(outline.ids))
    # Only what was measured has a picture, and maps with values stand in place of the heatmaps.
    assert len(outline.pictures) == 1 + 2
    assert {name for name in outline.ids if name.startswith("pair-")} == {"pair-1-1", "pair-2-1"}
    assert all(address.startswith(("data:", "#")) for address in outline.addresses)


def test_a_run_made_anew_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    write_results(tmp_path / "a" / "testbed", ("testbed-llama",))
    write_results(tmp_path / "b" / "small", ("small-llama",))
    draw(tmp_path / "a", tmp_path / "out")
    both = draw(tmp_path / "b", tmp_path / "out")
    assert "testbed-llama" in both
    assert "small-llama" in both
    assert draw(tmp_path / "b", tmp_path / "out") == both
    # The page of one run lies in its directory, as run_all draws it, and leaves the page of all runs alone.
    alone = draw(tmp_path / "a" / "testbed", tmp_path / "out" / "testbed")
    assert "small-llama" not in alone
    assert (tmp_path / "out" / "index.html").read_text(encoding="utf-8") == both


def test_captions_are_made_from_the_records_and_gaps_name_the_command(tmp_path: Path) -> None:
    write_results(tmp_path / "results" / "testbed", ("testbed-llama",))
    page = draw(tmp_path / "results", tmp_path / "out")
    captions = re.findall(r"<(?:figcaption|p class=\"note\")>(.*?)</", page, re.DOTALL)
    assert any("testbed-llama: layers " in caption for caption in captions)
    assert "Not measured yet; run: python experiments/open_qa.py" in page


def test_html_of_a_table_escapes_and_aligns() -> None:
    table = Table(
        "caption", ("name", "n", "score"), (("a<b", 3, Estimate(0.5, 0.25, 0.75, 4)), ("c", 4, None))
    )
    html = table_html(ShownTable.from_table("t", table, ""))
    Outline(html)
    assert "<td>a&lt;b</td>" in html
    assert '<td class="number">3</td>' in html
    assert "<td>0.500 [0.250, 0.750]</td>" in html
    assert "<td>n/a</td>" in html
    assert table.note in html


def test_a_section_that_is_damaged_is_named_and_nothing_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path / "a" / "testbed", ("testbed-llama",))
    (tmp_path / "out" / "small").mkdir(parents=True)
    (tmp_path / "out" / "small" / "section.json").write_bytes(b"{\xff")
    assert main(["figures", "--results-dir", str(tmp_path / "a"), "--output-dir", str(tmp_path / "out")]) == 2
    assert (
        f"{tmp_path / 'out' / 'small' / 'section.json'} is not a section of the page"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "out" / "testbed").exists()


def test_what_an_earlier_version_drew_is_said_not_to_be_on_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path / "a" / "testbed", ("testbed-llama",))
    (tmp_path / "out" / "small" / "figures").mkdir(parents=True)
    draw(tmp_path / "a", tmp_path / "out")
    assert f"not on the page, because an earlier version of slr drew it: {tmp_path / 'out' / 'small'}" in (
        capsys.readouterr().err
    )

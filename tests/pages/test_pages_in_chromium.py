"""The pages in a real browser: what they ask for, how wide they are, and what their controls do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slr.analysis.make_all import draw_all
from slr.cli import main
from slr.runs.results_store import ResultsStore
from tests.analysis.downstream_records import all_records
from tests.pages.browser import needs_chromium, open_page

WIDTHS = (400, 1280)
MOST_SIDEWAYS = "return document.documentElement.scrollWidth - innerWidth;"

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of one pair with every experiment."""
    directory = tmp_path_factory.mktemp("index") / "testbed"
    for record in all_records(("testbed-llama",)):
        ResultsStore(directory / f"{record.experiment}.jsonl").append([record])
    draw_all(directory)
    return directory / "index.html"


@pytest.fixture(scope="module")
def report(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the pair's search."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert main(["show", str(index.parent), "--pair", "testbed-llama", "--report", str(path)]) == 0
    return path


@pytest.fixture(params=["index", "report"])
def page(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def done_by(page: Path, tmp_path: Path, act: str, width: int = 1280) -> Any:
    return open_page(page, tmp_path, width, act).found


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_asks_for_nothing_complains_of_nothing_and_fits_the_window(
    page: Path, tmp_path: Path, width: int
) -> None:
    opened = open_page(page, tmp_path, width, MOST_SIDEWAYS)
    assert opened.found <= 0
    assert opened.console == []
    assert opened.addresses == []


def test_the_browser_would_notice_a_request_a_complaint_and_a_wide_page(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<meta http-equiv=Content-Security-Policy content=\"script-src 'unsafe-hashes'\"><body>"
        '<img src="http://picture.example/a.png"><p style="width:2000px">wide</p><script>alert(1)</script></body>'
    )
    opened = open_page(bad, tmp_path, 400, MOST_SIDEWAYS)
    assert opened.found > 1000
    assert opened.addresses == ["http://picture.example/a.png"]
    assert any("Content Security Policy" in line for line in opened.console)


def test_a_heading_sorts_its_table_both_ways_and_says_so(report: Path, tmp_path: Path) -> None:
    found = done_by(
        report,
        tmp_path,
        """
        const table = document.querySelector("#candidates table");
        const heading = [...table.tHead.rows[0].cells].find((cell) => cell.textContent === "validity");
        const read = () => [
          heading.getAttribute("aria-sort"),
          [...table.tBodies[0].rows].map((row) => Number(row.cells[heading.cellIndex].textContent)),
        ];
        const before = read();
        heading.querySelector("button").click();
        const once = read();
        heading.querySelector("button").click();
        return [before, once, read(), heading.querySelector("button").tabIndex];
        """,
    )
    (unsorted, values), once, twice, tab_index = found
    assert unsorted is None
    assert len(set(values)) > 1
    assert once == ["ascending", sorted(values)]
    assert twice == ["descending", sorted(values, reverse=True)]
    assert tab_index == 0  # the keyboard reaches it, and a button answers Enter and Space by itself


def test_what_is_missing_stays_below_and_layers_sort_as_numbers(report: Path, tmp_path: Path) -> None:
    found = done_by(
        report,
        tmp_path,
        """
        const table = document.querySelector("#candidates table");
        const cells = ["10:12", "n/a", "2:3", "", "2:10"];
        table.tBodies[0].replaceChildren(...cells.map((text) => {
          const row = document.createElement("tr");
          row.insertCell().textContent = text;
          return row;
        }));
        const read = () => [...table.tBodies[0].rows].map((row) => row.textContent);
        const button = table.tHead.querySelector("button");
        button.click();
        const once = read();
        button.click();
        return [once, read()];
        """,
    )
    assert found == [["2:3", "2:10", "10:12", "n/a", ""], ["10:12", "2:10", "2:3", "n/a", ""]]


def test_in_a_narrow_window_each_cell_stands_behind_its_heading(report: Path, tmp_path: Path) -> None:
    act = """
        const cell = document.querySelector("#candidates tbody tr").cells[2];
        return [getComputedStyle(cell, "::before").content, getComputedStyle(cell).display];
        """
    assert done_by(report, tmp_path, act, width=400) == ['"validity: "', "block"]
    assert done_by(report, tmp_path, act, width=1280) == ["none", "table-cell"]


def test_the_navigation_stays_in_the_window(page: Path, tmp_path: Path) -> None:
    act = """
        scrollTo(0, document.documentElement.scrollHeight);
        await new Promise((done) => setTimeout(done, 100));
        return [scrollY, document.querySelector("nav").getBoundingClientRect().top];
        """
    for width in WIDTHS:
        scrolled, top = done_by(page, tmp_path, act, width)
        assert scrolled > 100
        assert abs(top) < 1  # a part of a pixel, where the page is scrolled by one


def test_every_link_of_the_navigation_leads_somewhere(page: Path, tmp_path: Path) -> None:
    act = """
        const links = [...document.querySelectorAll("a")].map((link) => link.getAttribute("href"));
        return [links.length, links.filter((link) => !document.getElementById(link.slice(1)))];
        """
    number, broken = done_by(page, tmp_path, act)
    assert number > 4
    assert broken == []


def test_a_cell_of_a_map_shows_its_values_to_pointer_and_keyboard(page: Path, tmp_path: Path) -> None:
    at_first, pointed, keyed, left = done_by(
        page,
        tmp_path,
        """
        const maps = document.querySelector(".maps");
        const readout = maps.nextElementSibling;
        const at_first = readout.textContent;
        const cell = [...maps.querySelectorAll("svg")][1].querySelector(".cells rect");
        cell.dispatchEvent(new PointerEvent("pointerenter"));
        const pointed = readout.textContent;
        const key = new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true });
        maps.querySelector("svg").dispatchEvent(key);
        const keyed = readout.textContent;
        maps.dispatchEvent(new PointerEvent("pointerleave"));
        return [at_first, pointed, keyed, readout.textContent];
        """,
    )
    assert at_first == left == "layers 1:2: validity 0.750, diversity 0.600"
    assert pointed == "layers 0:1: validity 0.500, diversity 0.700; not valid enough"
    assert keyed.startswith("layers 0:2: ")


def test_two_models_are_chosen_and_their_texts_stand_side_by_side(index: Path, tmp_path: Path) -> None:
    act = """
        const section = document.querySelector(".compare");
        const [prompt, left, right] = section.querySelectorAll("select");
        const shown = () => [...section.querySelectorAll("[data-model]")]
          .filter((model) => model.checkVisibility())
          .sort((a, b) => a.getBoundingClientRect().left - b.getBoundingClientRect().left)
          .map((model) => [model.closest("[data-prompt]").dataset.prompt, model.dataset.model]);
        const choose = (select, value) => {
          select.value = value;
          select.dispatchEvent(new Event("change"));
        };
        const first = shown();
        choose(left, "soup");
        choose(right, "instruct");
        choose(prompt, "2");
        return [first, shown()];
        """
    for width in WIDTHS:
        assert done_by(index, tmp_path, act, width) == [
            [["1", "instruct"], ["1", "SLR hybrid"]],
            [["2", "soup"], ["2", "instruct"]],
        ]


def test_a_filter_leaves_the_rows_that_hold_the_words(index: Path, tmp_path: Path) -> None:
    number, left = done_by(
        index,
        tmp_path,
        """
        const details = document.getElementById("testbed-table-crc_prompts");
        details.open = true;
        const input = details.querySelector("input");
        const rows = [...details.querySelectorAll("tbody tr")];
        input.value = rows[3].cells[0].textContent;
        input.dispatchEvent(new Event("input"));
        return [rows.length, rows.filter((row) => row.checkVisibility()).map((row) => row.rowIndex)];
        """,
    )
    assert number == 80
    assert left == [4]

"""The pages a reader sees: short enough, with links that lead somewhere, and with statements that hold for the code."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_import_rules import MAY_IMPORT
from tools.verdicts_in_readme import verdict_table, with_table

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "examples").glob("*.md"),
    ]
)
MOST_WORDS_IN_README = 1000
LINK = re.compile(r"\]\(([^)\s]+)\)")
OUR_PATH = re.compile(r"`((?:slr|experiments|analysis|tests|docs|tools|examples)/[\w./-]+)`")


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs make them of plain text."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def local_links(page: Path) -> Iterator[tuple[Path, str]]:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if not link.startswith(("http:", "https:")):
            path, _, anchor = link.partition("#")
            yield (page.parent / path if path else page), anchor


def test_the_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= MOST_WORDS_IN_README


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_link_leads_to_a_file_and_its_heading(page: Path) -> None:
    for target, anchor in local_links(page):
        assert target.exists(), f"{page_id(page)} links to {target}"
        assert not anchor or anchor in anchors_of(target), (
            f"{page_id(page)}: no heading #{anchor} in {target}"
        )


def test_the_readme_has_the_verdicts_of_the_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_table(text, verdict_table(ROOT / "paper_figures")) == text


def test_the_readme_has_links_to_check() -> None:
    assert len(list(local_links(ROOT / "README.md"))) > 10


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    for path in OUR_PATH.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), f"{page_id(page)} names {path}"


def test_the_table_of_imports_is_the_one_that_is_enforced() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = page[page.index("| package | may import |") :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in table]
    assert {package: allowed.split(", ") if allowed else [] for package, allowed in rows} == {
        package: allowed.split() for package, allowed in MAY_IMPORT.items()
    }
    assert [package for package, _ in rows] == list(MAY_IMPORT)


def test_every_page_is_in_the_menu_and_on_the_home_page() -> None:
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    menu = re.findall(r": (\w+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(menu) == sorted(pages)
    assert pages - {"index.md"} <= set(LINK.findall((ROOT / "docs/index.md").read_text(encoding="utf-8")))


def test_the_api_page_documents_the_public_names() -> None:
    import slr

    documented = re.findall(r"^::: (\S+)$", (ROOT / "docs/api.md").read_text(encoding="utf-8"), re.MULTILINE)
    for name in documented:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), f"docs/api.md documents {name}"
    assert {name.rpartition(".")[2] for name in documented} >= set(slr.__all__)

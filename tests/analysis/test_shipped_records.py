"""The records that ship give the published tables, number by number."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from slr.analysis.load_results import load_results
from slr.analysis.make_all import make_table
from slr.analysis.shipped_records import unpack_shipped
from slr.analysis.tables import TABLES
from slr.analysis.tables.table import save_table
from slr.cli import main
from tests.analysis.synthetic import write_results

PUBLISHED = Path(__file__).parents[2] / "paper_figures"


def published_from(results: Path) -> None:
    Path("paper_figures").mkdir(exist_ok=True)
    assert main(["figures", "--results-dir", str(results), "--publish"]) == 0


def files_below(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_what_is_published_can_be_drawn_and_published_again_from_its_own_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_results(Path("results/testbed"), ("testbed-llama",))
    stale = Path("results/shipped/testbed/open_qa.jsonl")
    stale.parent.mkdir(parents=True)
    stale.write_text("of an earlier call")
    published_from(Path("results"))
    published = files_below(Path("paper_figures"))
    assert main(["figures", "--from-shipped"]) == 0
    drawn = files_below(Path("results/shipped"))
    assert drawn.pop("testbed/crc_search.jsonl") == Path("results/testbed/crc_search.jsonl").read_bytes()
    assert drawn == {name: content for name, content in published.items() if "/records/" not in name}
    published_from(Path("results/shipped"))
    assert files_below(Path("paper_figures")) == published


def test_a_damaged_file_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    damaged = Path("paper_figures/testbed/records/crc_search.jsonl.xz")
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert main(["figures", "--from-shipped"]) == 2
    assert f"{damaged} is damaged" in capsys.readouterr().err


def test_a_checkout_without_records_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("paper_figures").mkdir()
    assert main(["figures", "--from-shipped"]) == 2
    assert "there are no records in paper_figures/PRESET/records" in capsys.readouterr().err


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_shipped(PUBLISHED, tmp_path_factory.mktemp("results"))


@pytest.mark.parametrize("preset", ["testbed", "laptop"])
def test_every_published_table_follows_from_the_shipped_records(
    preset: str, shipped: Path, tmp_path: Path
) -> None:
    results = load_results(shipped / preset)
    for exhibit in TABLES:
        save_table(make_table(exhibit, results), tmp_path, exhibit.id)
    published = files_below(PUBLISHED / preset / "tables")
    drawn = files_below(tmp_path)
    assert drawn.keys() == published.keys()
    assert [name for name, content in drawn.items() if not have_same_numbers(content, published[name])] == []


def have_same_numbers(found: bytes, expected: bytes) -> bool:
    """Whether two tables are equal, or differ by rounding: the last bits of numpy's results depend on the processor."""
    if found == expected:
        return True
    rows, others = (list(csv.reader(table.decode().splitlines())) for table in (found, expected))
    if [len(row) for row in rows] != [len(row) for row in others]:
        return False
    cells = zip((cell for row in rows for cell in row), (cell for row in others for cell in row), strict=True)
    return all(cell == other or _are_close(cell, other) for cell, other in cells)


def _are_close(cell: str, other: str) -> bool:
    try:
        return float(cell) == pytest.approx(float(other), rel=1e-12, abs=1e-15)
    except ValueError:
        return False


def test_other_numbers_or_words_would_be_noticed() -> None:
    table = b"model,mean\nhybrid,0.30000000000000004\n"
    assert have_same_numbers(table, b"model,mean\nhybrid,0.3\n")
    assert not have_same_numbers(table, b"model,mean\nhybrid,0.3001\n")
    assert not have_same_numbers(table, b"model,mean\nsoup,0.3\n")
    assert not have_same_numbers(table, b"model,mean\n")

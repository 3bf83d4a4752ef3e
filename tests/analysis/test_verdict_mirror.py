"""The verdicts in W&B, against the table of the same records."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from slr.analysis.claims.catalogue import CLAIMS, JudgedClaim
from slr.analysis.page.section import ShownVerdict
from slr.analysis.verdict_mirror import TABLE, verdict_mirror, verdict_mirrors
from slr.cli import main
from slr.models.presets import find_pair
from slr.runs.tracking import mirror_verdicts
from slr.statistics.uncertainty import Estimate
from slr.statistics.verdict import Verdict
from tests.analysis.synthetic import write_results
from tests.runs.test_tracking import read_back, runs_of


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """The figures of two pairs."""
    write_results(tmp_path / "results", ("testbed-llama", "testbed-qwen"))
    figures = tmp_path / "figures"
    assert main(["figures", "--results-dir", str(tmp_path / "results"), "--output-dir", str(figures)]) == 0
    return figures


def rows_of(figures: Path, pair: str) -> list[dict[str, str]]:
    with (figures / "tables" / "verdicts.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["pair"] == pair]


def test_each_pair_has_the_rows_of_the_table_of_verdicts(drawn: Path) -> None:
    mirrors = verdict_mirrors(drawn)
    assert mirrors.keys() == {"testbed-llama", "testbed-qwen"}
    for pair, mirror in mirrors.items():
        _, rows = mirror.tables[TABLE]
        expected = [
            [row["claim"], row["verdict"], row["number"], row["number low"], row["number high"], row["n"]]
            for row in rows_of(drawn, pair)
        ]
        assert expected
        assert [
            ["" if cell is None else str(cell) for cell in (row[0], *row[2:7])] for row in rows
        ] == expected


def test_the_ends_of_an_interval_are_metrics() -> None:
    claim = CLAIMS[0]
    verdict = Verdict(outcome="no", estimate=Estimate(0.1, -0.2, 0.4, 40))
    mirror = verdict_mirror([ShownVerdict.from_claim(JudgedClaim(claim, "a pair", verdict))])
    assert mirror.summary == {
        f"{claim.id}/verdict": "no",
        f"{claim.id}/number": 0.1,
        f"{claim.id}/low": -0.2,
        f"{claim.id}/high": 0.4,
    }


def test_where_nothing_was_drawn_there_is_no_verdict(tmp_path: Path) -> None:
    assert verdict_mirrors(tmp_path) == {}


def test_the_run_in_wandb_has_verdicts_numbers_table_and_pictures(drawn: Path, tmp_path: Path) -> None:
    spec = find_pair("testbed-llama")
    verdicts = verdict_mirrors(drawn)[spec.name]
    images = [drawn / "figures" / "concept.png"]
    assert mirror_verdicts(spec, verdicts, tmp_path, "offline", images)
    assert not mirror_verdicts(spec, verdicts, tmp_path, "offline", images)
    [run_file] = runs_of(tmp_path)
    found = read_back(run_file)
    assert (found["run"]["display_name"], found["run"]["run_group"]) == ("verdicts/testbed-llama", "verdicts")
    assert {key: found["config"][key] for key in ("family", "preset", "size")} == {
        "family": "llama",
        "preset": "testbed",
        "size": "full",
    }
    assert "verdicts/claims" in found["summary"]
    assert "figures/concept" in found["history"]
    [row] = [row for row in rows_of(drawn, spec.name) if row["claim"].startswith("Post-training collapsed")]
    assert found["summary"]["verdicts/collapse/verdict"] == row["verdict"]
    assert found["summary"]["verdicts/collapse/number"] == pytest.approx(float(row["number"]))
    # Four prompts give no interval here, and what is not defined is not logged.
    assert row["number low"] == ""
    assert "verdicts/collapse/low" not in found["summary"]

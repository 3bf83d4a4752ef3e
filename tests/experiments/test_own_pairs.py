"""All experiments on pairs that no preset has, of architectures that no preset uses."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest

from slr.analysis.load_results import load_results
from slr.cli import main
from slr.experiments import catalogue
from slr.runs.records import PairInfo, Samples
from slr.runs.results import of_kind
from slr.runs.results_store import ResultsStore
from tests.conftest import CheckpointPairs


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_run_all_measures_draws_and_mirrors_a_pair_of_ones_own(
    checkpoint_pairs: CheckpointPairs, capfd: pytest.CaptureFixture[str]
) -> None:
    base, _ = checkpoint_pairs("mistral", num_layers=6)
    Path("pair").symlink_to(base.parent)
    command = ["run", "all", "--pair", "pair/base", "pair/instruct", "--preset", "testbed", "--smoke"]
    assert main(command) == 0
    [output] = Path("results").iterdir()
    assert output.name.endswith("-instruct-smoke")
    results = load_results(output)
    [info] = results.pair_infos
    assert (info.family, info.num_layers) == ("mistral", 6)
    assert set(results.by_pair) == {info.pair}
    for name in catalogue.MAKERS:
        assert results.of_experiment(name), name
    page = (output / "index.html").read_text(encoding="utf-8")
    assert f"{info.pair}: " in page
    assert "Pairs of the user's own, with the prompts of the preset testbed." in html.unescape(page)
    assert capfd.readouterr().out.endswith(f"page: {output / 'index.html'}\n")
    marks = json.loads((output / "wandb" / "mirrored.json").read_text(encoding="utf-8"))
    assert marks.keys() == {f"{name}/{info.pair}" for name in (*catalogue.MAKERS, "verdicts")}
    stored = results.own_run
    assert stored is not None
    [pair] = stored.pairs
    assert (pair.base, pair.name, stored.preset) == ("pair/base", info.pair, "testbed")
    # The file that is kept means the same run.
    capfd.readouterr()
    again = ["run", "crc_search", "--pairs", str(output / "run.yaml"), "--smoke", "--wandb", "disabled"]
    assert main(again) == 0
    assert "nothing to do" in capfd.readouterr().err


def test_pairs_of_a_file_have_its_sizes_and_one_that_cannot_be_used_stops_no_other(
    checkpoint_pairs: CheckpointPairs, capfd: pytest.CaptureFixture[str]
) -> None:
    base, instruct = checkpoint_pairs("olmo2")
    other, _ = checkpoint_pairs("llama", num_layers=3)
    Path("mine.yaml").write_text(
        "preset: testbed\n"
        "pairs:\n"
        f"- {{base: {base}, instruct: {other}, name: broken}}\n"
        f"- {{base: {base}, instruct: {instruct}, name: good, family: a family}}\n"
        "experiments: {open_qa: {num_prompts: 2, num_samples: 3, max_new_tokens: 4, num_seeds: 1}}\n",
        encoding="utf-8",
    )
    assert main(["run", "open_qa", "--pairs", "mine.yaml", "--wandb", "disabled"]) == 2
    assert "error: broken: " in capfd.readouterr().err
    samples = of_kind(ResultsStore(Path("results/mine/open_qa.jsonl")).read(), Samples)
    assert {(record.pair, record.family, len(record.texts)) for record in samples} == {
        ("good", "a family", 3)
    }
    assert len({record.prompt_id for record in samples}) == 2
    [info] = of_kind(ResultsStore(Path("results/mine/crc_search.jsonl")).read(), PairInfo)
    assert info.pair == "good"
    # What is missing is asked for by the file that the run keeps.
    assert main(["figures", "--results-dir", "results/mine", "--output-dir", "drawn"]) == 0
    said = capfd.readouterr().err
    assert "Not measured yet; run: slr run quality --pairs results/mine/run.yaml" in said
    assert "Missing: broken (not begun)" in said

"""The real scripts, in smoke size, on pairs of tiny random models."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments import search_cost
from slr import cli
from slr.crc import search as crc_search_module
from slr.models.presets import PRESETS, Preset
from slr.models.reference import ModelReference, PairSpec
from slr.runs.records import AnyRecord, CrcScore, Failure, SearchCost
from slr.runs.results_store import ResultsStore
from tests.conftest import CheckpointPairs

ROOT = Path(__file__).parents[2]
NUM_LAYERS = 6
NUM_RECORDS = 8 + NUM_LAYERS * (NUM_LAYERS + 1) // 2 + 1 + 3 + 1 + 2
"""Configuration, pair, models, few-shot base, intervals, cost, soups, selection, choices on held-out prompts."""


@pytest.fixture(autouse=True)
def tiny_preset(checkpoint_pairs: CheckpointPairs, monkeypatch: pytest.MonkeyPatch) -> tuple[PairSpec, ...]:
    """Two tiny pairs in place of the shipped ones."""
    specs = []
    for family, architecture in (("llama", "llama"), ("gemma", "gemma2")):
        base, instruct = checkpoint_pairs(architecture, num_layers=NUM_LAYERS)
        specs.append(
            PairSpec(
                name=f"tiny-{family}",
                family=family,
                base=ModelReference(str(base)),
                instruct=ModelReference(str(instruct)),
                num_layers=NUM_LAYERS,
                num_parameters=None,
            )
        )
    monkeypatch.setitem(PRESETS, "testbed", Preset("testbed", tuple(specs), "tiny"))
    return tuple(specs)


@pytest.fixture
def starts_searched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The start layers that a search is asked for."""
    starts: list[int] = []
    iter_search = crc_search_module.iter_search

    def spy(*arguments: Any, **options: Any):
        starts.extend(options["starts"])
        return iter_search(*arguments, **options)

    monkeypatch.setattr(crc_search_module, "iter_search", spy)
    return starts


def run_crc_search(output_dir: Path, *options: str) -> int:
    return cli.main(
        ["run", "crc_search", "--smoke", "--wandb", "disabled", "--output-dir", str(output_dir), *options]
    )


def records_file(output_dir: Path) -> Path:
    return output_dir / "crc_search.jsonl"


def measured(output_dir: Path) -> dict[str, dict[str, Any]]:
    """What was measured, by key, without when, and without the cost, which only a whole search has."""
    return {
        record.key: record.model_dump(exclude={"provenance": {"created_at", "commit", "dirty", "took"}})
        for record in ResultsStore(records_file(output_dir)).read()
        if record.kind != "search_cost"
    }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests below find the records of one whole run; made by the first of them."""
    return tmp_path_factory.mktemp("uninterrupted")


def whole_run(output_dir: Path) -> Path:
    assert run_crc_search(output_dir) == 0
    return output_dir


def test_a_second_run_does_nothing_twice(
    uninterrupted: Path, starts_searched: list[int], capsys: pytest.CaptureFixture[str]
):
    output_dir = whole_run(uninterrupted)
    assert starts_searched == [*range(NUM_LAYERS)] * 2
    content = records_file(output_dir).read_bytes()
    assert content.count(b"\n") == 2 * NUM_RECORDS
    capsys.readouterr()
    assert run_crc_search(output_dir) == 0
    assert len(starts_searched) == 2 * NUM_LAYERS
    assert records_file(output_dir).read_bytes() == content
    assert f"crc_search tiny-llama: nothing to do, {NUM_RECORDS} records are there" in capsys.readouterr().err
    assert not (output_dir / "wandb").exists()


def test_what_is_lost_is_measured_again_and_equal(
    uninterrupted: Path, tmp_path: Path, starts_searched: list[int]
):
    expected = measured(whole_run(uninterrupted))
    lines = records_file(uninterrupted).read_text(encoding="utf-8").splitlines(keepends=True)
    records_file(tmp_path).write_text("".join(lines[::2])[:-20], encoding="utf-8")
    starts_searched.clear()
    assert run_crc_search(tmp_path) == 0
    assert measured(tmp_path) == expected


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_resumes_at_the_next_start_layer(
    uninterrupted: Path,
    tmp_path: Path,
    tiny_preset: tuple[PairSpec, ...],
    starts_searched: list[int],
    how: signal.Signals,
):
    expected = measured(whole_run(uninterrupted))
    directory = Path(tiny_preset[0].base.location).parent
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.programs.halted_search", str(directory), str(tmp_path), "6"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_lines(records_file(tmp_path), 5 + NUM_LAYERS, process)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    if how != signal.SIGKILL:
        assert process.returncode == 128 + how
        assert "Traceback" not in said
        assert said.count("the same command goes on from there") == 1
        assert "finished" not in said
    done = {
        record.interval[0]
        for record in ResultsStore(records_file(tmp_path)).read()
        if isinstance(record, CrcScore) and record.interval is not None
    }
    assert 0 < len(done) < NUM_LAYERS
    starts_searched.clear()
    assert run_crc_search(tmp_path, "--families", "llama") == 0
    assert starts_searched == [start for start in range(NUM_LAYERS) if start not in done]
    assert measured(tmp_path) == {
        key: value for key, value in expected.items() if key.startswith("tiny-llama")
    }


def wait_for_lines(path: Path, number: int, process: subprocess.Popen[str]) -> None:
    for _ in range(6000):
        if path.exists() and path.read_bytes().count(b"\n") >= number:
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    raise AssertionError(f"{path} did not get {number} lines within a minute")


def test_a_failing_cell_gives_status_1_and_the_next_run_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        patched.setattr("slr.hybrid.interpolate", fail)
        assert run_crc_search(tmp_path, "--families", "llama") == 1
    failures = [r for r in ResultsStore(records_file(tmp_path)).read() if isinstance(r, Failure)]
    assert [failure.message for failure in failures] == ["broken"]
    assert run_crc_search(tmp_path, "--families", "llama") == 0
    assert not any(isinstance(r, Failure) for r in ResultsStore(records_file(tmp_path)).read())


def fail(*_: object) -> None:
    raise RuntimeError("broken")


def test_mistakes_of_the_user_are_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert run_crc_search(tmp_path, "--families", "olmo") == 2
    assert capsys.readouterr().err == (
        "error: --families names 'olmo'; the preset testbed has llama, gemma\n"
    )
    good = PRESETS["testbed"].pairs[1]
    missing = ModelReference(str(tmp_path / "missing"))
    bad = PairSpec(
        name="bad", family="llama", base=missing, instruct=missing, num_layers=2, num_parameters=None
    )
    monkeypatch.setitem(PRESETS, "testbed", Preset("testbed", (bad, good), "one of them bad"))
    assert run_crc_search(tmp_path) == 2
    assert "error: bad: there is no directory" in capsys.readouterr().err
    assert {record.pair for record in ResultsStore(records_file(tmp_path)).read()} == {good.name}


def test_a_pair_that_is_not_what_the_preset_says_is_refused(
    tmp_path: Path,
    tiny_preset: tuple[PairSpec, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    deeper = replace(tiny_preset[0], num_layers=NUM_LAYERS + 1)
    monkeypatch.setitem(PRESETS, "testbed", Preset("testbed", (deeper,), "not what it seems"))
    assert run_crc_search(tmp_path) == 2
    assert "error: tiny-llama: the models have 6 layers, expected 7" in capsys.readouterr().err
    assert not records_file(tmp_path).exists()


def test_records_of_another_pair_of_that_name_are_not_added_to(
    uninterrupted: Path,
    tmp_path: Path,
    tiny_preset: tuple[PairSpec, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    lines = records_file(whole_run(uninterrupted)).read_text(encoding="utf-8").splitlines(keepends=True)
    records_file(tmp_path).write_text("".join(lines[:10]), encoding="utf-8")
    swapped = replace(tiny_preset[0], base=tiny_preset[0].instruct)
    monkeypatch.setitem(PRESETS, "testbed", Preset("testbed", (swapped,), "another base model"))
    assert run_crc_search(tmp_path) == 2
    assert "must not be mixed: base was" in capsys.readouterr().err
    assert len(ResultsStore(records_file(tmp_path)).read()) == 10


def test_a_directory_that_is_removed_during_the_run_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    output_dir = tmp_path / "out"
    append = ResultsStore.append
    appended: list[object] = []

    def append_and_lose(store: ResultsStore, records: Iterable[AnyRecord]) -> None:
        append(store, records)
        appended.append(store)
        if len(appended) == 3:
            shutil.rmtree(output_dir)

    monkeypatch.setattr(ResultsStore, "append", append_and_lose)
    assert run_crc_search(output_dir, "--families", "llama") == 1
    said = capsys.readouterr().err
    assert said.count("error: ") == 1
    assert f"error: {output_dir} was removed or replaced during the run" in said
    assert "finished" not in said
    assert len(appended) == 3
    assert run_crc_search(output_dir, "--families", "llama") == 0


def test_a_second_run_on_the_directory_ends_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Also of another experiment, and of the command."""
    code = (
        "import sys, time; from pathlib import Path; from slr.runs.output_lock import output_lock\n"
        "with output_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(300)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        words = f"error: {tmp_path} is in use by process {holder.pid} on "
        assert run_crc_search(tmp_path) == 2
        assert search_cost.main(["--smoke", "--output-dir", str(tmp_path)]) == 2
        assert cli.main(["search", "tiny-llama", "--output-dir", str(tmp_path)]) == 2
        said = capsys.readouterr().err
        assert said.count(words) == said.count("error: ") == 3
    finally:
        holder.kill()
        holder.communicate()
    assert run_crc_search(tmp_path, "--families", "llama") == 0


def test_a_dry_run_sums_up_and_loads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for loads in ("slr.models.loading.load_spec", "slr.models.checkpoint.with_local_weights"):
        monkeypatch.setattr(loads, fail)
    assert run_crc_search(tmp_path / "real") == 1, "a real run does not call what the dry run must not"
    capsys.readouterr()
    assert run_crc_search(tmp_path / "dry", "--dry-run") == 0
    summary = capsys.readouterr().out
    assert len(summary.splitlines()) <= 30
    assert re.search(r"^crc_search +0 of \d+ +\d+ s ", summary, re.MULTILINE)
    assert "Download: nothing, all models are here." in summary
    assert "held_out" not in summary
    assert run_crc_search(tmp_path / "dry", "--dry-run", "--cells") == 0
    listed = capsys.readouterr().out
    assert re.search(r"^crc_search +tiny-gemma/held_out +to do ", listed, re.MULTILINE)
    assert summary.split("Memory")[0] in listed
    assert not (tmp_path / "dry").exists()


def test_a_published_run_is_drawn_into_the_directory_that_the_repository_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("paper_figures").mkdir()
    drawn: list[Sequence[str]] = []
    monkeypatch.setattr("slr.runs.script.run_pairs", lambda *_: [])
    monkeypatch.setattr("slr.cli.run.run_child", lambda command: drawn.append(command) or 0)
    for option in ((), ("--publish",)):
        assert cli.main(["run", "all", "--wandb", "disabled", *option]) == 0
    plain, published = (command[command.index("figures") :] for command in drawn)
    assert plain == ["figures", "--results-dir", "results/testbed", "--output-dir", "results/testbed"]
    assert published == ["figures", "--preset", "testbed", "--publish"]


def test_search_cost_measures_every_method_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments: Sequence[str] = ["--smoke", "--output-dir", str(tmp_path)]
    assert search_cost.main([*arguments]) == 0
    content = (tmp_path / "search_cost.jsonl").read_bytes()
    assert content.count(b"\n") == 4
    [header, row, _, alphas] = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert header[-1] == "ratio"
    name, shared_seconds, shared_hybrids, _, loop_seconds, loop_hybrids, _, ratio = row
    assert (name, shared_hybrids, loop_hybrids) == ("random-llama-2x64", "3", "3")
    assert float(shared_seconds) >= 0
    assert float(loop_seconds) >= 0
    costs = [r for r in ResultsStore(tmp_path / "search_cost.jsonl").read() if isinstance(r, SearchCost)]
    shared, loop, one_pass, one_by_one = costs
    expected = loop.seconds_per_interval / shared.seconds_per_interval
    assert float(ratio) == pytest.approx(expected, abs=0.06)
    # Two layers: a prefix of 1, and 4 for each of two alphas; the prefix is not shared by two searches.
    assert (one_pass.layer_evaluations, one_by_one.layer_evaluations) == (9, 10)
    assert one_pass.num_intervals == one_by_one.num_intervals == 6
    assert alphas[0] == name
    assert search_cost.main([*arguments]) == 0
    assert (tmp_path / "search_cost.jsonl").read_bytes() == content

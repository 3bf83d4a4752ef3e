from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from slr.analysis.figures import FIGURES
from slr.analysis.load_results import load_results
from slr.analysis.main_numbers import print_main_numbers
from slr.analysis.tables import TABLES
from slr.cli import main
from slr.crc import plots
from slr.runs.results_store import ResultsStore
from tests.analysis.synthetic import crc_records, write_results
from tests.analysis.test_load_results import failure

ROOT = Path(__file__).resolve().parent.parent.parent
NUM_FILES = 2 * len(FIGURES) + 3 * len(TABLES) + 1
TESTBED = ("testbed-llama", "testbed-qwen", "testbed-gemma")


def files_in(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def call(results_dir: Path, output_dir: Path, *options: str) -> int:
    return main(["figures", "--results-dir", str(results_dir), "--output-dir", str(output_dir), *options])


def test_everything_of_every_preset_and_twice_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path / "results" / "testbed", TESTBED)
    write_results(tmp_path / "results" / "small", ("small-llama",))
    output = tmp_path / "paper_figures"
    assert call(tmp_path / "results", output) == 0
    first = files_in(output)
    assert {name.split("/")[0] for name in first} == {"testbed", "small", "index.html"}
    assert len(first) == 2 * NUM_FILES + 1
    printed, said = capsys.readouterr()
    assert f"{len(FIGURES)} figures and {len(TABLES)} tables in {output / 'testbed'}\n" in said
    assert printed.endswith(f"page: {output / 'index.html'}\n")
    assert said.count("Missing: small-qwen (not begun); small-gemma (not begun).") == 1
    assert call(tmp_path / "results", output, "--preset", "small") == 0
    assert files_in(output) == first


def test_one_directory_of_records(tmp_path: Path) -> None:
    write_results(tmp_path / "my-pair", ("my-pair",))
    assert call(tmp_path / "my-pair", tmp_path / "out") == 0
    assert (tmp_path / "out" / "figures" / "crc_heatmaps.pdf").exists()
    assert len(files_in(tmp_path / "out")) == NUM_FILES + 1


def test_without_a_directory_all_is_drawn_next_to_the_records_and_published_only_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_results(Path("results/testbed"), TESTBED[:1])
    records = files_in(Path())
    assert main(["figures"]) == 0
    drawn = files_in(Path())
    assert {name: drawn[name] for name in records} == records
    assert {"results/testbed/figures/concept.png", "results/index.html"} <= drawn.keys()
    assert all(name.startswith("results/") for name in drawn)
    Path("paper_figures").mkdir()
    assert main(["figures", "--publish"]) == 0
    published = {name.partition("/")[2] for name in files_in(Path()) if name.startswith("paper_figures/")}
    shown = {name.partition("/")[2] for name in drawn} - {"testbed/crc_search.jsonl"}
    assert published == {*shown, "testbed/records/crc_search.jsonl.xz"}


def test_the_run_ends_with_choices_verdicts_and_the_page_in_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    results = write_results(tmp_path / "testbed", TESTBED)
    assert call(results, tmp_path / "out") == 0
    printed = capsys.readouterr().out
    [report, *_] = load_results(results).crc_reports
    held_out = report.summary("hybrid", "held_out")
    assert held_out is not None
    assert held_out.diversity is not None
    row = next(line for line in printed.splitlines() if line.startswith("testbed-llama "))
    assert f" {report.interval} of {report.num_layers} " in row
    assert f" {held_out.diversity.mean:.3f} " in row
    [regains] = [line for line in printed.splitlines() if line.startswith("The hybrid regains diversity.")]
    assert len(re.findall(r"(yes|no|\?) -?\d\.\d{3}", regains)) == len(TESTBED)
    assert printed.splitlines()[-1] == f"page: {tmp_path / 'out' / 'index.html'}"
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the output for a terminal
    print_main_numbers(load_results(results))
    on_a_terminal = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, on_a_terminal)) <= 80
    assert any("testbed-gemma" in line for line in on_a_terminal)


def test_what_is_missing_is_a_gap_that_names_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where there were figures before."""
    output = tmp_path / "out" / "paper"
    for name in ("figures/crc_heatmaps.png", "tables/models.md"):
        (output / name).parent.mkdir(parents=True)
        (output / name).write_bytes(b"old")
    (tmp_path / "results" / "paper").mkdir(parents=True)
    assert call(tmp_path / "results", tmp_path / "out", "--preset", "paper") == 0
    assert (output / "figures" / "crc_heatmaps.png").read_bytes().startswith(b"\x89PNG")
    command = "Not measured yet; run: slr run crc_search --preset paper"
    assert command in (output / "tables" / "models.md").read_text()
    said = capsys.readouterr().err
    assert "gap in crc_heatmaps, crc_tradeoff" in said
    assert command in said


def test_an_unfinished_and_a_failed_pair_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results_dir, output = write_results(tmp_path / "paper", ("paper-llama",)), tmp_path / "out"
    begun, failed = crc_records("paper-qwen")[0], failure("paper-gemma", "a shard is missing")
    ResultsStore(results_dir / "crc_search.jsonl").append([begun, failed])
    assert call(results_dir, output) == 0
    words = (
        "Missing: paper-qwen (not finished); paper-gemma (ValueError: a shard is missing). "
        "Run: slr run crc_search --preset paper"
    )
    assert words in capsys.readouterr().err
    assert words in (output / "tables" / "selected_intervals.md").read_text()


def test_earlier_figures_stay_as_a_whole_until_all_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(tmp_path / "testbed", TESTBED[:1])
    output = tmp_path / "out"
    (output / "figures").mkdir(parents=True)
    for name in ("crc_heatmaps.png", "somebody_elses.png"):
        (output / "figures" / name).write_bytes(b"old")

    def fail(*_: object) -> None:
        raise RuntimeError("cannot draw")

    with monkeypatch.context() as patched:
        patched.setattr(plots, "heatmaps", fail)
        with pytest.raises(RuntimeError, match="cannot draw"):
            call(tmp_path / "testbed", output)
    assert files_in(output) == {f"figures/{n}": b"old" for n in ("crc_heatmaps.png", "somebody_elses.png")}
    assert call(tmp_path / "testbed", output) == 0
    assert files_in(output)["figures/somebody_elses.png"] == b"old"
    assert files_in(output)["figures/crc_heatmaps.png"].startswith(b"\x89PNG")


def test_figures_without_records_are_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(tmp_path / "results" / "testbed", TESTBED[:1])
    (tmp_path / "out" / "paper").mkdir(parents=True)
    assert call(tmp_path / "results", tmp_path / "out") == 0
    assert f"because its records are not here: {tmp_path / 'out' / 'paper'}\n" in capsys.readouterr().err


@pytest.mark.parametrize("options", [(), ("--preset", "paper")])
def test_no_records_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    assert call(tmp_path / "nothing", tmp_path / "out", *options) == 2
    assert "run slr run all first" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_runs_as_a_script_without_torch_from_anywhere(tmp_path: Path) -> None:
    write_results(tmp_path / "results" / "testbed", ("testbed-llama",))
    script = ROOT / "analysis" / "make_all.py"
    code = (
        "import runpy, sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.split('.')[0] in ('torch', 'transformers'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "sys.argv = ['make_all.py']\n"
        f"runpy.run_path({str(script)!r}, run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "testbed" / "figures" / "concept.pdf").exists()

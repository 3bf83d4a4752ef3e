from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from analysis.figures import FIGURES
from analysis.figures.crc_heatmaps import crc_heatmaps
from analysis.figures.crc_tradeoff import crc_tradeoff
from analysis.figures.gap import add_note
from analysis.load_results import Results, load_results
from analysis.make_all import main, make_all
from analysis.tables import TABLES
from analysis.tables.best_intervals import best_intervals
from analysis.tables.by_category import by_category
from analysis.tables.crc_prompts import crc_prompts
from analysis.tables.search_cost import search_cost
from analysis.tables.selected_intervals import selected_intervals
from analysis.tables.selection_reasons import selection_reasons
from analysis.tables.table import Table
from slr.crc import plots
from slr.figure_style import use_style
from slr.records import CrcSelection, Failure
from slr.results_store import ResultsStore
from slr.uncertainty import Estimate
from tests.analysis.synthetic import NUM_LAYERS, PROVENANCE, crc_records, write_results

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def results() -> Results:
    use_style()
    return Results(tuple(crc_records("pair-one")))


def rows_of(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.csv())))


def test_selected_intervals(results: Results) -> None:
    rows = rows_of(selected_intervals(results))
    assert [(row["model"], row["prompts"]) for row in rows] == [
        (model, prompts)
        for prompts in ("selection", "held-out")
        for model in ("base", "instruct", "SLR hybrid", "soup")
    ]
    hybrid = rows[2]
    assert hybrid["choice"] == "layers 1:2 of 3"
    assert float(hybrid["validity"]) == pytest.approx(0.75)
    assert 0.73 <= float(hybrid["validity low"]) < 0.75 < float(hybrid["validity high"]) <= 0.77
    assert float(hybrid["diversity less instruct's"]) == pytest.approx(0.3)
    assert rows[1]["diversity less instruct's"] == ""


def test_categories_apart(results: Results) -> None:
    rows = rows_of(by_category(results))
    letters = next(row for row in rows if (row["category"], row["model"]) == ("letters", "instruct"))
    assert float(letters["validity"]) == pytest.approx(0.785)


def test_best_intervals_and_search_cost(results: Results) -> None:
    best = rows_of(best_intervals(results))
    assert [(row["rank"], row["layers"], row["on the Pareto front"]) for row in best] == [("1", "1:2", "yes")]
    shared, loop = rows_of(search_cost(results))
    assert float(shared["loop's seconds / these"]) == 6.0
    assert loop["loop's seconds / these"] == ""


def test_prompts_table_has_all_80() -> None:
    assert len(crc_prompts(Results(())).rows) == 80


def test_forms_of_a_table() -> None:
    table = Table(
        "a_b", "Of 100%", ("x_1", "y"), ((Estimate(1.23456, 1.0, None, 3), None), (12345, "p|q & r"))
    )
    assert table.csv() == "x_1,x_1 low,x_1 high,y\n1.23456,1.0,,\n12345,,,p|q & r\n"
    assert table.markdown().splitlines()[-2:] == ["| 1.235 | n/a |", "| 12,345 | p\\|q & r |"]
    assert r"\caption{Of 100\%}" in table.latex()
    assert r"x\_1 & y \\" in table.latex()
    assert r"12,345 & p|q \& r \\" in table.latex()


def test_heatmap_marks_the_chosen_cell(results: Results) -> None:
    figure = crc_heatmaps(results)
    validity, diversity = figure.axes[:2]
    for axes in (validity, diversity):
        star = next(line for line in axes.lines if line.get_gid() == "chosen")
        assert np.array_equal(np.asarray(star.get_xydata()), [[2, 1]])  # end layer, start layer
    shown = np.ma.asarray(validity.images[0].get_array())
    assert shown[1, 1] == pytest.approx(0.75)
    assert shown[0, 2] == pytest.approx(0.5)
    assert shown.count() == NUM_LAYERS * (NUM_LAYERS + 1) // 2
    hatched = next(c for c in diversity.collections if c.get_gid() == "inadmissible")
    assert len(hatched.get_paths()) == 5
    assert not [c for c in validity.collections if c.get_gid() == "inadmissible"]
    # The cell of an interval is drawn around its star: one to the right of column end - 1.
    assert validity.images[0].get_extent() == [0.5, NUM_LAYERS + 0.5, -0.5, NUM_LAYERS - 0.5]


def test_tradeoff_has_a_dot_an_interval(results: Results) -> None:
    axes = crc_tradeoff(results).axes[0]
    points = next(c for c in axes.collections if c.get_gid() == "intervals")
    assert np.shape(points.get_offsets()) == (6, 2)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("validity", "diversity")


def test_labels_on_a_colour_bar_do_not_overlap() -> None:
    heights = plots._apart({"base": 0.50, "instruct": 0.51})
    assert heights["instruct"] - heights["base"] == pytest.approx(0.075)
    assert plots._apart({"base": 0.1, "instruct": 0.9}) == {"base": 0.1, "instruct": 0.9}


def test_everything_is_written_and_twice_the_same(tmp_path: Path) -> None:
    results_dir = write_results(tmp_path / "results")
    contents = []
    for name in ("first", "second"):
        assert main(["--results-dir", str(results_dir), "--output-dir", str(tmp_path / name)]) == 0
        files = sorted((tmp_path / name).rglob("*.*"))
        contents.append({file.relative_to(tmp_path / name): file.read_bytes() for file in files})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 2 * len(FIGURES) + 3 * len(TABLES)


def test_what_is_missing_is_a_gap_that_names_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert main(["--results-dir", str(write_results(tmp_path / "a")), "--output-dir", str(output)]) == 0
    drawn = (output / "figures" / "crc_heatmaps.png").read_bytes()
    (tmp_path / "empty").mkdir()
    assert main(["--results-dir", str(tmp_path / "empty"), "--output-dir", str(output)]) == 0
    assert (output / "figures" / "crc_heatmaps.png").read_bytes() != drawn
    assert "run: python experiments/crc_search.py" in (output / "tables" / "models.md").read_text()
    assert "gap in crc_heatmaps, crc_tradeoff" in (said := capsys.readouterr().err)
    assert "Not measured yet; run: python experiments/crc_search.py" in said


def test_an_unfinished_and_a_failed_pair_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results_dir, output = write_results(tmp_path / "paper", ("pair-one",)), tmp_path / "out"
    begun = crc_records("pair-two")[0]
    failure = Failure(
        experiment="crc_search",
        pair="pair-three",
        provenance=PROVENANCE.model_copy(update={"cell": "pair-three/models"}),
        error_type="ValueError",
        message="a shard is missing",
    )
    ResultsStore(results_dir / "crc_search.jsonl").append([begun, failure])
    assert main(["--results-dir", str(results_dir), "--output-dir", str(output)]) == 0
    words = (
        "Missing: pair-two (not finished); pair-three (ValueError: a shard is missing). "
        "Run: python experiments/crc_search.py --preset paper"
    )
    assert words in capsys.readouterr().err
    assert words in (output / "tables" / "selected_intervals.md").read_text()


def test_a_figure_says_what_it_lacks(results: Results) -> None:
    figure = crc_tradeoff(results)
    add_note(figure, "Missing: " + "many words " * 20)
    note = figure.get_suptitle()
    assert note.startswith("Missing: many words")
    assert "\n" in note


def test_old_figures_go_and_files_of_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when drawing fails, no figure of an earlier run is left behind."""
    for name in ("crc_heatmaps.png", "somebody_elses.png"):
        (tmp_path / "out" / "figures").mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / "figures" / name).write_bytes(b"old")

    def fail(*_: object) -> None:
        raise RuntimeError("cannot draw")

    monkeypatch.setattr(plots, "heatmaps", fail)
    with pytest.raises(RuntimeError, match="cannot draw"):
        make_all(Results(tuple(crc_records("pair-one"))), tmp_path / "out")
    left = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert "somebody_elses.png" in left
    assert "crc_heatmaps.png" not in left


def test_nothing_chosen_is_said() -> None:
    use_style()
    records = [
        record.model_copy(update={"interval": None, "soup_alpha": None, "interval_reason": "none: too low"})
        if isinstance(record, CrcSelection)
        else record
        for record in crc_records("pair-one")
    ]
    results = Results(tuple(records))
    rows = rows_of(selected_intervals(results))
    hybrid = next(row for row in rows if row["model"] == "SLR hybrid")
    assert (hybrid["choice"], hybrid["validity"]) == ("none is valid enough", "")
    assert "| pair-one | interval | none | none: too low |" in selection_reasons(results).markdown()
    axes = crc_heatmaps(results).axes[0]
    assert [text.get_text() for text in axes.texts] == ["no interval is\nvalid enough"]
    assert not [line for line in axes.lines if line.get_gid() == "chosen"]


def test_long_tables_break_across_pages() -> None:
    latex = crc_prompts(Results(())).latex()
    assert latex.startswith(r"\begin{longtable}{llp{0.45\linewidth}l}")
    assert latex.count(r" \\") == 80 + 2  # and the caption and the header


def test_no_results_directory_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--results-dir", str(tmp_path / "nothing")]) == 2
    assert "run experiments/run_all.py first" in capsys.readouterr().err


def test_costs_measured_beside_are_read(tmp_path: Path) -> None:
    write_results(tmp_path / "testbed", ("pair-one",))
    write_results(tmp_path / "search_cost", ("random",))
    assert {cost.pair for cost in load_results(tmp_path / "testbed").search_costs} == {"pair-one", "random"}


def test_runs_as_a_script_without_torch_from_anywhere(tmp_path: Path) -> None:
    results_dir = write_results(tmp_path / "results", ("pair-one",))
    script = ROOT / "analysis" / "make_all.py"
    code = (
        "import runpy, sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.split('.')[0] in ('torch', 'transformers'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        f"sys.argv = ['make_all.py', '--results-dir', {str(results_dir)!r}, '--output-dir', 'out']\n"
        f"runpy.run_path({str(script)!r}, run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "figures" / "concept.pdf").exists()

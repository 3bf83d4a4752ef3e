"""Scripts that print what they measure, in their smallest size."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest

from experiments import idle_share, interval_coverage, large_pairs, restore_cost, sampling_cost
from slr.costs.shape_cost import SHAPES


def rows_in(printed: str) -> dict[str, list[float]]:
    """The rows of a printed table whose last cells are numbers, by their first word."""
    found = re.findall(r"^(\w+).*?((?: +[\d.]+)+)$", printed, re.MULTILINE)
    return {name: [float(cell) for cell in cells.split()] for name, cells in found}


def test_restore_cost_prints_times_and_their_ratio(capsys: pytest.CaptureFixture[str]):
    assert restore_cost.main(["--layers", "4", "--repetitions", "3"]) == 0
    rows = rows_in(capsys.readouterr().out)
    restored, copied = rows["restore"], rows["copy"]
    assert min(restored[0], copied[0]) > 0
    assert copied[1] == pytest.approx(copied[0] / restored[0], rel=0.1)


def test_sampling_cost_prints_the_speed_of_both_methods(capsys: pytest.CaptureFixture[str]):
    assert sampling_cost.main(["--smoke"]) == 0
    printed = capsys.readouterr().out
    rows = rows_in(printed)
    for name in ("slr", "generate"):
        tokens, seconds, speed = rows[name]
        assert 3 * 2 <= tokens <= 3 * 2 * sampling_cost.SAMPLING.max_new_tokens
        assert speed == pytest.approx(tokens / seconds, rel=0.1, abs=0.5)  # it is printed as a whole number
    ratio = re.search(r"ratio ([\d.]+)$", printed.strip())
    assert ratio is not None
    assert float(ratio[1]) == pytest.approx(rows["slr"][2] / rows["generate"][2], rel=0.05)


def test_sampling_cost_measures_a_shape(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    # One layer as wide as the real one's takes a minute here.
    thin = copy.deepcopy(SHAPES["llama-8b"])
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    thin.update({"hidden_size": 64, "intermediate_size": 128, **heads})
    monkeypatch.setitem(SHAPES, "llama-8b", thin)
    command = ["--shape", "llama-8b", "--smoke", "--seconds", "0.5", "--output", str(tmp_path / "lines")]
    assert sampling_cost.main([*command, "--methods", "refilled,fixed,generate"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (tmp_path / "lines").read_text().splitlines() == lines
    found = [re.match(r"(\w+): ([\d,]+) tokens/s \(([\d,]+) in ([\d.]+) s\)", line) for line in lines[1:]]
    assert [match[1] for match in found if match] == ["refilled", "fixed", "generate"]
    for match in found:
        assert match is not None
        speed, tokens, seconds = (float(match[place].replace(",", "")) for place in (2, 3, 4))
        assert speed == pytest.approx(tokens / seconds, rel=0.1, abs=0.5)  # it is printed as a whole number
    assert sampling_cost.main([*command, "--methods", "refilled,fast"]) == 2
    assert "--methods has 'fast', expected some of refilled, fixed" in capsys.readouterr().err


def test_idle_share_prints_how_long_processes_of_the_paper_preset_wait(capsys: pytest.CaptureFixture[str]):
    assert idle_share.main(["--processes", "1,8,64"]) == 0
    printed = capsys.readouterr().out
    rows = re.findall(r"^(as they are|in parts).* (\d+) +([\d.]+)% +([\d.]+)$", printed, re.M)
    lines = {(cells, int(count)): (float(idle), float(hours)) for cells, count, idle, hours in rows}
    assert len(lines) == 6
    hours_in_all = lines["as they are", 1][1]
    for (_, count), (idle, hours) in lines.items():
        assert idle == pytest.approx(100 * (1 - hours_in_all / (count * hours)), abs=2)
    assert lines["in parts", 8][0] < lines["as they are", 8][0] < 5
    assert lines["in parts", 64][0] < 5
    assert "quality paper-gemma/instruct/hellaswag" in printed


def test_interval_coverage_prints_its_tables(capsys: pytest.CaptureFixture[str]):
    assert interval_coverage.main(["--sizes", "2,5", "--at-most", "300"]) == 0
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if "|" in line]
    assert ["lowest coverage", "2", "5"] in rows
    of_printed = {row[0]: row[1:] for row in rows}["normal"]
    assert of_printed[0] == "none"
    assert 0.93 <= float(of_printed[1]) <= 1
    assert interval_coverage.main(["--sizes", "1,5"]) == 2
    assert "--sizes is '1,5', expected whole numbers of at least 2" in capsys.readouterr().err


def test_large_pairs_prints_what_fits_and_how_long_it_takes(capsys: pytest.CaptureFixture[str]):
    assert large_pairs.main(["--cards", "2,4", "--read", "40"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^device map +2 +does not fit", printed, re.M)
    rows = re.findall(r"^(device map|streamed) +([24]) +[\d.]+ +\d+ +[\d,]+ +(\d+) +(\d+)$", printed, re.M)
    seconds = {(way, int(count)): (int(computing), int(all_)) for way, count, computing, all_ in rows}
    assert set(seconds) == {("streamed", 2), ("device map", 4), ("streamed", 4)}
    assert all(computing <= all_ for computing, all_ in seconds.values())
    assert seconds["streamed", 2][0] == pytest.approx(seconds["device map", 4][0] / 2, rel=0.01)

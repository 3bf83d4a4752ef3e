from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_hex

from slr.analysis.figures.answers import answer_distribution
from slr.analysis.figures.curves import pass_at_k, qa_coverage
from slr.analysis.figures.downstream import decoding_frontier
from slr.analysis.load_results import Results
from slr.downstream.task import load_task
from slr.experiments.decoding_methods import experiment as decoding_methods
from slr.figure_style import MODEL_COLORS, use_style
from slr.runs.records import Samples
from slr.sampling.config import SamplingConfig
from slr.statistics.uncertainty import T_LEVEL
from slr.vocabulary import ComparedModel, TaskName
from tests.analysis.downstream_records import samples_and_measures
from tests.analysis.synthetic import PROVENANCE

NUM_SAMPLES = 4
PAIR = "testbed-llama"


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    use_style()
    yield
    plt.close("all")


def samples(
    task: TaskName, model: ComparedModel, texts: Sequence[Sequence[str]], **changes: Any
) -> list[Samples]:
    """Samples of the testbed's first prompts of a task, as many as there are lists of texts."""
    prompts = load_task(task, "testbed", len(texts))[: len(texts)]
    return [
        Samples(
            experiment=task,
            pair=PAIR,
            provenance=PROVENANCE,
            family="llama",
            task=task,
            source="testbed",
            group=changes.get("group", prompt.group),
            prompt_id=prompt.id,
            text=prompt.text,
            request=prompt.text,
            method=model,
            model=model,
            interval=None,
            alpha=None,
            prompting="direct",
            sampling=SamplingConfig(),
            seed=changes.get("seed", 0),
            expected=prompt.expected,
            texts=tuple(of_prompt),
            num_tokens=(1,) * len(of_prompt),
            finished=(True,) * len(of_prompt),
        )
        for prompt, of_prompt in zip(prompts, texts, strict=True)
    ]


def solved(numbers: Sequence[int]) -> list[list[str]]:
    """Texts that solve each problem as often as a number says."""
    problems = load_task("reasoning", "testbed", len(numbers))
    return [
        [f"The answer is {problem.expected}."] * number + ["no idea"] * (NUM_SAMPLES - number)
        for problem, number in zip(problems, numbers, strict=False)
    ]


def curve_of(axes: Axes, label: str) -> list[float]:
    (line,) = (line for line in axes.lines if line.get_label() == label)
    return np.asarray(line.get_ydata()).tolist()


def bands_of(axes: Axes) -> list[FillBetweenPolyCollection]:
    return [band for band in axes.collections if isinstance(band, FillBetweenPolyCollection)]


def test_a_curve_is_the_mean_over_problems_within_a_band_of_their_interval() -> None:
    numbers = [0, 1, 2, 3, 4, 2]
    axes = pass_at_k(Results(tuple(samples("reasoning", "instruct", solved(numbers))))).axes[0]
    shares = np.array(numbers) / NUM_SAMPLES
    assert curve_of(axes, "instruct")[0] == pytest.approx(shares.mean())
    (band,) = bands_of(axes)
    half = scipy.stats.t.ppf((1 + T_LEVEL) / 2, len(shares) - 1) * scipy.stats.sem(shares)
    heights = [y for x, y in band.get_paths()[0].vertices if x == 1]  # pyright: ignore[reportGeneralTypeIssues]
    assert min(heights) == pytest.approx(shares.mean() - half)
    assert max(heights) == pytest.approx(shares.mean() + half)


def test_seeds_of_a_problem_are_one_item() -> None:
    """Every problem twice would make the band narrower than what is known."""
    once = samples("reasoning", "instruct", solved([0, 1, 2, 3, 4, 2]))
    again = samples("reasoning", "instruct", solved([0, 1, 2, 3, 4, 2]), seed=1)
    one, two = (bands_of(pass_at_k(Results(tuple(r))).axes[0])[0] for r in (once, [*once, *again]))
    assert np.asarray(two.get_paths()[0].vertices) == pytest.approx(np.asarray(one.get_paths()[0].vertices))


def test_every_curve_of_a_model_has_a_band_and_equal_curves_have_markers_in_different_places() -> None:
    models: tuple[ComparedModel, ...] = ("base", "instruct", "hybrid", "soup")
    texts = [["red", "blue", "red", "green"], ["red"] * 4, ["blue", "red", "grey", "no"], ["no"] * 4]
    records = [record for model in models for record in samples("open_qa", model, texts)]
    axes = qa_coverage(Results(tuple(records))).axes[0]
    lines = [line for line in axes.lines if line.get_marker() != "None"]
    assert len(lines) == len(models) == len(bands_of(axes))
    assert len({tuple(np.asarray(line.get_ydata())) for line in lines}) == 1
    marked: list[Any] = [line.get_markevery() for line in lines]
    places = [set(range(NUM_SAMPLES)[start::step]) for start, step in marked]
    assert all(places)
    assert sum(map(len, places)) == len(set.union(*places))


def test_the_ideal_does_not_stretch_the_scale() -> None:
    texts = [["red", "red", "red", "no"], ["no"] * 4, ["red", "blue", "red", "red"], ["no"] * 4]
    axes = qa_coverage(Results(tuple(samples("open_qa", "instruct", texts)))).axes[0]
    assert max(curve_of(axes, "ideal: uniform and right")) > axes.get_ylim()[1]
    assert max(curve_of(axes, "instruct")) < axes.get_ylim()[1]


def test_problems_that_instruct_fails_have_a_row_where_there_are_any() -> None:
    records = samples("reasoning", "instruct", solved([1, 2, 3]))
    assert len(pass_at_k(Results(tuple(records))).axes) == 1
    failed = samples("reasoning", "instruct", solved([1]), group="problems that instruct fails")
    axes = pass_at_k(Results((*failed, *records[1:]))).axes
    assert [panel.get_ylabel() for panel in axes] == [
        "pass@k\nall problems",
        "pass@k\nproblems that instruct fails",
    ]
    assert curve_of(axes[1], "instruct")[0] == pytest.approx(1 / NUM_SAMPLES)


def test_answers_stand_under_their_names_and_wrong_ones_are_striped() -> None:
    """The first question of the testbed asks for a colour."""
    records = [
        *samples("open_qa", "instruct", [["red", "red", "red", "blue"]]),
        *samples("open_qa", "hybrid", [["red", "brum", "BRUM ", "green"]]),
    ]
    axes = answer_distribution(Results(tuple(records))).axes[0]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names[0] == "red"
    assert set(names) == {"red", "blue", "green", "brum"}
    bars = [bar for container in axes.containers for bar in container]
    heights = {
        model: [
            (names[round(bar.get_x() + bar.get_width() / 2)], bar.get_height(), bar.get_hatch() is not None)
            for bar in bars
            if to_hex(bar.get_facecolor()).upper() == MODEL_COLORS[model] and bar.get_height()
        ]
        for model in ("instruct", "hybrid")
    }
    assert heights["instruct"] == [("red", 0.75, False), ("blue", 0.25, False)]
    assert sorted(heights["hybrid"]) == [("brum", 0.5, True), ("green", 0.25, False), ("red", 0.25, False)]


def test_the_lines_of_settings_are_their_pareto_fronts() -> None:
    experiment = decoding_methods("testbed", False)
    records = tuple(r for r in samples_and_measures(experiment, PAIR) if isinstance(r, Samples))
    better = next(r.method for r in records if r.model == "instruct")
    # One setting is right in every sample, the others in fewer, and all of these find less.
    texts = {True: ("red", "blue", "green", "red"), False: ("red", "red", "no", "no")}
    changed = tuple(r.model_copy(update={"texts": texts[r.method == better]}) for r in records)
    axes = decoding_frontier(Results(changed)).axes[0]
    fronts = [line for line in axes.lines if line.get_linewidth() == 0.9]
    of_instruct = next(line for line in fronts if line.get_color() == MODEL_COLORS["instruct"])
    assert np.asarray(of_instruct.get_xdata()).tolist() == [1.0]


def test_a_panel_without_anything_in_it_says_so() -> None:
    """Two pairs whose questions are of different groups leave a panel of each pair empty."""
    records = samples("open_qa", "instruct", [["red"] * 4])
    others = [r.model_copy(update={"pair": "testbed-qwen", "group": "another group"}) for r in records]
    said = [
        [text.get_text() for text in axes.texts] for axes in qa_coverage(Results((*records, *others))).axes
    ]
    assert sorted(said) == [[], [], ["not in these records"], ["not in these records"]]

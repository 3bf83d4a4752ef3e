"""The downstream experiments in pictures: diversity against quality, curves over samples, one distribution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from slr.analysis.load_results import Results
from slr.downstream.prompt_metrics import coverage_curve_of, num_right_of, num_solved, right_answers
from slr.downstream.report import ALL_GENRES, MethodLine
from slr.figure_style import LIMIT_COLOR, MODEL_COLORS, MODEL_NAMES, TEXT_WIDTH, in_figure
from slr.metrics.coverage import ideal_coverage_at_k
from slr.metrics.pass_at_k import pass_at_k_curve
from slr.runs.records import Samples
from slr.sampling.config import SamplingConfig
from slr.statistics.uncertainty import Estimate

PANEL_HEIGHT = 2.3
LINE_LENGTH = 36
"""Characters of a title that a panel is wide enough for, if three are in a row."""
GROUP_MARKERS = {"poem": "o", "story": "s", "joke": "^"}
SETTING_MARKERS = {"temperature": "o", "min-p": "^", "top-p": "s"}
PROMPTING_MARKERS = {"direct": "o", "list": "s", "verbalized": "^"}
CONTROL_COLORS = {"early": "#56B4E9", "late": "#E69F00"}
"""Random ranges have the colour of lines."""
MAX_QUESTION_CHARACTERS = 240
MAX_ANSWERS = 8
"""Number of a question's answers that are shown by name, the most frequent first."""


def creative_tradeoff(results: Results) -> Figure:
    """Diversity against quality of poems, stories and jokes."""
    lines = [line for line in results.method_lines("creative_writing") if line.group != ALL_GENRES]
    quality = next(
        line for line in lines if line.metric in ("accepted", "adherence") and line.estimate is not None
    )

    def draw(axes: Axes, pair: str, _: str) -> None:
        for line in lines:
            if line.pair == pair and line.metric == "embedding_diversity":
                marker = GROUP_MARKERS.get(line.group, "o")
                _cross(axes, _same(lines, line, quality.metric), line.estimate, line.model, marker)

    figure, axes = _panels(
        results, "creative_writing", draw, quality.label, "embedding diversity", by_group=False
    )
    _label_markers(axes, GROUP_MARKERS)
    return _with_legend(figure, "lines: 95% intervals over prompts")


def qa_coverage(results: Results) -> Figure:
    """Share of all right answers found, by the number of samples."""

    def draw(axes: Axes, pair: str, group: str) -> None:
        samples = [s for s in results.samples_of("open_qa") if (s.pair, s.group) == (pair, group)]
        for model, records in _by_model(samples).items():
            _curve(axes, np.mean([coverage_curve_of(record) for record in records], axis=0), model)
        ideal = np.mean(
            [
                [ideal_coverage_at_k(num_right_of(s), k) for k in range(1, len(s.texts) + 1)]
                for s in samples
                if s.model == "instruct"
            ],
            axis=0,
        )
        numbers = range(1, len(ideal) + 1)
        axes.plot(
            numbers, ideal, color=LIMIT_COLOR, linestyle=":", linewidth=1, label="ideal: uniform and right"
        )

    figure, _ = _panels(results, "open_qa", draw, "samples", "coverage of right answers")
    return _with_legend(figure)


def pass_at_k(results: Results) -> Figure:
    """Share of problems solved by at least one of k samples."""

    def draw(axes: Axes, pair: str, _: str) -> None:
        samples = [s for s in results.samples_of("reasoning") if s.pair == pair]
        for model, records in _by_model(samples).items():
            curves = [pass_at_k_curve(len(record.texts), num_solved(record)) for record in records]
            _curve(axes, np.mean(curves, axis=0), model)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")

    figure, _ = _panels(results, "reasoning", draw, "samples", "pass@k")
    return _with_legend(figure)


def answer_distribution(results: Results) -> Figure:
    """How often each right answer to one question is given, and how often none, before and after."""
    questions = shown_questions(results)

    def draw(axes: Axes, pair: str, group: str) -> None:
        samples = [
            s for s in results.samples_of("open_qa") if (s.pair, s.prompt_id) == (pair, questions[group])
        ]
        counts = {
            model: Counter(answer for s in records for answer in right_answers(s))
            for model, records in _by_model(samples).items()
            if model in ("instruct", "slr")
        }
        total = sum(counts.values(), Counter[str | None]())
        named = [answer for answer, _ in total.most_common() if answer is not None]
        shown, others = named[:MAX_ANSWERS], named[MAX_ANSWERS:]
        names = [*map(in_figure, shown), *(["other right"] if others else []), "not right"]
        width = 0.8 / max(1, len(counts))
        for offset, (model, of_model) in enumerate(counts.items()):
            numbers = [of_model[answer] for answer in shown]
            numbers += [sum(of_model[answer] for answer in others)] if others else []
            heights = np.array([*numbers, of_model[None]]) / of_model.total()
            places = np.arange(len(names)) + (offset - (len(counts) - 1) / 2) * width
            axes.bar(places, heights, width, color=_color(model), label=_name(model))
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=6)
        axes.set_ylim(0, 1)
        question_text = in_figure(samples[0].text, MAX_QUESTION_CHARACTERS)
        axes.set_title(f"{in_figure(pair)}\n{fill(question_text, LINE_LENGTH)}", fontsize=7)

    figure, _ = _panels(results, "open_qa", draw, "", "share of samples")
    return _with_legend(figure)


def shown_questions(results: Results) -> dict[str, str]:
    """For each group the id of the question that the instruct models answer rightly most often, all pairs together."""
    right: dict[str, Counter[str]] = {}
    for record in results.samples_of("open_qa"):
        if record.model == "instruct":
            number = sum(answer is not None for answer in right_answers(record))
            right.setdefault(record.group, Counter())[record.prompt_id] += number
    return {group: min(of, key=lambda id_: (-of[id_], id_)) for group, of in right.items()}


def decoding_frontier(results: Results) -> Figure:
    """Coverage against precision at every sampling setting."""
    lines, coverage = _lines_and_coverage(results, "decoding_methods")

    def draw(axes: Axes, pair: str, group: str) -> None:
        points: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
        for line in coverage:
            precision = _same(lines, line, "precision")
            if (line.pair, line.group) != (pair, group) or precision is None or line.estimate is None:
                continue
            setting, value = _setting_of(line)
            point = (value, precision.mean, line.estimate.mean)
            points.setdefault((line.model, setting), []).append(point)
        for (model, setting), of_setting in points.items():
            of_setting.sort()
            for value, *place in of_setting[:: len(of_setting) - 1] if setting == "temperature" else ():
                axes.annotate(
                    f"{value:g}",
                    (place[0], place[1]),
                    (3, 3),
                    textcoords="offset points",
                    fontsize=6,
                    color=_color(model),
                )
            axes.plot(
                [precision for _, precision, _ in of_setting],
                [found for _, _, found in of_setting],
                marker=SETTING_MARKERS[setting],
                markersize=3.5,
                linewidth=0.6,
                color=_color(model),
            )
            axes.scatter([], [], marker="o", color=_color(model), s=14, label=_name(model))

    figure, axes = _panels(results, "decoding_methods", draw, "precision", coverage[0].label)
    _label_markers(axes, SETTING_MARKERS)
    return _with_legend(figure, "numbers: lowest and highest temperature")


def _setting_of(line: MethodLine) -> tuple[str, float]:
    """Which sampling setting a method varies, and its value: the first that is not as everywhere."""
    temperature, min_p, top_p = (line.sampling[name] for name in ("temperature", "min_p", "top_p"))
    if top_p != SamplingConfig.top_p:
        return "top-p", top_p
    if min_p != SamplingConfig.min_p:
        return "min-p", min_p
    return "temperature", temperature


def prompting_frontier(results: Results) -> Figure:
    """Coverage against precision with every way to ask."""
    return _crosses(results, "prompting_methods", PROMPTING_MARKERS)


def controls_tradeoff(results: Results) -> Figure:
    """Coverage against precision of ranges of the same length."""
    return _crosses(results, "restoration_controls", {})


def _crosses(results: Results, experiment: str, markers: Mapping[str, str]) -> Figure:
    """A cross for each method, with the marker of its way to ask."""
    lines, coverage = _lines_and_coverage(results, experiment)

    def draw(axes: Axes, pair: str, group: str) -> None:
        for line in coverage:
            if (line.pair, line.group) == (pair, group):
                marker = markers.get(line.prompting, "o")
                _cross(axes, _same(lines, line, "precision"), line.estimate, line.model, marker)

    figure, axes = _panels(results, experiment, draw, "precision", coverage[0].label)
    _label_markers(axes, markers)
    return _with_legend(figure, "lines through a marker: 95% intervals over prompts")


def _lines_and_coverage(results: Results, experiment: str) -> tuple[list[MethodLine], list[MethodLine]]:
    """All lines of the experiment, and those of coverage."""
    lines = results.method_lines(experiment)
    return lines, [line for line in lines if line.metric == "coverage"]


def _label_markers(axes: Axes, markers: Mapping[str, str]) -> None:
    for label, marker in markers.items():
        axes.scatter([], [], marker=marker, color=LIMIT_COLOR, s=14, label=label)


def _panels(
    results: Results,
    experiment: str,
    draw: Callable[[Axes, str, str], None],
    xlabel: str,
    ylabel: str,
    by_group: bool = True,
) -> tuple[Figure, Axes]:
    """A column a pair and a row a group of prompts; and the first panel.

    Args:
        results: what was recorded.
        experiment: whose samples are drawn.
        draw: draws one panel, given its axes, the pair and the group.
        xlabel: below every column.
        ylabel: left of every row.
        by_group: whether groups have panels of their own; else ``draw`` gets "" for the group.
    """
    samples = results.samples_of(experiment)
    pairs = list(dict.fromkeys(record.pair for record in samples))
    groups = sorted({record.group for record in samples}) if by_group else [""]
    figure, axes = plt.subplots(
        len(groups),
        len(pairs),
        figsize=(TEXT_WIDTH, PANEL_HEIGHT * len(groups) + 0.5),
        squeeze=False,
        layout="constrained",
    )
    for row, group in zip(axes, groups, strict=True):
        for panel, pair in zip(row, pairs, strict=True):
            if any((s.pair, s.group) == (pair, group) for s in samples) or not by_group:
                title = f"{in_figure(pair)}: {in_figure(group)}" if len(groups) > 1 else in_figure(pair)
                panel.set_title(title)
                draw(panel, pair, group)
                panel.set_xlabel(xlabel)
            else:
                panel.set_axis_off()
        row[0].set_ylabel(ylabel)
    return figure, axes[0, 0]


def _with_legend(figure: Figure, title: str | None = None) -> Figure:
    entries = {
        label: handle
        for panel in figure.axes
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside lower center",
        ncols=min(7, max(1, len(entries))),
        frameon=False,
        title=title,
        title_fontsize=7,
    )
    return figure


def _cross(axes: Axes, x: Estimate | None, y: Estimate | None, model: str, marker: str) -> None:
    if x is None or y is None:
        return
    color = _color(model)
    axes.scatter([x.mean], [y.mean], marker=marker, color=color, s=14, zorder=3)
    if x.low is not None and x.high is not None:
        axes.plot([x.low, x.high], [y.mean] * 2, color=color, linewidth=0.6)
    if y.low is not None and y.high is not None:
        axes.plot([x.mean] * 2, [y.low, y.high], color=color, linewidth=0.6)
    axes.scatter([], [], marker="o", color=color, s=14, label=_name(model))


def _curve(axes: Axes, values: NDArray[np.float64], model: str) -> None:
    axes.plot(range(1, len(values) + 1), values, color=_color(model), linewidth=1.2, label=_name(model))


def _by_model(samples: Sequence[Samples]) -> dict[str, list[Samples]]:
    models: dict[str, list[Samples]] = {}
    for record in samples:
        models.setdefault(record.model, []).append(record)
    return models


def _same(lines: Sequence[MethodLine], line: MethodLine, metric: str) -> Estimate | None:
    """Another metric of the same method on the same prompts."""
    return next(
        (
            other.estimate
            for other in lines
            if other.metric == metric
            and (other.pair, other.group, other.method) == (line.pair, line.group, line.method)
        ),
        None,
    )


def _color(model: str) -> str:
    return MODEL_COLORS.get("hybrid" if model == "slr" else model, CONTROL_COLORS.get(model, LIMIT_COLOR))


def _name(model: str) -> str:
    if model.startswith("random-"):
        return "random ranges"
    return MODEL_NAMES.get("hybrid" if model == "slr" else model, in_figure(model))

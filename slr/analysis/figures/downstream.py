"""Figures of the downstream experiments: diversity against quality, curves over samples, one distribution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from textwrap import fill
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from slr.analysis.load_results import Results
from slr.downstream.groups import ALL_GENRES, ALL_PROBLEMS, FAILED
from slr.downstream.methods import Method
from slr.downstream.metric import MetricId
from slr.downstream.prompt_metrics import (
    coverage_curve_of,
    num_right_of,
    num_solved,
    right_answers,
)
from slr.downstream.report import MethodSummary
from slr.figure_style import (
    LIMIT_COLOR,
    METHOD_NAMES,
    MODEL_COLORS,
    MODEL_NAMES,
    TEXT_WIDTH,
    add_legend,
    in_figure,
    labelled,
)
from slr.metrics.coverage import ideal_coverage_at_k
from slr.metrics.pass_at_k import pass_at_k_curve
from slr.runs.records import Samples
from slr.runs.results import by_pair
from slr.sampling.config import SamplingConfig
from slr.statistics.uncertainty import Estimate
from slr.vocabulary import ComparedModel, PromptingMethod

PANEL_HEIGHT = 2.3
"""Height of a panel in inches."""
LINE_LENGTH = 36
"""Number of characters in a line of a panel's title, if a row has three panels."""
Setting = Literal["temperature", "min-p", "top-p"]
"""Settings of sampling that a method may vary."""
GROUP_MARKERS = {"poem": "o", "story": "s", "joke": "^"}
"""Marker of each genre."""
SETTING_MARKERS: dict[Setting, str] = {"temperature": "o", "min-p": "^", "top-p": "s"}
"""Marker of each setting of sampling."""
PROMPTING_MARKERS: dict[PromptingMethod, str] = {"direct": "o", "list": "s", "verbalized": "^"}
"""Marker of each way to ask."""
RANDOM_INTERVALS = "random intervals"
"""Name that all hybrids with random intervals share in the legend."""
DrawnAs = ComparedModel | Literal["base_few_shot"]
"""What has a colour of its own: a model, or the base model outside the chat template."""
STYLES: dict[DrawnAs, tuple[str, str]] = {
    **{model: (MODEL_COLORS[model], MODEL_NAMES[model]) for model in ("base", "instruct", "hybrid", "soup")},
    "base_few_shot": ("#000000", METHOD_NAMES["base_few_shot"]),
    "early": ("#56B4E9", "early"),
    "late": ("#E69F00", "late"),
    "random-1": (LIMIT_COLOR, RANDOM_INTERVALS),
    "random-2": (LIMIT_COLOR, RANDOM_INTERVALS),
    "random-3": (LIMIT_COLOR, RANDOM_INTERVALS),
}
"""Colour and name of each, in the order in which they are drawn."""
MAX_QUESTION_CHARACTERS = 240
"""Number of characters from which a question is cut in a title."""
MAX_ANSWERS = 8
"""Number of a question's answers that are shown by name, the most frequent first."""


def creative_tradeoff(results: Results) -> Figure:
    """Draw different valid texts against the share of valid texts, of poems, stories and jokes."""
    summaries = [of for of in results.method_summaries("creative_writing") if of.group != ALL_GENRES]
    diversity = next(of.metric for of in summaries if of.metric.is_primary)
    # The testbed's grammar judges its own texts. Other texts have only checks.
    quality = next(of.metric for of in summaries if of.metric.id in ("accepted", "valid"))

    def draw(axes: Axes, pair: str, _: str) -> None:
        for of in summaries:
            if of.pair == pair and of.metric.is_primary:
                marker = GROUP_MARKERS.get(of.group, "o")
                _cross(axes, _same(summaries, of, quality.id), of.estimate, _drawn_as(of.method), marker)

    figure, axes = _panels(results, "creative_writing", draw, quality.label, diversity.label, by_group=False)
    _label_markers(axes, GROUP_MARKERS.items())
    return _with_legend(figure, "lines: 95% intervals over prompts")


def qa_coverage(results: Results) -> Figure:
    """Draw the share of all right answers found, by the number of samples."""

    def draw(axes: Axes, pair: str, group: str) -> None:
        samples = [s for s in results.samples_of("open_qa") if (s.pair, s.group) == (pair, group)]
        for model, records in _by_model(samples).items():
            _curve(axes, np.mean([coverage_curve_of(record) for record in records], axis=0), model)
        # Every model answers the same questions, so one model's records stand for all.
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
    """Draw the share of problems that at least one of k samples solves: all, and the ones that instruct fails."""

    def draw(axes: Axes, pair: str, _: str) -> None:
        samples = [s for s in results.samples_of("reasoning") if s.pair == pair]
        for style, of_problems in (("-", samples), ("--", [s for s in samples if s.group == FAILED])):
            for model, records in _by_model(of_problems).items():
                curves = [pass_at_k_curve(len(record.texts), num_solved(record)) for record in records]
                _curve(axes, np.mean(curves, axis=0), model, style)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")

    figure, _ = _panels(results, "reasoning", draw, "samples", "pass@k", by_group=False)
    return _with_legend(figure, f"solid: {ALL_PROBLEMS}; dashed: {FAILED}")


def answer_distribution(results: Results) -> Figure:
    """Draw the share of samples that give each right answer to one question, for instruct and hybrid."""
    questions = shown_questions(results)

    def draw(axes: Axes, pair: str, group: str) -> None:
        samples = [
            s for s in results.samples_of("open_qa") if (s.pair, s.prompt_id) == (pair, questions[group])
        ]
        counts: dict[DrawnAs, Counter[str | None]] = {
            model: Counter(answer for s in records for answer in right_answers(s))
            for model, records in _by_model(samples).items()
            if model in ("instruct", "hybrid")
        }
        # Both models are ranked together, so that their bars stand under the same names.
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
            color, name = STYLES[model]
            axes.bar(places, heights, width, color=color, label=name)
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=6)
        axes.set_ylim(0, 1)
        question_text = in_figure(samples[0].text, MAX_QUESTION_CHARACTERS)
        axes.set_title(f"{in_figure(pair)}\n{fill(question_text, LINE_LENGTH)}", fontsize=7)

    figure, _ = _panels(results, "open_qa", draw, "", "share of samples")
    return _with_legend(figure)


def shown_questions(results: Results) -> dict[str, str]:
    """Pick a question for each group: the one that the instruct models of all pairs together answer rightly most often.

    Returns:
        The id of each group's question. Among equals it is the first id, so that the choice does not depend on order.
    """
    right: dict[str, Counter[str]] = {}
    for record in results.samples_of("open_qa"):
        if record.model == "instruct":
            number = sum(answer is not None for answer in right_answers(record))
            right.setdefault(record.group, Counter())[record.prompt_id] += number
    # The id decides among equals, so that the order of the records does not.
    return {group: min(of, key=lambda id_: (-of[id_], id_)) for group, of in right.items()}


def decoding_frontier(results: Results) -> Figure:
    """Draw coverage against precision at every sampling setting."""
    summaries, coverage = _summaries_and_coverage(results, "decoding_methods")

    def draw(axes: Axes, pair: str, group: str) -> None:
        points: dict[tuple[ComparedModel, Setting], list[_Point]] = {}
        for of in coverage:
            precision = _same(summaries, of, "precision")
            if (of.pair, of.group) != (pair, group) or precision is None or of.estimate is None:
                continue
            setting, value = _setting_of(of.method)
            point = (value, precision.mean, of.estimate.mean)
            points.setdefault((of.method.model, setting), []).append(point)
        for (model, setting), of_setting in points.items():
            _draw_setting(axes, model, setting, sorted(of_setting))

    figure, axes = _panels(results, "decoding_methods", draw, "precision", coverage[0].metric.label)
    _label_markers(axes, SETTING_MARKERS.items())
    return _with_legend(figure, "numbers: lowest and highest temperature")


_Point = tuple[float, float, float]
"""Value of a setting, and precision and coverage at it."""


def _draw_setting(axes: Axes, model: ComparedModel, setting: Setting, points: Sequence[_Point]) -> None:
    """Join one model's points by rising value of the setting. The lowest and the highest temperature are written."""
    color, name = STYLES[model]
    # The first and the last point say in which direction the temperature rises.
    ends = dict.fromkeys((points[0], points[-1])) if setting == "temperature" else ()
    for value, *place in ends:
        axes.annotate(
            f"{value:g}",
            (place[0], place[1]),
            (3, 3),
            textcoords="offset points",
            fontsize=6,
            color=color,
        )
    axes.plot(
        [precision for _, precision, _ in points],
        [found for _, _, found in points],
        marker=SETTING_MARKERS[setting],
        markersize=3.5,
        linewidth=0.6,
        color=color,
    )
    # An empty scatter gives the legend one entry for each model, whatever the markers.
    axes.scatter([], [], marker="o", color=color, s=14, label=name)


def _setting_of(method: Method) -> tuple[Setting, float]:
    """The sampling setting that a method varies, and its value: the first setting that is not the default."""
    sampling = method.sampling
    if sampling.top_p != SamplingConfig.top_p:
        return "top-p", sampling.top_p
    if sampling.min_p != SamplingConfig.min_p:
        return "min-p", sampling.min_p
    return "temperature", sampling.temperature


def prompting_frontier(results: Results) -> Figure:
    """Draw coverage against precision for every way to ask."""
    return _crosses(results, "prompting_methods", PROMPTING_MARKERS)


def controls_tradeoff(results: Results) -> Figure:
    """Draw coverage against precision for intervals of the same length."""
    return _crosses(results, "restoration_controls", {})


def _crosses(results: Results, experiment: str, markers: Mapping[PromptingMethod, str]) -> Figure:
    """Draw a cross for each method, with the marker of its way to ask."""
    summaries, coverage = _summaries_and_coverage(results, experiment)

    def draw(axes: Axes, pair: str, group: str) -> None:
        for of in coverage:
            if (of.pair, of.group) == (pair, group):
                marker = markers.get(of.method.prompting, "o")
                _cross(axes, _same(summaries, of, "precision"), of.estimate, _drawn_as(of.method), marker)

    figure, axes = _panels(results, experiment, draw, "precision", coverage[0].metric.label)
    _label_markers(axes, markers.items())
    return _with_legend(figure, "lines through a marker: 95% intervals over prompts")


def _summaries_and_coverage(
    results: Results, experiment: str
) -> tuple[list[MethodSummary], list[MethodSummary]]:
    """All metrics of the experiment's methods, and coverage alone."""
    summaries = results.method_summaries(experiment)
    return summaries, [of for of in summaries if of.metric.id == "coverage"]


def _label_markers(axes: Axes, markers: Iterable[tuple[str, str]]) -> None:
    for label, marker in markers:
        axes.scatter([], [], marker=marker, color=LIMIT_COLOR, s=14, label=label)


def _panels(
    results: Results,
    experiment: str,
    draw: Callable[[Axes, str, str], None],
    xlabel: str,
    ylabel: str,
    by_group: bool = True,
) -> tuple[Figure, Axes]:
    """Draw a column for each pair and a row for each group of prompts; return the figure and its first panel.

    Args:
        results: the results.
        experiment: name of the experiment whose samples are drawn.
        draw: draws one panel, given its axes, the pair and the group.
        xlabel: label below every column.
        ylabel: label left of every row.
        by_group: whether groups have panels of their own. Otherwise ``draw`` gets "" for the group.
    """
    samples = results.samples_of(experiment)
    pairs = list(by_pair(samples))
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
            # Pairs that were run with different prompts may lack each other's groups.
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
    add_legend(figure, labelled(figure.axes), max_columns=7, title=title)
    return figure


def _cross(axes: Axes, x: Estimate | None, y: Estimate | None, model: DrawnAs, marker: str) -> None:
    if x is None or y is None:
        return
    color, name = STYLES[model]
    axes.scatter([x.mean], [y.mean], marker=marker, color=color, s=14, zorder=3)
    if x.low is not None and x.high is not None:
        axes.plot([x.low, x.high], [y.mean] * 2, color=color, linewidth=0.6)
    if y.low is not None and y.high is not None:
        axes.plot([x.mean] * 2, [y.low, y.high], color=color, linewidth=0.6)
    axes.scatter([], [], marker="o", color=color, s=14, label=name)


def _curve(axes: Axes, values: NDArray[np.float64], model: DrawnAs, style: str = "-") -> None:
    color, name = STYLES[model]
    # One entry of the legend stands for a model, whatever the style.
    label = name if style == "-" else None
    axes.plot(range(1, len(values) + 1), values, style, color=color, linewidth=1.2, label=label)


def _drawn_as(method: Method | Samples) -> DrawnAs:
    return "base_few_shot" if method.prompting == "few_shot" else method.model


def _by_model(samples: Sequence[Samples]) -> dict[DrawnAs, list[Samples]]:
    """The samples of each model, in the order of ``STYLES``."""
    models: dict[DrawnAs, list[Samples]] = {
        model: [record for record in samples if _drawn_as(record) == model] for model in STYLES
    }
    return {model: records for model, records in models.items() if records}


def _same(summaries: Sequence[MethodSummary], of: MethodSummary, metric: MetricId) -> Estimate | None:
    """Another metric of the same method on the same prompts."""
    return next(
        (
            other.estimate
            for other in summaries
            if other.metric.id == metric
            and (other.pair, other.group, other.method.id) == (of.pair, of.group, of.method.id)
        ),
        None,
    )

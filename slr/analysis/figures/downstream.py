"""Figures of the downstream experiments: diversity against quality, a cross for each method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke

from slr.analysis.figures.panels import STYLES, DrawnAs, drawn_as, panels, with_legend
from slr.analysis.load_results import Results
from slr.downstream.groups import ALL_GENRES
from slr.downstream.methods import Method
from slr.downstream.report import MethodSummary
from slr.figure_style import LIMIT_COLOR
from slr.sampling.config import SamplingConfig
from slr.statistics.uncertainty import Estimate
from slr.vocabulary import ComparedModel, PromptingMethod

Setting = Literal["temperature", "min-p", "top-p"]
"""Settings of sampling that a method may vary."""
GROUP_MARKERS = {"poem": "o", "story": "s", "joke": "^"}
"""Marker of each genre."""
SETTING_MARKERS: dict[Setting, str] = {"temperature": "o", "min-p": "^", "top-p": "s"}
"""Marker of each setting of sampling."""
TEMPERATURE_OFFSETS: dict[ComparedModel, tuple[float, float]] = {"instruct": (-14, 2), "soup": (3, -8)}
"""Place of a temperature next to its marker in points. Models have different ones, so that none covers another."""
PROMPTING_MARKERS: dict[PromptingMethod, str] = {"direct": "o", "list": "s", "verbalized": "^"}
"""Marker of each way to ask."""


def creative_tradeoff(results: Results) -> Figure:
    """Draw different valid texts against the share of valid texts, of poems, stories and jokes."""
    summaries = [of for of in results.method_summaries("creative_writing") if of.group != ALL_GENRES]
    diversity = next(of.metric for of in summaries if of.metric.is_primary)
    # The testbed's grammar judges its own texts. Other texts have only checks.
    quality = next(of.metric for of in summaries if of.metric.id in ("accepted", "valid"))

    def draw(axes: Axes, pair: str, _: str) -> None:
        places: dict[tuple[DrawnAs, str], tuple[float, float]] = {}
        for of in summaries:
            if of.pair == pair and of.metric.is_primary:
                model, marker = drawn_as(of.method), GROUP_MARKERS.get(of.group, "o")
                share = _same(summaries, of, quality.id)
                _cross(axes, share, of.estimate, model, marker)
                if share is not None and of.estimate is not None:
                    places[model, of.group] = share.mean, of.estimate.mean
        for model, group in places:
            if model == "instruct" and ("hybrid", group) in places:
                _arrow(axes, places[model, group], places["hybrid", group])

    figure, axes = panels(
        results,
        "creative_writing",
        draw,
        quality.label,
        diversity.label,
        groups=("",),
        sharex="all",
        sharey="all",
    )
    _label_markers(axes, GROUP_MARKERS.items())
    return with_legend(figure, "lines: 95% intervals over prompts; arrows: from instruct to the hybrid")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={"arrowstyle": "->", "color": LIMIT_COLOR, "linewidth": 0.7, "shrinkA": 3, "shrinkB": 3},
        zorder=4,
    )


def decoding_frontier(results: Results) -> Figure:
    """Draw coverage against precision at every sampling setting, and the Pareto front of each model."""
    summaries, coverage = _summaries_and_coverage(results, "decoding_methods")

    def draw(axes: Axes, pair: str, group: str) -> None:
        by_model: dict[ComparedModel, list[_Setting]] = {}
        for of in coverage:
            precision = _same(summaries, of, "precision")
            if (of.pair, of.group) == (pair, group) and precision is not None and of.estimate is not None:
                setting, value = _setting_of(of.method)
                by_model.setdefault(of.method.model, []).append(
                    _Setting(setting, value, precision, of.estimate)
                )
        for model, settings in by_model.items():
            _draw_settings(axes, model, settings)

    figure, axes = panels(results, "decoding_methods", draw, "precision", coverage[0].metric.label)
    _label_markers(axes, SETTING_MARKERS.items())
    return with_legend(
        figure,
        "numbers: lowest and highest temperature; lines: each model's Pareto front\n"
        "pale: 95% intervals over prompts, which may leave the panel",
    )


@dataclass(frozen=True)
class _Setting:
    """A setting of sampling, its value, and what a model reached with it."""

    setting: Setting
    value: float
    precision: Estimate
    coverage: Estimate

    @property
    def place(self) -> tuple[float, float]:
        return self.precision.mean, self.coverage.mean


def _draw_settings(axes: Axes, model: ComparedModel, settings: Sequence[_Setting]) -> None:
    color, _ = STYLES[model]
    for of in settings:
        _marker(axes, of.place, model, SETTING_MARKERS[of.setting])
        for xs, ys in _lines(of.precision, of.coverage):
            # Lines that are plotted would stretch the scale, and press the markers into a heap.
            axes.add_artist(Line2D(xs, ys, color=color, linewidth=0.6, alpha=0.25))
    axes.margins(0.15)
    # A front and no line through all settings, because noise makes such lines run to and fro.
    front = sorted(of.place for of in settings if not any(_beats(other, of) for other in settings))
    axes.plot(*zip(*front, strict=True), color=color, linewidth=0.9, zorder=2)
    temperatures = sorted((of for of in settings if of.setting == "temperature"), key=lambda of: of.value)
    for of in {of.value: of for of in (temperatures[:1] + temperatures[-1:])}.values():
        axes.annotate(
            f"{of.value:g}",
            of.place,
            TEMPERATURE_OFFSETS.get(model, (3, 3)),
            textcoords="offset points",
            fontsize=6,
            color=color,
            zorder=2.5,
            path_effects=[Stroke(linewidth=1.5, foreground="white"), Normal()],
        )


def _beats(one: _Setting, other: _Setting) -> bool:
    """Whether a setting is better in one respect and not worse in the other."""
    return one.place != other.place and all(a >= b for a, b in zip(one.place, other.place, strict=True))


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
                _cross(axes, _same(summaries, of, "precision"), of.estimate, drawn_as(of.method), marker)

    figure, axes = panels(results, experiment, draw, "precision", coverage[0].metric.label)
    _label_markers(axes, markers.items())
    return with_legend(figure, "lines through a marker: 95% intervals over prompts")


def _summaries_and_coverage(
    results: Results, experiment: str
) -> tuple[list[MethodSummary], list[MethodSummary]]:
    """All metrics of the experiment's methods, and coverage alone."""
    summaries = results.method_summaries(experiment)
    return summaries, [of for of in summaries if of.metric.id == "coverage"]


def _label_markers(axes: Axes, markers: Iterable[tuple[str, str]]) -> None:
    for label, marker in markers:
        axes.scatter([], [], marker=marker, color=LIMIT_COLOR, s=14, label=label)


def _cross(axes: Axes, x: Estimate | None, y: Estimate | None, model: DrawnAs, marker: str) -> None:
    """Draw a marker, and a line through it for each interval."""
    if x is None or y is None:
        return
    _marker(axes, (x.mean, y.mean), model, marker)
    for line in _lines(x, y):
        axes.plot(*line, color=STYLES[model][0], linewidth=0.6)


def _marker(axes: Axes, place: tuple[float, float], model: DrawnAs, marker: str) -> None:
    color, name = STYLES[model]
    axes.scatter(*place, marker=marker, color=color, s=14, zorder=3)
    # An empty scatter gives the legend one entry for each model, whatever the markers.
    axes.scatter([], [], marker="o", color=color, s=14, label=name)


def _lines(x: Estimate, y: Estimate) -> Iterator[tuple[list[float], list[float]]]:
    """The intervals of a point that have ends, as lines."""
    if x.low is not None and x.high is not None:
        yield [x.low, x.high], [y.mean] * 2
    if y.low is not None and y.high is not None:
        yield [x.mean] * 2, [y.low, y.high]


def _same(summaries: Sequence[MethodSummary], of: MethodSummary, metric: str) -> Estimate | None:
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

"""What a page shows of one pair's search: sentences that say what was found, both maps, and the models' scores."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from slr.crc.prompts import PROMPT_SETS
from slr.crc.recommendation import recommend
from slr.crc.report import CrcReport, ModelSummary, restoration_candidates, rule_in_words
from slr.pages.heatmaps import IntervalMaps, MapCell
from slr.pages.tables import PageTable
from slr.runs.records import AnyRecord
from slr.runs.results import of_pair
from slr.statistics.uncertainty import Estimate
from slr.terminal.literal_text import visible
from slr.vocabulary import ModelKind

COLUMNS = ("model", "prompts", "validity", "diversity", "validity / instruct's", "diversity less instruct's")


class PairView(BaseModel):
    """One pair's search, as a page shows it.

    Attributes:
        pair: name of the pair.
        answer: sentences that say what was found.
        maps: validity and diversity of every interval.
        restored: how the intervals of the maps are restored, in words; empty if their layers are restored whole.
        models: scores of base, instruct, chosen hybrid and chosen soup.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pair: str
    answer: tuple[str, ...]
    maps: IntervalMaps
    restored: str
    models: PageTable


def pair_view(report: CrcReport, records: Sequence[AnyRecord]) -> PairView:
    """Make what a page shows of a pair.

    Args:
        report: the pair's report.
        records: the records that the report was made from.
    """
    own = of_pair(records, report.pair)
    better = recommend(own, report)
    answer = (_found(report), *(() if better is None else (better.reason,)), *rule_in_words(report))
    return PairView(
        pair=visible(report.pair),
        # Backticks are for the terminal and for Markdown.
        answer=tuple(sentence.replace("`", "") for sentence in answer),
        maps=_maps(report, own),
        restored=str(report.shown_stack),
        models=_models(report),
    )


def _found(report: CrcReport) -> str:
    """Say what restoring the chosen layers does to the diversity."""
    if report.chosen is None:
        return f"No layers were chosen: {report.interval_reason}."
    prompt_set = "held_out" if report.summary("hybrid", "held_out") else "selection"
    models: tuple[ModelKind, ...] = ("instruct", "hybrid", "base")
    instruct, hybrid, base = (
        _mean(None if summary is None else summary.diversity)
        for summary in (report.summary(model, prompt_set) for model in models)
    )
    return (
        f"Restoring layers {report.chosen} of {report.num_layers} brings the CRC diversity from {instruct} to {hybrid} "
        f"on the {prompt_set.replace('_', '-')} prompts; the base model has {base}."
    )


def _mean(estimate: Estimate | None) -> str:
    return "n/a" if estimate is None else f"{estimate.mean:.3f}"


def _maps(report: CrcReport, records: Sequence[AnyRecord]) -> IntervalMaps:
    models: tuple[ModelKind, ...] = ("base", "instruct")
    summaries = [summary for model in models if (summary := report.summary(model, "selection"))]
    return IntervalMaps(
        num_layers=report.num_layers,
        cells=tuple(
            MapCell(
                of.choice.interval.start,
                of.choice.interval.end,
                of.validity,
                of.diversity,
                report.admits(of),
            )
            # In order, because records of several processes are not.
            for of in sorted(
                restoration_candidates(records, [report.shown_stack]), key=lambda of: of.choice.interval
            )
        ),
        chosen=None if report.interval is None else report.interval.ends,
        marks=tuple(
            (
                of.model,
                None if of.validity is None else of.validity.mean,
                None if of.diversity is None else of.diversity.mean,
            )
            for of in summaries
        ),
    )


def _models(report: CrcReport) -> PageTable:
    return PageTable(
        columns=COLUMNS,
        are_numbers=(False,) * len(COLUMNS),
        rows=tuple(
            _row(summary, report)
            for prompt_set in reversed(PROMPT_SETS)
            for summary in report.models
            if summary.prompt_set == prompt_set
        ),
    )


def _row(summary: ModelSummary, report: CrcReport) -> tuple[str, ...]:
    names = {"hybrid": f"hybrid {report.chosen}", "soup": f"soup {report.soup_alpha}"}
    numbers = (summary.validity, summary.diversity, summary.validity_ratio, summary.diversity_difference)
    # A comparison of the reference with itself would always give 1 and 0.
    missing = "" if summary.model == "instruct" else "n/a"
    return (
        names.get(summary.model, summary.model),
        f"{summary.prompt_set.replace('_', '-')} ({summary.num_prompts})",
        *(missing if number is None else str(number) for number in numbers),
    )

"""The study of one pair's choice: what scoring must measure besides the search.

Its cells, in order: ``held_out`` scores every interval on the held-out prompts, so that the result of any choice is
known. ``min_p_models`` and ``min_p_search`` score base, instruct, soups and intervals once more, without the tokens
that min-p sampling never draws. ``min_p_choice`` scores what is chosen by these on the held-out prompts. Several
processes divide the start layers of both searches among them.

Bootstrap, samples of prompts and other rules need no cell, because they are computed from per-prompt scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slr.crc.layer_evaluations import count_layer_evaluations
from slr.crc.prompts import PROMPT_SETS
from slr.crc.study import (
    CrcStudyConfig,
    crc_experiment,
    estimated_cost,
    score_record,
    with_num_layers,
)
from slr.intervals import LayerInterval, Restoration, all_intervals
from slr.models.reference import PairSpec
from slr.runs.experiment import Cell, CellContext, Experiment, RunMirror
from slr.runs.measure_versions import CRC_SCORING
from slr.runs.records import AnyRecord, CrcScore
from slr.runs.results import RecordsByKey, of_kind
from slr.stability.report import min_p_choices
from slr.statistics.uncertainty import estimate_mean
from slr.vocabulary import ModelKind, PromptSet

if TYPE_CHECKING:
    from slr.crc.scoring import EncodedPrompts

COMPARED: tuple[ModelKind, ...] = ("base", "instruct")


@dataclass(frozen=True, kw_only=True)
class StabilityConfig:
    """All that the study's records depend on, except the pair and the dtype.

    Attributes:
        min_p: share of the largest next-token probability below which a token does not count, in (0, 1].
        crc: configuration of the search whose choice is studied.
    """

    min_p: float = 0.1
    crc: CrcStudyConfig = field(default_factory=CrcStudyConfig)


def stability_experiment(name: str, question: str, config: StabilityConfig) -> Experiment[StabilityConfig]:
    """Make the experiment.

    Args:
        name: name of the experiment and of its file of records.
        question: what the experiment answers, in words.
        config: min-p, and the configuration of the search.

    Returns:
        The experiment.
    """
    return Experiment(
        name=name,
        question=question,
        config=config,
        cells=lambda spec: _cells(spec, config),
        job_type="search",
        mirror=_mirror,
        builds_on=crc_experiment(config.crc),
        versions=lambda: CRC_SCORING,
    )


def _cells(spec: PairSpec, config: StabilityConfig) -> list[Cell]:
    spec = with_num_layers(spec)
    pair, num_layers, min_p = spec.name, spec.num_layers, config.min_p
    assert num_layers is not None
    models, search = f"{pair}/min_p_models", f"{pair}/min_p_search"
    of_search = estimated_cost(spec, config.crc, count_layer_evaluations(num_layers))
    return [
        Cell(
            key=f"{pair}/held_out",
            record_keys=lambda _: _hybrid_keys(pair, num_layers, "held_out", None),
            run=lambda context: _search(context, config, "held_out", None),
            cost=of_search,
            division="among_all",
        ),
        Cell(
            key=models,
            record_keys=lambda _: _model_keys(pair, config),
            run=lambda context: _score_models(context, config),
            cost=estimated_cost(spec, config.crc, (4 + len(config.crc.soup_alphas)) * num_layers),
        ),
        Cell(
            key=search,
            record_keys=lambda _: _hybrid_keys(pair, num_layers, "selection", min_p),
            run=lambda context: _search(context, config, "selection", min_p),
            cost=of_search,
            division="among_all",
        ),
        Cell(
            key=f"{pair}/min_p_choice",
            record_keys=lambda results: _choice_keys(pair, results, config),
            run=lambda context: _score_choice(context, config),
            cost=estimated_cost(spec, config.crc, 2 * num_layers),
            needs=(models, search),
        ),
    ]


def _hybrid_keys(pair: str, num_layers: int, prompt_set: PromptSet, min_p: float | None) -> list[str]:
    return [
        CrcScore.key_of(pair, prompt_set, "hybrid", interval.ends, min_p=min_p)
        for interval in all_intervals(num_layers)
    ]


def _model_keys(pair: str, config: StabilityConfig) -> list[str]:
    min_p = config.min_p
    keys = [
        CrcScore.key_of(pair, prompt_set, model, min_p=min_p)
        for prompt_set in PROMPT_SETS
        for model in COMPARED
    ]
    return keys + [_soup_key(pair, "selection", alpha, min_p) for alpha in config.crc.soup_alphas]


def _soup_key(pair: str, prompt_set: PromptSet, alpha: float, min_p: float) -> str:
    return CrcScore.key_of(pair, prompt_set, "soup", alpha=alpha, min_p=min_p)


def _choice_keys(pair: str, results: RecordsByKey, config: StabilityConfig) -> list[str] | None:
    choices = _choices(pair, results, config)
    if choices is None:
        return None
    interval, alpha = choices
    keys = []
    if interval is not None:
        keys.append(CrcScore.key_of(pair, "held_out", "hybrid", interval.ends, min_p=config.min_p))
    if alpha is not None:
        keys.append(_soup_key(pair, "held_out", alpha, config.min_p))
    return keys


def _choices(
    pair: str, results: RecordsByKey, config: StabilityConfig
) -> tuple[LayerInterval | None, float | None] | None:
    """The interval and the soup chosen by scores with min-p; None while scores are missing."""
    num_layers = next((score.num_layers for score in results.of_pair(pair).of_kind(CrcScore)), 0)
    if not num_layers:
        return None
    needed = _hybrid_keys(pair, num_layers, "selection", config.min_p) + _model_keys(pair, config)
    if not all(key in results for key in needed):
        return None
    return min_p_choices(list(results.of_pair(pair).values()), config.min_p, config.crc.rule)


def _encoded(
    context: CellContext, config: StabilityConfig, prompt_set: PromptSet, min_p: float | None
) -> EncodedPrompts:
    from slr.crc.scoring import encode_prompts

    return encode_prompts(config.crc.prompts(prompt_set), context.pair.tokenizer, min_p=min_p or 0.0)


def _search(
    context: CellContext, config: StabilityConfig, prompt_set: PromptSet, min_p: float | None
) -> Iterator[list[AnyRecord]]:
    """Score the missing intervals, one batch for each start layer."""
    from slr.crc.search import iter_search

    pair, num_layers = context.spec.name, context.pair.num_layers
    intervals, keys = all_intervals(num_layers), _hybrid_keys(pair, num_layers, prompt_set, min_p)
    missing = [i for i, key in zip(intervals, keys, strict=True) if key not in context.results]
    starts = sorted({interval.start for interval in missing})
    starts = context.share(starts, [count_layer_evaluations(num_layers, [start]) for start in starts])
    if not starts:  # there are more processes than start layers
        return
    encoded = _encoded(context, config, prompt_set, min_p)
    for _, scored in iter_search(context.pair, encoded, starts=starts, on_progress=context.on_progress):
        yield [
            score_record(context, prompt_set, "hybrid", s.scores, Restoration(s.interval), min_p)
            for s in scored
        ]


def _score_models(context: CellContext, config: StabilityConfig) -> Iterator[list[AnyRecord]]:
    from slr.crc.soups import score_soups
    from slr.crc.tree_forward import score_by_tree

    pair, min_p = context.pair, config.min_p
    for prompt_set in PROMPT_SETS:
        encoded = _encoded(context, config, prompt_set, min_p)
        scored = score_by_tree((pair.base_model, pair.instruct_model), encoded)
        yield [
            score_record(context, prompt_set, model, scores, min_p=min_p)
            for model, scores in zip(COMPARED, scored, strict=True)
        ]
    alphas = config.crc.soup_alphas
    scored = score_soups(pair, alphas, _encoded(context, config, "selection", min_p))
    for count, (alpha, scores) in enumerate(zip(alphas, scored, strict=True), start=1):
        yield [score_record(context, "selection", "soup", scores, alpha, min_p)]
        context.on_progress(count, len(alphas))


def _score_choice(context: CellContext, config: StabilityConfig) -> Iterator[list[AnyRecord]]:
    from slr.crc.tree_forward import score_by_tree
    from slr.hybrid import interpolate, restore

    choices = _choices(context.spec.name, context.results, config)
    assert choices is not None
    interval, alpha = choices
    encoded = _encoded(context, config, "held_out", config.min_p)
    if interval is not None:
        [scores] = score_by_tree([restore(context.pair, interval)], encoded)
        yield [score_record(context, "held_out", "hybrid", scores, Restoration(interval), config.min_p)]
    if alpha is not None:
        [scores] = score_by_tree([interpolate(context.pair, alpha)], encoded)
        yield [score_record(context, "held_out", "soup", scores, alpha, config.min_p)]


def _mirror(records: Sequence[AnyRecord], _pair: str) -> RunMirror:
    """The means of all intervals, on the held-out prompts and with min-p, and of the models compared with min-p."""
    scores = of_kind(records, CrcScore)
    summary: dict[str, Any] = {}
    for score in scores:
        if score.prompt_set == "held_out" and score.min_p is not None:
            validity, diversity = _means(score)
            summary |= {
                f"min_p/{score.model}/validity": validity,
                f"min_p/{score.model}/diversity": diversity,
            }
    hybrids = [(score, score.interval) for score in scores if score.interval is not None]
    held_out = [[*ends, *_means(s)] for s, ends in hybrids if s.prompt_set == "held_out" and s.min_p is None]
    with_min_p = [[*ends, *_means(s)] for s, ends in hybrids if s.prompt_set == "selection"]
    columns = ["start", "end", "validity", "diversity"]
    tables = {"held_out_intervals": (columns, held_out), "min_p_intervals": (columns, with_min_p)}
    return RunMirror(summary=summary, tables=tables)


def _means(score: CrcScore) -> list[float | None]:
    """Mean validity and mean diversity over the prompts; None where no prompt has one."""
    estimates = map(estimate_mean, (score.validity, score.diversity))
    return [None if estimate is None else estimate.mean for estimate in estimates]

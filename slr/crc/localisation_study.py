"""The study of where a pair's collapse is: partial restoration, components, and sets of layers that do not touch.

Its cells build on a search of the pair: ``stacks`` (every interval at each alpha and for each choice of components, in
one pass), ``decoder_soups`` (all layers at the alphas of the soups), ``sets`` (greedy and random sets of as many layers
as the chosen hybrid has) and ``held_out`` (what was chosen, on the held-out prompts).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, product

from slr.crc.choice import chosen_by_search
from slr.crc.layer_evaluations import count_layer_evaluations
from slr.crc.localisation import PairScores, random_layer_sets, restored_in_words
from slr.crc.study import (
    CrcStudyConfig,
    crc_experiment,
    estimated_cost,
    hybrid_key,
    score_record,
    with_num_layers,
)
from slr.intervals import LayerInterval, LayerSet, Restoration, Stack, all_intervals
from slr.models.reference import PairSpec
from slr.runs.experiment import Cell, CellContext, Experiment, RunMirror
from slr.runs.measure_versions import CRC_SCORING
from slr.runs.records import AnyRecord, CrcScore
from slr.runs.results import RecordsByKey, of_kind, of_pair
from slr.statistics.uncertainty import estimate_mean
from slr.vocabulary import Component, PromptSet


@dataclass(frozen=True, kw_only=True)
class LocalisationConfig:
    """All that the study's results depend on, except the pair, the dtype and the search.

    Attributes:
        alphas: shares of the base model below 1 at which every interval is scored.
        components: choices of components that are restored in every interval, each alone.
        num_random_sets: number of sets of layers that are drawn at random.
        search: configuration of the search, whose prompts, rule and soups count here too.
    """

    alphas: tuple[float, ...]
    components: tuple[tuple[Component, ...], ...]
    num_random_sets: int = 50
    search: CrcStudyConfig = field(default_factory=CrcStudyConfig)

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """The ways to restore a layer that the search has not tried."""
        partial = [Stack(alpha) for alpha in self.alphas]
        return (*partial, *(Stack(1.0, components) for components in self.components))

    @property
    def soup_alphas(self) -> tuple[float, ...]:
        """The alphas of the soups of the decoder layers; at 0 a soup is the instruct model, and 1 is in the search."""
        return tuple(alpha for alpha in self.search.soup_alphas if 0 < alpha < 1)


def localisation_experiment(question: str, config: LocalisationConfig) -> Experiment[LocalisationConfig]:
    """Make the experiment ``localisation``."""
    return Experiment(
        name="localisation",
        question=question,
        config=config,
        cells=lambda spec: _cells(spec, config),
        job_type="localisation",
        mirror=_mirror,
        builds_on=crc_experiment(config.search),
        inputs=chosen_by_search,
        versions=lambda: CRC_SCORING,
    )


def _cells(spec: PairSpec, config: LocalisationConfig) -> list[Cell]:
    spec = with_num_layers(spec)
    num_layers = spec.num_layers
    assert num_layers is not None
    pair = spec.name
    hybrids, soups = _hybrids(num_layers, config), _decoder_soups(num_layers, config)
    stacks, decoder_soups, sets = (f"{pair}/{name}" for name in ("stacks", "decoder_soups", "sets"))
    return [
        Cell(
            key=stacks,
            record_keys=lambda _: [hybrid_key(pair, "selection", hybrid) for hybrid in hybrids],
            run=lambda context: _score_stacks(context, config),
            cost=estimated_cost(
                spec, config.search, count_layer_evaluations(num_layers, num_stacks=len(config.stacks))
            ),
            division="among_all",
        ),
        Cell(
            key=decoder_soups,
            record_keys=lambda _: [hybrid_key(pair, "selection", soup) for soup in soups],
            run=lambda context: _score_decoder_soups(context, config),
            cost=estimated_cost(spec, config.search, len(soups) * num_layers),
        ),
        Cell(
            key=sets,
            record_keys=lambda results: _set_keys(results, spec, config),
            run=lambda context: _score_sets(context, config),
            # A guess of the hybrid's size, because the search chooses it: a quarter of the layers.
            cost=estimated_cost(spec, config.search, (num_layers // 4 + config.num_random_sets) * num_layers),
        ),
        Cell(
            key=f"{pair}/held_out",
            record_keys=lambda results: _held_out_keys(results, spec, config),
            run=lambda context: _score_held_out(context, config),
            cost=estimated_cost(spec, config.search, (8 + config.num_random_sets) * num_layers),
            needs=(stacks, decoder_soups, sets),
        ),
    ]


def _hybrids(num_layers: int, config: LocalisationConfig) -> list[Restoration]:
    return [Restoration(*both) for both in product(all_intervals(num_layers), config.stacks)]


def _decoder_soups(num_layers: int, config: LocalisationConfig) -> list[Restoration]:
    return [Restoration(LayerInterval(0, num_layers), Stack(alpha)) for alpha in config.soup_alphas]


def _score_stacks(context: CellContext, config: LocalisationConfig) -> Iterator[list[AnyRecord]]:
    """Score the missing hybrids, one batch for each start layer."""
    from slr.crc.scoring import encode_prompts
    from slr.crc.search import iter_search

    pair, num_layers = context.spec.name, context.pair.num_layers
    hybrids = _hybrids(num_layers, config)
    starts = sorted(
        {h.interval.start for h in hybrids if hybrid_key(pair, "selection", h) not in context.results}
    )
    starts = context.share(starts, [count_layer_evaluations(num_layers, [start]) for start in starts])
    if not starts:
        return
    encoded = encode_prompts(config.search.prompts("selection"), context.pair.tokenizer)
    found = iter_search(
        context.pair, encoded, stacks=config.stacks, starts=starts, on_progress=context.on_progress
    )
    for _, scored in found:
        yield _new(
            context,
            [
                score_record(context, "selection", "hybrid", s.scores, Restoration(s.interval, s.stack))
                for s in scored
            ],
        )


def _score_decoder_soups(context: CellContext, config: LocalisationConfig) -> Iterator[list[AnyRecord]]:
    yield from _score_restorations(
        context, config, "selection", _decoder_soups(context.pair.num_layers, config)
    )


def _score_restorations(
    context: CellContext, config: LocalisationConfig, prompt_set: PromptSet, choices: Iterable[Restoration]
) -> Iterator[list[AnyRecord]]:
    """Score the missing ones among some hybrids, one after the other."""
    from slr.crc.scoring import encode_prompts
    from slr.crc.tree_forward import score_by_tree
    from slr.hybrid import restore

    encoded = encode_prompts(config.search.prompts(prompt_set), context.pair.tokenizer)
    missing = [c for c in choices if hybrid_key(context.spec.name, prompt_set, c) not in context.results]
    models = (restore(context.pair, c.interval, c.alpha, c.components) for c in missing)
    for choice, scores in zip(missing, score_by_tree(models, encoded), strict=True):
        yield [score_record(context, prompt_set, "hybrid", scores, choice)]


def _random_sets(scores: PairScores, spec: PairSpec, config: LocalisationConfig) -> list[LayerSet]:
    """The sets to draw; none if the search chose no hybrid, whose number of layers they would have."""
    if scores.hybrid is None or spec.num_layers is None:
        return []
    drawn = random_layer_sets(spec.name, spec.num_layers, len(scores.hybrid.interval))
    return list(islice(drawn, config.num_random_sets))


def _set_key(pair: str, prompt_set: PromptSet, layers: LayerSet) -> str:
    return CrcScore.key_of(pair, prompt_set, "hybrid", layers=tuple(sorted(layers)))


def _set_keys(results: RecordsByKey, spec: PairSpec, config: LocalisationConfig) -> list[str] | None:
    scores = PairScores(results.of_pair(spec.name).values())
    if scores.selection is None:
        return None
    steps = list(scores.greedy_steps())
    if any(chosen is None for _, chosen in steps):
        return None
    sets = [*(layers for tried, _ in steps for layers in tried), *_random_sets(scores, spec, config)]
    return [_set_key(spec.name, "selection", layers) for layers in sets]


def _score_sets(context: CellContext, config: LocalisationConfig) -> Iterator[list[AnyRecord]]:
    from slr.crc.layer_sets import greedy_layer_sets, score_layer_sets
    from slr.crc.scoring import encode_prompts

    scores = PairScores(context.results.of_pair(context.spec.name).values())
    if scores.hybrid is None:
        return
    encoded = encode_prompts(config.search.prompts("selection"), context.pair.tokenizer)
    # A step is quick, so a run that goes on makes all of them again.
    for step in greedy_layer_sets(context.pair, encoded, len(scores.hybrid.interval), config.search.rule):
        yield _new(context, [score_record(context, "selection", "hybrid", s, n) for n, s in step.scored])
    drawn = _random_sets(scores, with_num_layers(context.spec), config)
    found = score_layer_sets(context.pair, encoded, drawn, on_progress=context.on_progress)
    yield _new(
        context,
        [
            score_record(context, "selection", "hybrid", score, layers)
            for layers, score in zip(drawn, found, strict=True)
        ],
    )


def _held_out_sets(scores: PairScores, spec: PairSpec, config: LocalisationConfig) -> list[LayerSet]:
    greedy = [] if scores.greedy is None else [scores.greedy]
    return list(dict.fromkeys([*greedy, *_random_sets(scores, spec, config)]))


def _held_out_keys(results: RecordsByKey, spec: PairSpec, config: LocalisationConfig) -> list[str] | None:
    scores = PairScores(results.of_pair(spec.name).values())
    num_layers = with_num_layers(spec).num_layers
    assert num_layers is not None
    needed = [*_hybrids(num_layers, config), *_decoder_soups(num_layers, config)]
    if _set_keys(results, spec, config) is None or any(
        hybrid_key(spec.name, "selection", hybrid) not in results for hybrid in needed
    ):
        return None
    choices = [hybrid_key(spec.name, "held_out", choice) for choice in scores.choices.values()]
    sets = _held_out_sets(scores, spec, config)
    return [*choices, *(_set_key(spec.name, "held_out", layers) for layers in sets)]


def _score_held_out(context: CellContext, config: LocalisationConfig) -> Iterator[list[AnyRecord]]:
    from slr.crc.layer_sets import score_layer_sets
    from slr.crc.scoring import encode_prompts

    scores = PairScores(context.results.of_pair(context.spec.name).values())
    yield from _score_restorations(context, config, "held_out", dict.fromkeys(scores.choices.values()))
    sets = _held_out_sets(scores, with_num_layers(context.spec), config)
    if not sets:
        return
    encoded = encode_prompts(config.search.prompts("held_out"), context.pair.tokenizer)
    found = score_layer_sets(context.pair, encoded, sets, on_progress=context.on_progress)
    yield _new(
        context,
        [
            score_record(context, "held_out", "hybrid", score, layers)
            for layers, score in zip(sets, found, strict=True)
        ],
    )


def _new(context: CellContext, records: Sequence[CrcScore]) -> list[AnyRecord]:
    """The records that are not there yet; of equal ones the first."""
    return [r for key, r in {r.key: r for r in records}.items() if key not in context.results]


def _mirror(records: Sequence[AnyRecord], pair: str) -> RunMirror:
    """Means of every scored hybrid, and of the chosen ones by what they restore."""
    rows = []
    summary: dict[str, float | None] = {}
    for score in of_kind(of_pair(records, pair), CrcScore):
        restored = restored_in_words(score)
        estimates = estimate_mean(score.validity), estimate_mean(score.diversity)
        validity, diversity = (None if estimate is None else estimate.mean for estimate in estimates)
        rows.append([restored, score.prompt_set, validity, diversity])
        if score.prompt_set == "held_out" and score.interval is not None:
            summary |= {
                f"held_out/{restored}/validity": validity,
                f"held_out/{restored}/diversity": diversity,
            }
    return RunMirror(
        summary=summary, tables={"hybrids": (["restored", "prompts", "validity", "diversity"], rows)}
    )

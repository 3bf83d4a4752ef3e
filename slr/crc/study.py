"""The CRC study of one pair: score models, intervals and soups; choose; check the choice on held-out prompts.

Its cells, in order: ``models``, ``few_shot`` (the base model outside the chat template), ``search`` (one batch of
records for each start layer), ``soups`` (one batch for each alpha), ``selection`` and ``held_out``. Several processes
divide the start layers and the alphas among them.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any, NoReturn

from slr.crc.choice import recorded_alpha, recorded_components
from slr.crc.cost import measured_cost
from slr.crc.layer_evaluations import count_layer_evaluations
from slr.crc.prompts import FEW_SHOT, PROMPT_SETS, CrcPrompt, load_prompts
from slr.crc.report import (
    chosen_restoration,
    cost_summary,
    crc_report,
    restoration_candidates,
    restoration_of,
    soup_candidates,
)
from slr.crc.reselection import selection_fields
from slr.crc.scorer import ENTROPY, Scorer
from slr.crc.selection import MIN_VALIDITY_RATIO, SelectionRule
from slr.intervals import WHOLE, LayerSet, Restoration, Stack, all_intervals
from slr.models.reference import PairSpec, UnusablePairError
from slr.plugins import Plugin
from slr.runs.experiment import Cell, CellContext, Cost, Experiment, RunMirror
from slr.runs.measure_versions import CRC_SCORING, version_of_plugin
from slr.runs.provenance import reset_peak_memory
from slr.runs.records import AnyRecord, CrcFewShotScore, CrcScore, CrcSelection, PairInfo
from slr.runs.results import RecordsByKey, of_kind
from slr.statistics.uncertainty import estimate_mean
from slr.vocabulary import COMPONENTS, Component, ModelKind, PromptSet

if TYPE_CHECKING:
    from slr.crc.scoring import EncodedPrompts, PromptScores

TYPICAL_PROMPT_TOKENS = 60
"""Number of tokens that all CRC prompts share, with the chat template; for cost estimates only."""
TYPICAL_TREE_TOKENS = 20
"""Number of tokens of a CRC prompt that it does not share with others; for cost estimates only."""


def _digest(text: str) -> str:
    """The first 12 hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _prompts_digest(prompts: Sequence[CrcPrompt] | None = None) -> str:
    """Digest of prompts; None for all that come with the package."""
    if prompts is None:
        prompts = [prompt for prompt_set in PROMPT_SETS for prompt in load_prompts(prompt_set)]
    return _digest(json.dumps([asdict(prompt) for prompt in prompts]))


@dataclass(frozen=True, kw_only=True)
class CrcStudyConfig:
    """All that the study's results depend on, except the pair and the dtype.

    Choices by several rules may share one output directory, because no score depends on the rule.

    Attributes:
        min_validity_ratio: smallest allowed validity, as a share of the instruct model's; see ``SelectionRule``.
        margin: whether the validity must keep a margin of error above that share; see ``SelectionRule``.
        alphas: shares of the base model at which every interval is scored, each in (0, 1].
        components: restored parts of the layers.
        soup_alphas: shares of the base model's weights, from 0 to 1, one for each soup.
        max_prompts: number of prompts of each set; None for all.
        own_prompts: prompts of the user in place of the package's; None for the package's.
        prompts_digest: digest of the prompts. After a change of a prompt, a study cannot continue from old results.
    """

    min_validity_ratio: float = MIN_VALIDITY_RATIO
    margin: bool = False
    alphas: tuple[float, ...] = (1.0,)
    components: tuple[Component, ...] = COMPONENTS
    soup_alphas: tuple[float, ...] = tuple(step / 20 for step in range(21))
    max_prompts: int | None = None
    own_prompts: tuple[CrcPrompt, ...] | None = None
    prompts_digest: str = field(default_factory=_prompts_digest)

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            ValueError: if a setting is out of its range.
        """
        _ = self.rule, self.stacks  # making them checks their fields
        if not self.alphas or len(set(self.alphas)) < len(self.alphas):
            raise ValueError(f"alphas are {self.alphas}, expected one or more, each once")
        if not self.soup_alphas or not all(0 <= alpha <= 1 for alpha in self.soup_alphas):
            raise ValueError(f"soup_alphas are {self.soup_alphas}, expected at least one number in [0, 1]")
        if self.max_prompts is not None and self.max_prompts < 1:
            raise ValueError(f"max_prompts is {self.max_prompts}, expected at least 1, or None for all")

    def with_own_prompts(self, prompts: tuple[CrcPrompt, ...]) -> CrcStudyConfig:
        """The same with other prompts, all of which are used."""
        return replace(self, own_prompts=prompts, max_prompts=None, prompts_digest=_prompts_digest(prompts))

    @property
    def rule(self) -> SelectionRule:
        """The rule by which interval and soup are chosen."""
        return SelectionRule(self.min_validity_ratio, self.margin)

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """The ways to restore a layer, by which every interval is scored."""
        return tuple(Stack(alpha, self.components) for alpha in self.alphas)

    def prompts(self, prompt_set: PromptSet) -> tuple[CrcPrompt, ...]:
        """The prompts of a set. If they are not all used, letters and digits take turns."""
        if self.own_prompts is not None:
            return tuple(prompt for prompt in self.own_prompts if prompt.split == prompt_set)
        prompts = load_prompts(prompt_set)
        if self.max_prompts is None:
            return prompts
        letters = [prompt for prompt in prompts if prompt.category == "letters"]
        digits = [prompt for prompt in prompts if prompt.category == "digits"]
        in_turn = [prompt for both in zip(letters, digits, strict=True) for prompt in both]
        chosen = set(in_turn[: self.max_prompts])
        return tuple(prompt for prompt in prompts if prompt in chosen)


FULL = CrcStudyConfig()
"""Configuration of every preset and of ``slr search``, which may change the rule."""

SMOKE = CrcStudyConfig(soup_alphas=(0.0, 0.5, 1.0), max_prompts=4)
"""Configuration of a smoke run, which shows in seconds that everything works. Its numbers mean nothing."""


def crc_experiment(
    config: CrcStudyConfig, scorer: Plugin[Scorer] | None = None
) -> Experiment[CrcStudyConfig]:
    """Make the experiment ``crc_search``.

    Args:
        config: what is searched, and the rule.
        scorer: another package's scorer; None for validity and entropy.

    Returns:
        The experiment. Its records cannot be mixed with another scorer's.
    """
    chosen = ENTROPY if scorer is None else scorer.value
    return Experiment(
        name="crc_search",
        question="Which layers hold the collapse of diversity?",
        config=config,
        cells=lambda spec: _cells(spec, config, chosen),
        job_type="search",
        mirror=lambda records, pair: _mirror(records, pair, config),
        versions=lambda: CRC_SCORING | version_of_plugin("slr.scorers", scorer),
        # The digest says whether prompts differ, and needs less room in a message than the prompts.
        settings_in_records=("min_validity_ratio", "margin", "alphas", "components", "own_prompts"),
        is_wanted=lambda record: _is_wanted(record, config),
    )


def _is_wanted(record: AnyRecord, config: CrcStudyConfig) -> bool:
    """Whether the record is a score of a model that is searched here, or the choice that is made here."""
    if isinstance(record, CrcSelection):
        return record.key == _selection_key(record.pair, config)
    choice = restoration_of(record) if isinstance(record, CrcScore) else None
    return choice is None or choice.stack in config.stacks


def _cells(spec: PairSpec, config: CrcStudyConfig, scorer: Scorer) -> list[Cell]:
    spec = with_num_layers(spec)
    num_layers = spec.num_layers
    assert num_layers is not None
    pair = spec.name
    hybrid_keys = [hybrid_key(pair, "selection", hybrid) for hybrid in _hybrids(num_layers, config)]
    soup_keys = [CrcScore.key_of(pair, "selection", "soup", alpha=alpha) for alpha in config.soup_alphas]
    model_keys = [PairInfo.key_of(pair)] + [
        CrcScore.key_of(pair, prompt_set, model)
        for prompt_set in PROMPT_SETS
        for model in ("base", "instruct")
    ]
    models, search, soups, selection = (f"{pair}/{n}" for n in ("models", "search", "soups", "selection"))
    return [
        Cell(
            key=models,
            record_keys=lambda _: model_keys,
            run=lambda context: _score_models(context, config, scorer),
            cost=estimated_cost(spec, config, 4 * num_layers),
        ),
        Cell(
            key=f"{pair}/few_shot",
            record_keys=lambda _: [_few_shot_key(pair, prompt_set) for prompt_set in PROMPT_SETS],
            run=lambda context: _score_few_shot(context, config, scorer),
            cost=estimated_cost(spec, config, 2 * num_layers),
        ),
        Cell(
            key=search,
            record_keys=lambda _: hybrid_keys,
            run=lambda context: _search(context, config, scorer),
            cost=estimated_cost(
                spec, config, count_layer_evaluations(num_layers, num_stacks=len(config.stacks))
            ),
            division="among_all",
        ),
        Cell(
            key=soups,
            record_keys=lambda _: soup_keys,
            run=lambda context: _score_soups(context, config, scorer),
            cost=estimated_cost(spec, config, len(soup_keys) * num_layers),
            division="among_all",
        ),
        Cell(
            key=selection,
            record_keys=lambda _: [_selection_key(pair, config)],
            run=lambda context: _select(context, config),
            cost=estimated_cost(spec, config, 0),
            needs=(models, search, soups),
        ),
        Cell(
            key=f"{pair}/held_out",
            record_keys=lambda results: _held_out_keys(pair, results, config),
            run=lambda context: _score_held_out(context, config, scorer),
            cost=estimated_cost(spec, config, 2 * num_layers),
            needs=(selection,),
        ),
    ]


def _hybrids(num_layers: int, config: CrcStudyConfig) -> list[Restoration]:
    """Everything that is searched."""
    return [Restoration(*both) for both in product(all_intervals(num_layers), config.stacks)]


def with_num_layers(spec: PairSpec) -> PairSpec:
    """Fill in the number of decoder layers, from the base model's configuration if the pair does not say it."""
    if spec.num_layers is not None:
        return spec
    from slr.models.checkpoint import open_checkpoint

    return replace(spec, num_layers=open_checkpoint(spec.base).num_layers)


def estimated_cost(spec: PairSpec, config: CrcStudyConfig, layer_evaluations: int) -> Cost:
    """Estimate the work of layer evaluations on the selection prompts.

    Args:
        spec: the pair.
        config: says how many prompts there are.
        layer_evaluations: number of times that one layer processes one model's hidden states.
    """
    num_prompts = len(config.prompts("selection"))
    tokens = layer_evaluations * (TYPICAL_PROMPT_TOKENS + num_prompts * TYPICAL_TREE_TOKENS)
    flops = None
    if spec.num_parameters is not None and spec.num_layers is not None:
        # Embeddings count as layers here, which makes the estimate of a small model too high.
        flops = 2 * spec.num_parameters / spec.num_layers * tokens
    return Cost(layer_evaluations=layer_evaluations, tokens=tokens, flops=flops)


def _encoded(
    context: CellContext, config: CrcStudyConfig, prompt_set: PromptSet, scorer: Scorer
) -> EncodedPrompts:
    from slr.crc.scoring import encode_prompts

    return encode_prompts(config.prompts(prompt_set), context.pair.tokenizer, scorer=scorer)


def _score_models(context: CellContext, config: CrcStudyConfig, scorer: Scorer) -> Iterator[list[AnyRecord]]:
    from slr.crc.tree_forward import score_by_tree

    models = (context.pair.base_model, context.pair.instruct_model)
    records: list[AnyRecord] = [_pair_info(context)]
    for prompt_set in PROMPT_SETS:
        encoded = _encoded(context, config, prompt_set, scorer)
        base, instruct = score_by_tree(models, encoded)
        if None in (*base.validity, *instruct.validity):
            _refuse(context, encoded)
        records += [
            score_record(context, prompt_set, "base", base),
            score_record(context, prompt_set, "instruct", instruct),
        ]
    yield records


def _score_few_shot(
    context: CellContext, config: CrcStudyConfig, scorer: Scorer
) -> Iterator[list[AnyRecord]]:
    from slr.crc.scoring import encode_prompts
    from slr.crc.tree_forward import score_by_tree

    pair = context.pair
    for prompt_set in PROMPT_SETS:
        encoded = encode_prompts(
            config.prompts(prompt_set), pair.tokenizer, render=FEW_SHOT.render, scorer=scorer
        )
        [scores] = score_by_tree([pair.base_model], encoded)
        yield [
            CrcFewShotScore(
                **context.header,
                family=pair.family,
                prompt_set=prompt_set,
                document=_digest(FEW_SHOT.text("")),
                prompt_ids=scores.prompt_ids,
                validity=scores.validity,
                diversity=scores.diversity,
            )
        ]


def _refuse(context: CellContext, encoded: EncodedPrompts) -> NoReturn:
    """Find out which of the two models overflows on which prompt, by plain forward passes, and refuse the pair.

    Raises:
        UnusablePairError: always.
    """
    from slr.crc.scoring import score_model

    pair = context.pair
    for reference, model in ((pair.base, pair.base_model), (pair.instruct, pair.instruct_model)):
        try:
            score_model(model, encoded).check_finite(str(reference))
        except ValueError as error:
            raise UnusablePairError(f"{context.spec.name}: {error}") from error
    raise UnusablePairError(
        f"{context.spec.name}: logits are NaN or infinite when prompts are computed together"
    )


def _search(context: CellContext, config: CrcStudyConfig, scorer: Scorer) -> Iterator[list[AnyRecord]]:
    """Score the missing hybrids, one batch for each start layer.

    The cost is recorded only if one process searched every interval in one run, restored whole, because only then it is
    the search's.
    """
    from slr.crc.search import count_tokens_computed, iter_search
    from slr.crc.tree_forward import memory_budget

    num_layers = context.pair.num_layers
    hybrids = _hybrids(num_layers, config)
    missing = {
        hybrid
        for hybrid in hybrids
        if hybrid_key(context.spec.name, "selection", hybrid) not in context.results
    }
    stacks = [stack for stack in config.stacks if any(hybrid.stack == stack for hybrid in missing)]
    starts = sorted({hybrid.interval.start for hybrid in missing})
    starts = context.share(starts, [count_layer_evaluations(num_layers, [start]) for start in starts])
    if not starts:  # there are more processes than start layers
        return
    encoded = _encoded(context, config, "selection", scorer)
    budget = memory_budget(context.pair.instruct_model)
    reset_peak_memory(context.settings.device)
    began = time.perf_counter()
    found = iter_search(
        context.pair,
        encoded,
        stacks=stacks,
        starts=starts,
        memory_budget_bytes=budget,
        on_progress=context.on_progress,
    )
    for _, scored in found:
        new = [(Restoration(s.interval, s.stack), s.scores) for s in scored]
        yield [
            score_record(context, "selection", "hybrid", scores, hybrid)
            for hybrid, scores in new
            if hybrid in missing
        ]
    if config.stacks == (WHOLE,) and len(missing) == len(hybrids) and len(starts) == num_layers:
        seconds = time.perf_counter() - began
        layer_evaluations, tokens_computed = count_tokens_computed(context.pair, encoded, budget)
        cost = measured_cost(
            context.pair,
            encoded,
            header=context.header,
            device=context.settings.device,
            seconds=seconds,
            layer_evaluations=layer_evaluations,
            tokens_computed=tokens_computed,
        )
        yield [cost]


def _score_soups(context: CellContext, config: CrcStudyConfig, scorer: Scorer) -> Iterator[list[AnyRecord]]:
    from slr.crc.soups import score_soups

    encoded = _encoded(context, config, "selection", scorer)
    missing = [
        alpha
        for alpha in config.soup_alphas
        if CrcScore.key_of(context.spec.name, "selection", "soup", alpha=alpha) not in context.results
    ]
    alphas = context.share(missing, [1.0] * len(missing))
    for count, scores in enumerate(score_soups(context.pair, alphas, encoded), start=1):
        yield [score_record(context, "selection", "soup", scores, alphas[count - 1])]
        context.on_progress(count, len(alphas))


def _select(context: CellContext, config: CrcStudyConfig) -> Iterator[list[AnyRecord]]:
    pair = context.spec.name
    records = list(context.results.of_pair(pair).values())
    fields = selection_fields(records, config.rule, config.stacks)
    yield [CrcSelection(**context.header, **fields)]


def _score_held_out(
    context: CellContext, config: CrcStudyConfig, scorer: Scorer
) -> Iterator[list[AnyRecord]]:
    """Score the choice on held-out prompts, unless a choice by another rule was the same hybrid or soup."""
    from slr.crc.tree_forward import score_by_tree
    from slr.hybrid import interpolate, restore

    pair = context.spec.name
    selection = _selection_by(config, context.results, pair)
    assert selection is not None
    encoded = _encoded(context, config, "held_out", scorer)
    hybrid = chosen_restoration(selection)
    if hybrid is not None and hybrid_key(pair, "held_out", hybrid) not in context.results:
        model = restore(context.pair, hybrid.interval, hybrid.alpha, hybrid.components)
        [scores] = score_by_tree([model], encoded)
        yield [score_record(context, "held_out", "hybrid", scores, hybrid)]
    alpha = selection.soup_alpha
    if alpha is not None and CrcScore.key_of(pair, "held_out", "soup", alpha=alpha) not in context.results:
        [scores] = score_by_tree([interpolate(context.pair, alpha)], encoded)
        yield [score_record(context, "held_out", "soup", scores, alpha)]


def _held_out_keys(pair: str, results: RecordsByKey, config: CrcStudyConfig) -> list[str] | None:
    selection = _selection_by(config, results, pair)
    if selection is None:
        return None
    keys = []
    if (hybrid := chosen_restoration(selection)) is not None:
        keys.append(hybrid_key(pair, "held_out", hybrid))
    if selection.soup_alpha is not None:
        keys.append(CrcScore.key_of(pair, "held_out", "soup", alpha=selection.soup_alpha))
    return keys


def _selection_by(config: CrcStudyConfig, results: RecordsByKey, pair: str) -> CrcSelection | None:
    return results.find(CrcSelection, _selection_key(pair, config))


def _selection_key(pair: str, config: CrcStudyConfig) -> str:
    components = recorded_components(config.components)
    return CrcSelection.key_of(pair, config.min_validity_ratio, config.margin, config.alphas, components)


def hybrid_key(pair: str, prompt_set: PromptSet, hybrid: Restoration) -> str:
    """Make the key of the scores of a hybrid that restores an interval.

    Args:
        pair: name of the pair.
        prompt_set: the set of prompts.
        hybrid: what it restores.
    """
    return CrcScore.key_of(
        pair,
        prompt_set,
        "hybrid",
        hybrid.interval.ends,
        recorded_alpha(hybrid.alpha),
        recorded_components(hybrid.components),
    )


def _few_shot_key(pair: str, prompt_set: PromptSet) -> str:
    return CrcFewShotScore.key_of(pair, prompt_set, _digest(FEW_SHOT.text("")))


def score_record(
    context: CellContext,
    prompt_set: PromptSet,
    model: ModelKind,
    scores: PromptScores,
    choice: Restoration | LayerSet | float | None = None,
    min_p: float | None = None,
) -> CrcScore:
    """Make the record of one model's scores.

    Args:
        context: the cell that measured them.
        prompt_set: the set of prompts.
        model: kind of model.
        scores: the scores.
        choice: what a hybrid restores, or the alpha of a soup; None for base and instruct.
        min_p: share of the largest next-token probability below which a token did not count; None if every token
            counted.
    """
    hybrid = choice if isinstance(choice, Restoration) else None
    alpha = recorded_alpha(hybrid.alpha) if hybrid else choice if isinstance(choice, float) else None
    return CrcScore(
        **context.header,
        family=context.pair.family,
        num_layers=context.pair.num_layers,
        model=model,
        interval=hybrid.interval.ends if hybrid else None,
        alpha=alpha,
        components=recorded_components(hybrid.components) if hybrid else None,
        layers=tuple(sorted(choice)) if isinstance(choice, frozenset) else None,
        min_p=min_p,
        prompt_set=prompt_set,
        prompt_ids=scores.prompt_ids,
        validity=scores.validity,
        diversity=scores.diversity,
    )


def _pair_info(context: CellContext) -> PairInfo:
    pair = context.pair
    config = pair.instruct_model.config.get_text_config(decoder=True)
    return PairInfo(
        **context.header,
        family=pair.family,
        architecture=type(pair.instruct_model).__name__,
        base=pair.base.without_path.location,
        base_revision=pair.base.revision,
        instruct=pair.instruct.without_path.location,
        instruct_revision=pair.instruct.revision,
        num_layers=pair.num_layers,
        hidden_size=config.hidden_size,
        vocab_size=config.vocab_size,
        num_parameters=pair.instruct_model.num_parameters(),
        dtype=str(pair.instruct_model.dtype).removeprefix("torch."),
        notes=tuple(map(context.spec.without_paths, pair.notes)),
        end_tokens=pair.end_tokens,
    )


def _mirror(records: Sequence[AnyRecord], pair: str, config: CrcStudyConfig) -> RunMirror:
    """The choice, the means of all compared models, the cost of the search, and every interval and soup."""
    report = crc_report(records, pair, config.rule, config.stacks)
    summary: dict[str, Any] = {
        "hybrid/interval": None if report.chosen is None else str(report.chosen),
        "hybrid/reason": report.interval_reason,
        "soup/alpha": report.soup_alpha,
        "soup/reason": report.soup_reason,
    }
    for model in report.models:
        prefix = f"{model.prompt_set}/{model.model}"
        for name, estimate in (("validity", model.validity), ("diversity", model.diversity)):
            summary[f"{prefix}/{name}"] = estimate.mean if estimate else None
        if model.validity_ratio is not None:
            summary[f"{prefix}/validity_ratio"] = model.validity_ratio.mean
    for few_shot in of_kind(records, CrcFewShotScore):
        for name, values in (("validity", few_shot.validity), ("diversity", few_shot.diversity)):
            estimate = estimate_mean(values)
            summary[f"{few_shot.prompt_set}/base_few_shot/{name}"] = estimate.mean if estimate else None
    summary |= {f"search_cost/{name}": value for name, value in cost_summary(records).items()}
    hybrids = restoration_candidates(records, config.stacks)
    rows = [[*c.choice.interval.ends, str(c.choice.stack), c.validity, c.diversity] for c in hybrids]
    soups = sorted([c.choice, c.validity, c.diversity] for c in soup_candidates(records))
    curve = (["alpha", "validity", "diversity"], soups)
    tables = {
        "intervals": (["start", "end", "restored in part", "validity", "diversity"], rows),
        "soups": curve,
    }
    return RunMirror(summary=summary, tables=tables, curves={"soups": curve})

"""Reports on CRC studies, made from their records: numbers with 95% intervals, not rounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from slr.crc.choice import scores_of_every_token
from slr.crc.prompts import PROMPT_SETS, load_prompts
from slr.crc.selection import (
    PAPER_RULE,
    Candidate,
    Choice,
    SelectionRule,
    make_candidates,
    not_finite_choices,
    pareto_front,
    select,
)
from slr.intervals import WHOLE, LayerInterval, Restoration, Stack
from slr.runs.records import AnyRecord, CrcScore, CrcSelection, SearchCost
from slr.runs.results import of_kind, of_pair
from slr.statistics.uncertainty import Estimate, estimate_difference, estimate_mean, estimate_ratio
from slr.vocabulary import COMPONENTS, ModelKind, PromptSet

Category = Literal["letters", "digits"]
"""Kind of characters that a prompt asks for."""
CATEGORIES: tuple[Category, ...] = ("letters", "digits")

NUM_BEST = 5
"""Number of the best admissible intervals in a report."""


KEPT = {True: "kept", False: "missed"}
"""Word for whether a model keeps the rule."""


@dataclass(frozen=True, kw_only=True)
class ModelSummary:
    """One model on one prompt set, with comparisons to the instruct model that are paired by prompt.

    Ratio and differences are None for the instruct model, because it is not compared with itself. All five estimates
    are None if the model's logits are not finite on one of the prompts.

    Attributes:
        model: kind of model.
        prompt_set: set of prompts.
        category: kind of characters, if only prompts for these count; None for all prompts.
        interval: restored layers; None unless the model is a hybrid.
        alpha: share of the base model's weights, from 0 to 1; None where the model has none.
        validity: mean probability of a valid character.
        diversity: mean entropy among valid characters, from 0 to 1.
        validity_ratio: validity divided by the instruct model's.
        validity_difference: validity minus the instruct model's.
        diversity_difference: diversity minus the instruct model's.
    """

    model: ModelKind
    prompt_set: PromptSet
    category: Category | None
    interval: LayerInterval | None
    alpha: float | None
    num_prompts: int
    validity: Estimate | None
    diversity: Estimate | None
    validity_ratio: Estimate | None
    validity_difference: Estimate | None
    diversity_difference: Estimate | None


@dataclass(frozen=True, kw_only=True)
class CrcReport:
    """The outcome for one pair by one rule.

    Attributes:
        pair: name of the pair.
        family: name of the model family.
        num_layers: number of decoder layers.
        rule: the rule of the choice.
        instruct_validity: the instruct model's mean validity on the selection prompts.
        stacks: the ways to restore a layer that were searched.
        chosen: the chosen hybrid; None if there is none.
        interval_reason: why it was chosen, or why there is none.
        soup_alpha: the chosen soup's share of the base model's weights; None if there is none.
        soup_reason: why it was chosen, or why there is none.
        models: base, instruct, the chosen hybrid and the chosen soup on both prompt sets, if they were scored.
        by_category: the same for letters and digits separately; empty for prompts of the user's own.
        best: the best admissible hybrids, the chosen one first.
        front: the Pareto front of all hybrids.
    """

    pair: str
    family: str
    num_layers: int
    rule: SelectionRule
    instruct_validity: float
    stacks: tuple[Stack, ...]
    chosen: Restoration | None
    interval_reason: str
    soup_alpha: float | None
    soup_reason: str
    models: tuple[ModelSummary, ...]
    by_category: tuple[ModelSummary, ...]
    best: tuple[Candidate[Restoration], ...]
    front: tuple[Candidate[Restoration], ...]

    @property
    def interval(self) -> LayerInterval | None:
        """The chosen interval; None if there is none."""
        return None if self.chosen is None else self.chosen.interval

    @property
    def min_validity(self) -> float:
        """Smallest validity that the rule admits. A rule with a margin demands more than that."""
        return self.rule.min_validity_ratio * self.instruct_validity

    @property
    def shown_stack(self) -> Stack:
        """How a map's intervals are restored: as in the chosen hybrid, because a map has one number for each."""
        return self.stacks[0] if self.chosen is None else self.chosen.stack

    def admits(self, candidate: Candidate[Choice]) -> bool:
        """Whether the candidate is valid enough to be chosen."""
        return self.rule.admits(candidate, self.instruct_validity)

    def keeps_rule(self, model: ModelKind, prompt_set: PromptSet) -> bool | None:
        """Whether the mean validity on these prompts is at least the rule's share of the instruct model's.

        It is None for the instruct model, and where the validity was not measured.
        """
        summary, instruct = self.summary(model, prompt_set), self.summary("instruct", prompt_set)
        if model == "instruct" or summary is None or summary.validity is None:
            return None
        assert instruct is not None
        assert instruct.validity is not None
        return self.rule.is_kept(summary.validity.mean, instruct.validity.mean)

    def summary(
        self, model: ModelKind, prompt_set: PromptSet, category: Category | None = None
    ) -> ModelSummary | None:
        """The summary of one model on one prompt set.

        Args:
            model: kind of model.
            prompt_set: set of prompts.
            category: kind of characters; None for all prompts.

        Returns:
            The summary; None if there is none.
        """
        for summary in (*self.models, *self.by_category):
            if (summary.model, summary.prompt_set, summary.category) == (model, prompt_set, category):
                return summary
        return None


def scored_restorations(
    records: Sequence[AnyRecord], stacks: Sequence[Stack] = (WHOLE,)
) -> list[tuple[Restoration, CrcScore]]:
    """Every interval of one pair, restored in these ways, with its scores on the selection prompts."""
    hybrids = ((restoration_of(score), score) for score in _scores(records, "selection"))
    return [(choice, score) for choice, score in hybrids if choice is not None and choice.stack in stacks]


def restoration_of(score: CrcScore) -> Restoration | None:
    """What the scored hybrid of an interval restores; None for any other model."""
    if score.interval is None:
        return None
    stack = Stack(1.0 if score.alpha is None else score.alpha, score.components or COMPONENTS)
    return Restoration(LayerInterval(*score.interval), stack)


def choice_of(score: CrcScore) -> Restoration | float | None:
    """What the hybrid of an interval restores, or the alpha of a soup; None for any other model."""
    return score.alpha if score.model == "soup" else restoration_of(score)


def scored_intervals(records: Sequence[AnyRecord]) -> list[tuple[LayerInterval, CrcScore]]:
    """Every interval of one pair, restored whole, with its scores on the selection prompts."""
    return [(choice.interval, score) for choice, score in scored_restorations(records)]


def scored_soups(records: Sequence[AnyRecord]) -> list[tuple[float, CrcScore]]:
    """The alpha of every soup of one pair with its scores on the selection prompts."""
    soups = (score for score in _scores(records, "selection") if score.model == "soup")
    return [(score.alpha, score) for score in soups if score.alpha is not None]


def restoration_candidates(
    records: Sequence[AnyRecord], stacks: Sequence[Stack] = (WHOLE,)
) -> list[Candidate[Restoration]]:
    """The means of every interval, restored in these ways, that has a validity on each selection prompt."""
    return make_candidates(scored_restorations(records, stacks), _instruct(records))


def interval_candidates(records: Sequence[AnyRecord]) -> list[Candidate[LayerInterval]]:
    """The means of every interval of one pair that has a validity on each selection prompt."""
    return make_candidates(scored_intervals(records), _instruct(records))


def soup_candidates(records: Sequence[AnyRecord]) -> list[Candidate[float]]:
    """The means of every soup of one pair that has a validity on each selection prompt."""
    return make_candidates(scored_soups(records), _instruct(records))


def _instruct(records: Sequence[AnyRecord]) -> CrcScore | None:
    return next((score for score in _scores(records, "selection") if score.model == "instruct"), None)


def crc_report(
    records: Sequence[AnyRecord],
    pair: str,
    rule: SelectionRule | None = None,
    stacks: Sequence[Stack] | None = None,
    num_best: int = NUM_BEST,
) -> CrcReport:
    """Make the report on one pair.

    Args:
        records: records of a CRC study, maybe of several pairs.
        pair: name of the pair.
        rule: the rule of the choice; None for the paper's rule, or if there is no choice by it, the first other one.
        stacks: the ways to restore a layer that the choice is among; None for layers restored whole, or if there is no
            choice among these, the ways of the first other choice.
        num_best: largest number of the best admissible hybrids.

    Returns:
        The report.

    Raises:
        ValueError: if the pair's study is not complete.
    """
    records = of_pair(records, pair)
    selection = _selection(records, pair, rule, stacks)
    rule, stacks = rule_of(selection), stacks_of(selection)
    hybrids = restoration_candidates(records, stacks)
    ranking = select(
        # The record has only the choice. The ranking is made again, because a report shows the next best hybrids too.
        hybrids,
        selection.instruct_validity,
        rule.min_validity_ratio,
        rule.margin,
        not_finite=not_finite_choices(scored_restorations(records, stacks)),
    ).ranking
    asked = {prompt_id for score in scores_of_every_token(records) for prompt_id in score.prompt_ids}
    # Prompts of the user's own belong to no category.
    categories = CATEGORIES if asked <= _category_of().keys() else ()
    return CrcReport(
        pair=pair,
        family=selection.family,
        num_layers=selection.num_layers,
        rule=rule,
        instruct_validity=selection.instruct_validity,
        stacks=stacks,
        chosen=chosen_restoration(selection),
        interval_reason=selection.interval_reason,
        soup_alpha=selection.soup_alpha,
        soup_reason=selection.soup_reason,
        models=tuple(_model_summaries(records, selection, None)),
        by_category=tuple(
            summary for category in categories for summary in _model_summaries(records, selection, category)
        ),
        best=ranking[:num_best],
        front=tuple(pareto_front(hybrids)),
    )


def _selection(
    records: Sequence[AnyRecord], pair: str, rule: SelectionRule | None, stacks: Sequence[Stack] | None
) -> CrcSelection:
    by_stacks: dict[tuple[Stack, ...], dict[SelectionRule, CrcSelection]] = {}
    for record in of_kind(records, CrcSelection):
        by_stacks.setdefault(stacks_of(record), {}).setdefault(rule_of(record), record)
    if stacks is None:
        stacks = (WHOLE,) if (WHOLE,) in by_stacks else next(iter(by_stacks), (WHOLE,))
    by_rule = by_stacks.get(tuple(stacks), {})
    wanted = rule or (PAPER_RULE if PAPER_RULE in by_rule else next(iter(by_rule), PAPER_RULE))
    if wanted not in by_rule:
        raise ValueError(
            f"the records of {pair} hold no selection yet: run experiments/crc_search.py to its end"
        )
    return by_rule[wanted]


def stacks_of(selection: CrcSelection) -> tuple[Stack, ...]:
    """The ways to restore a layer that a choice is among."""
    return tuple(Stack(alpha, selection.components or COMPONENTS) for alpha in selection.alphas)


def chosen_restoration(selection: CrcSelection) -> Restoration | None:
    """What the chosen hybrid restores; None if none was chosen."""
    if selection.interval is None:
        return None
    stack = Stack(selection.alpha or 1.0, selection.components or COMPONENTS)
    return Restoration(LayerInterval(*selection.interval), stack)


def rule_of(selection: CrcSelection) -> SelectionRule:
    """The rule of a choice."""
    return SelectionRule(selection.min_validity_ratio, selection.margin)


def rule_in_words(report: CrcReport) -> list[str]:
    """Sentences on whether the chosen hybrid and soup keep the rule on the held-out prompts, and what to do if not."""
    ratio = report.rule.min_validity_ratio
    models: tuple[ModelKind, ...] = ("hybrid", "soup")
    sentences = []
    for model in models:
        summary, is_kept = report.summary(model, "held_out"), report.keeps_rule(model, "held_out")
        if summary is None or summary.validity_ratio is None or is_kept is None:
            continue
        sentence = (
            f"On the held-out prompts the {model} keeps {summary.validity_ratio} of the instruct model's validity: "
            f"the rule (at least {ratio:g}) is {KEPT[is_kept]} there"
        )
        if model == "hybrid" and not is_kept:
            option = "a higher `--min-validity`" if report.rule.margin else "`--margin`"
            sentence += f"; {option} chooses more carefully"
        sentences.append(f"{sentence}.")
    if report.interval is None:
        no_margin = ", or no `--margin`," if report.rule.margin else ""
        sentences.append(
            f"No layers are valid enough; `--min-validity` below {ratio:g}{no_margin} admits more."
        )
    return sentences


def cost_summary(records: Sequence[AnyRecord]) -> dict[str, float | None]:
    """The measured costs of searches by METHOD/METRIC, as W&B shows them."""
    summary: dict[str, float | None] = {}
    for cost in of_kind(records, SearchCost):
        summary |= {
            f"{cost.method}/seconds": cost.seconds,
            f"{cost.method}/seconds_per_interval": cost.seconds_per_interval,
            f"{cost.method}/layer_evaluations": cost.layer_evaluations,
            f"{cost.method}/tokens_computed": cost.tokens_computed,
            f"{cost.method}/peak_memory_bytes": cost.peak_memory_bytes,
        }
    return summary


def _model_summaries(
    records: Sequence[AnyRecord], selection: CrcSelection, category: Category | None
) -> list[ModelSummary]:
    """Summaries of the compared models on both prompt sets, if they are scored."""
    pair = selection.pair
    hybrid = selection.interval, selection.alpha, selection.components
    found = []
    for prompt_set in PROMPT_SETS:
        wanted = [CrcScore.key_of(pair, prompt_set, "base"), CrcScore.key_of(pair, prompt_set, "instruct")]
        if selection.interval is not None:
            wanted.append(CrcScore.key_of(pair, prompt_set, "hybrid", *hybrid))
        if selection.soup_alpha is not None:
            wanted.append(CrcScore.key_of(pair, prompt_set, "soup", alpha=selection.soup_alpha))
        scores = {score.key: score for score in _scores(records, prompt_set)}
        instruct = scores[CrcScore.key_of(pair, prompt_set, "instruct")]
        found += [summarise(scores[key], instruct, category) for key in wanted if key in scores]
    return found


def summarise(score: CrcScore, instruct: CrcScore, category: Category | None = None) -> ModelSummary:
    """Summarise one model's scores.

    Args:
        score: scores of the model, on one prompt set.
        instruct: scores of the instruct model, on the same prompts.
        category: kind of characters, to count only prompts for these; None for all prompts.

    Returns:
        The summary.
    """
    wanted = [
        index
        for index, prompt_id in enumerate(score.prompt_ids)
        if category is None or _category_of()[prompt_id] == category
    ]
    validity, diversity = ([values[i] for i in wanted] for values in (score.validity, score.diversity))
    of_instruct = [instruct.validity[i] for i in wanted], [instruct.diversity[i] for i in wanted]
    # A mean over the other prompts would not be comparable: where logits overflow is no accident.
    is_finite = None not in validity
    is_compared = is_finite and score.model != "instruct"
    return ModelSummary(
        model=score.model,
        prompt_set=score.prompt_set,
        category=category,
        interval=_interval(score),
        alpha=score.alpha,
        num_prompts=len(wanted),
        validity=estimate_mean(validity) if is_finite else None,
        diversity=estimate_mean(diversity) if is_finite else None,
        validity_ratio=estimate_ratio(validity, of_instruct[0]) if is_compared else None,
        validity_difference=estimate_difference(validity, of_instruct[0]) if is_compared else None,
        diversity_difference=estimate_difference(diversity, of_instruct[1]) if is_compared else None,
    )


@cache
def _category_of() -> dict[str, Category]:
    return {prompt.id: prompt.category for split in PROMPT_SETS for prompt in load_prompts(split)}


def _scores(records: Sequence[AnyRecord], prompt_set: PromptSet) -> list[CrcScore]:
    return [score for score in scores_of_every_token(records) if score.prompt_set == prompt_set]


def _interval(score: CrcScore) -> LayerInterval | None:
    return None if score.interval is None else LayerInterval(*score.interval)

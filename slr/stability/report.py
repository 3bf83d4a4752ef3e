"""The report on how stable one pair's choice is, made from records: shares, overlaps and results, not rounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from slr.crc.prompts import CrcPrompt, load_prompts
from slr.crc.report import CATEGORIES, ModelSummary, crc_report, restoration_of, summarise
from slr.crc.selection import ChoiceT, SelectionRule, select_scored
from slr.intervals import WHOLE, LayerInterval
from slr.runs.records import AnyRecord, CrcScore
from slr.runs.results import of_kind, of_pair
from slr.seeding import seed_from_key
from slr.stability.resampling import (
    NONE_CHOSEN,
    Floats,
    IntervalScores,
    Ints,
    choose,
    overlap,
    sample_prompts,
)
from slr.vocabulary import PromptSet

NUM_BOOTSTRAP_DRAWS = 2000
NUM_SAMPLES = 500
"""Number of draws of each size, except of as many prompts as there are."""
SAMPLE_SIZES = (5, 10, 20, 80)
"""Numbers of prompts in a draw, besides the number of prompts that there are."""
VALIDITY_RATIOS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
"""Rules by which a choice is made again."""
FEW_CHARACTERS = 5
"""Largest number of valid characters of a prompt that counts as a choice among few."""
SPREAD = (0.05, 0.5, 0.95)
"""Quantiles that describe the results of many choices."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Variation:
    """Choices under one change of the conditions.

    Attributes:
        id: unique name.
        label: what is changed, for display.
        counts_DP: how often each selection prompt counts, for each of D choices.
        chosen_D: index of each choice among the report's intervals; ``NONE_CHOSEN`` where none is valid enough.
        rule: the rule of the choices.
    """

    id: str
    label: str
    counts_DP: Ints
    chosen_D: Ints
    rule: SelectionRule

    @property
    def num_prompts(self) -> int:
        """Number of prompts by which each choice is made."""
        return int(self.counts_DP[0].sum())


@dataclass(frozen=True, kw_only=True)
class VariationSummary:
    """How far the choices of one variation agree with the reported one, and what they would have given.

    Results are on the held-out prompts, where every token counts. A choice of no interval has no overlap, no gain, and
    all of the validity.

    Attributes:
        id: unique name.
        label: what is changed, for display.
        num_prompts: number of prompts by which each choice is made.
        num_choices: number of choices.
        interval: the choice, if there is only one and it is an interval.
        same: share of choices that are the reported interval.
        overlap: mean Jaccard index of the restored layers with the reported ones.
        none: share of choices of no interval.
        gain: 5% quantile, median and 95% quantile of the diversity less the instruct model's.
        validity_ratio: the same quantiles of the validity over the instruct model's.
        kept: share of choices that keep the rule's share of the validity.
    """

    id: str
    label: str
    num_prompts: int
    num_choices: int
    interval: LayerInterval | None
    same: float
    overlap: float
    none: float
    gain: tuple[float, float, float]
    validity_ratio: tuple[float, float, float]
    kept: float


@dataclass(frozen=True, kw_only=True, eq=False)
class StabilityReport:
    """How stable the choice of one pair is.

    Attributes:
        pair: name of the pair.
        num_layers: number of decoder layers.
        interval: the reported choice.
        rule: the rule by which it was made.
        intervals: the I intervals, the smallest change first.
        strata: kind of characters that each selection prompt asks for.
        selection: scores of all intervals on the selection prompts.
        held_out: scores of all intervals on the held-out prompts.
        samples: the choices by prompts drawn at random, by the number of prompts in a draw.
        others: the choices under every other change.
    """

    pair: str
    num_layers: int
    interval: LayerInterval
    rule: SelectionRule
    intervals: tuple[LayerInterval, ...]
    strata: tuple[str, ...]
    selection: IntervalScores
    held_out: IntervalScores
    samples: tuple[Variation, ...]
    others: tuple[Variation, ...]

    @property
    def bootstrap(self) -> Variation:
        """The choices by bootstrap draws of the selection prompts: draws of as many as there are."""
        return next(variation for variation in self.samples if variation.num_prompts == len(self.strata))

    @property
    def reported(self) -> int:
        """Index of the reported choice among the intervals."""
        return self.intervals.index(self.interval)

    @property
    def gains(self) -> Floats:
        """Held-out gain of each interval in diversity, shape (I + 1,); the last one stands for no interval."""
        return np.append(np.nanmean(self.held_out.gains, axis=1), 0.0)

    @property
    def overlaps(self) -> Floats:
        """Overlap of each interval with the reported one, shape (I + 1,); the last one stands for no interval."""
        return np.array([overlap(interval, self.interval) for interval in self.intervals] + [0.0])

    @property
    def restored_shares(self) -> list[float]:
        """Share of bootstrap choices that restore each layer."""
        chosen = [self.intervals[index] for index in self.bootstrap.chosen_D if index != NONE_CHOSEN]
        return [
            sum(layer in interval for interval in chosen) / len(self.bootstrap.chosen_D)
            for layer in range(self.num_layers)
        ]

    def summary(self, variation: Variation) -> VariationSummary:
        """Summarise the choices of one variation."""
        chosen_D = variation.chosen_D
        # The last entry of each array stands for no interval, and ``NONE_CHOSEN`` is the index of the last.
        ratios_D = np.append(self.held_out.validity_ratios, 1.0)[chosen_D]
        only = chosen_D[0] if len(chosen_D) == 1 else NONE_CHOSEN
        low, median, high = np.quantile(self.gains[chosen_D], SPREAD)
        low_ratio, median_ratio, high_ratio = np.quantile(ratios_D, SPREAD)
        return VariationSummary(
            id=variation.id,
            label=variation.label,
            num_prompts=variation.num_prompts,
            num_choices=len(chosen_D),
            interval=None if only == NONE_CHOSEN else self.intervals[only],
            same=float((chosen_D == self.reported).mean()),
            overlap=float(self.overlaps[chosen_D].mean()),
            none=float((chosen_D == NONE_CHOSEN).mean()),
            gain=(float(low), float(median), float(high)),
            validity_ratio=(float(low_ratio), float(median_ratio), float(high_ratio)),
            kept=float((ratios_D >= variation.rule.min_validity_ratio).mean()),
        )


def stability_report(records: Sequence[AnyRecord], pair: str) -> StabilityReport:
    """Make the report on one pair.

    Args:
        records: records of the search and of the stability study, maybe of several pairs.
        pair: name of the pair.

    Returns:
        The report.

    Raises:
        ValueError: if the search is not complete or chose no interval, or an interval has no held-out scores.
    """
    records = of_pair(records, pair)
    search = crc_report(records, pair)
    if search.interval is None:
        raise ValueError(
            f"{pair}: the search chose no interval, so there is no choice whose stability could be studied"
        )
    by_interval = _hybrids(records, "selection", None)
    intervals = sorted(by_interval, key=lambda interval: (len(interval), interval.start))
    instruct = _instruct(records, "selection", None)
    selection = IntervalScores.from_records(intervals, by_interval, instruct)
    held_out = _hybrids(records, "held_out", None)
    if missing := [interval for interval in intervals if interval not in held_out]:
        raise ValueError(
            f"{pair}: {len(missing)} intervals have no scores on the held-out prompts: run slr run stability"
        )
    on_held_out = IntervalScores.from_records(intervals, held_out, _instruct(records, "held_out", None))
    prompts = {prompt.id: prompt for prompt in load_prompts("selection")}
    asked = [prompts[id_] for id_ in instruct.prompt_ids]
    samples = tuple(_samples(pair, selection, [prompt.category for prompt in asked], search.rule))
    report = StabilityReport(
        pair=pair,
        num_layers=search.num_layers,
        interval=search.interval,
        rule=search.rule,
        intervals=tuple(intervals),
        strata=tuple(prompt.category for prompt in asked),
        selection=selection,
        held_out=on_held_out,
        samples=samples,
        others=(),
    )
    others = [*_kinds(report, asked), *_other_rules(report)]
    for min_p in sorted({s.min_p for s in of_kind(records, CrcScore) if s.min_p is not None}):
        others += _with_min_p(report, records, min_p)
    return replace(report, others=tuple(others))


def _samples(
    pair: str, scores: IntervalScores, strata: Sequence[str], rule: SelectionRule
) -> Iterator[Variation]:
    """The choices by prompts drawn at random."""
    for size in sorted({*SAMPLE_SIZES, len(strata)}):
        is_bootstrap = size == len(strata)
        rng = np.random.default_rng(seed_from_key("stability", pair, str(size)))
        number = NUM_BOOTSTRAP_DRAWS if is_bootstrap else NUM_SAMPLES
        label = f"{size} prompts drawn at random" + (" (bootstrap)" if is_bootstrap else "")
        yield _choose(f"sample_{size}", label, scores, sample_prompts(strata, size, number, rng), rule)


def _choose(id_: str, label: str, scores: IntervalScores, counts_DP: Ints, rule: SelectionRule) -> Variation:
    chosen_D = choose(scores, counts_DP, rule)
    return Variation(id=id_, label=label, counts_DP=counts_DP, chosen_D=chosen_D, rule=rule)


def _all_once(scores: IntervalScores) -> Ints:
    """The one draw in which every prompt counts once."""
    return np.ones((1, len(scores.instruct_validity_P)), dtype=np.int64)


def _kinds(report: StabilityReport, prompts: Sequence[CrcPrompt]) -> Iterator[Variation]:
    """The choices by prompts of one kind or one wording, and by the held-out prompts."""
    scores, rule = report.selection, report.rule
    is_few = [len(prompt.valid) <= FEW_CHARACTERS for prompt in prompts]
    kinds = {
        "letters": ("for letters", [prompt.category == "letters" for prompt in prompts]),
        "digits": ("for digits", [prompt.category == "digits" for prompt in prompts]),
        "few_characters": (f"with at most {FEW_CHARACTERS} valid characters", is_few),
        "many_characters": (f"with more than {FEW_CHARACTERS} valid characters", [not few for few in is_few]),
    }
    for id_, (words, is_kind) in kinds.items():
        if any(is_kind):
            yield _choose(id_, f"only prompts {words}", scores, np.array([is_kind], dtype=np.int64), rule)
    one = _wordings(prompts)
    yield _choose("one_wording", "one wording alone", scores, one, rule)
    if len(one) > 1:
        yield _choose("other_wordings", "all wordings but one", scores, 1 - one, rule)
    all_held_out = _all_once(report.held_out)
    label = f"the {all_held_out.size} held-out prompts (the result is on these too)"
    yield _choose("held_out", label, report.held_out, all_held_out, rule)


def _wordings(prompts: Sequence[CrcPrompt]) -> Ints:
    """A draw for each wording. The n-th prompt for letters and the n-th for digits are worded alike."""
    places = [[i for i, p in enumerate(prompts) if p.category == category] for category in CATEGORIES]
    draws = np.zeros((min(map(len, places)), len(prompts)), dtype=np.int64)
    for of_category in places:
        draws[np.arange(len(draws)), of_category[: len(draws)]] = 1
    return draws


def _other_rules(report: StabilityReport) -> Iterator[Variation]:
    """The choices by other rules from the same prompts, and with a margin from bootstrap draws too."""
    scores, rule = report.selection, report.rule
    for margin in (False, True):
        for ratio in VALIDITY_RATIOS:
            id_ = f"ratio_{ratio:g}" + ("_margin" if margin else "")
            label = f"validity at least {ratio:g}" + (" with a margin" if margin else "")
            yield _choose(id_, label, scores, _all_once(scores), SelectionRule(ratio, margin))
    careful = SelectionRule(rule.min_validity_ratio, margin=True)
    label = f"validity at least {rule.min_validity_ratio:g} with a margin, bootstrap"
    yield _choose("margin_bootstrap", label, scores, report.bootstrap.counts_DP, careful)


def _with_min_p(report: StabilityReport, records: Sequence[AnyRecord], min_p: float) -> Iterator[Variation]:
    """The choices by scores in which tokens that min-p sampling never draws do not count."""
    hybrids = _hybrids(records, "selection", min_p)
    if all(interval in hybrids for interval in report.intervals):
        scores = IntervalScores.from_records(
            report.intervals, hybrids, _instruct(records, "selection", min_p)
        )
        label = f"scores with min-p {min_p:g}"
        id_ = f"min_p_{min_p:g}"
        yield _choose(id_, label, scores, _all_once(scores), report.rule)
        draws = report.bootstrap.counts_DP
        yield _choose(f"{id_}_bootstrap", f"{label}, bootstrap", scores, draws, report.rule)


def _hybrids(
    records: Sequence[AnyRecord], prompt_set: PromptSet, min_p: float | None
) -> dict[LayerInterval, CrcScore]:
    """The scores of every interval, restored whole."""
    scores = [s for s in of_kind(records, CrcScore) if (s.prompt_set, s.min_p) == (prompt_set, min_p)]
    restored = [(restoration_of(score), score) for score in scores]
    return {
        choice.interval: score for choice, score in restored if choice is not None and choice.stack == WHOLE
    }


def _instruct(records: Sequence[AnyRecord], prompt_set: PromptSet, min_p: float | None) -> CrcScore:
    return next(
        score
        for score in of_kind(records, CrcScore)
        if (score.model, score.prompt_set, score.min_p) == ("instruct", prompt_set, min_p)
    )


def min_p_choices(
    records: Sequence[AnyRecord], min_p: float, rule: SelectionRule
) -> tuple[LayerInterval | None, float | None]:
    """Choose an interval and a soup by scores with min-p.

    Args:
        records: the pair's records, with the scores of all intervals and soups.
        min_p: the min-p of the scores.
        rule: the rule of the choice.

    Returns:
        The interval and the soup's alpha; None where none is valid enough.
    """
    scores = [s for s in of_kind(records, CrcScore) if (s.prompt_set, s.min_p) == ("selection", min_p)]
    instruct = _instruct(records, "selection", min_p)
    intervals = [(LayerInterval(*s.interval), s) for s in scores if s.interval is not None]
    soups = [(s.alpha, s) for s in scores if s.model == "soup" and s.alpha is not None]
    return _chosen(intervals, instruct, rule), _chosen(soups, instruct, rule)


def _chosen(
    scored: Sequence[tuple[ChoiceT, CrcScore]], instruct: CrcScore, rule: SelectionRule
) -> ChoiceT | None:
    chosen = select_scored(scored, instruct, rule).chosen
    return None if chosen is None else chosen.choice


def min_p_summaries(records: Sequence[AnyRecord], pair: str) -> list[tuple[float, ModelSummary]]:
    """Summarise every model that was scored with min-p on the held-out prompts, each with its min-p.

    Min-p may leave a model no valid character, and so no diversity. Diversities count on the prompts where all models
    have one, so that a difference is the difference of the means.

    Args:
        records: records of the stability study, maybe of several pairs.
        pair: name of the pair.
    """
    records = of_pair(records, pair)
    by_min_p: dict[float, list[CrcScore]] = {}
    for score in of_kind(records, CrcScore):
        if score.min_p is not None and score.prompt_set == "held_out":
            by_min_p.setdefault(score.min_p, []).append(score)
    summaries = []
    for min_p, scores in by_min_p.items():
        comparable = _with_diversity_of_all(scores)
        instruct = _instruct(comparable, "held_out", min_p)
        summaries += [(min_p, summarise(score, instruct)) for score in comparable]
    return summaries


def _with_diversity_of_all(scores: Sequence[CrcScore]) -> list[CrcScore]:
    """Leave out the diversities on prompts where one of the models has none."""
    by_prompt = zip(*(score.diversity for score in scores), strict=True)
    is_defined = [None not in of_models for of_models in by_prompt]
    return [
        score.model_copy(
            update={
                "diversity": tuple(
                    value if defined else None
                    for value, defined in zip(score.diversity, is_defined, strict=True)
                )
            }
        )
        for score in scores
    ]

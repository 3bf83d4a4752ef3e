"""Say which of the models that a search chose is the better one: the hybrid, restored whole or in part, or the soup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from slr.crc.choice import scores_of_every_token
from slr.crc.report import CrcReport, choice_of, restoration_candidates
from slr.crc.selection import select
from slr.intervals import WHOLE, Restoration
from slr.runs.records import AnyRecord, CrcScore
from slr.runs.results import of_pair
from slr.statistics.uncertainty import Estimate, estimate_difference
from slr.vocabulary import PromptSet

Kind = Literal["hybrid", "soup"]


@dataclass(frozen=True)
class Recommendation:
    """The better one of the chosen models.

    Attributes:
        kind: what kind of model it is.
        choice: what the hybrid restores, or the alpha of the soup.
        reason: one sentence that says why.
    """

    kind: Kind
    choice: Restoration | float
    reason: str


def recommend(records: Sequence[AnyRecord], report: CrcReport) -> Recommendation | None:
    """Compare the chosen hybrid and the chosen soup on the held-out prompts.

    A model that keeps the rule there is better than one that does not. If that makes no difference, the more diverse
    one is better. Without held-out scores of both, the selection prompts decide. A soup at alpha 0 is the instruct
    model, and counts as none.

    Args:
        records: the records that the report was made from.
        report: the report.

    Returns:
        The better one; None if none was chosen.
    """
    chosen: dict[Kind, Restoration | float] = {}
    if report.chosen is not None:
        chosen["hybrid"] = report.chosen
    if report.soup_alpha:
        chosen["soup"] = report.soup_alpha
    if not chosen:
        return None
    if len(chosen) == 1:
        [(kind, choice)] = chosen.items()
        other = "soup" if kind == "hybrid" else "hybrid"
        return Recommendation(
            kind, choice, f"The {name(choice)} is the better choice: no {other} is valid enough."
        )
    own = of_pair(records, report.pair)
    kind, why = _better(own, report)
    return Recommendation(
        kind,
        chosen[kind],
        f"The {name(chosen[kind])} is the better choice: {why}{_whole_or_part(own, report)}.",
    )


def name(choice: Restoration | float) -> str:
    """What a choice is called in a sentence, such as "partial hybrid 12:20 at alpha 0.5"."""
    if isinstance(choice, Restoration):
        return f"hybrid {choice}" if choice.stack == WHOLE else f"partial hybrid {choice}"
    return f"soup at alpha {choice:g}"


def _better(records: Sequence[AnyRecord], report: CrcReport) -> tuple[Kind, str]:
    kinds: tuple[Kind, Kind] = ("hybrid", "soup")
    # Both were chosen by their selection scores, which are therefore too good. Held-out scores favour neither.
    has_both = all(report.keeps_rule(kind, "held_out") is not None for kind in kinds)
    prompt_set: PromptSet = "held_out" if has_both else "selection"
    where = f"on the {prompt_set.replace('_', '-')} prompts"
    kept = {kind: report.keeps_rule(kind, prompt_set) for kind in kinds}
    if kept["hybrid"] != kept["soup"]:
        better: Kind = "hybrid" if kept["hybrid"] else "soup"
        worse: Kind = "soup" if better == "hybrid" else "hybrid"
        ratios = {kind: report.summary(kind, prompt_set) for kind in kinds}
        of_better, of_worse = (
            f"{summary.validity_ratio.mean:.3f}" if summary is not None and summary.validity_ratio else "n/a"
            for summary in (ratios[better], ratios[worse])
        )
        return better, (
            f"{where} it keeps {of_better} of the instruct model's validity and the {worse} {of_worse}, where the rule "
            f"wants {report.rule.min_validity_ratio:g}"
        )
    difference = _difference(records, report, prompt_set)
    if difference is None or difference.mean == 0:
        why = "cannot be compared" if difference is None else "is equal"
        return "hybrid", f"{where} the diversity of the two {why}, and it changes fewer weights"
    better = "soup" if difference.mean > 0 else "hybrid"
    more = difference if better == "soup" else _negative(difference)
    sure = "" if more.low is not None and more.low > 0 else ", which may be chance"
    return better, f"{where} its diversity is higher by {more}{sure}"


def _difference(records: Sequence[AnyRecord], report: CrcReport, prompt_set: PromptSet) -> Estimate | None:
    """The soup's diversity less the hybrid's, by paired prompts."""
    scores = [score for score in scores_of_every_token(records) if score.prompt_set == prompt_set]
    hybrid, soup = (_scores_of(scores, choice) for choice in (report.chosen, report.soup_alpha))
    return None if hybrid is None or soup is None else estimate_difference(soup.diversity, hybrid.diversity)


def _scores_of(scores: Sequence[CrcScore], choice: Restoration | float | None) -> CrcScore | None:
    return next((score for score in scores if choice is not None and choice_of(score) == choice), None)


def _negative(estimate: Estimate) -> Estimate:
    # The ends change places, because the larger one becomes the smaller one.
    low, high = (None if end is None else -end for end in (estimate.high, estimate.low))
    return Estimate(-estimate.mean, low, high, estimate.n)


def _whole_or_part(records: Sequence[AnyRecord], report: CrcReport) -> str:
    """Compare the chosen hybrid with the best one of the other kind; empty unless both kinds were searched."""
    if report.chosen is None or WHOLE not in report.stacks or len(report.stacks) == 1:
        return ""
    is_whole = report.chosen.stack == WHOLE
    others = [stack for stack in report.stacks if (stack == WHOLE) != is_whole]
    candidates = restoration_candidates(records, others)
    rule = report.rule
    best = select(candidates, report.instruct_validity, rule.min_validity_ratio, rule.margin).chosen
    if best is None or report.best[0].diversity is None or best.diversity is None:
        return f"; no {'partial' if is_whole else 'whole'} hybrid is valid enough"
    return (
        f"; of the hybrids, {report.chosen} beats {best.choice} on the selection prompts, with a diversity of "
        f"{report.best[0].diversity:.3f} against {best.diversity:.3f}"
    )

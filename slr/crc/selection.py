"""Choose the interval (or the soup) from CRC means: highest diversity among those valid enough.

Source of the rule: Zhang, Wang and Soh 2026 (arXiv 2602.06665). The margin and the tie-break are ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from slr.intervals import LayerInterval
from slr.statistics.uncertainty import Estimate, estimate_ratio

MIN_VALIDITY_RATIO = 0.9
"""Least share of the instruct model's validity that an admissible choice keeps, in (0, 1]."""

Choice = LayerInterval | float
"""A restored interval, or the alpha of a soup."""

ChoiceT = TypeVar("ChoiceT", bound=Choice)
ChoiceT_co = TypeVar("ChoiceT_co", bound=Choice, covariant=True)


class Scores(Protocol):
    """CRC validity and diversity of one model, a number a prompt; None where a number is undefined."""

    @property
    def validity(self) -> tuple[float | None, ...]:
        """Validity of each prompt, in [0, 1]; None where logits are NaN or infinite."""
        ...

    @property
    def diversity(self) -> tuple[float | None, ...]:
        """Diversity of each prompt, in [0, 1]; None where it is undefined."""
        ...


@dataclass(frozen=True)
class Candidate(Generic[ChoiceT_co]):
    """One model that could be chosen, with its CRC means over the selection prompts.

    ``choice`` is a restored interval, or the alpha of a soup. ``diversity`` is None where no prompt has one.
    ``validity_ratio`` is its validity over the instruct model's, by paired prompts; None where that is not known, and
    then a rule with a margin does not admit it.
    """

    choice: ChoiceT_co
    validity: float
    diversity: float | None
    validity_ratio: Estimate | None = None

    @property
    def change(self) -> tuple[float, float]:
        """How far the candidate departs from the instruct model; of equals, the smaller one is chosen."""
        if isinstance(self.choice, LayerInterval):
            return len(self.choice), self.choice.start
        return self.choice, 0.0


@dataclass(frozen=True)
class SelectionRule:
    """Which candidates are valid enough to be chosen.

    Without ``margin``: validity >= ``min_validity_ratio`` x the instruct model's. With it, the lower end of the
    ratio's 95% interval must be at least ``min_validity_ratio``, which only a candidate clearly above it reaches.

    Raises:
        ValueError: if the ratio is not in (0, 1].
    """

    min_validity_ratio: float = MIN_VALIDITY_RATIO
    margin: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.min_validity_ratio <= 1:
            raise ValueError(f"min_validity_ratio is {self.min_validity_ratio}, expected a number in (0, 1]")

    def __str__(self) -> str:
        words = f"validity at least {self.min_validity_ratio:g} x the instruct model's"
        return f"{words}, on the selection prompts with a 95% margin" if self.margin else words

    def admits(self, candidate: Candidate[Choice], instruct_validity: float) -> bool:
        """Whether the candidate is valid enough."""
        if self.margin:
            low = _ratio_low(candidate)
            return low is not None and low >= self.min_validity_ratio
        return self.is_kept(candidate.validity, instruct_validity)

    def is_kept(self, validity: float, instruct_validity: float) -> bool:
        """Whether a mean validity is at least the rule's share of the instruct model's, with or without a margin."""
        return validity >= self.min_validity_ratio * instruct_validity


PAPER_RULE = SelectionRule()


@dataclass(frozen=True)
class Selection(Generic[ChoiceT_co]):
    """The outcome: ``chosen`` is None where no candidate is admissible, and ``reason`` says why in words.

    ``ranking`` holds every admissible candidate, the best first. ``min_validity`` is the least validity that the
    rule admits; with a margin it takes more than that.
    """

    chosen: Candidate[ChoiceT_co] | None
    ranking: tuple[Candidate[ChoiceT_co], ...]
    min_validity: float
    reason: str

    @property
    def interval(self: Selection[LayerInterval]) -> LayerInterval:
        """The chosen interval.

        Raises:
            ValueError: if no interval is admissible; the message has the ``reason``.
        """
        if self.chosen is None:
            raise ValueError(f"no interval was chosen: {self.reason}; give a smaller min_validity_ratio")
        return self.chosen.choice


def select(
    candidates: Sequence[Candidate[ChoiceT]],
    instruct_validity: float,
    min_validity_ratio: float = MIN_VALIDITY_RATIO,
    margin: bool = False,
    *,
    not_finite: Sequence[ChoiceT] = (),
) -> Selection[ChoiceT]:
    """Choose the candidate of highest diversity among those valid enough.

    Ties go to the shorter, then the earlier interval; among soups, to the smaller alpha. Choices that are
    ``not_finite``, whose logits are NaN or infinite, were left out of the candidates; the reason says so.

    Args:
        candidates: intervals, or soups, with means over the same prompts.
        instruct_validity: the instruct model's mean validity over these prompts.
        min_validity_ratio: the least share of it that a choice must keep, in (0, 1].
        margin: whether the lower end of the share's 95% interval must keep it, not only the share itself.
        not_finite: further choices, which have no mean; they can only be left out.

    Raises:
        ValueError: if there is no candidate at all, or the ratio is not in (0, 1].
    """
    if not candidates and not not_finite:
        raise ValueError("nothing to select from: expected at least one scored candidate")
    rule = SelectionRule(min_validity_ratio, margin)
    valid_enough = [(c.diversity, c) for c in candidates if rule.admits(c, instruct_validity)]
    scored = [(diversity, c) for diversity, c in valid_enough if diversity is not None]
    ranking = tuple(c for _, c in sorted(scored, key=lambda pair: (-pair[0], pair[1].change)))
    if ranking:
        reason = (
            f"highest diversity ({ranking[0].diversity:.3f}) of the {len(ranking)} among {len(candidates)} "
            f"candidates {_whose(rule, instruct_validity)}{_left_out(not_finite)}"
        )
    else:
        reason = (
            f"none: of {len(candidates)} candidates there is none {_whose(rule, instruct_validity)}"
            f"{_highest(candidates, rule)}{_left_out(not_finite)}"
        )
    min_validity = min_validity_ratio * instruct_validity
    return Selection(ranking[0] if ranking else None, ranking, min_validity, reason)


def candidates_of(
    scored: Iterable[tuple[ChoiceT, Scores]], instruct: Scores | None
) -> list[Candidate[ChoiceT]]:
    """Return the means of every choice that has a validity on each prompt; the others are ``not_finite_of`` them.

    Args:
        scored: choices with their scores, a number a prompt.
        instruct: scores of the instruct model on the same prompts; None: no ratio to it is known.
    """
    found = []
    for choice, scores in scored:
        validity = [value for value in scores.validity if value is not None]
        if len(validity) == len(scores.validity):
            defined = [value for value in scores.diversity if value is not None]
            diversity = float(np.mean(defined)) if defined else None
            ratio = estimate_ratio(scores.validity, instruct.validity) if instruct is not None else None
            found.append(Candidate(choice, float(np.mean(validity)), diversity, ratio))
    return found


def not_finite_of(scored: Iterable[tuple[ChoiceT, Scores]]) -> list[ChoiceT]:
    """Return the choices whose logits are NaN or infinite on a prompt, so that they have no mean."""
    return [choice for choice, scores in scored if None in scores.validity]


def _whose(rule: SelectionRule, instruct_validity: float) -> str:
    ratio = rule.min_validity_ratio
    if rule.margin:
        return (
            "whose validity is with a margin at least "
            f"{ratio:g} x the instruct model's {instruct_validity:.3f} (lower end of the ratio's 95% interval)"
        )
    threshold = ratio * instruct_validity
    return f"whose validity is at least {threshold:.3f} ({ratio:g} x the instruct model's {instruct_validity:.3f})"


def _highest(candidates: Sequence[Candidate[Choice]], rule: SelectionRule) -> str:
    """Of what the rule compares."""
    if not candidates:
        return ""
    if not rule.margin:
        return f"; the highest is {max(c.validity for c in candidates):.3f}"
    lows = [low for low in map(_ratio_low, candidates) if low is not None]
    highest = f"{max(lows):.3f}" if lows else "not known, because no ratio has an interval"
    return f"; the highest is {highest}"


def _ratio_low(candidate: Candidate[Choice]) -> float | None:
    return None if candidate.validity_ratio is None else candidate.validity_ratio.low


def _left_out(choices: Sequence[Choice]) -> str:
    if not choices:
        return ""
    return f"; left out: {len(choices)} whose logits are NaN or infinite, such as {choices[0]}"


def pareto_front(candidates: Sequence[Candidate[ChoiceT]]) -> list[Candidate[ChoiceT]]:
    """The candidates that no other one beats in validity and diversity at once, by rising validity.

    Candidates without a diversity are never on the front. Of exact duplicates all are kept.
    """
    front: list[Candidate[ChoiceT]] = []
    best_diversity = float("-inf")
    defined = [(c.validity, c.diversity, c) for c in candidates if c.diversity is not None]
    for validity, diversity, candidate in sorted(defined, key=lambda t: (-t[0], -t[1])):
        duplicate = bool(front) and (front[-1].validity, front[-1].diversity) == (validity, diversity)
        if diversity > best_diversity or duplicate:
            front.append(candidate)
            best_diversity = diversity
    return front[::-1]

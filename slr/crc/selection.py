"""Choose the interval (or the soup) of highest diversity among those valid enough, by their CRC means.

The rule is from Zhang, Wang and Soh 2026 (arXiv 2602.06665). The margin and the tie-break are ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from slr.intervals import LayerInterval, LayerSet, Restoration
from slr.statistics.uncertainty import Estimate, estimate_ratio
from slr.vocabulary import Component

MIN_VALIDITY_RATIO = 0.9
"""Smallest share of the instruct model's validity that an admissible choice keeps, in (0, 1]."""

Choice = LayerInterval | Restoration | LayerSet | float
"""Choice of one model: what is restored (an interval, a restoration, a set of layers), or the alpha of a soup."""

ChoiceT = TypeVar("ChoiceT", bound=Choice)
ChoiceT_co = TypeVar("ChoiceT_co", bound=Choice, covariant=True)


class Scores(Protocol):
    """CRC validity and diversity of one model, a number for each prompt."""

    @property
    def validity(self) -> tuple[float | None, ...]:
        """Validity on each prompt, in [0, 1]; None where logits are NaN or infinite."""
        ...

    @property
    def diversity(self) -> tuple[float | None, ...]:
        """Diversity on each prompt, in [0, 1]; None where it is undefined."""
        ...


@dataclass(frozen=True)
class Candidate(Generic[ChoiceT_co]):
    """One model that could be chosen, with its CRC means over the selection prompts.

    Attributes:
        choice: what is restored, or the alpha of a soup.
        validity: mean validity, in [0, 1].
        diversity: mean diversity, in [0, 1]; None if it is undefined on every prompt.
        validity_ratio: validity divided by the instruct model's, by paired prompts; None if it is not known. A rule
            with a margin does not admit a candidate without it.
    """

    choice: ChoiceT_co
    validity: float
    diversity: float | None
    validity_ratio: Estimate | None = None

    @property
    def change(self) -> tuple[float, ...]:
        """Size of the change to the instruct model; of equally diverse candidates, the smallest change is chosen."""
        choice = self.choice
        if isinstance(choice, LayerInterval):
            return len(choice), choice.start
        if isinstance(choice, Restoration):
            return len(choice.interval), choice.interval.start, choice.alpha, len(choice.components)
        if isinstance(choice, frozenset):
            return len(choice), *sorted(choice)
        return (choice,)


@dataclass(frozen=True)
class SelectionRule:
    """The rule that says which candidates are valid enough to be chosen.

    Attributes:
        min_validity_ratio: smallest share of the instruct model's validity that a candidate must keep, in (0, 1].
        margin: whether the lower end of the share's 95% interval must reach it, and not only the share itself. Only a
            candidate clearly above the ratio does.

    Raises:
        ValueError: if the ratio is not in (0, 1].
    """

    min_validity_ratio: float = MIN_VALIDITY_RATIO
    margin: bool = False

    def __post_init__(self) -> None:
        """Check the ratio.

        Raises:
            ValueError: if it is not in (0, 1].
        """
        if not 0 < self.min_validity_ratio <= 1:
            raise ValueError(f"min_validity_ratio is {self.min_validity_ratio}, expected a number in (0, 1]")

    def __str__(self) -> str:
        """Write the rule in words."""
        words = f"validity at least {self.min_validity_ratio:g} x the instruct model's"
        return f"{words}, on the selection prompts with a 95% margin" if self.margin else words

    def admits(self, candidate: Candidate[Choice], instruct_validity: float) -> bool:
        """Whether a candidate is valid enough."""
        if self.margin:
            low = _ratio_low(candidate)
            return low is not None and low >= self.min_validity_ratio
        return self.is_kept(candidate.validity, instruct_validity)

    def is_kept(self, validity: float, instruct_validity: float) -> bool:
        """Whether a mean validity is at least the rule's share of the instruct model's; the margin does not count."""
        return validity >= self.min_validity_ratio * instruct_validity


PAPER_RULE = SelectionRule()


@dataclass(frozen=True)
class Selection(Generic[ChoiceT_co]):
    """The outcome of a choice.

    Attributes:
        chosen: the chosen candidate; None if no candidate is admissible.
        ranking: every admissible candidate, the best first.
        min_validity: smallest validity that the rule admits without a margin; with a margin more is needed.
        reason: why this candidate was chosen, or why none was, in words.
    """

    chosen: Candidate[ChoiceT_co] | None
    ranking: tuple[Candidate[ChoiceT_co], ...]
    min_validity: float
    reason: str

    @property
    def interval(self: Selection[LayerInterval] | Selection[Restoration]) -> LayerInterval:
        """The chosen interval.

        Raises:
            ValueError: if no interval is admissible; the message has the ``reason``.
        """
        choice = self._choice
        return choice.interval if isinstance(choice, Restoration) else choice

    @property
    def alpha(self: Selection[Restoration]) -> float:
        """Share of the base model in what is restored, in (0, 1].

        Raises:
            ValueError: if no hybrid is admissible; the message has the ``reason``.
        """
        return self._choice.alpha

    @property
    def components(self: Selection[Restoration]) -> tuple[Component, ...]:
        """The parts of a layer that are restored.

        Raises:
            ValueError: if no hybrid is admissible; the message has the ``reason``.
        """
        return self._choice.components

    @property
    def _choice(self) -> ChoiceT_co:
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

    Of equally diverse intervals, the shorter one is chosen, then the earlier one, then the one with the smaller alpha.
    Of equally diverse soups, the one with the smaller alpha is chosen.

    Args:
        candidates: intervals, or soups, with means over the same prompts.
        instruct_validity: mean validity of the instruct model over these prompts, in [0, 1].
        min_validity_ratio: smallest share of it that a choice must keep, in (0, 1].
        margin: whether the lower end of the share's 95% interval must reach it, and not only the share itself.
        not_finite: choices that are no candidates, because their logits are NaN or infinite. The reason counts them.

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


def make_candidates(
    scored: Iterable[tuple[ChoiceT, Scores]], instruct: Scores | None
) -> list[Candidate[ChoiceT]]:
    """Make a candidate of every choice that has a validity on each prompt; ``not_finite_choices`` gives the others.

    Args:
        scored: choices with their scores, a number for each prompt.
        instruct: scores of the instruct model on the same prompts; None if the ratio to it is not known.
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


def select_scored(
    scored: Sequence[tuple[ChoiceT, Scores]], instruct: Scores, rule: SelectionRule
) -> Selection[ChoiceT]:
    """Choose from scores, see ``select``.

    Args:
        scored: choices with their scores, a number for each prompt.
        instruct: scores of the instruct model on the same prompts.
        rule: which choices are valid enough.

    Raises:
        ValueError: if nothing was scored.
    """
    return select(
        make_candidates(scored, instruct),
        mean_validity(instruct),
        rule.min_validity_ratio,
        rule.margin,
        not_finite=not_finite_choices(scored),
    )


def mean_validity(scores: Scores) -> float:
    """Mean validity over the prompts on which it is defined."""
    return float(np.mean([value for value in scores.validity if value is not None]))


def not_finite_choices(scored: Iterable[tuple[ChoiceT, Scores]]) -> list[ChoiceT]:
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
    """Write the highest value that the rule compares with its bound."""
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
    """Find the candidates that no other one beats in validity and diversity at once, by rising validity.

    Candidates without a diversity are never on the front. All exact duplicates are kept.
    """
    # By falling validity, a candidate is on the front if it is more diverse than all before it. Of equal validity the
    # most diverse comes first, so it hides the others.
    front: list[Candidate[ChoiceT]] = []
    best_diversity = float("-inf")
    defined = [(c.validity, c.diversity, c) for c in candidates if c.diversity is not None]
    for validity, diversity, candidate in sorted(defined, key=lambda t: (-t[0], -t[1])):
        duplicate = bool(front) and (front[-1].validity, front[-1].diversity) == (validity, diversity)
        if diversity > best_diversity or duplicate:
            front.append(candidate)
            best_diversity = diversity
    return front[::-1]


def best_layer_set(
    scored: Mapping[LayerSet, Scores], instruct: Scores, rule: SelectionRule = PAPER_RULE
) -> LayerSet:
    """Choose one step of a greedy choice of layers.

    Args:
        scored: the sets that the step tries, with their scores.
        instruct: scores of the instruct model on the same prompts.
        rule: which sets are valid enough.

    Returns:
        The most diverse set that the rule admits; if it admits none, the set of highest validity.

    Raises:
        ValueError: if logits are NaN or infinite for every set.
    """
    candidates = make_candidates(scored.items(), instruct)
    if not candidates:
        raise ValueError(f"logits are NaN or infinite for all {len(scored)} sets of layers")
    best = select(candidates, mean_validity(instruct), rule.min_validity_ratio, rule.margin).chosen
    return (best or max(candidates, key=lambda candidate: candidate.validity)).choice

"""Choose the interval (or the soup) from CRC means: highest diversity among those valid enough.

Source of the rule: Zhang, Wang and Soh 2026 (arXiv 2602.06665). The tie-break is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slr.intervals import LayerInterval

MIN_VALIDITY_RATIO = 0.9
"""A choice is admissible if its validity is at least this share of the instruct model's own."""


@dataclass(frozen=True)
class Candidate:
    """One model that could be chosen, with its CRC means over the selection prompts.

    ``choice`` is what is chosen among: a restored interval, or the alpha of a soup. ``diversity`` is
    None where no prompt has one.
    """

    choice: LayerInterval | float
    validity: float
    diversity: float | None

    @property
    def change(self) -> tuple[float, float]:
        """How far the candidate departs from the instruct model; of equals, the smaller one is chosen."""
        if isinstance(self.choice, LayerInterval):
            return len(self.choice), self.choice.start
        return self.choice, 0.0


@dataclass(frozen=True)
class Selection:
    """The outcome: ``chosen`` is None where no candidate is admissible, and ``reason`` says why in words.

    ``ranking`` holds every admissible candidate, the best first.
    """

    chosen: Candidate | None
    ranking: tuple[Candidate, ...]
    min_validity: float
    reason: str


def select(
    candidates: Sequence[Candidate],
    instruct_validity: float,
    min_validity_ratio: float = MIN_VALIDITY_RATIO,
    *,
    not_finite: Sequence[LayerInterval | float] = (),
) -> Selection:
    """Choose the candidate of highest diversity with validity >= ``min_validity_ratio * instruct_validity``.

    Ties go to the shorter, then the earlier interval; among soups, to the smaller alpha. Choices that are
    ``not_finite``, whose logits are NaN or infinite, were left out of the candidates; the reason says so.

    Raises:
        ValueError: if there is no candidate at all, or the ratio is not in (0, 1].
    """
    if not candidates and not not_finite:
        raise ValueError("nothing to select from: expected at least one scored candidate")
    if not 0 < min_validity_ratio <= 1:
        raise ValueError(f"min_validity_ratio is {min_validity_ratio}, expected a number in (0, 1]")
    min_validity = min_validity_ratio * instruct_validity
    valid_enough = [(c.diversity, c) for c in candidates if c.validity >= min_validity]
    scored = [(diversity, c) for diversity, c in valid_enough if diversity is not None]
    ranking = tuple(c for _, c in sorted(scored, key=lambda pair: (-pair[0], pair[1].change)))
    threshold = f"{min_validity:.3f} ({min_validity_ratio:g} x the instruct model's {instruct_validity:.3f})"
    if ranking:
        best = ranking[0]
        reason = (
            f"highest diversity ({best.diversity:.3f}) of the {len(ranking)} among {len(candidates)} "
            f"candidates whose validity is at least {threshold}{_left_out(not_finite)}"
        )
        return Selection(best, ranking, min_validity, reason)
    highest = f"; the highest is {max(c.validity for c in candidates):.3f}" if candidates else ""
    reason = (
        f"none: of {len(candidates)} candidates none has a validity of at least {threshold}{highest}"
        f"{_left_out(not_finite)}"
    )
    return Selection(None, (), min_validity, reason)


def _left_out(choices: Sequence[LayerInterval | float]) -> str:
    if not choices:
        return ""
    return f"; left out: {len(choices)} whose logits are NaN or infinite, such as {choices[0]}"


def pareto_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that no other one beats in validity and diversity at once, by rising validity.

    Candidates without a diversity are never on the front. Of exact duplicates all are kept.
    """
    front: list[Candidate] = []
    best_diversity = float("-inf")
    defined = [(c.validity, c.diversity, c) for c in candidates if c.diversity is not None]
    for validity, diversity, candidate in sorted(defined, key=lambda t: (-t[0], -t[1])):
        duplicate = bool(front) and (front[-1].validity, front[-1].diversity) == (validity, diversity)
        if diversity > best_diversity or duplicate:
            front.append(candidate)
            best_diversity = diversity
    return front[::-1]

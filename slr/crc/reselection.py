"""Choose by a rule from the scores of a search: at its end, or later from its records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slr.crc.choice import recorded_alpha, recorded_components, scores_of_every_token
from slr.crc.report import rule_of, scored_restorations, scored_soups, stacks_of
from slr.crc.selection import SelectionRule, mean_validity, select_scored
from slr.intervals import Stack
from slr.runs.records import AnyRecord, CrcSelection
from slr.runs.results import of_kind, of_pair


def last_choice(records: Sequence[AnyRecord], pair: str) -> CrcSelection | None:
    """The choice that a search made last for a pair; None if it made none."""
    choices = of_kind(of_pair(records, pair), CrcSelection)
    return choices[-1] if choices else None


def selection_fields(
    records: Sequence[AnyRecord], rule: SelectionRule, stacks: Sequence[Stack]
) -> dict[str, Any]:
    """Choose an interval and a soup by a rule.

    Args:
        records: the scores of one pair.
        rule: the rule.
        stacks: the ways to restore a layer that the choice is among; they differ in alpha alone.

    Returns:
        The fields of ``CrcSelection``, without its experiment, pair and provenance.

    Raises:
        ValueError: if the instruct model, no interval or no soup was scored.
    """
    instruct = next(
        (
            score
            for score in scores_of_every_token(records)
            if score.model == "instruct" and score.prompt_set == "selection"
        ),
        None,
    )
    if instruct is None:
        raise ValueError("the instruct model is not scored yet: run slr search to its end")
    hybrids = select_scored(scored_restorations(records, stacks), instruct, rule)
    soups = select_scored(scored_soups(records), instruct, rule)
    hybrid = None if hybrids.chosen is None else hybrids.chosen.choice
    return {
        "family": instruct.family,
        "num_layers": instruct.num_layers,
        "min_validity_ratio": rule.min_validity_ratio,
        "margin": rule.margin,
        "instruct_validity": mean_validity(instruct),
        "alphas": tuple(stack.alpha for stack in stacks),
        "components": recorded_components(stacks[0].components),
        "interval": None if hybrid is None else hybrid.interval.ends,
        "alpha": None if hybrid is None else recorded_alpha(hybrid.alpha),
        "interval_reason": hybrids.reason,
        "soup_alpha": soups.chosen.choice if soups.chosen is not None else None,
        "soup_reason": soups.reason,
    }


def with_choice_by(
    records: Sequence[AnyRecord], pair: str, rule: SelectionRule, stacks: Sequence[Stack]
) -> list[AnyRecord]:
    """Add the choice by a rule to the records of a search, unless they have it.

    Args:
        records: the records, maybe also of other pairs.
        pair: name of the pair.
        rule: the rule.
        stacks: the ways to restore a layer that the choice is among; they differ in alpha alone.

    Raises:
        ValueError: if the search has not scored enough to choose from.
    """
    own = of_pair(records, pair)
    choices = of_kind(own, CrcSelection)
    if any((rule_of(choice), stacks_of(choice)) == (rule, tuple(stacks)) for choice in choices):
        return own
    fields = selection_fields(own, rule, stacks)
    # A choice made here is only shown, and never written, so any record's provenance serves.
    source = own[0]
    return [
        *own,
        CrcSelection(experiment=source.experiment, pair=pair, provenance=source.provenance, **fields),
    ]

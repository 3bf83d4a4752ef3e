"""Which of the chosen models is better, against cases that a person can decide."""

from __future__ import annotations

import pytest

from slr.crc.recommendation import recommend
from slr.crc.report import crc_report
from slr.crc.reselection import with_choice_by
from slr.crc.selection import SelectionRule
from slr.intervals import LayerInterval, Restoration, Stack
from slr.runs.records import AnyRecord
from tests.crc.test_report import score

WHOLE, HALF = Stack(), Stack(0.5)


def searched(*held_out: AnyRecord) -> list[AnyRecord]:
    """A search that chooses layers 0:1 and the soup at 0.5, which on the selection prompts are equal."""
    scores = [score(model, "selection", 0.8, 0.2) for model in ("base", "instruct")]
    scores += [score(model, "held_out", 0.8, 0.2) for model in ("base", "instruct")]
    scores.append(score("hybrid", "selection", 0.75, 0.5, interval=(0, 1)))
    scores.append(score("soup", "selection", 0.75, 0.5, alpha=0.5))
    return [*scores, *held_out]


def better(records: list[AnyRecord], *stacks: Stack) -> tuple[Restoration | float, str] | None:
    rule = SelectionRule()
    records = with_choice_by(records, "tiny", rule, stacks or (WHOLE,))
    found = recommend(records, crc_report(records, "tiny", rule, stacks or (WHOLE,)))
    return None if found is None else (found.choice, found.reason)


def hybrid_and_soup(
    hybrid: tuple[float, float | None], soup: tuple[float, float | None]
) -> tuple[AnyRecord, AnyRecord]:
    """Held-out validity and diversity of the two."""
    return (
        score("hybrid", "held_out", *hybrid, interval=(0, 1)),
        score("soup", "held_out", *soup, alpha=0.5),
    )


@pytest.mark.parametrize(
    ("hybrid", "soup", "expected", "words"),
    [
        (
            (0.6, 0.9),
            (0.75, 0.3),
            0.5,
            "it keeps 0.941 of the instruct model's validity and the hybrid 0.765",
        ),
        (
            (0.75, 0.3),
            (0.6, 0.9),
            "0:1",
            "it keeps 0.941 of the instruct model's validity and the soup 0.765",
        ),
        ((0.75, 0.3), (0.75, 0.4), 0.5, "its diversity is higher by 0.100"),
        ((0.6, 0.4), (0.6, 0.3), "0:1", "its diversity is higher by 0.100"),
        ((0.75, 0.4), (0.75, None), "0:1", "the diversity of the two cannot be compared"),
    ],
)
def test_the_rule_counts_first_and_then_diversity(
    hybrid: tuple[float, float], soup: tuple[float, float | None], expected: str | float, words: str
) -> None:
    found = better(searched(*hybrid_and_soup(hybrid, soup)))
    assert found is not None
    assert str(found[0]) == str(expected)
    assert "on the held-out prompts" in found[1]
    assert words in found[1]
    assert found[1].endswith(".")


def test_without_held_out_scores_the_selection_prompts_decide() -> None:
    found = better(searched())
    assert found is not None
    assert found[0] == Restoration(LayerInterval(0, 1))
    assert "on the selection prompts the diversity of the two is equal" in found[1]


def test_what_is_not_valid_enough_is_no_rival() -> None:
    records = [record for record in searched() if getattr(record, "model", "") != "soup"]
    records.append(score("soup", "selection", 0.1, 0.9, alpha=0.5))
    found = better(records)
    assert found == (
        Restoration(LayerInterval(0, 1)),
        "The hybrid 0:1 is the better choice: no soup is valid enough.",
    )


def test_a_soup_without_any_of_the_base_model_is_none() -> None:
    records = [record for record in searched() if getattr(record, "model", "") not in ("soup", "hybrid")]
    records.append(score("soup", "selection", 0.8, 0.2, alpha=0.0))
    records.append(score("hybrid", "selection", 0.1, 0.9, interval=(0, 1)))
    assert better(records) is None


def test_a_partial_hybrid_is_compared_with_the_best_whole_one() -> None:
    half = score("hybrid", "selection", 0.75, 0.6, interval=(0, 2), alpha=0.5)
    found = better([*searched(), half], HALF, WHOLE)
    assert found is not None
    assert found[0] == Restoration(LayerInterval(0, 2), HALF)
    assert found[1].startswith("The partial hybrid 0:2 at alpha 0.5 is the better choice: ")
    assert "of the hybrids, 0:2 at alpha 0.5 beats 0:1 on the selection prompts" in found[1]


def test_a_choice_by_another_rule_needs_no_new_scores() -> None:
    """A rule that wants more chooses what is more valid and less diverse."""
    records = [*searched(), score("hybrid", "selection", 0.8, 0.4, interval=(1, 2))]
    strict = SelectionRule(0.97)
    report = crc_report(with_choice_by(records, "tiny", strict, (WHOLE,)), "tiny", strict)
    assert report.chosen == Restoration(LayerInterval(1, 2))
    assert report.summary("hybrid", "held_out") is None


def test_a_search_that_has_scored_no_instruct_model_has_no_choice() -> None:
    with pytest.raises(ValueError, match="not scored yet"):
        with_choice_by([score("base", "selection", 0.8, 0.2)], "tiny", SelectionRule(), (WHOLE,))

"""Claims on where the collapse is, by CRC on prompts that no choice has seen.

A model *beats* another one if it is more diverse and not clearly less valid. So each comparison is judged by the paired
difference in diversity, and a yes becomes "cannot tell" if the whole 95% interval of the difference in validity lies
below zero: then the model bought its diversity.
"""

from __future__ import annotations

from slr.analysis.claims.claim import Claim
from slr.analysis.load_results import Results
from slr.crc.localisation import as_layers
from slr.crc.selection import Scores
from slr.statistics.uncertainty import Estimate, estimate_difference
from slr.statistics.verdict import Verdict, judged_above

EQUIVALENCE_MARGIN = 0.05
"""Loss of CRC diversity up to which an interval counts as no worse than a set of layers in any places."""


def collapse_is_localised(results: Results, pair: str) -> Verdict | None:
    """Judge whether the chosen interval beats random sets of as many layers, on average."""
    return _beats(results, pair, "hybrid", "random")


def contiguity_is_no_loss(results: Results, pair: str) -> Verdict | None:
    """Judge whether the interval is at most ``EQUIVALENCE_MARGIN`` less diverse than the greedy set."""
    scores = results.localisations.get(pair)
    if scores is None or scores.hybrid is None:
        return None
    same = scores.greedy == as_layers(scores.hybrid.interval)
    difference = _difference(scores.held_out, "hybrid", "greedy", same)
    return None if difference is None else judged_above(-EQUIVALENCE_MARGIN, difference)


def partial_beats_whole(results: Results, pair: str) -> Verdict | None:
    """Judge whether the choice among all alphas beats the choice among layers restored whole."""
    return _beats(results, pair, "partial", "hybrid")


def hybrid_beats_soup(results: Results, pair: str) -> Verdict | None:
    """Judge whether the hybrid beats the soup of all weights."""
    return _beats(results, pair, "hybrid", "soup")


def hybrid_beats_decoder_soup(results: Results, pair: str) -> Verdict | None:
    """Judge whether the hybrid beats the best soup of the decoder layers."""
    return _beats(results, pair, "hybrid", "decoder_soup")


def _beats(results: Results, pair: str, model: str, reference: str) -> Verdict | None:
    scores = results.localisations.get(pair)
    if scores is None or not {model, reference} <= scores.held_out.keys():
        return None
    choices = scores.choices
    same = model in choices and choices[model] == choices.get(reference)
    difference = _difference(scores.held_out, model, reference, same)
    if difference is None:
        return None
    verdict = judged_above(0.0, difference)
    of_validity = estimate_difference(scores.held_out[model].validity, scores.held_out[reference].validity)
    is_bought = of_validity is not None and of_validity.high is not None and of_validity.high < 0
    return (
        Verdict(outcome="cannot tell", estimate=difference)
        if verdict.outcome == "yes" and is_bought
        else verdict
    )


def _difference(held_out: dict[str, Scores], model: str, reference: str, same: bool) -> Estimate | None:
    """The paired difference in diversity; exactly zero if both are the same model."""
    own, other = held_out[model].diversity, held_out[reference].diversity
    return Estimate(0.0, 0.0, 0.0, len(own)) if same else estimate_difference(own, other)


_NOT_BOUGHT = "and its validity is not clearly lower"
LOCALISATION_CLAIMS = (
    Claim(
        id="collapse_is_localised",
        sentence="The collapse sits in certain layers.",
        criterion="CRC diversity, hybrid less the mean of random sets of as many layers, is above 0, "
        + _NOT_BOUGHT,
        exhibit="contiguity",
        verdict=collapse_is_localised,
    ),
    Claim(
        id="contiguity_is_no_loss",
        sentence="Nothing is lost by restoring layers that lie next to each other.",
        criterion=f"CRC diversity, hybrid less the greedy set of as many layers, is above -{EQUIVALENCE_MARGIN}",
        exhibit="contiguity",
        verdict=contiguity_is_no_loss,
    ),
    Claim(
        id="partial_beats_whole",
        sentence="Layers are better restored in part than whole.",
        criterion="CRC diversity, hybrid at any alpha less hybrid of whole layers, is above 0, "
        + _NOT_BOUGHT,
        exhibit="partial_restoration",
        verdict=partial_beats_whole,
    ),
    Claim(
        id="hybrid_beats_soup",
        sentence="The hybrid is better than the soup.",
        criterion="CRC diversity, hybrid less soup, is above 0, " + _NOT_BOUGHT,
        exhibit="partial_restoration",
        verdict=hybrid_beats_soup,
    ),
    Claim(
        id="hybrid_beats_decoder_soup",
        sentence="The hybrid is better than the soup of the decoder layers.",
        criterion="CRC diversity, hybrid less the best soup of the decoder layers, is above 0, "
        + _NOT_BOUGHT,
        exhibit="partial_restoration",
        verdict=hybrid_beats_decoder_soup,
    ),
)
"""The claims, in the order of the table."""

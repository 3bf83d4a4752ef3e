"""Check that the records of a finished CRC study fit together before a report is made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slr.crc.choice import scores_of_every_token
from slr.crc.prompts import PROMPT_SETS, load_prompts
from slr.runs.records import AnyRecord, CrcScore, CrcSelection
from slr.runs.results import of_kind, of_pair
from slr.vocabulary import PromptSet


def study_fault(records: Sequence[AnyRecord], pair: str) -> str | None:
    """Find a reason why no report can be made of a pair that has a selection.

    Args:
        records: the records of one or several pairs.
        pair: name of the pair.

    Returns:
        The first fault in words; None if a report can be made.
    """
    return next(_faults(of_pair(records, pair)), None)


def _faults(records: Sequence[AnyRecord]) -> Iterator[str]:
    selections = of_kind(records, CrcSelection)
    scores = scores_of_every_token(records)
    if len({record.num_layers for record in (*selections, *scores)}) > 1:
        yield "its records are of models with different numbers of layers"
    for prompt_set in PROMPT_SETS:
        yield from _faults_of_set(prompt_set, [score for score in scores if score.prompt_set == prompt_set])
    found = {score.key: score for score in scores if score.prompt_set == "selection"}
    if not any(score.model == "hybrid" for score in found.values()):
        yield "no interval has a score on the selection prompts"
    for selection in selections:
        pair, interval, soup_alpha = selection.pair, selection.interval, selection.soup_alpha
        hybrid = interval, selection.alpha, selection.components
        if interval is not None and CrcScore.key_of(pair, "selection", "hybrid", *hybrid) not in found:
            start, end = interval
            yield f"the chosen interval {start}:{end} has no score on the selection prompts"
        soup = CrcScore.key_of(pair, "selection", "soup", alpha=soup_alpha)
        if soup_alpha is not None and soup not in found:
            yield f"the chosen soup, alpha {soup_alpha:g}, has no score on the selection prompts"


def _faults_of_set(prompt_set: PromptSet, scores: Sequence[CrcScore]) -> Iterator[str]:
    name = prompt_set.replace("_", "-")
    for model in ("base", "instruct"):
        if not any(score.model == model for score in scores):
            yield f"the {model} model has no score on the {name} prompts"
    if len({score.prompt_ids for score in scores}) > 1:
        yield f"its models were not scored on the same {name} prompts"
    known = {prompt.id for prompt in load_prompts(prompt_set)}
    if unknown := [id_ for score in scores for id_ in score.prompt_ids if id_ not in known]:
        yield f"{unknown[0]!r} is none of the {name} prompts"

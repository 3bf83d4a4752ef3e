"""Contrasts of a CRC study: the chosen hybrid against instruct and soup, on prompts that the choice did not see."""

from __future__ import annotations

from collections.abc import Sequence

from slr.runs.records import AnyRecord, CrcScore, CrcSelection
from slr.runs.results import of_kind, of_pair
from slr.statistics.contrasts import Comparison, Contrast, make_contrasts
from slr.vocabulary import ModelKind

REFERENCES: dict[ModelKind, tuple[ModelKind, ...]] = {
    "base": ("instruct",),
    "hybrid": ("instruct", "soup"),
    "soup": ("instruct",),
}
"""Models with which each model is compared."""


def crc_contrasts(records: Sequence[AnyRecord], pair: str, selection: CrcSelection) -> list[Contrast]:
    """Every model of one pair against its references, in validity and diversity, paired by held-out prompt.

    P-values are Holm-corrected over the contrasts of the pair and metric. If the search chose no hybrid or no soup, it
    is left out.

    Args:
        records: records of the study, maybe of several pairs.
        pair: name of the pair.
        selection: the search's choice.

    Returns:
        The contrasts, by metric and model.

    Raises:
        ValueError: if the instruct model, or a model that was chosen, has no held-out scores.
    """
    chosen: dict[ModelKind, tuple[tuple[int, int] | None, float | None] | None] = {
        "instruct": (None, None),
        "base": (None, None),
        "hybrid": None if selection.interval is None else (selection.interval, None),
        "soup": None if selection.soup_alpha is None else (None, selection.soup_alpha),
    }
    scores = {
        (score.model, score.interval, score.alpha): score
        for score in of_kind(of_pair(records, pair), CrcScore)
        if score.prompt_set == "held_out" and score.min_p is None
    }
    by_model: dict[ModelKind, CrcScore] = {}
    for model, choice in chosen.items():
        if choice is None:
            continue
        if (model, *choice) not in scores:
            raise ValueError(
                f"{pair}: {model!r} has no scores on the held-out prompts: run the search to its end"
            )
        by_model[model] = scores[model, *choice]
    comparisons = [
        _comparison(by_model[model], by_model[reference], metric)
        for metric in ("validity", "diversity")
        for model, references in REFERENCES.items()
        for reference in references
        if model in by_model and reference in by_model
    ]
    return make_contrasts(comparisons, lambda comparison: (comparison.pair, comparison.metric))


def _comparison(score: CrcScore, reference: CrcScore, metric: str) -> Comparison:
    if score.prompt_ids != reference.prompt_ids:
        raise ValueError(
            f"{score.pair}: {score.model!r} and {reference.model!r} were not scored on the same held-out prompts"
        )
    return Comparison(
        pair=score.pair,
        group="held-out",
        metric=metric,
        label=metric,
        method=score.model,
        model=score.model,
        reference=reference.model,
        reference_model=reference.model,
        values=score.validity if metric == "validity" else score.diversity,
        reference_values=reference.validity if metric == "validity" else reference.diversity,
    )

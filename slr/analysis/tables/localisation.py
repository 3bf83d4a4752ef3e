"""Where the collapse is: partial restoration, components, sets of layers, and whether gains add up."""

from __future__ import annotations

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Cell, Table
from slr.crc.localisation import PairScores
from slr.statistics.uncertainty import estimate_difference, estimate_mean, estimate_ratio

COLUMNS = (
    "pair",
    "model",
    "restored",
    "validity",
    "diversity",
    "validity / instruct's",
    "diversity less instruct's",
    "diversity less the hybrid's",
)
INSTRUCT = {"instruct": "instruct"}
"""Name of the reference's row, which every table begins with."""
PARTIAL = INSTRUCT | {
    "hybrid": "hybrid, whole layers",
    "partial": "hybrid, any alpha",
    "soup": "soup",
    "same_alpha": "that soup, decoder layers only",
    "decoder_soup": "best soup of decoder layers",
}
"""Name of each row of the table on partial restoration, by its name among the choices."""
COMPONENTS = {
    "hybrid": "whole layers",
    "attention+mlp": "attention and MLP",
    "mlp": "MLP",
    "attention": "attention",
    "norms": "norms",
}
SETS = {
    "single": "single layer",
    "hybrid": "interval",
    "greedy": "greedy set",
    "random": "random sets, mean",
}
READING = (
    "Chosen on the selection prompts by the rule of the search; means over the held-out prompts with 95% intervals. "
    "Ratios and differences are paired by prompt."
)


def partial_restoration(results: Results) -> Table:
    """Make rows for the hybrid, the hybrid at any alpha, and the soups of all weights and of the decoder layers."""
    return _table(
        results,
        PARTIAL,
        "Partial restoration: intervals at any of the tried alphas against whole layers and soups. A soup of the "
        "decoder layers leaves embeddings, final norm and LM head as they are.",
    )


def components(results: Results) -> Table:
    """Make rows for the best interval with each choice of components."""
    return _table(
        results,
        INSTRUCT | COMPONENTS,
        "Restoring components of layers: the best interval for each choice of components.",
    )


def contiguity(results: Results) -> Table:
    """Make rows for the interval, and for sets of as many layers that need not touch."""
    return _table(
        results,
        INSTRUCT | SETS,
        "The chosen interval against sets of as many layers in any places: chosen greedily, and drawn at random.",
    )


def additivity(results: Results) -> Table:
    """Make a row for each pair."""
    rows = []
    for pair, scores in results.localisations.items():
        found = scores.additivity
        if found is not None:
            rows.append((pair, len(found.gains), found.slope.n, found.slope, found.correlation))
    return Table(
        "Whether the gain of an interval is the sum of its layers' gains, over all intervals of two or more layers. "
        "A gain is the mean CRC diversity on the selection prompts minus the instruct model's. The slope is of gains "
        "against sums, through the origin; the correlation is Pearson's. 95% intervals by a bootstrap over prompts.",
        ("pair", "intervals", "prompts", "slope", "correlation"),
        tuple(rows),
    )


def _table(results: Results, names: dict[str, str], caption: str) -> Table:
    rows = [
        _row(pair, scores, id_, name)
        for pair, scores in results.localisations.items()
        for id_, name in names.items()
        if id_ in scores.held_out
    ]
    return Table(f"{caption} {READING}", COLUMNS, tuple(rows))


def _row(pair: str, scores: PairScores, id_: str, name: str) -> tuple[Cell, ...]:
    held_out = scores.held_out
    own, instruct, hybrid = held_out[id_], held_out["instruct"], held_out.get("hybrid")
    return (
        pair,
        name,
        restored(scores, id_),
        estimate_mean(own.validity),
        estimate_mean(own.diversity),
        "" if id_ == "instruct" else estimate_ratio(own.validity, instruct.validity),
        "" if id_ == "instruct" else estimate_difference(own.diversity, instruct.diversity),
        ""
        if id_ == "hybrid"
        else None
        if hybrid is None
        else estimate_difference(own.diversity, hybrid.diversity),
    )


def restored(scores: PairScores, id_: str) -> str:
    """What a model restores, in words.

    Args:
        scores: scores of the pair.
        id_: name of the model among the choices.
    """
    if id_ in scores.choices:
        return f"layers {scores.choices[id_]}"
    if id_ == "greedy" and scores.greedy is not None:
        return f"layers {', '.join(map(str, sorted(scores.greedy)))}"
    if id_ == "random" and scores.hybrid is not None:
        return f"{len(scores.hybrid.interval)} layers, {len(scores.random_sets('held_out'))} sets"
    if id_ == "soup" and scores.selection is not None:
        return f"all weights at alpha {scores.selection.soup_alpha:g}"
    return ""

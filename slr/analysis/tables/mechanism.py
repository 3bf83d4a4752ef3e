"""The change of the weights and the entropy along depth, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from slr.analysis.figures.mechanism import MODELS, mechanism_pairs
from slr.analysis.load_results import Results
from slr.analysis.tables.table import Cell, Table
from slr.figure_style import MODEL_NAMES
from slr.runs.records import AnyRecord, LogitLens, WeightChange
from slr.runs.results import of_kind
from slr.statistics.uncertainty import estimate_mean


def mechanism(results: Results) -> Table:
    """Make a row for each layer of each pair."""
    rows = [row for pair in mechanism_pairs(results) for row in _rows(pair, results.by_pair[pair])]
    return Table(
        "Mechanism at a glance. Change: the Frobenius norm of instruct's weights less base's, over the norm of "
        "base's. Entropy: of the next token by the logit lens after the layer, in nats; mean over held-out CRC "
        "prompts with a 95% interval. The last layer's entropy is the model's own.",
        (
            "pair",
            "layer",
            "restored",
            *(f"change of {part}" for part in ("attention", "MLP", "norms")),
            "prompts",
            *(f"entropy, {MODEL_NAMES[model]}" for model in MODELS),
        ),
        tuple(rows),
        count_column="prompts",
    )


def _rows(pair: str, records: Sequence[AnyRecord]) -> list[tuple[Cell, ...]]:
    (change,) = of_kind(records, WeightChange) or (None,)
    lenses = {lens.model: lens for lens in of_kind(records, LogitLens)}
    num_layers = change.num_layers if change else len(next(iter(lenses.values())).entropy)
    hybrid = lenses.get("hybrid")
    restored = range(*hybrid.interval) if hybrid and hybrid.interval else range(0)
    num_prompts = max((len(lens.prompt_ids) for lens in lenses.values()), default=None)
    return [
        (
            pair,
            layer,
            "yes" if layer in restored else "no",
            *((change.attention[layer], change.mlp[layer], change.norms[layer]) if change else (None,) * 3),
            num_prompts,
            *(estimate_mean(lenses[m].entropy[layer]) if m in lenses else None for m in MODELS),
        )
        for layer in range(num_layers)
    ]

"""The checkpoints that are compared."""

from __future__ import annotations

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Table


def models(results: Results) -> Table:
    """Make a row for each pair, with revisions where they are known."""
    return Table(
        "The pairs compared, as they were opened. Both models of a pair have the sizes given.",
        (
            "pair",
            "class",
            "base",
            "instruct",
            "layers",
            "hidden size",
            "parameters",
            "vocabulary",
            "dtype",
            "notes",
        ),
        tuple(
            (
                info.pair,
                info.architecture,
                _at(info.base, info.base_revision),
                _at(info.instruct, info.instruct_revision),
                info.num_layers,
                info.hidden_size,
                info.num_parameters,
                info.vocab_size,
                info.dtype,
                "; ".join(info.notes),
            )
            for info in results.pair_infos
        ),
    )


def _at(location: str, revision: str | None) -> str:
    return f"{location}@{revision[:12]}" if revision else location

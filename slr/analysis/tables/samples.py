"""Sample texts side by side: instruct model and hybrid on the same prompt."""

from __future__ import annotations

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Table
from slr.runs.records import Samples

NUM_TEXTS = 4
"""Number of each model's texts. They are the first ones drawn, and nobody chose them."""
MAX_CHARACTERS = 300
"""Number of characters from which a text is cut."""


def samples(results: Results) -> Table:
    """Make rows for each pair and genre: the first samples of the first prompt, by instruct model and hybrid."""
    # Of equal keys the last one stays in a dict. In reverse order that is the first record.
    by_key = {(r.pair, r.prompt_id, r.method): r for r in reversed(results.samples_of("creative_writing"))}
    first_prompts = {(r.pair, r.group): r for r in by_key.values() if r.method == "instruct"}
    rows = []
    for (pair, group), instruct in reversed(first_prompts.items()):
        hybrid = by_key.get((pair, instruct.prompt_id, "hybrid"))
        rows += [
            (pair, group, instruct.text, number + 1, _text(instruct, number), _text(hybrid, number))
            for number in range(min(NUM_TEXTS, len(instruct.texts)))
        ]
    return Table(
        "The first samples of the first prompt of each genre, as they were drawn.",
        ("pair", "genre", "prompt", "sample", "instruct", "SLR hybrid"),
        tuple(rows),
    )


def _text(record: Samples | None, number: int) -> str | None:
    if record is None:
        return None
    text = " / ".join(record.texts[number].strip().splitlines())
    return text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS] + "..."

"""Every CRC prompt with its valid set."""

from __future__ import annotations

from slr.analysis.load_results import Results
from slr.analysis.tables.table import Table
from slr.crc.prompts import load_prompts


def crc_prompts(_results: Results) -> Table:
    """Make a row for each prompt, the selection prompts first."""
    return Table(
        "The CRC prompts in full. Each valid set is given as its characters one after the other.",
        ("prompt", "category", "text", "valid set"),
        tuple(
            (prompt.id, prompt.category, prompt.text, prompt.valid)
            for prompt_set in ("selection", "held_out")
            for prompt in load_prompts(prompt_set)
        ),
    )

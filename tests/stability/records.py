"""Invented records of a study of stability, whose choices can be worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slr.crc.prompts import load_prompts
from slr.intervals import all_intervals
from slr.runs.records import AnyRecord, CrcScore, CrcSelection
from slr.vocabulary import ModelKind, PromptSet
from tests.analysis.synthetic import PROVENANCE

PAIR = "tiny"
NUM_LAYERS = 3
NUM_PROMPTS = 40
Ends = tuple[int, int]


def score(
    prompt_set: PromptSet,
    model: ModelKind,
    validity: Sequence[float | None],
    diversity: Sequence[float | None],
    interval: Ends | None = None,
    min_p: float | None = None,
) -> CrcScore:
    """The scores of one model on all prompts of a set."""
    return CrcScore(
        experiment="stability",
        pair=PAIR,
        provenance=PROVENANCE,
        family="llama",
        num_layers=NUM_LAYERS,
        model=model,
        interval=interval,
        min_p=min_p,
        prompt_set=prompt_set,
        prompt_ids=tuple(prompt.id for prompt in load_prompts(prompt_set)),
        validity=tuple(validity),
        diversity=tuple(diversity),
    )


def study(
    chosen: Ends | None, selection: Mapping[Ends, Sequence[float]], held_out: Mapping[Ends, Sequence[float]]
) -> list[AnyRecord]:
    """A study in which instruct has validity 0.8 and diversity 0.2 on every prompt.

    Args:
        chosen: the reported choice.
        selection: diversity of hybrids on each selection prompt; their validity is 0.8, and the other hybrids' is 0.1.
        held_out: diversity of hybrids on each held-out prompt; the other hybrids have instruct's.
    """
    high, low, instruct = [0.8] * NUM_PROMPTS, [0.1] * NUM_PROMPTS, [0.2] * NUM_PROMPTS
    records: list[AnyRecord] = []
    for prompt_set in ("selection", "held_out"):
        records.append(score(prompt_set, "base", low, high))
        records.append(score(prompt_set, "instruct", high, instruct))
    for interval in all_intervals(NUM_LAYERS):
        ends = interval.ends
        validity = high if ends in selection else low
        records.append(score("selection", "hybrid", validity, selection.get(ends, high), ends))
        records.append(score("held_out", "hybrid", validity, held_out.get(ends, instruct), ends))
    records.append(
        CrcSelection(
            experiment="crc_search",
            pair=PAIR,
            provenance=PROVENANCE,
            family="llama",
            num_layers=NUM_LAYERS,
            min_validity_ratio=0.9,
            instruct_validity=0.8,
            interval=chosen,
            interval_reason="invented",
            soup_alpha=None,
            soup_reason="invented",
        )
    )
    return records

"""Small hand-made records; the numbers are invented and appear in tests only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from slr.crc.prompts import load_prompts
from slr.intervals import all_intervals
from slr.runs.records import (
    AnyRecord,
    CrcScore,
    CrcSelection,
    LogitLens,
    PairInfo,
    Provenance,
    SearchCost,
    WeightChange,
)
from slr.runs.results_store import ResultsStore
from slr.vocabulary import PromptSet

NUM_LAYERS = 3
CHOSEN = (1, 2)
PROVENANCE = Provenance(
    cell="cell",
    config_hash="0",
    commit="unknown",
    dirty=False,
    created_at="2026-01-01T00:00:00+00:00",
    device="CPU, 2 threads",
    versions={},
)


def crc_records(pair: str) -> list[AnyRecord]:
    """A complete study of a pair of three layers: every interval, three soups, four prompts."""
    header: dict[str, Any] = {"experiment": "crc_search", "pair": pair, "provenance": PROVENANCE}
    records: list[AnyRecord] = [
        PairInfo(
            **header,
            family="llama",
            architecture="LlamaForCausalLM",
            base="some/base_model",
            base_revision="0123456789abcdef",
            instruct="some/instruct",
            instruct_revision=None,
            num_layers=NUM_LAYERS,
            hidden_size=8,
            vocab_size=100,
            num_parameters=1_234_567,
            dtype="float32",
            notes=("base weights were converted",),
        )
    ]

    def score(
        prompt_set: PromptSet, model: str, validity: float, diversity: float | None, **choice: Any
    ) -> None:
        prompts = load_prompts(prompt_set)[18:22]
        records.append(
            CrcScore(
                **header,
                family="llama",
                num_layers=NUM_LAYERS,
                model=model,  # pyright: ignore[reportArgumentType]
                prompt_set=prompt_set,
                prompt_ids=tuple(prompt.id for prompt in prompts),
                validity=tuple(validity + step for step in (-0.02, -0.01, 0.01, 0.02)),
                diversity=(diversity,) * 4,
                **choice,
            )
        )

    for prompt_set in ("selection", "held_out"):
        score(prompt_set, "base", 0.1, 0.9)
        score(prompt_set, "instruct", 0.8, 0.3)
        score(prompt_set, "hybrid", 0.75, 0.6, interval=CHOSEN)
    for interval in all_intervals(NUM_LAYERS):
        if interval.ends != CHOSEN:
            score("selection", "hybrid", 0.5, 0.7, interval=interval.ends)
    for alpha in (0.0, 0.5, 1.0):
        score("selection", "soup", 0.8 - 0.7 * alpha, 0.3 + 0.5 * alpha, alpha=alpha)
    score("held_out", "soup", 0.8, 0.3, alpha=0.0)
    records.append(
        CrcSelection(
            **header,
            family="llama",
            num_layers=NUM_LAYERS,
            min_validity_ratio=0.9,
            instruct_validity=0.8,
            interval=CHOSEN,
            interval_reason="the best & only one, 100%",
            soup_alpha=0.0,
            soup_reason="nothing better",
        )
    )
    records += [_cost(header, method, seconds) for method, seconds in (("shared", 2.0), ("loop", 12.0))]
    return records


def stability_records(pair: str) -> list[AnyRecord]:
    """The study of stability of the same pair: selection scores stand for held-out ones, all scores for min-p ones."""
    scores = [record for record in crc_records(pair) if isinstance(record, CrcScore)]
    held_out_ids = next(score.prompt_ids for score in scores if score.prompt_set == "held_out")
    others = [s for s in scores if s.interval not in (None, CHOSEN)]
    held_out = [s.model_copy(update={"prompt_set": "held_out", "prompt_ids": held_out_ids}) for s in others]
    with_min_p = [score.model_copy(update={"min_p": 0.1}) for score in scores]
    return [s.model_copy(update={"experiment": "stability"}) for s in (*held_out, *with_min_p)]


def mechanism_records(pair: str) -> list[AnyRecord]:
    """Weight changes and entropies along depth of every model of the same pair."""
    header: dict[str, Any] = {
        "experiment": "mechanism",
        "pair": pair,
        "provenance": PROVENANCE,
        "family": "llama",
    }
    change = (0.1,) * NUM_LAYERS
    choices: dict[str, dict[str, Any]] = {
        "instruct": {"interval": None, "alpha": None},
        "base": {"interval": None, "alpha": None},
        "hybrid": {"interval": CHOSEN, "alpha": None},
        "soup": {"interval": None, "alpha": 0.5},
    }
    records: list[AnyRecord] = [
        WeightChange(**header, num_layers=NUM_LAYERS, attention=change, mlp=change, norms=change)
    ]
    records.extend(
        LogitLens(**header, model=model, prompt_ids=("one",), entropy=((1.0,),) * NUM_LAYERS, **choice)  # pyright: ignore[reportArgumentType]
        for model, choice in choices.items()
    )
    return records


def nothing_chosen(records: Iterable[AnyRecord]) -> list[AnyRecord]:
    """The same records of a study in which no interval and no soup was admissible."""
    nothing = {"interval": None, "soup_alpha": None, "interval_reason": "none: too low"}
    return [
        record.model_copy(update=nothing) if isinstance(record, CrcSelection) else record
        for record in records
    ]


def _cost(header: dict[str, Any], method: str, seconds: float) -> SearchCost:
    return SearchCost(
        **header,
        method=method,  # pyright: ignore[reportArgumentType]
        num_layers=NUM_LAYERS,
        hidden_size=8,
        num_intervals=6,
        num_prompts=4,
        prompt_tokens=100,
        dtype="float32",
        threads=2,
        seconds=seconds,
        layer_evaluations=10,
        tokens_computed=1000,
        peak_memory_bytes=5_000_000,
    )


def write_results(directory: Path, pairs: tuple[str, ...] = ("pair-one", "pair-two")) -> Path:
    """A results directory as an experiment leaves it."""
    for pair in pairs:
        ResultsStore(directory / "crc_search.jsonl").append(crc_records(pair))
    return directory

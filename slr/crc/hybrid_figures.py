"""CRC figures of a hybrid that is built, out of the records of the search over the same two checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slr.crc.prompts import PROMPT_SETS
from slr.intervals import LayerInterval
from slr.model_pairs import ModelReference
from slr.provenance import weights_digest
from slr.records import AnyRecord, Configuration, CrcScore, ModelKind, PairInfo, PromptSet
from slr.results_store import ResultsStore
from slr.uncertainty import Estimate, estimate_difference, estimate_mean, estimate_ratio

logger = logging.getLogger(__name__)

RECORDS_FILE = "crc_search.jsonl"


@dataclass(frozen=True)
class Weights:
    """One side of a pair: the model or adapter that was asked for, and the local directory of its weights."""

    reference: ModelReference
    directory: Path


@dataclass(frozen=True, kw_only=True)
class HybridFigure:
    """CRC of one model on one prompt set: means over prompts, and how they compare to the instruct model's.

    ``validity_ratio`` is the validity over the instruct model's. Both comparisons are by paired prompts, and None for
    the instruct model itself.
    """

    model: ModelKind
    prompt_set: PromptSet
    num_prompts: int
    validity: Estimate | None
    diversity: Estimate | None
    validity_ratio: Estimate | None
    diversity_difference: Estimate | None


def hybrid_figures(
    search_dir: Path, base: Weights, instruct: Weights, interval: LayerInterval, alpha: float
) -> tuple[HybridFigure, ...] | None:
    """Figures of instruct model, hybrid and base model, as far as the search measured them.

    Args:
        search_dir: the output directory of ``slr search``.
        base: the base model of the hybrid.
        instruct: its instruct model or adapter.
        interval: its restored layers.
        alpha: the base model's share within them; a search is over whole restoration.

    Returns:
        None, with a warning, if the search was over other weights, or did not measure this hybrid.

    Raises:
        ValueError: if there are no records in the directory, or they cannot be read.
    """
    store = ResultsStore(search_dir / RECORDS_FILE)
    if not store.path.is_file():
        raise ValueError(f"{store.path} does not exist: expected the output directory of slr search")
    records = store.read()
    pair = _pair_of(records, base, instruct)
    scores = [record for record in records if isinstance(record, CrcScore) and record.pair == pair]
    if alpha != 1 or not any(_is_hybrid(score, interval) for score in scores):
        of_what = "hold no score of this hybrid" if pair else "are of other weights"
        logger.warning("%s: the records %s, and the model card says so", store.path, of_what)
        return None
    return tuple(figure for prompt_set in PROMPT_SETS for figure in _figures(scores, prompt_set, interval))


def _pair_of(records: Sequence[AnyRecord], base: Weights, instruct: Weights) -> str | None:
    """Name of the pair in the records that has these weights."""
    found = {record.pair: record for record in records if isinstance(record, PairInfo)}
    for record in records:
        if isinstance(record, Configuration) and record.pair in found:
            info = found[record.pair]
            if _is_same(
                base, record.base_weights, ModelReference(info.base, info.base_revision)
            ) and _is_same(
                instruct, record.instruct_weights, ModelReference(info.instruct, info.instruct_revision)
            ):
                return record.pair
    return None


def _is_same(weights: Weights, digest: str | None, reference: ModelReference) -> bool:
    """By their digest; models on the hub, of which none was taken, by repository and commit."""
    if digest is not None:
        return weights_digest(weights.directory) == digest
    return weights.reference == reference


def _is_hybrid(score: CrcScore, interval: LayerInterval) -> bool:
    return score.model == "hybrid" and score.interval == (interval.start, interval.end)


def _figures(
    scores: Sequence[CrcScore], prompt_set: PromptSet, interval: LayerInterval
) -> list[HybridFigure]:
    of_set = [score for score in scores if score.prompt_set == prompt_set]
    instruct = next(score for score in of_set if score.model == "instruct")
    hybrid = [score for score in of_set if _is_hybrid(score, interval)]
    base = [score for score in of_set if score.model == "base"]
    return [
        HybridFigure(
            model=score.model,
            prompt_set=prompt_set,
            num_prompts=len(score.prompt_ids),
            validity=estimate_mean(score.validity),
            diversity=estimate_mean(score.diversity),
            validity_ratio=None if score is instruct else estimate_ratio(score.validity, instruct.validity),
            diversity_difference=None
            if score is instruct
            else estimate_difference(score.diversity, instruct.diversity),
        )
        for score in (instruct, *hybrid, *base)
    ]

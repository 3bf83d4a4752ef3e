"""Find the choice of a search, and CRC scores of a hybrid or soup, in the records of a search over two checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from slr.crc.prompts import PROMPT_SETS
from slr.crc.recommendation import name, recommend
from slr.crc.report import ModelSummary, choice_of, crc_report, rule_of, stacks_of, summarise
from slr.intervals import Restoration
from slr.models.digests import checkpoint_digests
from slr.models.opened_pair import ModelSource
from slr.models.reference import ModelReference
from slr.runs.records import AnyRecord, Configuration, CrcScore, CrcSelection, PairInfo
from slr.runs.results import of_kind, of_pair
from slr.runs.results_store import ResultsStore, changes_of_checkpoints
from slr.vocabulary import PromptSet

logger = logging.getLogger(__name__)

RECORDS_FILE = "crc_search.jsonl"


def hybrid_scores(
    search_dir: Path | None, base: ModelSource, instruct: ModelSource, choice: Restoration | float
) -> tuple[ModelSummary, ...] | None:
    """Find the scores of instruct model, hybrid or soup, and base model, as far as a search measured them.

    Args:
        search_dir: output directory of ``slr search``; None if there was no search.
        base: the base model.
        instruct: the instruct model or adapter.
        choice: what the hybrid restores, or the alpha of the soup.

    Returns:
        The scores; None without a search. Also None, with a warning, if the search was over other weights or did not
        measure this model.

    Raises:
        ValueError: if there are no records in the directory, or they cannot be read.
    """
    if search_dir is None:
        return None
    store, records = _read(search_dir)
    pair, why_not = _pair_of(records, base, instruct)
    scores = [score for score in of_kind(records, CrcScore) if score.pair == pair]
    if not any(choice_of(score) == choice for score in scores):
        reason = why_not if pair is None else "the records hold no score of this model"
        logger.warning("%s: %s; the model card says that there are no numbers", store.path, reason)
        return None
    return tuple(row for prompt_set in PROMPT_SETS for row in _rows(scores, prompt_set, choice))


def records_of_search(
    search_dir: Path, base: ModelSource, instruct: ModelSource
) -> tuple[list[AnyRecord], str]:
    """Read the records of a search over two models, and find the name of the pair in them.

    Args:
        search_dir: output directory of ``slr search``.
        base: the base model.
        instruct: the instruct model or adapter.

    Returns:
        The records, maybe also of other pairs, and the name.

    Raises:
        ValueError: if there are no records in the directory, they cannot be read, or they are of other models.
    """
    store, records = _read(search_dir)
    pair, why_not = _pair_of(records, base, instruct)
    if pair is None:
        raise ValueError(
            f"{store.path}: {why_not}: give the directory of a search over this pair, or search it"
        )
    return records, pair


def choice_of_search(search_dir: Path, base: ModelSource, instruct: ModelSource) -> Restoration | float:
    """Find the better one of the models that a search over two models chose.

    Args:
        search_dir: output directory of ``slr search``.
        base: the base model.
        instruct: the instruct model or adapter.

    Returns:
        What the hybrid restores, or the alpha of the soup.

    Raises:
        ValueError: if there are no records in the directory, they are of other models, the search is not finished, it
            chose nothing, or choices by several rules differ.
    """
    records, pair = records_of_search(search_dir, base, instruct)
    found: dict[Restoration | float, str] = {}
    for selection in of_kind(of_pair(records, pair), CrcSelection):
        rule = rule_of(selection)
        better = recommend(records, crc_report(records, pair, rule, stacks_of(selection)))
        if better is not None:
            found.setdefault(better.choice, f"{name(better.choice)} ({rule})")
    if len(found) == 1:
        return next(iter(found))
    if found:
        raise ValueError(
            f"{search_dir} holds different choices by several rules: {'; '.join(found.values())}: give --layers or "
            "--soup"
        )
    raise ValueError(
        f"the search in {search_dir} has made no choice: run it to its end, or give --layers or --soup"
    )


def _read(search_dir: Path) -> tuple[ResultsStore, list[AnyRecord]]:
    store = ResultsStore(search_dir / RECORDS_FILE)
    if not store.path.is_file():
        raise ValueError(f"{store.path} does not exist: expected the output directory of slr search")
    return store, store.read()


def _pair_of(
    records: Sequence[AnyRecord], base: ModelSource, instruct: ModelSource
) -> tuple[str | None, str]:
    """Find the name of the pair in the records that has these models as they are now; or None, and the reason."""
    infos = {record.pair: record for record in of_kind(records, PairInfo)}
    files = {side.directory: checkpoint_digests(side.directory) for side in (base, instruct)}
    why_not = "the records are of no complete search"
    for record in of_kind(records, Configuration):
        if record.pair not in infos:
            continue
        info = infos[record.pair]
        # A hub model is known by its commit, so its record has no digests to compare.
        now = record.model_copy(
            update={
                "base_files": None
                if _is_of_hub(base, info.base, info.base_revision)
                else files[base.directory],
                "instruct_files": None
                if _is_of_hub(instruct, info.instruct, info.instruct_revision)
                else files[instruct.directory],
            }
        )
        changes = changes_of_checkpoints(record, now)
        if not changes:
            return record.pair, ""
        why_not = "the records are of other models: " + "; ".join(changes)
    return None, why_not


def _is_of_hub(source: ModelSource, location: str, revision: str | None) -> bool:
    """Whether a model is the hub model that the records name, by repository and commit."""
    return revision is not None and source.reference == ModelReference(location, revision)


def _rows(
    scores: Sequence[CrcScore], prompt_set: PromptSet, choice: Restoration | float
) -> list[ModelSummary]:
    of_set = [score for score in scores if score.prompt_set == prompt_set]
    instruct = next(score for score in of_set if score.model == "instruct")
    chosen = [score for score in of_set if choice_of(score) == choice]
    base = [score for score in of_set if score.model == "base"]
    return [summarise(score, instruct) for score in (instruct, *chosen, *base)]

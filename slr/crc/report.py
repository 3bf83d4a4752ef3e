"""What a CRC study found, put together from its records: numbers with 95% intervals, nothing rounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from slr.crc.prompts import PROMPT_SETS, load_prompts
from slr.crc.selection import Candidate, pareto_front, select
from slr.intervals import LayerInterval
from slr.records import AnyRecord, CrcScore, CrcSelection, Family, ModelKind, PromptSet
from slr.uncertainty import Estimate, estimate_difference, estimate_mean

Category = Literal["letters", "digits"]
CATEGORIES: tuple[Category, ...] = ("letters", "digits")

NUM_BEST = 5
"""So many of the best admissible intervals are reported."""


@dataclass(frozen=True, kw_only=True)
class ModelLine:
    """One model on one prompt set: means over prompts, and paired differences to the instruct model.

    ``category`` is set where only the set's prompts of that category are meant.
    """

    model: ModelKind
    prompt_set: PromptSet
    category: Category | None
    interval: LayerInterval | None
    alpha: float | None
    validity: Estimate | None
    diversity: Estimate | None
    validity_difference: Estimate | None
    diversity_difference: Estimate | None


@dataclass(frozen=True, kw_only=True)
class CrcReport:
    """The outcome for one pair.

    ``models`` has base, instruct, the chosen hybrid and the chosen soup on both prompt sets, as far as
    there are records; ``by_category`` has the same for letters and digits apart. ``best`` are the best
    admissible intervals, the chosen one first; ``front`` is the Pareto front of all intervals.
    """

    pair: str
    family: Family
    num_layers: int
    interval: LayerInterval | None
    interval_reason: str
    soup_alpha: float | None
    soup_reason: str
    min_validity: float
    models: tuple[ModelLine, ...]
    by_category: tuple[ModelLine, ...]
    best: tuple[Candidate, ...]
    front: tuple[Candidate, ...]

    def line(
        self, model: ModelKind, prompt_set: PromptSet, category: Category | None = None
    ) -> ModelLine | None:
        """The line of that model and prompt set, if there is one."""
        for line in (*self.models, *self.by_category):
            if (line.model, line.prompt_set, line.category) == (model, prompt_set, category):
                return line
        return None


def candidates(records: Sequence[AnyRecord], model: ModelKind) -> list[Candidate]:
    """All scored intervals (``hybrid``) or soups of one pair, with means over the selection prompts.

    Those that overflow on a prompt have no mean, and are left out; see ``not_finite``.
    """
    found = []
    for choice, score in _choices(records, model):
        validity = [value for value in score.validity if value is not None]
        if len(validity) == len(score.validity):
            defined = [value for value in score.diversity if value is not None]
            diversity = float(np.mean(defined)) if defined else None
            found.append(Candidate(choice, float(np.mean(validity)), diversity))
    return found


def not_finite(records: Sequence[AnyRecord], model: ModelKind) -> list[LayerInterval | float]:
    """The intervals or soups of one pair whose logits are NaN or infinite on a selection prompt."""
    return [choice for choice, score in _choices(records, model) if None in score.validity]


def _choices(
    records: Sequence[AnyRecord], model: ModelKind
) -> Iterator[tuple[LayerInterval | float, CrcScore]]:
    for score in _scores(records, "selection"):
        if score.model == model:
            choice = score.alpha if model == "soup" else _interval(score)
            assert choice is not None
            yield choice, score


def crc_report(records: Sequence[AnyRecord], pair: str) -> CrcReport:
    """Put the records of one pair together.

    Raises:
        ValueError: if the pair's study is not complete.
    """
    records = [record for record in records if record.pair == pair]
    selections = [record for record in records if isinstance(record, CrcSelection)]
    if not selections:
        raise ValueError(
            f"the records of {pair} hold no selection yet: run experiments/crc_search.py to its end"
        )
    selection = selections[0]
    intervals = candidates(records, "hybrid")
    ranking = select(
        intervals,
        selection.instruct_validity,
        selection.min_validity_ratio,
        not_finite=not_finite(records, "hybrid"),
    ).ranking
    return CrcReport(
        pair=pair,
        family=selection.family,
        num_layers=selection.num_layers,
        interval=LayerInterval(*selection.interval) if selection.interval else None,
        interval_reason=selection.interval_reason,
        soup_alpha=selection.soup_alpha,
        soup_reason=selection.soup_reason,
        min_validity=selection.min_validity_ratio * selection.instruct_validity,
        models=tuple(_model_lines(records, selection, None)),
        by_category=tuple(
            line for category in CATEGORIES for line in _model_lines(records, selection, category)
        ),
        best=ranking[:NUM_BEST],
        front=tuple(pareto_front(intervals)),
    )


def _model_lines(
    records: Sequence[AnyRecord], selection: CrcSelection, category: Category | None
) -> list[ModelLine]:
    wanted: tuple[tuple[ModelKind, tuple[int, int] | None, float | None], ...] = (
        ("base", None, None),
        ("instruct", None, None),
        ("hybrid", selection.interval, None),
        ("soup", None, selection.soup_alpha),
    )
    lines = []
    for prompt_set in PROMPT_SETS:
        scores = {(s.model, s.interval, s.alpha): s for s in _scores(records, prompt_set)}
        instruct = scores["instruct", None, None]
        lines += [_line(scores[key], instruct, category) for key in wanted if key in scores]
    return lines


def _line(score: CrcScore, instruct: CrcScore, category: Category | None) -> ModelLine:
    wanted = [
        index
        for index, prompt_id in enumerate(score.prompt_ids)
        if category is None or _category_of()[prompt_id] == category
    ]
    validity, diversity = ([values[i] for i in wanted] for values in (score.validity, score.diversity))
    reference_validity = [instruct.validity[i] for i in wanted]
    reference_diversity = [instruct.diversity[i] for i in wanted]
    return ModelLine(
        model=score.model,
        prompt_set=score.prompt_set,
        category=category,
        interval=_interval(score),
        alpha=score.alpha,
        validity=estimate_mean(validity),
        diversity=estimate_mean(diversity),
        validity_difference=estimate_difference(validity, reference_validity),
        diversity_difference=estimate_difference(diversity, reference_diversity),
    )


@cache
def _category_of() -> dict[str, Category]:
    return {prompt.id: prompt.category for split in PROMPT_SETS for prompt in load_prompts(split)}


def _scores(records: Sequence[AnyRecord], prompt_set: PromptSet) -> list[CrcScore]:
    return [r for r in records if isinstance(r, CrcScore) and r.prompt_set == prompt_set]


def _interval(score: CrcScore) -> LayerInterval | None:
    return LayerInterval(*score.interval) if score.interval else None

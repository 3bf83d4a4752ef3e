"""What the search scored and chose, as reports and the experiments that build on it take it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from slr.models.reference import PairSpec
from slr.runs.records import AnyRecord, CrcScore, CrcSelection
from slr.runs.results import RecordsByKey, of_kind
from slr.vocabulary import COMPONENTS, Component


def selection_of(results: RecordsByKey, pair: str) -> CrcSelection | None:
    """The search's choice for a pair; None if the pair has not been searched.

    An experiment's results have only the choice by the experiment's own rule; see ``Experiment.is_wanted``.
    """
    return next(iter(results.of_pair(pair).of_kind(CrcSelection)), None)


def recorded_alpha(alpha: float) -> float | None:
    """A hybrid's alpha as records hold it: None for 1."""
    return None if alpha == 1 else alpha


def recorded_components(components: tuple[Component, ...]) -> tuple[Component, ...] | None:
    """A hybrid's components as records hold them: None for all."""
    return None if components == COMPONENTS else components


def chosen_by_search(results: RecordsByKey, spec: PairSpec) -> dict[str, Any]:
    """The part of a pair's search results on which every comparison depends, as ``inputs`` of an experiment.

    Raises:
        ValueError: if the pair has not been searched.
    """
    selection = selection_of(results, spec.name)
    if selection is None:
        raise ValueError(
            f"{spec.name} has no chosen layers yet: run slr run crc_search with the same --preset and "
            "--output-dir first"
        )
    return {"chosen interval": selection.interval, "chosen soup": selection.soup_alpha}


def scores_of_every_token(records: Iterable[AnyRecord]) -> list[CrcScore]:
    """The CRC scores without min-p.

    The experiment ``stability`` scores the same models with min-p. What those scores would choose is another matter.
    """
    return [score for score in of_kind(records, CrcScore) if score.min_p is None]

"""The models of a trial: the instruct model, hybrids and soups, each with a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from slr.building.search_scores import records_of_search
from slr.crc.report import crc_report
from slr.hybrid import interpolate, restore
from slr.intervals import Restoration
from slr.models.loading import ModelPair
from slr.models.opened_pair import open_pair
from slr.models.reference import PairSpec


@dataclass(frozen=True)
class Variant:
    """A model that a trial asks.

    Attributes:
        name: what the model is called, such as "layers 9:16".
        make: makes the model from the pair, which is not altered.
    """

    name: str
    make: Callable[[ModelPair], PreTrainedModel]


def variants(hybrids: Sequence[Restoration], soups: Sequence[float]) -> list[Variant]:
    """The instruct model, the hybrids, and a soup for each share of the base model in all weights."""
    return [
        Variant("instruct", lambda pair: pair.instruct_model),
        *map(_hybrid, hybrids),
        *map(_soup, soups),
    ]


def best_of_search(search_dir: Path, spec: PairSpec) -> list[Restoration]:
    """The best candidates of a search over a pair, the chosen one first.

    Raises:
        ValueError: if the directory holds no finished search over the pair as it is now, or nothing was admissible.
    """
    records, name = records_of_search(search_dir, *open_pair(spec).sources)
    report = crc_report(records, name)
    if not report.best:
        raise ValueError(
            f"the search in {search_dir} found no admissible layers ({report.interval_reason}): give --layers"
        )
    return [candidate.choice for candidate in report.best]


def _hybrid(hybrid: Restoration) -> Variant:
    return Variant(
        f"layers {hybrid}", lambda pair: restore(pair, hybrid.interval, hybrid.alpha, hybrid.components)
    )


def _soup(alpha: float) -> Variant:
    return Variant(f"soup at alpha {alpha:g}", lambda pair: interpolate(pair, alpha))

"""A pair that nobody opens, and the score of one of its soups as a cell's only record."""

from __future__ import annotations

from slr.models.reference import ModelReference, PairSpec
from slr.runs.experiment import CellContext
from slr.runs.records import CrcScore


def spec_named(name: str) -> PairSpec:
    return PairSpec(
        name=name,
        family="llama",
        base=ModelReference("no-such/base"),
        instruct=ModelReference("no-such/instruct"),
        num_layers=2,
        num_parameters=None,
    )


SPEC = spec_named("tiny")


def score(context: CellContext, alpha: float) -> CrcScore:
    return CrcScore(
        **context.header,
        family="llama",
        num_layers=2,
        model="soup",
        alpha=alpha,
        prompt_set="selection",
        prompt_ids=("a",),
        validity=(1.0,),
        diversity=(0.5,),
    )


def key_of(alpha: float, pair: str = SPEC.name) -> str:
    return CrcScore.key_of(pair, "selection", "soup", None, alpha)

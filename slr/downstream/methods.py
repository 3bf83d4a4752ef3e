"""The methods that are compared: a model, a way to sample from it, and a way to ask it; each with one id.

Which interval or share a model stands for comes from the pair's ``crc_search`` records, never from here.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from slr.intervals import LayerInterval
from slr.models.reference import PairSpec
from slr.runs.records import CrcSelection
from slr.runs.results import Results
from slr.sampling.config import SamplingConfig
from slr.seeding import seed_from_key
from slr.vocabulary import ComparedModel, PromptingMethod

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from slr.models.loading import ModelPair


def model_rank(model: ComparedModel) -> int:
    """The place of a compared model in tables and figures."""
    return get_args(ComparedModel).index(model)


TEMPERATURES = (0.7, 1.0, 1.3, 1.6)
MIN_PS = (0.02, 0.05, 0.2)
"""Values of min-p besides 0.1, which is that of temperature 1."""
TOP_PS = (0.8, 0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class Method:
    """A model, a way to sample from it, and a way to ask it.

    The number of new tokens in ``sampling`` does not count, because the task sets it. ``references`` has the ids of
    the methods that this one is compared with.
    """

    id: str
    model: ComparedModel
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    prompting: PromptingMethod = "direct"
    references: tuple[str, ...] = ()


BASELINES = (
    Method(id="instruct", model="instruct"),
    Method(id="base", model="base", references=("instruct",)),
    Method(id="hybrid", model="hybrid", references=("instruct", "soup")),
    Method(id="soup", model="soup", references=("instruct",)),
)
_RANDOM_PLACES: dict[ComparedModel, int] = {"random-1": 0, "random-2": 1, "random-3": 2}
"""Places of the random intervals among those that are shuffled."""
_OTHER_INTERVALS: tuple[ComparedModel, ...] = ("early", "late", *_RANDOM_PLACES)
CONTROLS = (
    Method(id="instruct", model="instruct"),
    Method(id="hybrid", model="hybrid", references=("instruct", "soup", *_OTHER_INTERVALS)),
    Method(id="soup", model="soup", references=("instruct",)),
    *(Method(id=model, model=model, references=("instruct",)) for model in _OTHER_INTERVALS),
)


def _at_setting(
    setting: str, sampling: SamplingConfig | None = None, prompting: PromptingMethod = "direct"
) -> tuple[Method, ...]:
    """Instruct, the hybrid and the soup at one setting, each compared only with others at the same setting."""
    compared: tuple[tuple[ComparedModel, tuple[ComparedModel, ...]], ...] = (
        ("instruct", ()),
        ("hybrid", ("instruct", "soup")),
        ("soup", ("instruct",)),
    )
    return tuple(
        Method(
            id=f"{model} {setting}",
            model=model,
            sampling=sampling or SamplingConfig(),
            prompting=prompting,
            references=tuple(f"{reference} {setting}" for reference in references),
        )
        for model, references in compared
    )


DECODING = tuple(
    method
    for setting, sampling in (
        *((f"temperature={t:g}", SamplingConfig(temperature=t)) for t in TEMPERATURES),
        *((f"min-p={p:g}", SamplingConfig(min_p=p)) for p in MIN_PS),
        *((f"top-p={p:g}", SamplingConfig(min_p=0.0, top_p=p)) for p in TOP_PS),
    )
    for method in _at_setting(setting, sampling)
)
"""Temperatures are with min-p 0.1, as everywhere; min-p and top-p are at temperature 1, each alone."""
PROMPTING = tuple(
    method
    for prompting in get_args(PromptingMethod)
    for method in _at_setting(prompting, prompting=prompting)
)


def selection_of(results: Results, pair: str) -> CrcSelection | None:
    """What the search chose for a pair, or None if it has not yet.

    An experiment's results have only the choice by its own rule, see ``Experiment.is_wanted``.
    """
    return next(iter(results.of_pair(pair).of_kind(CrcSelection)), None)


def chosen_by_search(results: Results, spec: PairSpec) -> dict[str, Any]:
    """The part of a pair's search results that every comparison depends on: an experiment's ``inputs``.

    Raises:
        ValueError: if the pair has not been searched.
    """
    selection = selection_of(results, spec.name)
    if selection is None:
        raise ValueError(
            f"{spec.name} has no chosen layers yet: run experiments/crc_search.py with the same --preset and "
            "--output-dir first"
        )
    return {"chosen interval": selection.interval, "chosen soup": selection.soup_alpha}


def interval_of(model: ComparedModel, selection: CrcSelection) -> LayerInterval | None:
    """The layers that a compared model restores; None if it is no such hybrid, or there is none to be had.

    Random intervals have the length of the chosen one and are drawn from a seed of the pair's name, without the
    chosen, the first and the last interval.
    """
    if selection.interval is None or model in ("base", "instruct", "soup"):
        return None
    chosen, num_layers = LayerInterval(*selection.interval), selection.num_layers
    length = len(chosen)
    if model == "hybrid":
        return chosen
    if model == "early":
        return LayerInterval(0, length)
    if model == "late":
        return LayerInterval(num_layers - length, num_layers)
    others = [
        LayerInterval(start, start + length)
        for start in range(1, num_layers - length)
        if start != chosen.start
    ]
    # Intervals were called ranges when seeds were first drawn; the same intervals follow only from the same key.
    random.Random(seed_from_key("random ranges", selection.pair)).shuffle(others)
    place = _RANDOM_PLACES[model]
    return others[place] if place < len(others) else None


def is_available(model: ComparedModel, selection: CrcSelection) -> bool:
    """Whether the search gave what the model is made of; and whether it is another than the hybrid itself."""
    if model in ("base", "instruct"):
        return True
    if model == "soup":
        return selection.soup_alpha is not None
    interval = interval_of(model, selection)
    if interval is None:
        return False
    return model == "hybrid" or selection.interval != interval.ends


def available_references(
    method: Method, methods: Sequence[Method], selection: CrcSelection
) -> tuple[str, ...]:
    """Ids of the methods that this one is compared with, less those that the search found nothing for.

    Raises:
        ValueError: if a reference is none of ``methods``.
    """
    by_id = {other.id: other for other in methods}
    for reference in method.references:
        if reference not in by_id:
            raise ValueError(
                f"{method.id!r} is to be compared with {reference!r}, which is none of the experiment's methods: "
                f"expected one of {', '.join(map(repr, by_id))}"
            )
    return tuple(id_ for id_ in method.references if is_available(by_id[id_].model, selection))


def make_model(pair: ModelPair, model: ComparedModel, selection: CrcSelection) -> PreTrainedModel:
    """The compared model in memory; see ``is_available``."""
    from slr.hybrid import interpolate, restore

    if model == "base":
        return pair.base_model
    if model == "instruct":
        return pair.instruct_model
    if model == "soup":
        assert selection.soup_alpha is not None
        return interpolate(pair, selection.soup_alpha)
    interval = interval_of(model, selection)
    assert interval is not None
    return restore(pair, interval)

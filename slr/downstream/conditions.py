"""What is compared: a model, a way to sample from it, and a way to ask it; each under one name.

Which range or share a model stands for comes from the pair's ``crc_search`` records, never from here.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from slr.intervals import LayerInterval
from slr.models.reference import PairSpec
from slr.runs.experiment import Results
from slr.runs.records import CrcSelection
from slr.sampling.config import SamplingConfig
from slr.seeding import seed_from_key
from slr.tasks.prompting_methods import PromptingMethod

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from slr.models.loading import ModelPair

ComparedModel = Literal[
    "instruct", "base", "slr", "soup", "early", "late", "random-1", "random-2", "random-3"
]
"""``early`` and ``late``: the first and the last layers, as many as ``slr`` restores; ``random``: so many elsewhere."""


def model_rank(model: str) -> int:
    """Where a compared model stands in tables and figures; unknown ones come last."""
    models: tuple[str, ...] = get_args(ComparedModel)
    return models.index(model) if model in models else len(models)


TEMPERATURES = (0.7, 1.0, 1.3, 1.6)
MIN_PS = (0.02, 0.05, 0.2)
"""0.1 is that of temperature 1."""
TOP_PS = (0.8, 0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One method. ``sampling`` lacks the number of tokens, which is the task's.

    ``references`` names the conditions that this one is compared with.
    """

    name: str
    model: ComparedModel
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    prompting: PromptingMethod = "direct"
    references: tuple[str, ...] = ()


BASELINES = (
    Condition(name="instruct", model="instruct"),
    Condition(name="base", model="base", references=("instruct",)),
    Condition(name="slr", model="slr", references=("instruct", "soup")),
    Condition(name="soup", model="soup", references=("instruct",)),
)
_OTHER_INTERVALS: tuple[ComparedModel, ...] = ("early", "late", "random-1", "random-2", "random-3")
CONTROLS = (
    Condition(name="instruct", model="instruct"),
    Condition(name="slr", model="slr", references=("instruct", "soup", *_OTHER_INTERVALS)),
    Condition(name="soup", model="soup", references=("instruct",)),
    *(Condition(name=model, model=model, references=("instruct",)) for model in _OTHER_INTERVALS),
)


def _at_setting(
    setting: str, sampling: SamplingConfig | None = None, prompting: PromptingMethod = "direct"
) -> tuple[Condition, ...]:
    """Instruct, the hybrid and the soup at one setting, each compared only with others at the same setting."""
    compared: tuple[tuple[ComparedModel, tuple[ComparedModel, ...]], ...] = (
        ("instruct", ()),
        ("slr", ("instruct", "soup")),
        ("soup", ("instruct",)),
    )
    return tuple(
        Condition(
            name=f"{model} {setting}",
            model=model,
            sampling=sampling or SamplingConfig(),
            prompting=prompting,
            references=tuple(f"{reference} {setting}" for reference in references),
        )
        for model, references in compared
    )


DECODING = tuple(
    condition
    for setting, sampling in (
        *((f"temperature={t:g}", SamplingConfig(temperature=t)) for t in TEMPERATURES),
        *((f"min-p={p:g}", SamplingConfig(min_p=p)) for p in MIN_PS),
        *((f"top-p={p:g}", SamplingConfig(min_p=0.0, top_p=p)) for p in TOP_PS),
    )
    for condition in _at_setting(setting, sampling)
)
"""Temperatures are with min-p 0.1, as everywhere; min-p and top-p are at temperature 1, each alone."""
_PROMPTING_METHODS: tuple[PromptingMethod, ...] = ("direct", "list", "verbalized")
PROMPTING = tuple(
    condition for prompting in _PROMPTING_METHODS for condition in _at_setting(prompting, prompting=prompting)
)


def selection_of(results: Results, pair: str) -> CrcSelection | None:
    """What the search chose for a pair, or None if it has not yet.

    An experiment's results have only the choice by its own rule, see ``Experiment.is_wanted``.
    """
    of_pair = (r for r in results.values() if isinstance(r, CrcSelection) and r.pair == pair)
    return next(of_pair, None)


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

    Random ranges have the length of the chosen one and are drawn from a seed of the pair's name, without the
    chosen, the first and the last range.
    """
    if selection.interval is None or model in ("base", "instruct", "soup"):
        return None
    chosen, num_layers = LayerInterval(*selection.interval), selection.num_layers
    length = len(chosen)
    if model == "slr":
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
    random.Random(seed_from_key("random ranges", selection.pair)).shuffle(others)
    number = int(model.removeprefix("random-"))
    return others[number - 1] if number <= len(others) else None


def is_available(model: ComparedModel, selection: CrcSelection) -> bool:
    """Whether the search gave what the model is made of; and whether it is another than ``slr`` itself."""
    if model in ("base", "instruct"):
        return True
    if model == "soup":
        return selection.soup_alpha is not None
    interval = interval_of(model, selection)
    if interval is None:
        return False
    return model == "slr" or selection.interval != interval.ends


def available_references(
    condition: Condition, conditions: Sequence[Condition], selection: CrcSelection
) -> tuple[str, ...]:
    """Names of the conditions that this one is compared with, less those that the search found nothing for.

    Raises:
        ValueError: if a reference is none of ``conditions``.
    """
    by_name = {other.name: other for other in conditions}
    for name in condition.references:
        if name not in by_name:
            raise ValueError(
                f"{condition.name!r} is to be compared with {name!r}, which is none of the experiment's methods: "
                f"expected one of {', '.join(map(repr, by_name))}"
            )
    return tuple(name for name in condition.references if is_available(by_name[name].model, selection))


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

"""The methods that are compared. A method is a model, a way to sample from it, and a way to ask it, with one id.

The layers or shares of a model always come from the pair's ``crc_search`` records, and never from here.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from slr.intervals import LayerInterval
from slr.runs.records import CrcSelection
from slr.sampling.config import SamplingConfig
from slr.seeding import seed_from_key
from slr.vocabulary import ComparedModel, PromptingMethod

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from slr.models.loading import ModelPair


def model_rank(model: ComparedModel) -> int:
    """The place of a compared model in tables and figures, from 0."""
    return get_args(ComparedModel).index(model)


TEMPERATURES = (0.7, 1.0, 1.3, 1.6)
"""Temperatures compared, each with min-p 0.1."""
MIN_PS = (0.02, 0.05, 0.2)
"""Values of min-p compared, at temperature 1. The value 0.1 is among the temperatures already."""
TOP_PS = (0.8, 0.9, 0.95)
"""Values of top-p compared, at temperature 1 and without min-p."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A model, a way to sample from it, and a way to ask it.

    Attributes:
        id: unique name.
        model: kind of model.
        sampling: settings of sampling. Its number of new tokens does not count, because the task sets it.
        prompting: way to ask.
        references: ids of the methods with which this one is compared.
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
"""The models compared in most experiments, each asked in the chat template."""
BASE_FEW_SHOT = Method(id="base_few_shot", model="base", prompting="few_shot", references=("instruct",))
"""The base model as it is: asked in a document with worked examples, outside the chat template."""
TASK_METHODS = (*BASELINES, BASE_FEW_SHOT)
"""Methods of the experiments on tasks."""
_RANDOM_PLACES: dict[ComparedModel, int] = {"random-1": 0, "random-2": 1, "random-3": 2}
"""Place in the shuffled list of intervals, for each random interval."""
_OTHER_INTERVALS: tuple[ComparedModel, ...] = ("early", "late", *_RANDOM_PLACES)
CONTROLS = (
    Method(id="instruct", model="instruct"),
    Method(id="hybrid", model="hybrid", references=("instruct", "soup", *_OTHER_INTERVALS)),
    Method(id="soup", model="soup", references=("instruct",)),
    *(Method(id=model, model=model, references=("instruct",)) for model in _OTHER_INTERVALS),
)
"""Methods that show whether it matters which layers are restored."""


def _at_setting(
    setting: str, sampling: SamplingConfig | None = None, prompting: PromptingMethod = "direct"
) -> tuple[Method, ...]:
    """Instruct, hybrid and soup at one setting. Each is compared only with others at the same setting."""
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
"""Methods at several settings of sampling: temperatures with min-p 0.1, and min-p and top-p alone at temperature 1."""
_SEVERAL_ANSWERS: tuple[PromptingMethod, ...] = ("direct", "list", "verbalized")
PROMPTING = tuple(
    method for prompting in _SEVERAL_ANSWERS for method in _at_setting(prompting, prompting=prompting)
)
"""Methods with several ways to ask."""


def interval_of(model: ComparedModel, selection: CrcSelection) -> LayerInterval | None:
    """The layers that a compared model restores; None if it restores none, or if there is no such interval.

    Random intervals have the length of the chosen one. Their order comes from a seed of the pair's name. The chosen,
    the first and the last interval are not among them.
    """
    # Without a choice there is no length that the other intervals could have either.
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
    # Intervals were called ranges when the first seeds were drawn. Only the same key gives the same intervals.
    random.Random(seed_from_key("random ranges", selection.pair)).shuffle(others)
    place = _RANDOM_PLACES[model]
    # A model of few layers has fewer than three other intervals of this length.
    return others[place] if place < len(others) else None


def is_available(model: ComparedModel, selection: CrcSelection) -> bool:
    """Whether the search gave what the model is made of, and the model differs from the hybrid."""
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
    """The ids of the methods with which a method is compared, without methods that the search gave nothing for.

    Args:
        method: the method.
        methods: all methods of the experiment.
        selection: the search's choice.

    Returns:
        The ids, in the order of ``method.references``.

    Raises:
        ValueError: if a reference is not among ``methods``.
    """
    by_id = {other.id: other for other in methods}
    for reference in method.references:
        if reference not in by_id:
            raise ValueError(
                f"{method.id!r} is to be compared with {reference!r}, which is not among the experiment's methods: "
                f"expected one of {', '.join(map(repr, by_id))}"
            )
    return tuple(id_ for id_ in method.references if is_available(by_id[id_].model, selection))


def make_model(pair: ModelPair, model: ComparedModel, selection: CrcSelection) -> PreTrainedModel:
    """Make a compared model in memory.

    Args:
        pair: the loaded pair.
        model: kind of model, one that ``is_available``.
        selection: the search's choice.

    Returns:
        The model. Unless it is a soup, it shares its tensors with the pair.
    """
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

"""How the tensors in a checkpoint's files become those of its model.

Files and model often name and cut the same weights differently: the files of a mixture of experts have a tensor for
each expert, where transformers computes with one for all of them; the text model inside a multimodal one has another
prefix on disk. transformers converts when it loads. Its own rules are applied here, to names and shapes before
a weight is read, and to the weights of one layer at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property

import torch
from transformers import PreTrainedModel

from slr.models.transformers_internals import (
    WeightConverter,
    conversion_rules,
    in_loading_order,
    model_name_of,
)


@dataclass(frozen=True)
class Destination:
    """Where a file's tensor goes: the tensor of the model, or the first of those, that it becomes.

    ``rule`` is the pattern of transformers' rule that puts that together out of several tensors or takes one
    apart; None where the tensor is the model's as it is.
    """

    model_name: str
    rule: str | None


class TensorConversion:
    """The conversion for one model and one set of file tensors.

    ``destinations`` has every file tensor by name that the model has a use for.
    """

    def __init__(self, model: PreTrainedModel, file_names: Iterable[str]) -> None:
        """Args: the model, which may be without weights, and the names of all tensors in the files."""
        self._model = model
        rules = conversion_rules(model)
        self._converter_of = {pattern: rule for rule in rules[1] for pattern in rule.source_patterns}
        known = model.state_dict()
        # Some rules depend on the ones that applied before, so the order is transformers' own.
        self.destinations: dict[str, Destination] = {}
        for name in in_loading_order(file_names):
            found, pattern = model_name_of(name, model, rules, known)
            if found not in known and name in known:  # it has the model's name already
                found, pattern = name, None
            if found in known:
                self.destinations[name] = Destination(found, pattern)

    @cached_property
    def sources(self) -> dict[str, tuple[str, ...]]:
        """The file tensors that each tensor of the model is made of; by the first where rules make several."""
        sources: dict[str, list[str]] = defaultdict(list)
        for name, place in self.destinations.items():
            sources[place.model_name].append(name)
        return {model_name: tuple(names) for model_name, names in sources.items()}

    def is_whole(self, model_name: str) -> bool:
        """Whether a tensor of the model is in the files as it is, if under another name."""
        sources = self.sources.get(model_name, ())
        return len(sources) == 1 and self.destinations[sources[0]].rule is None

    def convert(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The model's tensors by name, made of file tensors; what the model has no use for is left out.

        On torch's meta device this says what shapes the files give.

        Raises:
            ValueError: if tensors do not fit together.
        """
        converted: dict[str, torch.Tensor] = {}
        parts: dict[str, WeightConverter] = {}
        for name in in_loading_order(tensors.keys() & self.destinations.keys()):
            place = self.destinations[name]
            if place.rule is None:
                converted[place.model_name] = tensors[name]
                continue
            if place.model_name not in parts:
                parts[place.model_name] = deepcopy(self._converter_of[place.rule])
            rule = parts[place.model_name]
            rule.add_tensor(place.model_name, name, place.rule, tensors[name])  # pyright: ignore[reportArgumentType]
        for model_name, rule in parts.items():
            converted |= self._made_by(rule, model_name)
        return converted

    def _made_by(self, rule: WeightConverter, model_name: str) -> dict[str, torch.Tensor]:
        try:
            made = rule.convert(model_name, model=self._model, config=self._model.config)
        except Exception as error:  # rules fail with whatever their arithmetic fails with
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise ValueError(f"{model_name} cannot be put together from its parts: {reason}") from error
        return {name: value[0] if isinstance(value, list) else value for name, value in made.items()}

"""Convert the tensors in a checkpoint's files to the tensors of its model.

Files and model often name and cut the same weights differently. The files of a mixture of experts have a tensor for
each expert, but transformers computes with one tensor for all of them. The text model inside a multimodal model has
another prefix on disk. transformers converts the tensors when it loads a whole model. This module applies the same
rules to names and shapes before a weight is read, and to the weights of one layer at a time.
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
    """Where a tensor of the files goes in the model.

    Attributes:
        model_name: name of the model's tensor that it becomes, or of the first one where it is taken apart.
        rule: pattern of transformers' rule that joins several tensors or takes one apart; None where the file's
            tensor is the model's, at most under another name.
    """

    model_name: str
    rule: str | None


class TensorConversion:
    """The conversion for one model and one set of file tensors.

    Attributes:
        destinations: destination of every file tensor that the model uses, by the tensor's name in the files.
    """

    def __init__(self, model: PreTrainedModel, file_names: Iterable[str]) -> None:
        """Find the destination of each tensor.

        Args:
            model: the model, with or without weights.
            file_names: names of all tensors in the files.
        """
        self._model = model
        rules = conversion_rules(model)
        self._converter_of = {pattern: rule for rule in rules[1] for pattern in rule.source_patterns}
        known = model.state_dict()
        # Some rules depend on the names that they were applied to before, so the order must be transformers' own.
        self.destinations: dict[str, Destination] = {}
        for name in in_loading_order(file_names):
            found, pattern = model_name_of(name, model, rules, known)
            # Checkpoints in the new format have the model's names already, and a rule for old names may spoil them.
            if found not in known and name in known:
                found, pattern = name, None
            if found in known:
                self.destinations[name] = Destination(found, pattern)

    @cached_property
    def sources(self) -> dict[str, tuple[str, ...]]:
        """The file tensors that each tensor of the model is made of, by the model's name.

        Where a rule makes several tensors of the model, only the first of them is a key.
        """
        sources: dict[str, list[str]] = defaultdict(list)
        for name, place in self.destinations.items():
            sources[place.model_name].append(name)
        return {model_name: tuple(names) for model_name, names in sources.items()}

    def is_whole(self, model_name: str) -> bool:
        """Whether the files hold a tensor of the model as it is, though perhaps under another name."""
        sources = self.sources.get(model_name, ())
        return len(sources) == 1 and self.destinations[sources[0]].rule is None

    def convert(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Make the model's tensors by name from file tensors; tensors that the model does not use are left out.

        On torch's meta device the result shows which shapes the files give.

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
                # A rule collects the parts of one tensor. A copy for each lets the same rule serve every layer.
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
        # Some operations of transformers give a list of one tensor, others the tensor, whatever its annotation says.
        return {
            name: value[0] if isinstance(value, list) else value  # pyright: ignore[reportUnnecessaryIsInstance]
            for name, value in made.items()
        }

"""Find where peft puts the tensors of a LoRA adapter, by letting peft do it on a model without weights.

The configuration and the base model decide which tensors an adapter's file must hold. peft's rules for this have many
cases, so they are not repeated here. Instead peft puts the adapter into the base model on torch's meta device, where
nothing is computed, and the result is read off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper, TrainableTokensWrapper
from torch import nn
from transformers import PreTrainedModel

from slr.models.adapters.config import CONFIG_FILE, AdapterConfig
from slr.models.adapters.patterns import PatternMatcher
from slr.models.checkpoint import Checkpoint
from slr.models.layout import Shape, auto_class
from slr.models.quiet_libraries import quiet_libraries

# ``init_lora_weights`` is passed to peft by itself, and peft needs none of the other fields to place an adapter.
_NOT_FOR_PEFT = {"unknown", "init_lora_weights", "base_model_name_or_path", "revision"}


@dataclass(frozen=True)
class Placement:
    """The tensors that peft would load from an adapter's file, and what they change.

    Attributes:
        needed: shape of each tensor that the adapter consists of, by its name in the file.
        accepted: shape of each tensor that the file may hold too: weights of the base model, and copies.
        modules: names in the model of the modules that LoRA changes.
        parameters: names in the model of the parameters that LoRA changes without a module.
        ties: how the adapter treats an embedding that is tied to the head; None if it changes neither.
        is_renamed: whether the file has other names for its tensors, and peft renames them.
    """

    needed: Mapping[str, Shape]
    accepted: Mapping[str, Shape]
    modules: tuple[str, ...]
    parameters: tuple[str, ...]
    ties: str | None
    is_renamed: bool = False


def peft_config(config: AdapterConfig, model: PreTrainedModel, *, initialise: bool) -> LoraConfig:
    """Make the configuration for peft, with names in place of every regular expression.

    Args:
        config: the adapter's configuration.
        model: the base model, with or without weights.
        initialise: whether peft may change the base model's weights as it did when the adapter was made.

    Raises:
        ValueError: if a regular expression is not valid or takes too long, or peft refuses a combination of fields.
    """
    modules = [name for name, _ in model.named_modules() if name]
    matcher = PatternMatcher()
    fields = config.model_dump(exclude=_NOT_FOR_PEFT, exclude_none=True)
    for field in ("target_modules", "exclude_modules"):
        value = fields.get(field)
        if isinstance(value, str) and value.lower() != "all-linear":
            fields[field] = _in_field(field, lambda value=value: matcher.full_matches(value, modules))
    if fields.get("target_modules") == [] and config.target_modules:
        raise ValueError(
            f"target_modules in {CONFIG_FILE} matches no module of the base model: give the base model that the "
            "adapter was made for"
        )
    # peft matches the patterns of ranks against parameters too, because LoRA may change one without its module.
    names = [*modules, *(name for name, _ in model.named_parameters())]
    for field in ("rank_pattern", "alpha_pattern"):
        patterns = fields.pop(field, {})
        fields[field] = _in_field(field, lambda patterns=patterns: _by_name(patterns, names, matcher))
    init: Any = config.init_lora_weights if initialise and config.changes_base_weights else False
    with quiet_libraries():
        return LoraConfig(init_lora_weights=init, lora_dropout=0.0, inference_mode=True, **fields)


def place(config: AdapterConfig, base: Checkpoint) -> Placement:
    """Put an adapter without weights into a base model without weights, and read off where its tensors are.

    Args:
        config: the adapter's configuration.
        base: the base model; its weights are not read.

    Raises:
        ValueError: if peft refuses; the message is one line that says why.
    """
    with quiet_libraries(), torch.device("meta"):
        placed = _placed(config, base)
        needed = get_peft_model_state_dict(placed, save_embedding_layers=False)
    # peft inserts the adapter's own name, "default", into the names in memory, but not into those names in a file.
    every = {name.replace(".default", ""): tensor for name, tensor in placed.state_dict().items()}
    return Placement(
        needed={name: tuple(tensor.shape) for name, tensor in needed.items()},
        accepted={name: tuple(tensor.shape) for name, tensor in every.items() if ".lora_" not in name},
        modules=tuple(placed.base_model.targeted_module_names),
        parameters=tuple(placed.base_model.targeted_parameter_names),
        ties=_ties(config, placed.get_base_model()) if base.layout.tied else None,
    )


def peft_renames(config: AdapterConfig, base: Checkpoint, shapes: Mapping[str, Shape]) -> bool:
    """Whether peft finds a place for all tensors of a file by renaming them, and the file lacks none.

    Earlier versions of transformers had other names for the modules of some architectures.

    Args:
        config: the adapter's configuration.
        base: the base model; its weights are not read.
        shapes: shape of each tensor, by its name in the file.
    """
    with quiet_libraries(), torch.device("meta"):
        placed = _placed(config, base)
        try:
            result: Any = set_peft_model_state_dict(
                placed, {name: torch.empty(shape) for name, shape in shapes.items()}
            )
        except Exception:  # whatever the error is, loading the weights would end with it too
            return False
    # A missing key of the base model is no fault, because the file holds the adapter alone.
    return not result.unexpected_keys and not any(".default" in name for name in result.missing_keys)


def _placed(config: AdapterConfig, base: Checkpoint) -> Any:
    """Build the base model with the adapter in it, both without weights; call it within ``torch.device("meta")``."""
    # The attention that the configuration asks for makes no difference here, and may not be installed.
    model = auto_class(base.config).from_config(
        base.config, attn_implementation="eager", trust_remote_code=False
    )
    _check_token_ids(config, model)
    return _adapted(model, peft_config(config, model, initialise=False))


def _adapted(model: PreTrainedModel, config: LoraConfig) -> nn.Module:
    try:
        return get_peft_model(model, config, autocast_adapter_dtype=False)
    except Exception as error:  # peft and torch raise errors of many types for what does not fit
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if unfit := re.match(r"Target module (\w+)\(", reason):
            reason = f"a module of type {unfit[1]} is among them, which LoRA cannot be added to"
        raise ValueError(
            f"peft cannot use target_modules, exclude_modules and modules_to_save of its {CONFIG_FILE}: {reason}"
        ) from error


def _by_name(patterns: Mapping[str, Any], names: Sequence[str], matcher: PatternMatcher) -> dict[str, Any]:
    """Write for each name that some pattern matches a new pattern that matches it alone, with the first one's value."""
    values: dict[str, Any] = {}
    for pattern, value in patterns.items():
        for name in matcher.suffix_matches(pattern, names):
            values.setdefault(f"^{re.escape(name)}", value)
    return values


def _in_field(field: str, matched: Callable[[], Any]) -> Any:
    try:
        return matched()
    except ValueError as error:
        raise ValueError(f"{field} in {CONFIG_FILE}: {error}") from None


def _check_token_ids(config: AdapterConfig, model: Any) -> None:
    indices = config.trainable_token_indices
    if indices is None:
        return
    lists: Iterable[list[int]] = indices.values() if isinstance(indices, dict) else [indices]
    rows = model.get_input_embeddings().weight.shape[0]
    largest = max(max(token_ids) for token_ids in lists)
    if largest >= rows:
        raise ValueError(
            f"trainable_token_indices in {CONFIG_FILE} has token {largest}, but the base model's embedding has "
            f"{rows} rows"
        )


def _ties(config: AdapterConfig, model: Any) -> str | None:
    """Say whether embedding and head, which share their weights in the base model, are changed together or apart."""
    # A checkpoint with tied weights has one matrix for both. It can hold the merged model only if both get one change.
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    kinds = {_kind(embedding), _kind(head)}
    if kinds == {None}:
        return None
    if kinds == {"tokens"} and head.token_adapter.tied_adapter is not None:
        return "tokens together"
    if len(kinds) == 1 and config.ensure_weight_tying:
        return f"{kinds.pop()} together"
    return "apart"


def _kind(module: nn.Module | None) -> str | None:
    kinds = {LoraLayer: "lora", ModulesToSaveWrapper: "full", TrainableTokensWrapper: "tokens"}
    return next((name for kind, name in kinds.items() if isinstance(module, kind)), None)

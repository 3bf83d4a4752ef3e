"""Where peft puts the tensors of a LoRA adapter in a model, found out by peft itself on a model without weights.

What an adapter's file must hold follows from its configuration and the base model by peft's own rules, which have
many cases. So the adapter is put into the base model on torch's meta device, where nothing is computed, and the
result is looked at.
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

_NOT_FOR_PEFT = {"unknown", "init_lora_weights", "base_model_name_or_path", "revision"}


@dataclass(frozen=True)
class Placement:
    """The tensors of an adapter that peft would load, by their names in its file.

    ``needed`` are those that the adapter consists of. ``accepted`` are those that may be there too: weights of the
    base model, and copies. ``modules`` and ``parameters`` are what the adapter's LoRA changes, by their names in
    the model. ``ties`` says how the adapter treats an embedding that is tied to the head; None if nothing of it
    concerns the adapter. ``is_renamed``: the file names its tensors otherwise, and peft renames them.
    """

    needed: Mapping[str, Shape]
    accepted: Mapping[str, Shape]
    modules: tuple[str, ...]
    parameters: tuple[str, ...]
    ties: str | None
    is_renamed: bool = False


def peft_config(config: AdapterConfig, model: PreTrainedModel, *, initialise: bool) -> LoraConfig:
    """The configuration for peft, in which names stand for every regular expression.

    Args:
        config: the adapter's configuration.
        model: the base model, with or without weights.
        initialise: let peft change the base model's weights as it did when the adapter was made.

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
            f"target_modules in {CONFIG_FILE} matches no module of the base model: give the one that the adapter was "
            "made for"
        )
    names = [*modules, *(name for name, _ in model.named_parameters())]
    for field in ("rank_pattern", "alpha_pattern"):
        patterns = fields.pop(field, {})
        fields[field] = _in_field(field, lambda patterns=patterns: _by_name(patterns, names, matcher))
    init: Any = config.init_lora_weights if initialise and config.changes_base_weights else False
    with quiet_libraries():
        return LoraConfig(init_lora_weights=init, lora_dropout=0.0, inference_mode=True, **fields)


def place(config: AdapterConfig, base: Checkpoint) -> Placement:
    """Put an adapter without weights into a base model without weights.

    Raises:
        ValueError: if peft refuses; one line that says why.
    """
    with quiet_libraries(), torch.device("meta"):
        placed = _placed(config, base)
        needed = get_peft_model_state_dict(placed, save_embedding_layers=False)
    every = {name.replace(".default", ""): tensor for name, tensor in placed.state_dict().items()}
    return Placement(
        needed={name: tuple(tensor.shape) for name, tensor in needed.items()},
        accepted={name: tuple(tensor.shape) for name, tensor in every.items() if ".lora_" not in name},
        modules=tuple(placed.base_model.targeted_module_names),
        parameters=tuple(placed.base_model.targeted_parameter_names),
        ties=_ties(config, placed.get_base_model()) if base.layout.tied else None,
    )


def peft_renames(config: AdapterConfig, base: Checkpoint, shapes: Mapping[str, Shape]) -> bool:
    """Whether peft finds a place for all tensors of a file by renaming them, and the adapter is whole then.

    Earlier versions of transformers had other names for the modules of some architectures.
    """
    with quiet_libraries(), torch.device("meta"):
        placed = _placed(config, base)
        try:
            result: Any = set_peft_model_state_dict(
                placed, {name: torch.empty(shape) for name, shape in shapes.items()}
            )
        except Exception:  # whatever it is, peft would end with it as well
            return False
    return not result.unexpected_keys and not any(".default" in name for name in result.missing_keys)


def _placed(config: AdapterConfig, base: Checkpoint) -> Any:
    """The base model with the adapter in it, both without weights; within ``torch.device("meta")``."""
    # Which attention a configuration asks for is of no matter here, and it may not be installed.
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
    """A pattern for each name that one of the patterns matches, which matches that name alone; the first one counts."""
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
    """How embedding and head, which share their weights in the base model, are changed: together or not."""
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

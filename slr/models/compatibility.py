"""Decide whether two checkpoints are a pair, from configuration, tokenizer and headers, before a weight is read.

Layers can be exchanged between two models if the models differ in nothing but their weights. This module lists
what must be equal. Every difference becomes one line, and one error holds all lines.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Set
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from slr.models.checkpoint import Checkpoint
from slr.models.layout import auto_class, group_layers

COMPARED_FIELDS = (
    "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads",
    "head_dim", "rope_parameters", "sliding_window", "layer_types", "attn_logit_softcapping",
    "final_logit_softcapping", "query_pre_attn_scalar", "rms_norm_eps", "layer_norm_eps", "hidden_act",
    "hidden_activation", "attention_bias", "mlp_bias", "num_experts", "num_local_experts",
    "num_experts_per_tok", "vocab_size",
)  # fmt: skip
"""Fields of a decoder's configuration that change what its layers compute, or the shapes that they compute in."""

NUM_TOKENS_SHOWN = 5
"""Largest number of tokens that a message names as examples."""


class IncompatiblePairError(ValueError):
    """Two checkpoints are no pair.

    Attributes:
        mismatches: a line for each difference.
    """

    def __init__(self, base: str, instruct: str, mismatches: tuple[str, ...]) -> None:
        """Write all mismatches into one message.

        Args:
            base: name of the base model.
            instruct: name of the instruct model.
            mismatches: a line for each difference.
        """
        self.mismatches = mismatches
        lines = "".join(f"\n- {mismatch}" for mismatch in mismatches)
        super().__init__(f"layers cannot be restored from {base} (base) to {instruct} (instruct):{lines}")


def check_compatible(base: Checkpoint, instruct: Checkpoint) -> tuple[str, ...]:
    """Check that two checkpoints are a pair.

    Returns:
        Notes on what differs harmlessly, a line each.

    Raises:
        IncompatiblePairError: if they differ in more than weights, a shard is missing or damaged, or decoder layers
            share weights; the message has a line for each.
    """
    mismatches = (
        *_config_mismatches(base, instruct),
        *_tokenizer_mismatches(base, instruct),
        *_tensor_mismatches(base, instruct),
        *_shared_weights(instruct),
        *(f"base: {problem}" for problem in base.problems),
        *(f"instruct: {problem}" for problem in instruct.problems),
    )
    if mismatches:
        raise IncompatiblePairError(str(base.reference), str(instruct.reference), mismatches)
    return tuple(_notes(base, instruct))


def check_tokenizer_fits(model: Checkpoint, renderer: Checkpoint) -> PreTrainedTokenizerBase:
    """Return the renderer's tokenizer, if it gives a model the same tokens as the model's own tokenizer.

    Raises:
        ValueError: if one of the two has no tokenizer, or the same token has another id.
    """
    for checkpoint in (model, renderer):
        if checkpoint.tokenizer is None:
            raise ValueError(
                f"{checkpoint.reference} has no tokenizer: expected tokenizer.json next to its weights"
            )
    of_model = dataclasses.replace(renderer, config=model.config)
    if differences := list(_tokenizer_mismatches(model, of_model, ("model", "template"))):
        raise ValueError(
            f"{model.reference} (model) cannot be asked by the tokenizer of {renderer.reference} (template): "
            f"{'; '.join(differences)}; give a model with the same tokenizer for the chat template"
        )
    assert renderer.tokenizer is not None
    return renderer.tokenizer


def conversion_note(side: str, checkpoint: Checkpoint, dtype: torch.dtype) -> tuple[str, ...]:
    """Say that the weights of one side are converted to another dtype; nothing if they have it already.

    Args:
        side: "base", "instruct", or both if they are the same on disk.
        checkpoint: the model of that side.
        dtype: dtype that the weights are wanted in.
    """
    if checkpoint.dtype == dtype:
        return ()
    on_disk, wanted = (str(d).removeprefix("torch.") for d in (checkpoint.dtype, dtype))
    return (f"{side} weights are {on_disk} on disk and were converted to {wanted}",)


def _config_mismatches(base: Checkpoint, instruct: Checkpoint) -> Iterator[str]:
    yield from _differences("architecture", base.layout.architecture, instruct.layout.architecture)
    for field in COMPARED_FIELDS:
        yield from _differences(field, _field(base.config, field), _field(instruct.config, field))
    yield from _differences(
        "tie_word_embeddings",
        *(getattr(side.config, "tie_word_embeddings", None) for side in (base, instruct)),
    )


def _field(config: PreTrainedConfig, field: str) -> Any:
    """Read a field's value; where the configuration leaves it out, the value that the model takes instead.

    It is None also where the architecture has no such field, because its models ignore what a file says about it. It
    is a list where the layers differ in it.
    """
    decoder = config.get_text_config(decoder=True)
    # Gemma 4's configuration refuses to give such a field for the whole model.
    if field in (getattr(decoder, "per_layer_attributes", None) or ()):
        return [_own_field(layer, field) for layer in decoder.per_layer_config]
    return _own_field(decoder, field)


def _own_field(decoder: PreTrainedConfig, field: str) -> Any:
    # Some architectures read ``head_dim`` without declaring it.
    if field == "head_dim":
        return getattr(decoder, field, None) or decoder.hidden_size // decoder.num_attention_heads
    if decoder.attribute_map.get(field, field) not in {own.name for own in dataclasses.fields(decoder)}:
        return None
    value = getattr(decoder, field)
    return decoder.num_attention_heads if value is None and field == "num_key_value_heads" else value


def _differences(field: str, base: Any, instruct: Any) -> Iterator[str]:
    """Yield one line for a value that differs; of nested values, for each entry that differs."""
    if isinstance(base, dict) and isinstance(instruct, dict):
        for key in sorted(base.keys() | instruct.keys()):
            yield from _differences(f"{field}.{key}", base.get(key), instruct.get(key))
    elif isinstance(base, list) and isinstance(instruct, list) and len(base) == len(instruct):
        places = [i for i, (b, c) in enumerate(zip(base, instruct, strict=True)) if b != c]
        if places:
            more = f" (and {len(places) - 1} more entries)" if len(places) > 1 else ""
            first = places[0]
            yield f"{field}[{first}]: base {base[first]}, instruct {instruct[first]}{more}"
    elif base != instruct:
        yield f"{field}: base {base}, instruct {instruct}"


def _tokenizer_mismatches(
    base: Checkpoint, instruct: Checkpoint, sides: tuple[str, str] = ("base", "instruct")
) -> Iterator[str]:
    if base.tokenizer is None or instruct.tokenizer is None:
        return
    base_ids, instruct_ids = base.token_ids, instruct.token_ids
    moved = sorted(t for t in base_ids.keys() & instruct_ids.keys() if base_ids[t] != instruct_ids[t])
    if moved:
        first, more = moved[0], f" (and {len(moved) - 1} more tokens)" if len(moved) > 1 else ""
        yield f"id of token {first!r}: {sides[0]} {base_ids[first]}, {sides[1]} {instruct_ids[first]}{more}"
    rows = _field(instruct.config, "vocab_size")
    added = {t for t in instruct_ids.keys() - base_ids.keys() if instruct_ids[t] >= rows}
    if added:
        yield (
            f"tokens: {sides[1]} adds {len(added)} with ids beyond its embedding{_examples(added)}: "
            f"largest id {max(instruct_ids[t] for t in added)}, vocab_size {rows}"
        )
    base_only = base_ids.keys() - instruct_ids.keys() - _added_tokens(base.tokenizer)
    instruct_only = instruct_ids.keys() - base_ids.keys() - _added_tokens(instruct.tokenizer)
    if base_only or instruct_only:
        yield (
            f"vocabulary: {sides[0]} has {len(base_only)} tokens that {sides[1]} lacks{_examples(base_only)}, "
            f"{sides[1]} has {len(instruct_only)} that {sides[0]} lacks{_examples(instruct_only)}"
        )


def _added_tokens(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """Collect the tokens that were added to the vocabulary. Post-training often adds or renames some."""
    return {token.content for token in tokenizer.added_tokens_decoder.values()}


def _examples(tokens: Set[str]) -> str:
    shown = [repr(token) for token in sorted(tokens)[:NUM_TOKENS_SHOWN]]
    return f" ({', '.join(shown)}{', ...' if len(tokens) > len(shown) else ''})" if shown else ""


def _tensor_mismatches(base: Checkpoint, instruct: Checkpoint) -> Iterator[str]:
    base_tensors, instruct_tensors = base.index.tensors, instruct.index.tensors
    stored_alike = base_tensors.keys() & instruct_tensors.keys()
    lines = {
        name: f"base {base_tensors[name].shape}, instruct {instruct_tensors[name].shape}"
        for name in stored_alike
        if base_tensors[name].shape != instruct_tensors[name].shape
    }
    # The problem that makes a tensor missing has a line of its own.
    if base.problems or instruct.problems:
        yield from group_layers(dict(sorted(lines.items())), instruct.layout.layers_path)
        return
    lines |= _missing_tensors(base, instruct)
    yield from group_layers(dict(sorted(lines.items())), instruct.layout.layers_path)
    yield from _format_mismatch(base, instruct)


def _missing_tensors(base: Checkpoint, instruct: Checkpoint) -> Iterator[tuple[str, str]]:
    """Yield each file tensor that only one side has in any format, with both sides' shapes in words."""
    tied = base.layout.tied & instruct.layout.tied
    sides = (("base", base, instruct), ("instruct", instruct, base))
    for side, checkpoint, other in sides:
        others = other.conversion.sources
        for model_name, names in checkpoint.conversion.sources.items():
            if model_name in others or model_name in tied:
                continue
            for name in names:
                shapes = {side: checkpoint.index.tensors[name].shape}
                yield (
                    name,
                    f"base {shapes.get('base', 'missing')}, instruct {shapes.get('instruct', 'missing')}",
                )


def _format_mismatch(base: Checkpoint, instruct: Checkpoint) -> Iterator[str]:
    """Yield one line if one side stores a tensor in parts and the other stores it whole, or in other parts."""
    base_sources, instruct_sources = base.conversion.sources, instruct.conversion.sources
    for model_name in sorted(base_sources.keys() & instruct_sources.keys()):
        names = base_sources[model_name], instruct_sources[model_name]
        is_renamed = base.conversion.is_whole(model_name) and instruct.conversion.is_whole(model_name)
        if set(names[0]) != set(names[1]) and not is_renamed:
            yield (
                f"format of the weight files: base has {names[0][0]}, instruct has {names[1][0]} for the model's "
                f"{model_name}. Save both anew in one format, each by {auto_class(base.config).__name__}."
                "from_pretrained(DIR).save_pretrained(NEW_DIR, save_original_format=False), and copy the tokenizer"
            )
            return


def _shared_weights(checkpoint: Checkpoint) -> Iterator[str]:
    """Yield one line if decoder layers share weights.

    A checkpoint holds shared weights once, so restoring one of the layers would restore the others too.
    """
    if checkpoint.layout.shared_by_layers is not None:
        first, second = checkpoint.layout.shared_by_layers
        yield (
            f"decoder layers share weights ({first} is {second}), so none can be restored alone: give models "
            "whose layers share none"
        )


def _notes(base: Checkpoint, instruct: Checkpoint) -> Iterator[str]:
    lengths = [_field(checkpoint.config, "max_position_embeddings") for checkpoint in (base, instruct)]
    if lengths[0] != lengths[1]:
        yield (
            f"max_position_embeddings: base {lengths[0]}, instruct {lengths[1]}; the instruct model's is used"
        )
    if base.tokenizer is None:
        yield "the base checkpoint has no tokenizer, so token ids were not compared"
    elif instruct.tokenizer is not None:
        added = instruct.token_ids.keys() - base.token_ids.keys()
        if added:
            yield f"the instruct tokenizer has {len(added)} tokens that the base lacks{_examples(added)}"
    unused = [c.index.tensors.keys() - c.conversion.destinations.keys() for c in (base, instruct)]
    if names := sorted(unused[0] | unused[1]):
        yield f"{len(names)} tensors on disk belong to no part of the model, such as {names[0]}"

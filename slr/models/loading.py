"""Load one checkpoint, or the base and instruct models of a pair.

The checkpoints of a pair are opened and compared before gigabytes are downloaded or loaded.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from slr.chat.end_tokens import EndTokens, end_tokens_of_model
from slr.chat.template import check_template
from slr.models.adapters.opening import Adapter
from slr.models.checkpoint import Checkpoint, open_checkpoint, with_local_weights
from slr.models.layout import auto_class
from slr.models.numbers_in_range import check_numbers, first_not_finite
from slr.models.opened_pair import OpenedPair, open_pair
from slr.models.presets import resolve_pair
from slr.models.quiet_libraries import quiet_libraries
from slr.models.reference import Location, ModelReference, PairSpec
from slr.models.streaming import fits, load_streamed

DeviceMap = str | dict[str, int | str | torch.device]
"""Devices of a model, as transformers' ``from_pretrained`` takes them: ``auto``, or a device by name of a module."""
NAMED_FAMILIES = ("llama", "qwen", "gemma")
"""Names of families that each stand for several of transformers' model types."""


def avoid_cudnn_attention() -> None:
    """Have PyTorch compute attention on a GPU without cuDNN's kernels, in the whole process.

    cuDNN makes a plan for every new shape, which takes up to half a second. In a search, as in sampling, the same shape
    seldom comes twice. On some GPUs PyTorch prefers cuDNN nevertheless.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


@dataclass(frozen=True)
class LoadedModel:
    """One model in evaluation mode, with its tokenizer.

    Attributes:
        reference: the model; for a hub model, with its commit.
        model: the model.
        tokenizer: its tokenizer.
    """

    reference: ModelReference
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


@dataclass(frozen=True)
class ModelPair:
    """A base and an instruct model that differ in nothing but their weights.

    Both are in evaluation mode, have the same dtype and device, and need no gradients.

    Attributes:
        name: name of the pair.
        family: family of the architecture.
        base: reference of the base model.
        instruct: reference of the instruct model or adapter.
        base_model: the base model.
        instruct_model: the instruct model; with an adapter, the merged model.
        tokenizer: the instruct model's tokenizer.
        notes: what was converted and what differs harmlessly, a line each.
    """

    name: str
    family: str
    base: ModelReference
    instruct: ModelReference
    base_model: PreTrainedModel
    instruct_model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    notes: tuple[str, ...] = ()

    @property
    def end_tokens(self) -> EndTokens:
        """The tokens that end an answer of both models, and of every model made from them."""
        return end_tokens_of_model(self.instruct_model, self.tokenizer)

    @property
    def num_layers(self) -> int:
        """Number of decoder layers."""
        return self.instruct_model.config.get_text_config(decoder=True).num_hidden_layers


def load_pair(
    base: Location,
    instruct: Location | None = None,
    *,
    adapter: Location | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    stream: bool | None = False,
) -> ModelPair:
    """Open two checkpoints, check that they are a pair, and load both.

    Args:
        base: directory or hub id of the base model; or, without ``instruct`` and ``adapter``, the name of a preset's
            pair, such as ``testbed-llama``.
        instruct: directory or hub id of the instruct model.
        adapter: directory or hub id of a PEFT LoRA adapter in place of ``instruct``; it is merged into the base model.
        dtype: dtype of both models; None for the instruct checkpoint's, or with an adapter the base checkpoint's.
        device: device of both models; None for the CPU.
        stream: whether the decoder layers stay on disk and are read when they are called (``slr.models.streaming``).
            This is slower, and serves pairs that are larger than the memory. None streams if the free memory is too
            small for the pair.

    Raises:
        IncompatiblePairError: if the checkpoints do not fit each other, or have missing or damaged shards; the
            message has a line for each mismatch. No weight is read or downloaded before this is known.
        HubError: if the hub does not give a model.
        ValueError: if a checkpoint cannot be opened, is quantized, needs code of its own, or has only pickle
            weights; if the instruct model has no chat template; or if the adapter is not LoRA.
    """
    spec = resolve_pair(base, instruct, adapter=adapter)
    return load_spec(spec, dtype=dtype, device=device, stream=stream)


def load_spec(
    spec: PairSpec,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    stream: bool | None = False,
    device_map: DeviceMap | None = None,
    check_tokenizer: Callable[[PreTrainedTokenizerBase], object] | None = None,
) -> ModelPair:
    """Load a pair that is given as a specification; for the arguments and errors see ``load_pair``.

    Args:
        spec: the pair.
        dtype: as for ``load_pair``.
        device: as for ``load_pair``.
        stream: as for ``load_pair``.
        device_map: how transformers spreads each model over several devices, in place of ``device``.
        check_tokenizer: called with the tokenizer before a weight is read; raises if the tokenizer is of no use.

    Raises:
        ValueError: also if a model does not fit the devices of the map, or would be streamed to several devices.
    """
    avoid_cudnn_attention()
    opened = open_pair(spec, dtype)
    tokenizer = _tokenizer_with_chat_template(opened.instruct)
    check_template(tokenizer, opened.instruct.num_embeddings)
    if check_tokenizer is not None:
        check_tokenizer(tokenizer)
    dtype = dtype or opened.instruct.dtype
    is_streamed, why_streamed = _decide_on_streaming(stream, opened, dtype, device, device_map)
    opened = opened.with_local_weights()
    load = _load_streamed if is_streamed else partial(load_weights, device_map=device_map)
    base_model = load(opened.base, dtype, device)
    if opened.adapter is None:
        instruct_model, adapter_notes = load(opened.instruct, dtype, device), ()
    else:
        instruct_model = _merge(opened.adapter, base_model)
        adapter_notes = (
            f"instruct is the base model with the adapter {opened.adapter.reference} merged into it",
            *opened.adapter.notes(opened.base),
        )
    end_tokens = opened.instruct.end_tokens
    end_token_notes = end_tokens.notes if end_tokens is not None else ()
    return ModelPair(
        name=spec.name,
        family=spec.family or family_of(opened.instruct.config),
        base=opened.base.reference,
        instruct=opened.instruct.reference,
        base_model=base_model,
        instruct_model=instruct_model,
        tokenizer=tokenizer,
        notes=(
            *opened.differences,
            *end_token_notes,
            *opened.conversions,
            *why_streamed,
            *adapter_notes,
        ),
    )


def _merge(adapter: Adapter, base_model: PreTrainedModel) -> PreTrainedModel:
    # Merging changes the model that it is given, and the pair needs the base model as it was.
    instruct_model = adapter.merge_into(copy.deepcopy(base_model))
    if (name := first_not_finite(instruct_model.state_dict().items())) is not None:
        raise ValueError(
            f"the adapter {adapter.reference} makes {name} of the model not finite: it is damaged, or its scale is "
            f"too large for {str(base_model.dtype).removeprefix('torch.')}"
        )
    return instruct_model


def _decide_on_streaming(
    stream: bool | None,
    opened: OpenedPair,
    dtype: torch.dtype,
    device: torch.device | str | None,
    device_map: DeviceMap | None,
) -> tuple[bool, tuple[str, ...]]:
    """Decide whether the layers stay on disk, and write a note if that was not asked for.

    Raises:
        ValueError: if streaming is asked for together with an adapter or a device map.
    """
    if stream and opened.adapter is not None:
        raise ValueError(
            f"{opened.adapter.reference} is an adapter, and what it is merged into cannot be streamed: write the "
            "merged checkpoint (slr build --layers 0:0) and stream that, or leave streaming out"
        )
    if stream and device_map is not None:
        raise ValueError("a streamed pair computes on one device: give a device map or stream, not both")
    if stream is not None:
        return stream, ()
    num_bytes = 2 * opened.instruct.layout.num_parameters * dtype.itemsize
    if opened.adapter is not None or device_map is not None or fits(num_bytes, device):
        return False, ()
    note = f"the pair takes {num_bytes / 1e9:.1f} GB, more than is free: its layers are streamed from disk"
    return True, (note,)


def load_model(
    location: Location,
    *,
    revision: str | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> LoadedModel:
    """Load one checkpoint with its tokenizer.

    Args:
        location: directory or hub id of the checkpoint, or a reference to it.
        revision: commit, tag or branch of a hub id.
        dtype: dtype of the model; None for the checkpoint's.
        device: device of the model; None for the CPU.

    Raises:
        HubError: if the hub does not give the model.
        ValueError: if the checkpoint cannot be opened, is quantized, needs code of its own, has only pickle weights or
            damaged ones, or has no tokenizer.
    """
    return load_opened(open_checkpoint(location, revision=revision), dtype=dtype, device=device)


def load_opened(
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> LoadedModel:
    """Load a checkpoint that was opened already.

    Args:
        checkpoint: the checkpoint.
        dtype: dtype of the model; None for the checkpoint's.
        device: device of the model; None for the CPU.

    Raises:
        HubError: if the hub does not give the weights.
        ValueError: if the weights are damaged, or there is no tokenizer.
    """
    avoid_cudnn_attention()
    if checkpoint.tokenizer is None:
        raise ValueError(
            f"{checkpoint.reference} has no tokenizer: expected tokenizer.json next to its weights"
        )
    checkpoint = with_local_weights(checkpoint)
    assert checkpoint.tokenizer is not None
    model = load_weights(checkpoint, dtype or checkpoint.dtype, device)
    return LoadedModel(checkpoint.reference, model, checkpoint.tokenizer)


def family_of(config: PreTrainedConfig) -> str:
    """Name the family of a model: the name of a known family, or else the type that transformers gives it."""
    known = (family for family in NAMED_FAMILIES if config.model_type.startswith(family))
    return next(known, config.model_type)


def open_tokenizer(spec: PairSpec) -> PreTrainedTokenizerBase:
    """Open the instruct model's tokenizer, without any weights.

    Args:
        spec: the pair.

    Raises:
        ValueError: for every error of ``open_pair``, or if the tokenizer has no chat template.
    """
    return _tokenizer_with_chat_template(open_pair(spec).instruct)


def _tokenizer_with_chat_template(checkpoint: Checkpoint) -> PreTrainedTokenizerBase:
    if checkpoint.tokenizer is None or not checkpoint.tokenizer.chat_template:
        lacks = "tokenizer" if checkpoint.tokenizer is None else "chat template"
        raise ValueError(
            f"the instruct model {checkpoint.reference} has no {lacks}, and prompts are rendered with it: "
            "check that the base model is given first and the instruct model second, or put the template it "
            "was trained with into chat_template.jinja next to its tokenizer"
        )
    return checkpoint.tokenizer


def _load_streamed(
    checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device | str | None
) -> PreTrainedModel:
    """Load a streamed model after checking all its numbers once, because its layers are read again and again."""
    check_numbers(checkpoint, dtype)
    return load_streamed(checkpoint, dtype, device)


@quiet_libraries()
def load_weights(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    device: torch.device | str | None,
    device_map: DeviceMap | None = None,
) -> PreTrainedModel:
    """Load the model of a checkpoint, in evaluation mode and without gradients.

    Args:
        checkpoint: the checkpoint, with its weights in local files.
        dtype: dtype of the model.
        device: device of the model; None for the CPU.
        device_map: how transformers spreads the model over several devices, in place of ``device``.

    Raises:
        ValueError: if weights are missing, are not finite in ``dtype``, or do not fit the devices of
            ``device_map``.
    """
    if device_map is None and device is not None:
        device_map = {"": device}
    loaded: Any = auto_class(checkpoint.config).from_pretrained(
        checkpoint.directory,
        dtype=dtype,
        device_map=device_map,
        attn_implementation=checkpoint.layout.attention,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
    )
    model, loading = loaded  # the type stubs do not know that output_loading_info makes it a pair
    if missing := sorted(loading["missing_keys"]):
        raise ValueError(f"{checkpoint.reference} lacks weights of its model: {', '.join(missing)}")
    if (name := first_not_finite(model.state_dict().items())) is not None:
        check_numbers(checkpoint, dtype)  # its message also names the tensor in the files
        raise ValueError(f"{checkpoint.reference}: {name} is not finite once it is loaded in {dtype}")
    # accelerate keeps weights that do not fit in memory or on disk, where a hybrid would not find them.
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ValueError(
            f"{checkpoint.reference} does not fit the devices of its device map, and what does not is left out "
            "of hybrids: give it more or larger devices, or let slr search stream it from disk"
        )
    return model.eval().requires_grad_(False)

"""Load models: one checkpoint, or a base and an instruct model that are checked to be a pair first.

Two checkpoints are opened and compared before gigabytes are downloaded or loaded.
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
from slr.models.reference import Family, Location, ModelReference, PairSpec
from slr.models.streaming import fits, load_streamed

DeviceMap = str | dict[str, int | str | torch.device]
"""As transformers' ``from_pretrained`` takes it: ``auto``, or a device for each module by its name."""


def avoid_cudnn_attention() -> None:
    """Have PyTorch compute attention on a GPU by other kernels than cuDNN's, in this whole process.

    cuDNN makes a plan for every new shape, which takes up to half a second, and in a search as in sampling shapes are
    seldom the same twice. On some GPUs PyTorch prefers it all the same.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


@dataclass(frozen=True)
class LoadedModel:
    """One model with its tokenizer, in evaluation mode."""

    reference: ModelReference
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


@dataclass(frozen=True)
class ModelPair:
    """A base and an instruct model that differ in nothing but their weights.

    Both are in evaluation mode, of the same dtype, on the same device, and need no gradients. ``tokenizer``
    is the instruct model's. ``notes`` says, a line each, what was converted and what differs harmlessly.
    """

    name: str
    family: Family
    base: ModelReference
    instruct: ModelReference
    base_model: PreTrainedModel
    instruct_model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    notes: tuple[str, ...] = ()

    @property
    def end_tokens(self) -> EndTokens:
        """The tokens that end an answer, of every model that is made of the two."""
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
        base: directory or hub id of the base model; or the name of a preset's pair, such as
            ``testbed-llama``, and then nothing for ``instruct``.
        instruct: directory or hub id of the instruct model.
        adapter: in place of ``instruct``, a PEFT LoRA adapter of the base model, which is merged into it.
        dtype: of both models; None: what the instruct checkpoint has, or with an adapter the base one.
        device: where both go; None: the CPU.
        stream: leave the decoder layers on disk, and read each when it is called (``slr.models.streaming``): slower,
            for pairs that are larger than the memory. None: if the memory that is free is too small for the pair.

    Raises:
        IncompatiblePairError: if the checkpoints do not fit each other, or have missing or damaged shards;
            every mismatch is a line of it. No weight is read, or downloaded, before this is known.
        HubError: if the hub does not give a model.
        ValueError: if a checkpoint cannot be opened, is quantized, needs code of its own, has only pickle
            weights, or the instruct model has no chat template; if the adapter is none of LoRA.
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
        device_map: in place of ``device``, how transformers is to spread each model over several devices.
        check_tokenizer: called before a weight is read, with the tokenizer; raises if that is of no use.

    Raises:
        ValueError: also if a model does not fit the devices of the map, or is to be streamed to several.
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
        family=spec.family if spec.family != "other" else family_of(opened.instruct.config),
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
    """Whether the layers stay on disk, and a note if that was not asked for."""
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
    """Load one checkpoint with its tokenizer; for the arguments and errors see ``load_pair``.

    Raises:
        ValueError: also if the weights are damaged, or there is no tokenizer.
    """
    return load_opened(open_checkpoint(location, revision=revision), dtype=dtype, device=device)


def load_opened(
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> LoadedModel:
    """Load a checkpoint that was opened; for the arguments and errors see ``load_model``."""
    avoid_cudnn_attention()
    if checkpoint.tokenizer is None:
        raise ValueError(
            f"{checkpoint.reference} has no tokenizer: expected tokenizer.json beside its weights"
        )
    checkpoint = with_local_weights(checkpoint)
    assert checkpoint.tokenizer is not None
    model = load_weights(checkpoint, dtype or checkpoint.dtype, device)
    return LoadedModel(checkpoint.reference, model, checkpoint.tokenizer)


def family_of(config: PreTrainedConfig) -> Family:
    """The family that a model's type belongs to."""
    families: tuple[Family, ...] = ("llama", "qwen", "gemma")
    for family in families:
        if config.model_type.startswith(family):
            return family
    return "other"


def _tokenizer_with_chat_template(checkpoint: Checkpoint) -> PreTrainedTokenizerBase:
    if checkpoint.tokenizer is None or not checkpoint.tokenizer.chat_template:
        lacks = "tokenizer" if checkpoint.tokenizer is None else "chat template"
        raise ValueError(
            f"the instruct model {checkpoint.reference} has no {lacks}, and prompts are rendered with it: "
            "check that the base model is given first and the instruct model second, or put the template it "
            "was trained with into chat_template.jinja beside its tokenizer"
        )
    return checkpoint.tokenizer


def _load_streamed(
    checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device | str | None
) -> PreTrainedModel:
    """Layers are read again and again by whoever streams, so all numbers are checked once before."""
    check_numbers(checkpoint, dtype)
    return load_streamed(checkpoint, dtype, device)


@quiet_libraries()
def load_weights(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    device: torch.device | str | None,
    device_map: DeviceMap | None = None,
) -> PreTrainedModel:
    """The model of a checkpoint whose weights are local, in evaluation mode, without gradients.

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
    model, loading = loaded  # the stubs do not know what output_loading_info does
    if missing := sorted(loading["missing_keys"]):
        raise ValueError(f"{checkpoint.reference} lacks weights of its model: {', '.join(missing)}")
    if (name := first_not_finite(model.state_dict().items())) is not None:
        check_numbers(checkpoint, dtype)  # names the file's tensor
        raise ValueError(f"{checkpoint.reference}: {name} is not finite once it is loaded in {dtype}")
    # What does not fit, accelerate keeps in memory or on disk.
    if any(parameter.is_meta for parameter in model.parameters()):
        raise ValueError(
            f"{checkpoint.reference} does not fit the devices of its device map, and what does not is left out "
            "of hybrids: give it more or larger devices, or let slr search stream it from disk"
        )
    return model.eval().requires_grad_(False)

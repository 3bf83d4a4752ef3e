"""Models whose decoder layers stay on disk, so that a pair can be larger than the memory.

Everything but the decoder layers is loaded. A layer is read when it is called, and given up after the call; while
one computes, a thread reads the next one, so at most two layers of a model are in memory. Whoever calls a layer
several times in a row holds it by ``weights_in_memory``, so that it is read once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn
from transformers import PreTrainedModel

from slr.models.checkpoint import Checkpoint
from slr.models.decoder import decoder_layers
from slr.models.layout import auto_class
from slr.models.safetensors_index import TORCH_DTYPES, ShardHeader, read_shard_header
from slr.models.transformers_internals import make_buffers

SHARE_OF_FREE_MEMORY = 0.8
"""That a pair may take if it is to be loaded whole; the rest is for hidden states."""


class LayerOnDisk(nn.Module):
    """A decoder layer that has its weights only while it is called, or inside of ``loaded``.

    ``stand_in`` is a submodule like the layer, whose attributes are the layer's, such as an attention type.
    """

    def __init__(self, stand_in: nn.Module) -> None:
        super().__init__()
        self.stand_in = stand_in

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("stand_in"), name)

    def loaded(self) -> AbstractContextManager[nn.Module]:
        """The layer with its weights, which are its own and given up at the end."""
        raise NotImplementedError

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """Read, compute, give up."""
        with self.loaded() as layer:
            return layer(*arguments, **named)


class StreamedLayer(LayerOnDisk):
    """A layer of one checkpoint; ``stand_in`` is the layer without weights."""

    def __init__(self, layer: nn.Module, index: int, reader: LayerReader) -> None:
        super().__init__(layer)
        self._index = index
        self._reader = reader

    @contextmanager
    def loaded(self) -> Iterator[nn.Module]:
        """Read from the checkpoint."""
        layer = copy.deepcopy(self.stand_in)
        layer.load_state_dict(self._reader.take(self._index), assign=True)
        yield layer


def weights_in_memory(layer: nn.Module) -> AbstractContextManager[nn.Module]:
    """The layer, ready to be called many times: read now and given up at the end if it is on disk."""
    return layer.loaded() if isinstance(layer, LayerOnDisk) else nullcontext(layer)


class LayerReader:
    """Reads the weights of one checkpoint, the next layer's ahead of time."""

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device | str | None) -> None:
        self._checkpoint = checkpoint
        self._dtype = dtype
        self._device = device or "cpu"
        self._headers: dict[str, ShardHeader] = {}
        self._thread = ThreadPoolExecutor(1)
        self._ahead: tuple[int, Future[dict[str, torch.Tensor]]] | None = None

    def __deepcopy__(self, _: dict[int, object]) -> LayerReader:
        return self  # a copy of a layer reads the same checkpoint

    def take(self, index: int) -> dict[str, torch.Tensor]:
        """The tensors of a decoder layer by their names in it; begins to read the next layer."""
        ahead, self._ahead = self._ahead, None
        tensors = ahead[1].result() if ahead and ahead[0] == index else self._read_layer(index)
        if index + 1 < self._checkpoint.num_layers:
            self._ahead = index + 1, self._thread.submit(self._read_layer, index + 1)
        return tensors

    def read_part(self, layer: int | None) -> dict[str, torch.Tensor]:
        """The model's tensors of one decoder layer, or of None: all outside of the layers."""
        names = self._checkpoint.conversion.destinations
        stored = {name: self.read(name) for name in names if self._checkpoint.layer_of(name) == layer}
        return self._checkpoint.conversion.convert(stored)

    def read(self, name: str) -> torch.Tensor:
        """One tensor of the files, on the device and in the dtype to compute in.

        Raises:
            OSError: if the file cannot be read.
        """
        entry = self._checkpoint.index.tensors[name]
        path = self._checkpoint.directory / entry.shard
        if entry.shard not in self._headers:
            self._headers[entry.shard] = read_shard_header(path)
        begin, end = self._headers[entry.shard].extents[name]
        # Read rather than mapped: what is mapped is read only when it is computed with, and not ahead of time.
        data = torch.from_numpy(np.fromfile(path, dtype=np.uint8, count=end - begin, offset=begin))
        tensor = data.view(TORCH_DTYPES[entry.dtype]).view(entry.shape)
        return tensor.to(self._device, self._dtype if tensor.is_floating_point() else None)

    def _read_layer(self, index: int) -> dict[str, torch.Tensor]:
        prefix = f"{self._checkpoint.layout.layers_path}.{index}."
        tensors = self.read_part(index)
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def load_streamed(
    checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device | str | None
) -> PreTrainedModel:
    """The model of a checkpoint whose weights are local, with its decoder layers on disk.

    In evaluation mode, without gradients; what ``load_weights`` gives, but for where the layers are.

    Raises:
        ValueError: if tensors do not fit the model.
    """
    layout = checkpoint.layout
    with torch.device("meta"):
        model = auto_class(checkpoint.config).from_config(
            checkpoint.config, dtype=dtype, attn_implementation=layout.attention
        )
    _make_buffers(model, device or "cpu")
    reader = LayerReader(checkpoint, dtype, device)
    model.load_state_dict(reader.read_part(None), assign=True, strict=False)
    model.tie_weights()
    layers = decoder_layers(model)
    for index, layer in enumerate(layers):
        layers[index] = StreamedLayer(layer, index, reader)
    return model.eval().requires_grad_(False)


def fits(bytes_needed: int, device: torch.device | str | None) -> bool:
    """Whether so much can be loaded, with room left to compute."""
    if device is not None and torch.device(device).type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = psutil.virtual_memory().available
    return bytes_needed <= SHARE_OF_FREE_MEMORY * free


def is_streamed(model: PreTrainedModel) -> bool:
    """Whether the model's decoder layers are on disk."""
    return any(isinstance(layer, LayerOnDisk) for layer in decoder_layers(model))


@torch.no_grad()
def _make_buffers(model: PreTrainedModel, device: torch.device | str) -> None:
    """Give a model without memory its buffers, which follow from the configuration and are on no disk.

    Raises:
        ValueError: if transformers does not make one of them for this architecture.
    """
    for module in model.modules():
        buffers = {name: buffer for name, buffer in module._buffers.items() if buffer is not None}
        for name, buffer in buffers.items():
            missing = torch.nan if buffer.is_floating_point() else -1
            module._buffers[name] = torch.full_like(buffer, missing, device=device)
        try:
            if buffers:
                make_buffers(model, module)
        except Exception as error:  # it expects what a model of this architecture has only when it is whole
            raise _not_streamable(model, *buffers) from error
        for name in buffers:
            if (made := module._buffers[name]) is not None and made.isnan().any():
                raise _not_streamable(model, name)


def _not_streamable(model: PreTrainedModel, *buffers: str) -> ValueError:
    return ValueError(
        f"{type(model).__name__} cannot be streamed, because nothing makes its buffer {', '.join(buffers)}: load "
        "it whole"
    )

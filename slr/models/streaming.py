"""Stream decoder layers from disk, so that a pair can be larger than the memory.

Everything except the decoder layers is loaded. A layer is read when it is called, and freed after the call. While one
layer computes, a thread reads the next one, so at most two layers of a model are in memory. Code that calls a layer
several times in a row holds it with ``weights_in_memory``, so that it is read once.
"""

from __future__ import annotations

import copy
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
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
"""Largest share of free memory that a fully loaded pair may use; the rest is left for hidden states."""


class LayerOnDisk(nn.Module):
    """A decoder layer that has its weights only while it is called, or within ``loaded``.

    Attributes:
        stand_in: a module like the layer. Its attributes count as the layer's, such as the attention type.
    """

    def __init__(self, stand_in: nn.Module) -> None:
        """Keep the module whose attributes are the layer's."""
        super().__init__()
        self.stand_in = stand_in

    def __getattr__(self, name: str) -> Any:
        """Take an attribute from the stand-in if the layer has none of that name."""
        # A model reads attributes of its layers, and must not notice that this one is on disk.
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("stand_in"), name)

    def loaded(self) -> AbstractContextManager[nn.Module]:
        """Read the layer's weights, which belong to the context and are freed at its end."""
        raise NotImplementedError

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """Read the layer, compute with it, and free its weights."""
        with self.loaded() as layer:
            return layer(*arguments, **named)


class StreamedLayer(LayerOnDisk):
    """A layer of one checkpoint; its ``stand_in`` is the layer without weights."""

    def __init__(self, layer: nn.Module, index: int, reader: LayerReader) -> None:
        """Keep what is needed to read the layer.

        Args:
            layer: the layer without weights.
            index: number of the layer, from 0.
            reader: reads the checkpoint.
        """
        super().__init__(layer)
        self._index = index
        self._reader = reader

    @contextmanager
    def loaded(self) -> Generator[nn.Module]:
        """Read the layer from the checkpoint into a copy of the stand-in."""
        layer = copy.deepcopy(self.stand_in)
        layer.load_state_dict(self._reader.take(self._index), assign=True)
        yield layer


def weights_in_memory(layer: nn.Module) -> AbstractContextManager[nn.Module]:
    """Hold a layer for several calls: a layer on disk is read now and freed at the end of the context."""
    return layer.loaded() if isinstance(layer, LayerOnDisk) else nullcontext(layer)


@dataclass(frozen=True)
class _ArrivingLayer:
    """The tensors of a layer on the device, which may still be copied, and the event that says that they are there."""

    tensors: dict[str, torch.Tensor]
    arrived: torch.cuda.Event


class LayerReader:
    """Reads the weights of one checkpoint, and the next layer's ahead of time."""

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device | str | None) -> None:
        """Prepare to read; nothing is read yet.

        Args:
            checkpoint: the checkpoint, with its weights in local files.
            dtype: dtype to compute in.
            device: device to compute on; None for the CPU.
        """
        self._checkpoint = checkpoint
        self._dtype = dtype
        self._device = torch.device(device or "cpu")
        self._headers: dict[str, ShardHeader] = {}
        self._thread = ThreadPoolExecutor(1)
        self._ahead: tuple[int, Future[_ArrivingLayer]] | None = None
        # The streams and events of torch.cpu do nothing, because a CPU computes in the order of its calls.
        self._streams: Any = torch.cuda if self._device.type == "cuda" else torch.cpu
        self._copying = self._streams.Stream(self._device)

    def __deepcopy__(self, _: dict[int, object]) -> LayerReader:
        """Return the reader itself, because a copy of a layer reads the same checkpoint."""
        return self

    def take(self, index: int) -> dict[str, torch.Tensor]:
        """Return the tensors of a decoder layer by their names in it, and begin to read the next layer."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead[0] != index:
            ahead = self._begin_to_read(index)
        layer = ahead[1].result()
        computing = self._streams.current_stream(self._device)
        computing.wait_event(layer.arrived)
        for tensor in layer.tensors.values():
            if tensor.is_cuda:
                # The tensor belongs to the other stream, which would otherwise use its memory anew at once.
                tensor.record_stream(computing)
        if index + 1 < self._checkpoint.num_layers:
            self._ahead = self._begin_to_read(index + 1)
        return layer.tensors

    def read_part(self, layer: int | None) -> dict[str, torch.Tensor]:
        """Read the model's tensors of one decoder layer onto the device; for None, all tensors outside the layers."""
        return self._on_device(self._read_stored(layer))

    def _begin_to_read(self, index: int) -> tuple[int, Future[_ArrivingLayer]]:
        computed = self._streams.Event()
        computed.record(self._streams.current_stream(self._device))
        return index, self._thread.submit(self._read_layer, index, computed)

    def _read_layer(self, index: int, computed: torch.cuda.Event) -> _ArrivingLayer:
        stored = self._read_stored(index)
        computed.synchronize()
        with self._streams.stream(self._copying):
            tensors = self._on_device(stored)
            arrived = self._streams.Event()
            arrived.record(self._copying)
        prefix = f"{self._checkpoint.layout.layers_path}.{index}."
        return _ArrivingLayer({name.removeprefix(prefix): tensors[name] for name in tensors}, arrived)

    def _read_stored(self, layer: int | None) -> dict[str, torch.Tensor]:
        names = self._checkpoint.conversion.destinations
        return {name: self._read(name) for name in names if self._checkpoint.layer_of(name) == layer}

    def _read(self, name: str) -> torch.Tensor:
        """Read one tensor of the files: into pinned memory if the device is a GPU, or else in the dtype to compute in.

        Raises:
            OSError: if the file cannot be read.
        """
        entry = self._checkpoint.index.tensors[name]
        path = self._checkpoint.directory / entry.shard
        if entry.shard not in self._headers:
            self._headers[entry.shard] = read_shard_header(path)
        begin, end = self._headers[entry.shard].extents[name]
        # NumPy's memory, because torch's is aligned, which leaves gaps that add up to a tenth of a search's memory.
        data = (
            torch.empty(end - begin, dtype=torch.uint8, pin_memory=True)
            if self._device.type == "cuda"
            else torch.from_numpy(np.empty(end - begin, dtype=np.uint8))
        )
        # A mapped file would be read only when it is computed with, and so not ahead of time.
        with path.open("rb") as file:
            file.seek(begin)
            if file.readinto(data.numpy().data) < len(data):
                raise OSError(f"{path} ends inside the tensor {name}: it was changed after it was opened")
        tensor = data.view(TORCH_DTYPES[entry.dtype]).view(entry.shape)
        return tensor if data.is_pinned() else self._in_dtype(tensor)

    def _on_device(self, stored: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Copy tensors to the device, and take each one out of ``stored``, so that its memory is free at once."""
        copied: dict[str, torch.Tensor] = {}
        while stored:
            name, tensor = stored.popitem()
            copied[name] = self._in_dtype(tensor.to(self._device, non_blocking=True))
        return self._checkpoint.conversion.convert(copied)

    def _in_dtype(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor


def load_streamed(
    checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device | str | None
) -> PreTrainedModel:
    """Load the model of a checkpoint, except its decoder layers, which stay on disk.

    Args:
        checkpoint: the checkpoint, with its weights in local files.
        dtype: dtype to compute in.
        device: device to compute on; None for the CPU.

    Returns:
        The model in evaluation mode, without gradients. It computes the same as the model of ``load_weights``.

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
    """Whether a number of bytes can be loaded onto a device and leaves room to compute."""
    return bytes_needed <= SHARE_OF_FREE_MEMORY * free_bytes(device)


def free_bytes(device: torch.device | str | None) -> int:
    """Count the free bytes of a GPU, or of the machine's memory."""
    if device is not None and torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def is_streamed(model: PreTrainedModel) -> bool:
    """Whether the model's decoder layers are on disk."""
    return any(isinstance(layer, LayerOnDisk) for layer in decoder_layers(model))


@torch.no_grad()
def _make_buffers(model: PreTrainedModel, device: torch.device | str) -> None:
    """Give a model without memory its buffers. They follow from the configuration, and are in no file.

    Raises:
        ValueError: if transformers does not make one of them for this architecture.
    """  # noqa: DOC501 - _not_streamable makes a ValueError
    for module in model.modules():
        buffers = dict(module.named_buffers(recurse=False))
        for name, buffer in buffers.items():
            # A NaN that is left afterwards shows that transformers did not fill the buffer.
            missing = torch.nan if buffer.is_floating_point() else -1
            setattr(module, name, torch.full_like(buffer, missing, device=device))
        try:
            if buffers:
                make_buffers(model, module)
        # Some architectures look for tensors here that a model without memory does not have.
        except Exception as error:
            raise _not_streamable(model, *buffers) from error
        for name, made in module.named_buffers(recurse=False):
            if made.isnan().any():
                raise _not_streamable(model, name)


def _not_streamable(model: PreTrainedModel, *buffers: str) -> ValueError:
    return ValueError(
        f"{type(model).__name__} cannot be streamed, because nothing makes its buffer {', '.join(buffers)}: load "
        "it whole"
    )

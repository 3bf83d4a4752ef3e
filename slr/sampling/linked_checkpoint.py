"""Give a model of a pair to vLLM as a checkpoint directory that links to the pair's own files.

The directory of a hybrid::

    config.json                     the instruct model's
    0-*.safetensors                 links to the instruct model's files
    1-*.safetensors                 links to files of the base model whose tensors are mostly restored
    2-written.safetensors           all other tensors that are not the instruct model's
    model.safetensors.index.json    which file has each tensor

vLLM reads all tensors of every file that the index names, in the order of the files' names, even a tensor that the
index places in another file. A later tensor overwrites an earlier one of the same name. (Read in vLLM 0.32,
``model_executor/model_loader``.) So a file of the base model may bring tensors that are not wanted: the last file puts
the right ones in their place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from slr.models.checkpoint import Checkpoint
from slr.models.loading import ModelPair
from slr.models.opened_pair import OpenedPair
from slr.models.quiet_libraries import quiet_libraries
from slr.models.safetensors_index import INDEX_FILE, SINGLE_FILE, read_shard_header
from slr.models.transformers_internals import save_model

CONFIG_FILE = "config.json"
WRITTEN_FILE = "2-written.safetensors"


@quiet_libraries()
def write_linked_checkpoint(
    model: PreTrainedModel, pair: ModelPair, opened: OpenedPair, directory: Path
) -> None:
    """Write a checkpoint directory for vLLM: links to the pair's files, and the tensors that these do not give.

    The whole model is written if its tensors have other names in the pair's files than ``save_pretrained`` gives them.

    Args:
        model: one of the pair's two models, or a model made of them.
        pair: the pair in memory.
        opened: the same pair, with its weights in local files.
        directory: an empty directory.

    Raises:
        OSError: if the directory cannot be written.
    """
    base = _Stored(opened.base, pair.base_model.state_dict())
    # No file has what an adapter was merged into, so the base model's files serve both sides of such a pair.
    is_base = opened.adapter is not None or model is pair.base_model
    own = base if is_base else _Stored(opened.instruct, pair.instruct_model.state_dict())
    weights = model.state_dict()
    linked = [] if is_base else _worth_linking(base, own, weights)
    from_base = {name for shard in linked for name in base.contents(shard).values()}
    written = {
        name: tensor
        for name, tensor in weights.items()
        if not (base if name in from_base else own).has(name, tensor)
    }
    if written and not _write_tensors(model, written, own.checkpoint, directory):
        save_model(model, directory)
        return
    _write_config(model, own.checkpoint, directory)
    _write_links(own.checkpoint, base.checkpoint, linked, directory)


@dataclass(frozen=True)
class _Stored:
    """A model in files and in memory.

    Attributes:
        checkpoint: its files.
        weights: its tensors by name.
    """

    checkpoint: Checkpoint
    weights: Mapping[str, torch.Tensor]

    def has(self, name: str, tensor: torch.Tensor) -> bool:
        """Whether the model's tensor of this name has the same numbers."""
        own = self.weights[name]
        return own.data_ptr() == tensor.data_ptr() or torch.equal(own.to(tensor.device), tensor)

    def contents(self, shard: str) -> dict[str, str]:
        """Map the names of a file's tensors to the model's names; a tensor that the model lacks keeps its name."""
        places = self.checkpoint.conversion.destinations
        return {
            name: places[name].model_name if name in places else name
            for name, entry in self.checkpoint.index.tensors.items()
            if entry.shard == shard
        }


def _worth_linking(base: _Stored, own: _Stored, weights: Mapping[str, torch.Tensor]) -> list[str]:
    """Choose the base model's files that leave less to be written if they are linked."""
    chosen = []
    for shard in base.checkpoint.index.shards:
        contents = base.contents(shard)
        if contents.keys() <= own.checkpoint.index.tensors.keys() and all(
            base.checkpoint.conversion.is_whole(name) for name in contents.values()
        ):
            if_linked, if_not = (
                sum(weights[name].nbytes for name in contents.values() if not side.has(name, weights[name]))
                for side in (base, own)
            )
            chosen += [shard] if if_linked < if_not else []
    return chosen


def _write_tensors(
    model: PreTrainedModel, tensors: Mapping[str, torch.Tensor], own: Checkpoint, directory: Path
) -> bool:
    """Write tensors by the names that the files have; return False if the files have other names."""
    num_bytes = sum(tensor.nbytes for tensor in tensors.values())
    save_model(model, directory, state_dict=dict(tensors), max_shard_size=num_bytes + 1)
    if not read_shard_header(directory / SINGLE_FILE).tensors.keys() <= own.index.tensors.keys():
        return False
    (directory / SINGLE_FILE).rename(directory / WRITTEN_FILE)
    return True


def _write_config(model: PreTrainedModel, own: Checkpoint, directory: Path) -> None:
    """Copy the configuration that belongs to the files, and name the architecture, which vLLM asks for."""
    fields = json.loads((own.directory / CONFIG_FILE).read_text(encoding="utf-8"))
    fields.setdefault("architectures", [type(model).__name__])
    (directory / CONFIG_FILE).write_text(json.dumps(fields, indent=2), encoding="utf-8")


def _write_links(own: Checkpoint, base: Checkpoint, linked: list[str], directory: Path) -> None:
    """Link the files, and write the index; it names the last file that has each tensor."""
    weight_map = {name: f"0-{entry.shard}" for name, entry in own.index.tensors.items()}
    weight_map |= {
        name: f"1-{entry.shard}" for name, entry in base.index.tensors.items() if entry.shard in linked
    }
    if (directory / WRITTEN_FILE).exists():
        weight_map |= dict.fromkeys(read_shard_header(directory / WRITTEN_FILE).tensors, WRITTEN_FILE)
    for file in set(weight_map.values()) - {WRITTEN_FILE}:
        order, shard = file.split("-", maxsplit=1)
        source = own if order == "0" else base
        (directory / file).symlink_to((source.directory / shard).resolve())
    index = {"metadata": {}, "weight_map": weight_map}
    (directory / INDEX_FILE).write_text(json.dumps(index, indent=2), encoding="utf-8")

"""Write a hybrid as an adapter: a LoRA adapter without the layers that are restored.

Without its adapter a layer is the base model's, which is what restoring means. A partly restored layer keeps
``1 - alpha`` of its adapter, for ``(1 - alpha) (base + adapter) + alpha base = base + (1 - alpha) adapter``.

What is written::

    OUTPUT/
      adapter_config.json         the adapter's, with the restored layers excluded
      adapter_model.safetensors   its other tensors
      tokenizer, chat template, generation config, notices    the adapter's, where it has them
      slr_manifest.json           where every tensor came from
      README.md                   a model card
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from slr.adapters import CONFIG_FILE, WEIGHTS_FILE, Adapter, open_adapter
from slr.build_manifest import MANIFEST_FILE, BuildManifest, TensorOrigin, TensorSource, slr_version
from slr.checkpoints import resolve_pair
from slr.crc.hybrid_figures import Weights, hybrid_figures
from slr.intervals import LayerInterval, check_alpha
from slr.model_card import Licences, find_licence, model_card
from slr.model_layout import ModelLayout
from slr.opening import Checkpoint, Location, open_checkpoint
from slr.output_directory import check_output, complete_or_absent, copy_small_files


def build_adapter(
    base: Location,
    adapter: Location | None,
    interval: LayerInterval,
    output_dir: str | Path,
    *,
    alpha: float = 1.0,
    overwrite: bool = False,
    search_dir: Path | None = None,
    base_revision: str | None = None,
    adapter_revision: str | None = None,
) -> BuildManifest:
    """Write the adapter that makes the hybrid out of the base model; no weight of a model is read.

    Args:
        base: directory or hub id of the base model; or a preset's pair, and then nothing for ``adapter``.
        adapter: directory or hub id of a PEFT LoRA adapter of the base model.
        interval: the decoder layers to restore.
        output_dir: the directory to write.
        alpha: the base model's share within the interval, in (0, 1].
        overwrite: replace an existing directory with a model, once the new one is complete.
        search_dir: output directory of a search over the same pair, for the CRC figures in the model card.
        base_revision: commit, tag or branch of a base model on the hub.
        adapter_revision: the same for the adapter.

    Raises:
        IncompatiblePairError: if the adapter does not fit the base model.
        HubError: if the hub does not give one of the two.
        ValueError: if the interval does not fit, alpha is not in (0, 1], nothing of the adapter would be left,
            a layer to restore was trained in full beside its adapter, the output directory exists and is not
            to be overwritten, one of the two cannot be opened, or there are no records in ``search_dir``.
    """
    check_alpha(alpha)
    spec = resolve_pair(
        base, adapter=adapter, base_revision=base_revision, instruct_revision=adapter_revision
    )
    if not spec.instruct_is_adapter:
        raise ValueError(f"{spec.name} has no adapter, so its hybrids cannot be written as one")
    output_dir = Path(output_dir).expanduser().resolve()
    check_output(output_dir, overwrite)
    checkpoint, opened = open_checkpoint(spec.base), open_adapter(spec.instruct)
    opened.applied_to(checkpoint)
    interval.check_within(checkpoint.num_layers)
    if opened.directory.resolve().is_relative_to(output_dir):
        raise ValueError(
            f"{output_dir} would overwrite the adapter {opened.reference}: choose another directory"
        )
    tensors, origins = {}, {}
    for name, tensor, source in _hybrid_tensors(opened, checkpoint.layout, interval, alpha):
        tensors[name] = tensor
        origins[name] = TensorOrigin(source=source, shard=WEIGHTS_FILE)
    if not tensors:
        raise ValueError(f"layers {interval} are all that the adapter changes: the hybrid is the base model")
    sides = Weights(checkpoint.reference, checkpoint.directory), Weights(opened.reference, opened.directory)
    crc = hybrid_figures(search_dir, *sides, interval, alpha) if search_dir is not None else None
    licences = Licences(*(find_licence(side.reference, side.directory) for side in sides))
    with complete_or_absent(output_dir) as partial:
        copy_small_files(opened.directory, partial, leave_out=(CONFIG_FILE,))
        config = _hybrid_config(opened.config, checkpoint, interval if alpha == 1 else LayerInterval(0, 0))
        (partial / CONFIG_FILE).write_text(
            json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )
        save_file(tensors, partial / WEIGHTS_FILE, {"format": "pt"})
        manifest = BuildManifest(
            slr_version=slr_version(),
            architecture=checkpoint.layout.architecture,
            base=checkpoint.reference.location,
            base_revision=checkpoint.reference.revision,
            instruct=opened.reference.location,
            instruct_revision=opened.reference.revision,
            instruct_is_adapter=True,
            interval=(interval.start, interval.end),
            num_layers=checkpoint.num_layers,
            alpha=alpha,
            dtype=str(next(iter(tensors.values())).dtype).removeprefix("torch."),
            notes=(),
            shards={WEIGHTS_FILE: hashlib.sha256((partial / WEIGHTS_FILE).read_bytes()).hexdigest()},
            tensors=origins,
        )
        (partial / MANIFEST_FILE).write_text(
            manifest.without_paths().model_dump_json(indent=1) + "\n", encoding="utf-8"
        )
        card = model_card(manifest, checkpoint.layout.layers_path, licences, crc)
        (partial / "README.md").write_text(card, encoding="utf-8")
    return manifest


def _hybrid_tensors(
    adapter: Adapter, layout: ModelLayout, interval: LayerInterval, alpha: float
) -> Iterator[tuple[str, torch.Tensor, TensorSource]]:
    for name, tensor in load_file(adapter.directory / WEIGHTS_FILE).items():
        if adapter.layer_of(name, layout) not in interval:
            yield name, tensor, "instruct"
        elif ".lora_" not in name:
            raise ValueError(
                f"{name} was trained in full beside the adapter: write the hybrid as a merged checkpoint"
            )
        elif alpha < 1:
            # The product of A and B is what is added to a weight, so one of the two is scaled.
            is_scaled = ".lora_B" in name or ".lora_embedding_B" in name
            scaled = ((1 - alpha) * tensor.float()).to(tensor.dtype) if is_scaled else tensor
            yield name, scaled, "interpolated" if is_scaled else "instruct"


def _hybrid_config(config: Mapping[str, Any], base: Checkpoint, interval: LayerInterval) -> dict[str, Any]:
    """The configuration, by which peft leaves the restored layers alone."""
    if len(interval) == 0:
        return dict(config)
    numbers = "|".join(str(layer) for layer in range(interval.start, interval.end))
    patterns = [rf"{re.escape(base.layout.layers_path)}\.(?:{numbers})\..*"]
    already = config.get("exclude_modules")
    if isinstance(already, str):
        patterns.append(already)
    elif already:  # names, by which peft excludes modules whose path ends with one
        patterns.append("(?:.*\\.)?(?:" + "|".join(re.escape(name) for name in already) + ")")
    return {**config, "exclude_modules": "|".join(f"(?:{pattern})" for pattern in patterns)}

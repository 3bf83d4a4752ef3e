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
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from slr.building.manifest import BuildManifest, TensorOrigin, TensorSource, slr_version, write_manifest
from slr.building.model_card import Licences, find_licence, model_card
from slr.building.output_directory import (
    check_apart,
    check_output,
    complete_or_absent,
    copy_small_files,
    resolve_output,
)
from slr.building.search_scores import Weights, hybrid_figures
from slr.building.speech import speech_notes, write_end_tokens_of
from slr.chat.tokenizer_comparison import check_speaks_like
from slr.intervals import LayerInterval, check_alpha
from slr.models.adapters.config import CONFIG_FILE, parse_config
from slr.models.adapters.opening import WEIGHTS_FILE, Adapter, open_adapter
from slr.models.checkpoint import Checkpoint, open_checkpoint
from slr.models.layout import ModelLayout
from slr.models.presets import resolve_pair
from slr.models.reference import Location

if TYPE_CHECKING:
    from slr.models.adapters.placement import Placement


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
            a layer to restore was trained in full beside its adapter, alpha is below 1 and the adapter is of a kind
            that cannot be scaled, the output directory exists and is not to be overwritten, one of the two cannot
            be opened, or there are no records in ``search_dir``.
    """
    check_alpha(alpha)
    spec = resolve_pair(
        base, adapter=adapter, base_revision=base_revision, instruct_revision=adapter_revision
    )
    if not spec.instruct_is_adapter:
        raise ValueError(f"{spec.name} has no adapter, so its hybrids cannot be written as one")
    output_dir = resolve_output(output_dir)
    check_output(output_dir, overwrite)
    checkpoint, opened = open_checkpoint(spec.base), open_adapter(spec.instruct)
    placement, speaker = opened.placed_in(checkpoint), opened.applied_to(checkpoint)
    interval.check_within(checkpoint.num_layers)
    for directory in (checkpoint.directory, opened.directory):
        check_apart(output_dir, directory)
    if placement.is_renamed:
        raise ValueError(
            f"the adapter {opened.reference} names its tensors as an earlier version of transformers named the "
            "model's modules: write the hybrid as a merged checkpoint (leave out --as-adapter), or load the adapter "
            "with the installed peft, save it with save_pretrained, and give that"
        )
    _check_scalable(opened, alpha)
    tensors, origins = {}, {}
    for name, tensor, source in _hybrid_tensors(opened, checkpoint.layout, interval, alpha):
        tensors[name] = tensor
        origins[name] = TensorOrigin(source=source, shard=WEIGHTS_FILE)
    if not tensors:
        raise ValueError(f"layers {interval} are all that the adapter changes: the hybrid is the base model")
    hybrid = opened if alpha < 1 else _without_layers(opened, placement, checkpoint, interval)
    _check_loadable(
        replace(hybrid, shapes={name: tuple(tensor.shape) for name, tensor in tensors.items()}), checkpoint
    )
    sides = Weights(checkpoint.reference, checkpoint.directory), Weights(opened.reference, opened.directory)
    crc = hybrid_figures(search_dir, *sides, interval, alpha) if search_dir is not None else None
    licences = Licences(*(find_licence(side.reference, side.directory) for side in sides))
    notes = (*speech_notes(checkpoint.directory, speaker, opened.directory), *opened.notes(checkpoint))
    with complete_or_absent(output_dir) as partial:
        copy_small_files(opened.directory, partial, leave_out=(CONFIG_FILE,))
        (partial / CONFIG_FILE).write_text(
            json.dumps(dict(hybrid.fields), indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )
        save_file(tensors, partial / WEIGHTS_FILE, {"format": "pt"})
        manifest = BuildManifest(
            slr_version=slr_version(),
            architecture=checkpoint.layout.architecture,
            base=checkpoint.reference.public_name,
            base_revision=checkpoint.reference.revision,
            instruct=opened.reference.public_name,
            instruct_revision=opened.reference.revision,
            instruct_is_adapter=True,
            interval=(interval.start, interval.end),
            num_layers=checkpoint.num_layers,
            alpha=alpha,
            dtype=str(next(iter(tensors.values())).dtype).removeprefix("torch."),
            notes=tuple(map(spec.without_paths, notes)),
            end_tokens=speaker.end_tokens,
            shards={WEIGHTS_FILE: hashlib.sha256((partial / WEIGHTS_FILE).read_bytes()).hexdigest()},
            tensors=origins,
        )
        card = model_card(manifest, checkpoint.layout.layers_path, licences, crc)
        (partial / "README.md").write_text(card, encoding="utf-8")
        write_end_tokens_of(speaker, speaker.generation, partial)
        written = open_adapter(partial).applied_to(checkpoint)
        check_speaks_like(speaker.tokenizer, written.tokenizer, str(opened.reference))
        return write_manifest(partial, manifest)


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


def _check_scalable(adapter: Adapter, alpha: float) -> None:
    if alpha == 1:
        return
    config = adapter.config
    if config.changes_base_weights:
        kind = f"takes a part out of the base model's weights (init_lora_weights is {config.init_lora_weights!r})"
    elif config.use_dora:
        kind = "is a DoRA, which also scales the base model's weights"
    else:
        return
    raise ValueError(
        f"the adapter {adapter.reference} {kind}, so a share of it is no adapter of that kind: write the hybrid as a "
        "merged checkpoint (leave out --as-adapter), or restore the layers whole (alpha 1)"
    )


def _without_layers(
    adapter: Adapter, placement: Placement, base: Checkpoint, interval: LayerInterval
) -> Adapter:
    """The adapter with a configuration by which peft leaves the restored layers alone."""
    if len(interval) == 0:
        return adapter
    numbers = "|".join(str(layer) for layer in range(interval.start, interval.end))
    patterns = [rf"{re.escape(base.layout.layers_path)}\.(?:{numbers})\..*"]
    already = adapter.config.exclude_modules
    if isinstance(already, str):
        patterns.append(already)
    elif already:  # names, by which peft excludes modules whose path ends with one
        patterns.append("(?:.*\\.)?(?:" + "|".join(re.escape(name) for name in already) + ")")
    changes: dict[str, Any] = {"exclude_modules": "|".join(f"(?:{pattern})" for pattern in patterns)}
    if placement.parameters:  # peft does not exclude any of these, so the others are named
        changes["target_parameters"] = [
            name for name in placement.parameters if base.layout.layer_of(name) not in interval
        ]
    fields = {**adapter.fields, **changes}
    return replace(adapter, fields=fields, config=parse_config(fields, adapter.reference))


def _check_loadable(hybrid: Adapter, base: Checkpoint) -> None:
    """Raise ``ValueError`` unless peft loads exactly what is to be written."""
    try:
        hybrid.placed_in(base)
    except ValueError as error:
        raise ValueError(
            "the hybrid cannot be written as an adapter, so write it as a merged checkpoint (leave out --as-adapter): "
            f"{error}"
        ) from error

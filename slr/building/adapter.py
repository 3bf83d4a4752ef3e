"""Write a hybrid as an adapter: a LoRA adapter without the layers that are restored.

Restoring a layer means taking its adapter away, because a layer without its adapter is the base model's. A partly
restored layer keeps ``1 - alpha`` of its adapter, because ``(1 - alpha) (base + adapter) + alpha base`` equals
``base + (1 - alpha) adapter``.

The output directory::

    OUTPUT/
      adapter_config.json         the adapter's, with the restored layers excluded
      adapter_model.safetensors   its other tensors
      tokenizer, chat template, generation config, notices    the adapter's, if it has them
      slr_manifest.json           the origin of every tensor
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

from slr.building.manifest import BuildManifest, TensorOrigin, TensorSource, make_manifest, write_manifest
from slr.building.model_card import CARD_FILE, find_licences, model_card
from slr.building.options import DEFAULT_OPTIONS, BuildOptions
from slr.building.output_directory import (
    check_apart,
    check_output,
    complete_or_absent,
    copy_small_files,
    resolve_output,
)
from slr.building.search_scores import hybrid_scores
from slr.building.speech import hybrid_notes, write_end_tokens_of
from slr.chat.tokenizer_comparison import check_speaks_like
from slr.intervals import LayerInterval, Restoration
from slr.models.adapters.config import CONFIG_FILE, parse_config
from slr.models.adapters.opening import WEIGHTS_FILE, Adapter, open_adapter
from slr.models.checkpoint import Checkpoint
from slr.models.layout import ModelLayout
from slr.models.opened_pair import open_pair
from slr.models.reference import PairSpec
from slr.vocabulary import COMPONENTS

if TYPE_CHECKING:
    from slr.models.adapters.placement import Placement


def build_adapter(
    spec: PairSpec, interval: LayerInterval, output_dir: str | Path, options: BuildOptions = DEFAULT_OPTIONS
) -> BuildManifest:
    """Write the adapter that turns the base model into the hybrid; no weight of the base model is read.

    Args:
        spec: a pair whose instruct model is a PEFT LoRA adapter, from ``resolve_pair``.
        interval: the decoder layers to restore.
        output_dir: the directory to write.
        options: share of the base model, and how the directory is written.

    Raises:
        IncompatiblePairError: if the adapter does not fit the base model.
        HubError: if the hub does not give one of the two.
        ValueError: if the pair has no adapter, one of the two cannot be opened, or the interval does not fit; if
            nothing of the adapter would be left, only some components are to be restored, a part of a layer to restore
            was trained in full, or alpha is below 1 and the adapter is of a kind that cannot be scaled; if the output
            directory exists and may not be overwritten, there are no records in the options' ``search_dir``, or the
            options ask to verify.
    """
    if not spec.instruct_is_adapter:
        raise ValueError(f"{spec.name} has no adapter, so its hybrids cannot be written as one")
    if options.components != COMPONENTS:
        raise ValueError(
            f"an adapter restores whole layers, and the components are {', '.join(options.components)}: give all of "
            "them, or write a merged checkpoint (leave out --as-adapter)"
        )
    if options.verify:
        raise ValueError("only checkpoints are verified: leave verify out, or write a merged checkpoint")
    output_dir = resolve_output(output_dir)
    check_output(output_dir, options.overwrite)
    opened = open_pair(spec)
    base, adapter = opened.base, opened.adapter
    assert adapter is not None
    interval.check_within(base.num_layers)
    for source in opened.sources:
        check_apart(output_dir, source.directory)
    notes = hybrid_notes(opened)
    placement = adapter.placed_in(base)
    if placement.is_renamed:
        raise ValueError(
            f"the adapter {adapter.reference} names its tensors after module names of an earlier version of "
            "transformers: write the hybrid as a merged checkpoint (leave out --as-adapter), or load the adapter "
            "with the installed peft, save it with save_pretrained, and give that"
        )
    _check_scalable(adapter, options.alpha)
    tensors, origins = {}, {}
    for name, tensor, source in _hybrid_tensors(adapter, base.layout, interval, options.alpha):
        tensors[name] = tensor
        origins[name] = TensorOrigin(source=source, shard=WEIGHTS_FILE)
    if not tensors:
        raise ValueError(f"layers {interval} are all that the adapter changes: the hybrid is the base model")
    # Below alpha 1 the restored layers keep a share of their adapter, so the configuration must not exclude them.
    hybrid = adapter if options.alpha < 1 else _without_layers(adapter, placement, base, interval)
    _check_loadable(
        replace(hybrid, shapes={name: tuple(tensor.shape) for name, tensor in tensors.items()}), base
    )
    crc = hybrid_scores(options.search_dir, *opened.sources, Restoration(interval, options.stack))
    licences = find_licences(*opened.sources)
    with complete_or_absent(output_dir) as partial:
        copy_small_files(adapter.directory, partial, leave_out=(CONFIG_FILE,))
        (partial / CONFIG_FILE).write_text(
            json.dumps(dict(hybrid.fields), indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )
        save_file(tensors, partial / WEIGHTS_FILE, {"format": "pt"})
        manifest = make_manifest(
            opened,
            interval,
            options.stack,
            dtype=next(iter(tensors.values())).dtype,
            notes=notes,
            shards={WEIGHTS_FILE: hashlib.sha256((partial / WEIGHTS_FILE).read_bytes()).hexdigest()},
            tensors=origins,
        )
        card = model_card(manifest, base.layout.layers_path, licences, crc)
        (partial / CARD_FILE).write_text(card, encoding="utf-8")
        write_end_tokens_of(opened.instruct, opened.instruct.generation, partial)
        # The written adapter is opened as a user would open it, before the directory gets its name.
        written = open_adapter(partial).applied_to(base)
        check_speaks_like(opened.instruct.tokenizer, written.tokenizer, str(adapter.reference))
        return write_manifest(partial, manifest)


def _hybrid_tensors(
    adapter: Adapter, layout: ModelLayout, interval: LayerInterval, alpha: float
) -> Iterator[tuple[str, torch.Tensor, TensorSource]]:
    for name, tensor in load_file(adapter.directory / WEIGHTS_FILE).items():
        if adapter.layer_of(name, layout) not in interval:
            yield name, tensor, "instruct"
        elif ".lora_" not in name:
            raise ValueError(
                f"{name} was trained in full, not by the adapter: write the hybrid as a merged checkpoint"
            )
        elif alpha < 1:
            # The product of A and B is added to a weight, so scaling one of the two scales the change.
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
    """Make a configuration with which peft leaves the restored layers alone, and return the adapter with it."""
    if len(interval) == 0:
        return adapter
    numbers = "|".join(str(layer) for layer in range(*interval.ends))
    patterns = [rf"{re.escape(base.layout.layers_path)}\.(?:{numbers})\..*"]
    already = adapter.config.exclude_modules
    if isinstance(already, str):
        patterns.append(already)
    elif already:  # peft excludes modules whose path ends with one of these names
        patterns.append("(?:.*\\.)?(?:" + "|".join(re.escape(name) for name in already) + ")")
    changes: dict[str, Any] = {"exclude_modules": "|".join(f"(?:{pattern})" for pattern in patterns)}
    if placement.parameters:  # peft excludes no parameters, so the remaining ones are named
        changes["target_parameters"] = [
            name for name in placement.parameters if base.layout.layer_of(name) not in interval
        ]
    fields = {**adapter.fields, **changes}
    return replace(adapter, fields=fields, config=parse_config(fields, adapter.reference))


def _check_loadable(hybrid: Adapter, base: Checkpoint) -> None:
    """Check that peft loads exactly the tensors that will be written.

    Raises:
        ValueError: if it does not.
    """
    try:
        hybrid.placed_in(base)
    except ValueError as error:
        raise ValueError(
            "the hybrid cannot be written as an adapter, so write it as a merged checkpoint (leave out --as-adapter): "
            f"{error}"
        ) from error

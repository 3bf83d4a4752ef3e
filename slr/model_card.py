"""The model card of a built checkpoint: what it is and where it came from, in the hub's format."""

from __future__ import annotations

import torch

from slr.adapters import WEIGHTS_FILE
from slr.build_manifest import MANIFEST_FILE, BuildManifest
from slr.intervals import LayerInterval
from slr.mergekit import mergekit_yaml
from slr.model_pairs import ModelReference


def model_card(manifest: BuildManifest, layers_path: str) -> str:
    """Text of README.md."""
    base = ModelReference(manifest.base, manifest.base_revision)
    instruct = ModelReference(manifest.instruct, manifest.instruct_revision)
    start, end = manifest.interval
    share = "" if manifest.alpha == 1 else f" to {manifest.alpha:g} parts of 1"
    instruct_name = f"{base} with the adapter {instruct}" if manifest.instruct_is_adapter else str(instruct)
    library = "peft" if WEIGHTS_FILE in manifest.shards else "transformers"
    return f"""{_metadata(base, instruct, library)}
# {instruct.location}, layers {start}:{end} restored

The decoder layers are those of {instruct_name}, but layers {start}:{end} of {manifest.num_layers} (counted from 0,
the end not included) were restored{share} to {base} by Selective Layer Restoration, which gives a
post-trained model diversity back without training. Embeddings, final norm, LM head, tokenizer, chat template
and generation settings are those of {instruct_name}. `{MANIFEST_FILE}` says of every tensor where it came from.
Made with slr {manifest.slr_version}.

It is made from both models: the licences and terms of use of {base.location} and of {instruct.location} both
apply to it.
{_mergekit_section(manifest, base, instruct, layers_path)}"""


def _metadata(base: ModelReference, instruct: ModelReference, library: str) -> str:
    lines = [f"library_name: {library}", "pipeline_tag: text-generation"]
    if base.directory is None and instruct.directory is None:
        lines += ["base_model:", f"- {instruct.location}", f"- {base.location}", "base_model_relation: merge"]
    return "\n".join(["---", *lines, "tags:", "- merge", "- selective-layer-restoration", "---"])


def _mergekit_section(
    manifest: BuildManifest, base: ModelReference, instruct: ModelReference, layers_path: str
) -> str:
    # A directory's path would mean nothing to the reader of a card, nor an adapter to mergekit.
    if manifest.instruct_is_adapter or base.directory is not None or instruct.directory is not None:
        return ""
    text = mergekit_yaml(
        base,
        instruct,
        LayerInterval(*manifest.interval),
        num_layers=manifest.num_layers,
        dtype=getattr(torch, manifest.dtype),
        alpha=manifest.alpha,
        layers_path=layers_path,
    )
    return f"\nThe same tensors with mergekit:\n\n```yaml\n{text}```\n"

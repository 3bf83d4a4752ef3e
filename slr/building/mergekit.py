"""The same hybrid as a configuration for mergekit (https://github.com/arcee-ai/mergekit)."""

from __future__ import annotations

import json

import torch

from slr.building.manifest import BuildManifest
from slr.intervals import LayerInterval
from slr.models.reference import ModelReference


def equivalent_yaml(
    manifest: BuildManifest, layers_path: str | None, base: ModelReference, instruct: ModelReference
) -> str | None:
    """Text for ``mergekit-yaml`` that makes a built checkpoint's tensors.

    None for a hybrid that is made with an adapter, for mergekit would have to be given the merged model; and
    without ``layers_path``, where the files do not name tensors as the model does.
    """
    if manifest.instruct_is_adapter or layers_path is None:
        return None
    return mergekit_yaml(
        base,
        instruct,
        LayerInterval(*manifest.interval),
        num_layers=manifest.num_layers,
        dtype=getattr(torch, manifest.dtype),
        alpha=manifest.alpha,
        layers_path=layers_path,
    )


def mergekit_yaml(
    base: ModelReference,
    instruct: ModelReference,
    interval: LayerInterval,
    *,
    num_layers: int,
    dtype: torch.dtype,
    alpha: float = 1.0,
    layers_path: str = "model.layers",
) -> str:
    """Text for ``mergekit-yaml`` that makes the same tensors as ``slr build``.

    An interval that touches neither end is mergekit's ``passthrough`` of slices. At either end that would
    take the embeddings, or the final norm and the LM head, from the base model too, for mergekit gives
    these to the first and the last slice. So there, and for alpha below 1, it is ``linear`` with weights
    that hold for the decoder layers only.

    Args:
        base: the base model; a directory is written as an absolute path.
        instruct: the instruct model, in the same way.
        interval: the restored layers.
        num_layers: of the model.
        dtype: of the hybrid: the instruct model's.
        alpha: the base model's share within the interval.
        layers_path: where the tensors of the decoder layers are, by name.

    Raises:
        ValueError: if the interval does not fit the model.
    """
    interval.check_within(num_layers)
    interior = interval.start > 0 and interval.end < num_layers
    base_name, instruct_name = _mergekit_name(base), _mergekit_name(instruct)
    before, after = LayerInterval(0, interval.start), LayerInterval(interval.end, num_layers)
    if interior and alpha == 1:
        method, weight = "passthrough", ""
        restored = _source(base_name, interval, weight)
    else:
        method, weight = "linear", "    parameters:\n      weight: 1.0\n"
        restored = "".join(
            _source(name, interval, _weight_in_layers(inside, elsewhere, layers_path))
            for name, inside, elsewhere in ((instruct_name, 1 - alpha, 1.0), (base_name, alpha, 0.0))
        )
    slices = (
        (before, _source(instruct_name, before, weight)),
        (interval, restored),
        (after, _source(instruct_name, after, weight)),
    )
    return (
        f"merge_method: {method}\n"
        f"base_model: {instruct_name}\n"
        f"dtype: {str(dtype).removeprefix('torch.')}\n"
        "slices:\n" + "".join(f"- sources:\n{sources}" for layers, sources in slices if len(layers) > 0)
    )


def _mergekit_name(reference: ModelReference) -> str:
    directory = reference.directory
    # JSON's quoting is YAML's, too; a path may have characters that mean something to YAML.
    return json.dumps(str(reference) if directory is None else str(directory.resolve()))


def _source(name: str, layers: LayerInterval, weight: str) -> str:
    return f"  - model: {name}\n    layer_range: [{layers.start}, {layers.end}]\n{weight}"


def _weight_in_layers(inside: float, elsewhere: float, layers_path: str) -> str:
    return (
        "    parameters:\n"
        "      weight:\n"
        f"      - filter: {layers_path}.\n"
        f"        value: {inside}\n"
        f"      - value: {elsewhere}\n"
    )

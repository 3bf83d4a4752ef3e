"""Write a hybrid as a configuration for mergekit (https://github.com/arcee-ai/mergekit)."""

from __future__ import annotations

import json

import torch

from slr.building.manifest import BuildManifest
from slr.intervals import LayerInterval
from slr.models.reference import ModelReference


def equivalent_yaml(
    manifest: BuildManifest, layers_path: str | None, base: ModelReference, instruct: ModelReference
) -> str | None:
    """Write the configuration with which ``mergekit-yaml`` makes a built checkpoint's tensors.

    Args:
        manifest: the checkpoint's manifest.
        layers_path: path of the list of decoder layers; None if the files do not name tensors as the model does.
        base: the base model.
        instruct: the instruct model.

    Returns:
        The text. It is None without ``layers_path``, for a soup, and for layers restored without some components. It is
        None for a hybrid made with an adapter too, because mergekit would need the merged model.
    """
    if manifest.interval is None or manifest.components is not None:
        return None
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
    """Write the configuration with which ``mergekit-yaml`` makes the same tensors as ``slr build``.

    An interval that touches neither end becomes mergekit's ``passthrough`` of slices. At either end that would take
    the embeddings, or the final norm and the LM head, from the base model too, because mergekit counts them to the
    first and the last slice. So at either end, and for alpha below 1, the interval becomes ``linear`` with weights for
    the decoder layers only.

    Args:
        base: the base model; a directory is written as an absolute path.
        instruct: the instruct model; a directory is written as an absolute path.
        interval: the restored layers.
        num_layers: number of decoder layers of the model.
        dtype: dtype of the hybrid, which is the instruct model's.
        alpha: share of the base model within the interval, in (0, 1].
        layers_path: path of the list of decoder layers.

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
    # A path may have characters that mean something to YAML. JSON's quoting is also valid YAML.
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

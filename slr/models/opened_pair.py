"""Open the two models of a pair and check that they fit each other, before a weight is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from slr.models.adapters.opening import Adapter, open_adapter
from slr.models.checkpoint import Checkpoint, open_checkpoint, with_local_weights
from slr.models.compatibility import check_compatible, conversion_note
from slr.models.reference import ModelReference, PairSpec


@dataclass(frozen=True)
class ModelSource:
    """A model or adapter as it was given.

    Attributes:
        reference: the model or adapter.
        directory: local directory of its files.
    """

    reference: ModelReference
    directory: Path


@dataclass(frozen=True, kw_only=True)
class OpenedPair:
    """A base and an instruct checkpoint that fit each other.

    Attributes:
        spec: the pair by name.
        base: the base checkpoint.
        instruct: the instruct checkpoint. With an adapter it is the base checkpoint under the adapter's name, with the
            adapter's tokenizer if it has one.
        adapter: the adapter; None if the instruct model was given as a checkpoint.
        differences: what differs harmlessly between the two, a line each.
        conversions: which weights change their dtype, a line each.
    """

    spec: PairSpec
    base: Checkpoint
    instruct: Checkpoint
    adapter: Adapter | None
    differences: tuple[str, ...]
    conversions: tuple[str, ...]

    @property
    def sources(self) -> tuple[ModelSource, ModelSource]:
        """The base model, and the instruct model or adapter, as they were given."""
        instruct = self.instruct if self.adapter is None else self.adapter
        return (
            ModelSource(self.base.reference, self.base.directory),
            ModelSource(instruct.reference, instruct.directory),
        )

    def with_local_weights(self) -> OpenedPair:
        """Return the pair with all its weights in local directories, downloaded now if they were not there.

        Raises:
            HubError: if the hub does not give the weights.
            ValueError: if a shard is missing or damaged, or tensors do not fit the configuration.
        """
        # An adapter came with its weights when it was opened.
        instruct = with_local_weights(self.instruct) if self.adapter is None else self.instruct
        return replace(self, base=with_local_weights(self.base), instruct=instruct)


def with_facts(spec: PairSpec) -> PairSpec:
    """Fill in what the checkpoints say: commits on the hub, and numbers of decoder layers and parameters.

    Raises:
        ValueError: for every error of ``open_pair``.
    """
    opened = open_pair(spec)
    base, instruct = opened.sources
    return replace(
        spec,
        base=base.reference,
        instruct=instruct.reference,
        num_layers=opened.base.num_layers,
        num_parameters=opened.base.layout.num_parameters,
    )


def open_pair(spec: PairSpec, dtype: torch.dtype | None = None) -> OpenedPair:
    """Open both models of a pair, compare them, and note which weights change their dtype.

    Args:
        spec: the pair.
        dtype: dtype that the weights are wanted in; None for the instruct model's.

    Raises:
        IncompatiblePairError: if the checkpoints do not fit each other, or have missing or damaged shards; the
            message has a line for each mismatch.
        HubError: if the hub does not give a model.
        ValueError: if a checkpoint or the adapter cannot be opened.
    """
    base = open_checkpoint(spec.base)
    adapter = open_adapter(spec.instruct) if spec.instruct_is_adapter else None
    instruct = open_checkpoint(spec.instruct) if adapter is None else adapter.applied_to(base)
    differences = check_compatible(base, instruct)
    dtype = dtype or instruct.dtype
    if adapter is not None:
        conversions = conversion_note("base", base, dtype)
    elif base.dtype == instruct.dtype:
        conversions = conversion_note("base and instruct", base, dtype)
    else:
        conversions = conversion_note("base", base, dtype) + conversion_note("instruct", instruct, dtype)
    return OpenedPair(
        spec=spec,
        base=base,
        instruct=instruct,
        adapter=adapter,
        differences=differences,
        conversions=conversions,
    )

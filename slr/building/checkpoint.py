"""Write a hybrid or a soup as an ordinary checkpoint directory, straight from safetensors files: no model is built.

The output directory::

    OUTPUT/
      config.json, tokenizer, chat template   the instruct model's, byte for byte
      generation_config.json                  the same, with all tokens that end an answer
      model*.safetensors (and its index)      the instruct model's files, with the tensors of the restored layers
                                              replaced; for a soup, with all of them interpolated
      slr_manifest.json                       the origin of every tensor
      README.md                               a model card

The directory gets its name only when it is complete. The kernel copies runs of tensors that stay as they are on disk.
So writing takes as long as copying the files, and needs an amount of memory that does not grow with the model.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from slr.building.manifest import BuildManifest, TensorOrigin, TensorSource, make_manifest, write_manifest
from slr.building.mergekit import equivalent_yaml
from slr.building.merging import write_merged_checkpoint
from slr.building.model_card import CARD_FILE, find_licences, model_card
from slr.building.numbers import bytes_to_check, check_hybrid
from slr.building.options import DEFAULT_OPTIONS, BuildOptions
from slr.building.output_directory import (
    check_apart,
    check_output,
    check_space,
    complete_or_absent,
    copy_small_files,
    left_over,
    resolve_output,
    small_files,
)
from slr.building.search_scores import hybrid_scores
from slr.building.shards import (
    plan_hybrid_shard,
    verify_hybrid_shard,
    write_hybrid_shard,
)
from slr.building.speech import hybrid_notes, write_and_check_speech
from slr.intervals import LayerInterval, Restoration
from slr.models.checkpoint import Checkpoint
from slr.models.components import component_of
from slr.models.numbers_in_range import check_numbers, num_weight_bytes
from slr.models.opened_pair import OpenedPair, open_pair
from slr.models.reference import PairSpec
from slr.models.safetensors_index import INDEX_FILE, SINGLE_FILE
from slr.models.stored_tensors import StoredTensor, stored_tensors
from slr.vocabulary import COMPONENTS, Component


@dataclass(frozen=True)
class BuildReport:
    """The outcome of ``build``.

    Attributes:
        output_dir: the directory.
        manifest: its manifest.
        num_bytes: size of the weight files in bytes.
        seconds: time in seconds that writing them took.
        mergekit_yaml: configuration with which mergekit makes the same tensors; None if it cannot.
        notes: what the user may want to know, a line each.
    """

    output_dir: Path
    manifest: BuildManifest
    num_bytes: int
    seconds: float
    mergekit_yaml: str | None
    notes: tuple[str, ...]

    @property
    def num_restored(self) -> int:
        """Number of tensors that come wholly or partly from the base model."""
        return sum(origin.source != "instruct" for origin in self.manifest.tensors.values())


def build(
    spec: PairSpec,
    interval: LayerInterval | None,
    output_dir: str | Path,
    options: BuildOptions = DEFAULT_OPTIONS,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> BuildReport:
    """Write the instruct model with the decoder layers of ``interval`` restored to the base model's.

    If the instruct model is given as an adapter, it is first merged into the base model in a directory next to the
    output. The disk needs room for both until the hybrid is written.

    Args:
        spec: the pair, from ``resolve_pair``.
        interval: the decoder layers to restore; the empty interval writes a copy of the instruct model. None writes a
            soup: every weight of the model is interpolated, at the options' alpha.
        output_dir: the checkpoint directory to write.
        options: share of the base model, and how the checkpoint is written.
        on_progress: called with the number of bytes of weights checked, written and verified so far, and their total.

    Raises:
        IncompatiblePairError: if the two are no pair; the message has a line for each mismatch.
        HubError: if the hub does not give a model.
        ValueError: if the interval does not fit, a soup has components, or a checkpoint cannot be opened; if the output
            directory exists and may not be overwritten, or its disk has no room; if a weight is not finite, or would
            not be finite in the instruct model's dtype; or if there are no records in the options' ``search_dir``.
        OSError: if the output cannot be written, or differs from its sources.
    """
    if interval is None and options.components != COMPONENTS:
        raise ValueError("a soup is of all weights: leave components out, or give layers")
    output_dir = resolve_output(output_dir)
    check_output(output_dir, options.overwrite)
    opened = _open_with_weights(spec, interval, output_dir)
    notes = hybrid_notes(opened)  # which tries the chat template, before a weight is read
    with ExitStack() as stack:
        instruct = stack.enter_context(_instruct_on_disk(opened, output_dir))
        replacements = _base_tensors(opened.base, instruct, interval, options.components)
        num_bytes = _num_bytes(instruct)
        check_space(output_dir, num_bytes)
        on_bytes = _check_numbers(opened.base, instruct, replacements, options, on_progress)
        choice = options.alpha if interval is None else Restoration(interval, options.stack)
        crc = hybrid_scores(options.search_dir, *opened.sources, choice)
        # All that can be refused has been checked, so from here on only the disk can fail.
        partial = stack.enter_context(complete_or_absent(output_dir))
        plans = {
            partial / shard: plan_hybrid_shard(instruct.directory / shard, replacements, options.alpha)
            for shard in instruct.index.shards
        }
        began = time.perf_counter()
        for path, plan in plans.items():
            write_hybrid_shard(plan, path, on_bytes)
        seconds = time.perf_counter() - began
        hashes = {
            path.name: verify_hybrid_shard(plan, path, on_bytes) if options.verify else None
            for path, plan in plans.items()
        }
        manifest = make_manifest(
            opened,
            interval,
            options.stack,
            dtype=instruct.dtype,
            notes=notes,
            shards=hashes,
            tensors=_origins(instruct, replacements, options.alpha),
        )
        layers_path = instruct.layout.layers_path if _uses_model_names(instruct) else None
        card = model_card(manifest, layers_path, find_licences(*opened.sources), crc)
        _write_small_files(instruct, partial, card)
        write_and_check_speech(opened.instruct, instruct.generation, partial)
        manifest = write_manifest(partial, manifest)
    return BuildReport(
        output_dir,
        manifest,
        num_bytes,
        seconds,
        equivalent_yaml(manifest, layers_path, opened.base.reference, opened.instruct.reference),
        notes=(*notes, *_left_over_notes(output_dir)),
    )


def _open_with_weights(spec: PairSpec, interval: LayerInterval | None, output_dir: Path) -> OpenedPair:
    """Open a pair with all its weights, and check that writing the output leaves its directories whole."""
    opened = open_pair(spec)
    if interval is not None:
        interval.check_within(opened.base.num_layers)
    opened = opened.with_local_weights()
    for source in opened.sources:
        check_apart(output_dir, source.directory)
        small_files(source.directory)  # it refuses files that must not be copied, before anything is written
    return opened


@contextmanager
def _instruct_on_disk(opened: OpenedPair, output_dir: Path) -> Generator[Checkpoint]:
    """Yield the instruct checkpoint; an adapter is merged into a directory next to the output, removed at the end."""
    if opened.adapter is None:
        yield opened.instruct
        return
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    # The disk of the output is asked for room anyway, and the system's temporary directory is often small.
    with tempfile.TemporaryDirectory(dir=output_dir.parent, prefix=f".{output_dir.name}.merged-") as merged:
        yield write_merged_checkpoint(opened.base, opened.adapter, Path(merged))


def _check_numbers(
    base: Checkpoint,
    instruct: Checkpoint,
    replacements: Mapping[str, StoredTensor],
    options: BuildOptions,
    on_progress: Callable[[int, int], None] | None,
) -> Callable[[int], None]:
    """Check that all numbers of the hybrid are finite.

    Returns:
        A function to call with the number of bytes written or verified.
    """
    checked = (base, instruct) if options.verify else ()
    num_checked = bytes_to_check(instruct, replacements, options.alpha) + sum(map(num_weight_bytes, checked))
    on_bytes = _progress(on_progress, num_checked + _num_bytes(instruct) * (1 + options.verify))
    check_hybrid(base, instruct, replacements, options.alpha, on_bytes)
    for checkpoint in checked:
        check_numbers(checkpoint, on_bytes=on_bytes)
    return on_bytes


def _base_tensors(
    base: Checkpoint, instruct: Checkpoint, interval: LayerInterval | None, components: Sequence[Component]
) -> dict[str, StoredTensor]:
    """Find the base model's tensors of what is restored, by their names in the instruct model's files.

    Raises:
        ValueError: if a soup lacks a tensor, because the base model's files have it under no name.
    """
    stored = {
        name: tensor
        for shard in base.index.shards
        for name, tensor in stored_tensors(base.directory, shard).items()
    }
    found: dict[str, StoredTensor] = {}
    if interval is None:
        return _all_tensors(base, instruct, stored)
    for name in instruct.index.tensors:
        if instruct.layer_of(name) in interval and (source := _name_in(base, instruct, name)) in stored:
            found[name] = stored[source]
    if tuple(components) != COMPONENTS:
        component = {name: component_of(_name_in_layer(instruct, name)) for name in found}
        found = {name: tensor for name, tensor in found.items() if component[name] in components}
    restored = {instruct.layer_of(name) for name in found}
    assert restored == set(range(*interval.ends)), f"no tensors for {restored}"
    return found


def _all_tensors(
    base: Checkpoint, instruct: Checkpoint, stored: Mapping[str, StoredTensor]
) -> dict[str, StoredTensor]:
    """Find the base model's tensor of every weight of the instruct model, except what is no floating-point number.

    Raises:
        ValueError: if the base model's files lack one.
    """
    places = instruct.conversion.destinations
    names = {name: _name_in(base, instruct, name) for name in instruct.index.tensors if name in places}
    # A tied tensor shares the memory of another one, so files need not have both.
    found = {places[name].model_name for name, source in names.items() if source in stored}
    missing = sorted(instruct.layout.shapes.keys() - instruct.layout.tied - found)
    if missing:
        raise ValueError(
            f"the files of {base.reference} and {instruct.reference} name their tensors in different ways (such as "
            f"{missing[0]}), so no soup can be written: save both models by the same version of transformers"
        )
    # Tensors of whole numbers stay the instruct model's, as in the soup that the search scores.
    return {
        name: stored[source]
        for name, source in names.items()
        if source in stored and stored[source].dtype.is_floating_point
    }


def _name_in(base: Checkpoint, instruct: Checkpoint, name: str) -> str:
    """Find the name that a tensor of the instruct model's files has in the base model's; only prefixes may differ."""
    if name in base.index.tensors or name not in instruct.conversion.destinations:
        return name
    # A tensor that only one side has is no part of the model, because otherwise the two would be no pair.
    return base.conversion.sources.get(instruct.conversion.destinations[name].model_name, (name,))[0]


def _name_in_layer(checkpoint: Checkpoint, name: str) -> str:
    """The path of a layer's tensor within its layer, by the names of the model's modules."""
    model_name = checkpoint.conversion.destinations[name].model_name
    return model_name.removeprefix(f"{checkpoint.layout.layers_path}.{checkpoint.layer_of(name)}.")


def _uses_model_names(checkpoint: Checkpoint) -> bool:
    """Whether the files name all tensors as the model does.

    Otherwise mergekit would need to know the architecture, which was not tried.
    """
    places = checkpoint.conversion.destinations
    return all(name == places[name].model_name for name in places)


def _left_over_notes(output_dir: Path) -> Iterator[str]:
    for path in left_over(output_dir):
        yield f"{path} is left over from a build that was killed, unless the build still runs: it may be removed"


def _origins(
    instruct: Checkpoint, replacements: Mapping[str, StoredTensor], alpha: float
) -> dict[str, TensorOrigin]:
    restored: TensorSource = "base" if alpha == 1 else "interpolated"
    return {
        name: TensorOrigin(source=restored if name in replacements else "instruct", shard=entry.shard)
        for name, entry in sorted(instruct.index.tensors.items())
    }


def _write_small_files(instruct: Checkpoint, output_dir: Path, card: str) -> None:
    (output_dir / CARD_FILE).write_text(card, encoding="utf-8")
    copy_small_files(instruct.directory, output_dir, leave_out=(INDEX_FILE,))
    if not (output_dir / SINGLE_FILE).exists():
        shutil.copyfile(instruct.directory / INDEX_FILE, output_dir / INDEX_FILE)


def _num_bytes(checkpoint: Checkpoint) -> int:
    return sum((checkpoint.directory / shard).stat().st_size for shard in checkpoint.index.shards)


def _progress(on_progress: Callable[[int, int], None] | None, total: int) -> Callable[[int], None]:
    written = 0

    def on_bytes(count: int) -> None:
        nonlocal written
        written += count
        if on_progress is not None:
            on_progress(written, total)

    return on_bytes

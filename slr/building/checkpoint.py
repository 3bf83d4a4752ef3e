"""Write a hybrid as an ordinary checkpoint directory, straight from safetensors files: no model is built.

What is written::

    OUTPUT/
      config.json, tokenizer, chat template           the instruct model's, byte for byte
      generation_config.json                          the same, with all tokens that end an answer
      model*.safetensors (and its index)                          the instruct model's files, with the
                                                                  tensors of the restored layers replaced
      slr_manifest.json                                           where every tensor came from
      README.md                                                   a model card

The directory appears under its name only when it is complete. Runs of tensors that stay as they are on disk
are copied by the kernel, so that writing takes what copying the files takes, in memory that does not grow
with the model.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from slr.building.manifest import BuildManifest, TensorOrigin, TensorSource, slr_version, write_manifest
from slr.building.mergekit import equivalent_yaml
from slr.building.merging import write_merged_checkpoint
from slr.building.model_card import CARD_FILE, Licences, find_licence, model_card
from slr.building.numbers import bytes_to_check, check_hybrid
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
from slr.building.search_scores import Weights, hybrid_figures
from slr.building.shards import (
    plan_hybrid_shard,
    verify_hybrid_shard,
    write_hybrid_shard,
)
from slr.building.speech import make_it_speak, speech_notes
from slr.intervals import LayerInterval, check_alpha
from slr.models.adapters.opening import open_adapter
from slr.models.checkpoint import Checkpoint, open_checkpoint, with_local_weights
from slr.models.compatibility import check_compatible, conversion_note
from slr.models.numbers_in_range import check_numbers, num_weight_bytes
from slr.models.presets import resolve_pair
from slr.models.reference import Location, PairSpec
from slr.models.safetensors_index import INDEX_FILE, SINGLE_FILE
from slr.models.stored_tensors import StoredTensor, stored_tensors


@dataclass(frozen=True)
class BuildReport:
    """What ``build`` wrote, and where.

    ``num_bytes`` of weights were written in ``seconds``. ``mergekit_yaml`` makes the same tensors with
    mergekit; None where it cannot. ``notes`` are what the user may want to know, a line each.
    """

    output_dir: Path
    manifest: BuildManifest
    num_bytes: int
    seconds: float
    mergekit_yaml: str | None
    notes: tuple[str, ...]

    @property
    def num_restored(self) -> int:
        """Number of tensors that are wholly or partly the base model's."""
        return sum(origin.source != "instruct" for origin in self.manifest.tensors.values())


def build(
    base: Location,
    instruct: Location | None,
    interval: LayerInterval,
    output_dir: str | Path,
    *,
    adapter: Location | None = None,
    alpha: float = 1.0,
    overwrite: bool = False,
    verify: bool = False,
    search_dir: Path | None = None,
    base_revision: str | None = None,
    instruct_revision: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> BuildReport:
    """Write the instruct model with the decoder layers of ``interval`` restored to the base model's.

    Args:
        base: directory or hub id of the base model.
        instruct: directory or hub id of the instruct model; None if there is an adapter in its place.
        interval: the decoder layers to restore; empty: a copy of the instruct model.
        output_dir: the checkpoint directory to write.
        adapter: a PEFT LoRA adapter of the base model. The instruct model is the two merged, for which there
            must be room on disk until the hybrid is written.
        alpha: the base model's share within the interval, in (0, 1].
        overwrite: replace an existing checkpoint that slr wrote, once the new one is complete.
        verify: read everything from the disk again, compare it with what it is made of, and put the SHA-256
            of each weight file into the manifest. Numbers that are not finite are refused in any part of both
            models, not only in what goes into the hybrid.
        search_dir: output directory of a search over the same pair, for the CRC figures in the model card.
        base_revision: commit, tag or branch of a base model on the hub.
        instruct_revision: the same for the instruct model or adapter.
        on_progress: told the bytes of weights checked, written and verified so far, and their total.

    Raises:
        IncompatiblePairError: if the two are no pair; every mismatch is a line of it.
        HubError: if the hub does not give a model.
        ValueError: if the interval does not fit, alpha is not in (0, 1], the output directory exists and
            is not to be overwritten, its disk has no room, a checkpoint cannot be opened, a weight is not finite
            or would not be in the instruct model's dtype, or there are no records in ``search_dir``.
        OSError: if the output cannot be written, or is found to differ from what it is made of.
    """
    check_alpha(alpha)
    spec = resolve_pair(
        base,
        instruct,
        adapter=adapter,
        base_revision=base_revision,
        instruct_revision=instruct_revision,
    )
    output_dir = resolve_output(output_dir)
    check_output(output_dir, overwrite)
    with ExitStack() as stack:
        pair = stack.enter_context(_opened(spec, interval, output_dir))
        replacements = _base_tensors(pair.base, pair.instruct, interval)
        num_bytes = _num_bytes(pair.instruct)
        check_space(output_dir, num_bytes)
        checked = (pair.base, pair.instruct) if verify else ()
        num_checked = bytes_to_check(pair.instruct, replacements, alpha) + sum(map(num_weight_bytes, checked))
        on_bytes = _progress(on_progress, num_checked + num_bytes * (1 + verify))
        check_hybrid(pair.base, pair.instruct, replacements, alpha, on_bytes)
        for checkpoint in checked:
            check_numbers(checkpoint, on_bytes=on_bytes)
        crc = hybrid_figures(search_dir, *pair.weights, interval, alpha) if search_dir is not None else None
        partial = stack.enter_context(complete_or_absent(output_dir))
        plans = {
            partial / shard: plan_hybrid_shard(pair.instruct.directory / shard, replacements, alpha)
            for shard in pair.instruct.index.shards
        }
        began = time.perf_counter()
        for path, plan in plans.items():
            write_hybrid_shard(plan, path, on_bytes)
        seconds = time.perf_counter() - began
        hashes = {
            path.name: verify_hybrid_shard(plan, path, on_bytes) if verify else None
            for path, plan in plans.items()
        }
        manifest = BuildManifest(
            slr_version=slr_version(),
            architecture=pair.instruct.layout.architecture,
            base=pair.base.reference.public_name,
            base_revision=pair.base.reference.revision,
            instruct=pair.instruct.reference.public_name,
            instruct_revision=pair.instruct.reference.revision,
            instruct_is_adapter=spec.instruct_is_adapter,
            interval=(interval.start, interval.end),
            num_layers=pair.instruct.num_layers,
            alpha=alpha,
            dtype=str(pair.instruct.dtype).removeprefix("torch."),
            notes=tuple(map(spec.without_paths, pair.notes)),
            end_tokens=pair.speaker.end_tokens,
            shards=hashes,
            tensors=_origins(pair.instruct, replacements, alpha),
        )
        layers_path = pair.instruct.layout.layers_path if _has_the_model_s_names(pair.instruct) else None
        licences = Licences(*(find_licence(side.reference, side.directory) for side in pair.weights))
        card = model_card(manifest, layers_path, licences, crc)
        _write_small_files(pair.instruct, partial, card)
        make_it_speak(pair.speaker, pair.instruct.generation, partial)
        manifest = write_manifest(partial, manifest)
    return BuildReport(
        output_dir,
        manifest,
        num_bytes,
        seconds,
        equivalent_yaml(manifest, layers_path, pair.base.reference, pair.instruct.reference),
        notes=(*pair.notes, *_left_over_notes(output_dir)),
    )


@dataclass(frozen=True)
class _OpenedPair:
    """Two checkpoints with local weights that were found to fit, and notes on what differs harmlessly.

    ``post_trained_dir`` has the weights of the instruct model as it was given: those of the adapter, if it is
    one. ``speaker`` has the tokenizer and generation settings of the instruct side, as they were given.
    """

    base: Checkpoint
    instruct: Checkpoint
    speaker: Checkpoint
    post_trained_dir: Path
    notes: tuple[str, ...]

    @property
    def weights(self) -> tuple[Weights, Weights]:
        """Of base and instruct model, as they were given."""
        return (
            Weights(self.base.reference, self.base.directory),
            Weights(self.instruct.reference, self.post_trained_dir),
        )


@contextmanager
def _opened(spec: PairSpec, interval: LayerInterval, output_dir: Path) -> Iterator[_OpenedPair]:
    """An adapter is merged into a checkpoint beside the output, which is removed at the end."""
    base = open_checkpoint(spec.base)
    interval.check_within(base.num_layers)
    adapter = open_adapter(spec.instruct) if spec.instruct_is_adapter else None
    instruct = open_checkpoint(spec.instruct) if adapter is None else adapter.applied_to(base)
    notes = check_compatible(base, instruct)
    notes += conversion_note("base", base, instruct.dtype)
    notes += speech_notes(base.directory, instruct, adapter.directory if adapter else None)
    speaker, base = instruct, with_local_weights(base)
    if adapter is None:
        instruct = with_local_weights(instruct)
    for directory in (base.directory, adapter.directory if adapter else instruct.directory):
        check_apart(output_dir, directory)
        small_files(directory)  # what must not be copied is said before anything is written
    if adapter is None:
        yield _OpenedPair(base, instruct, speaker, instruct.directory, notes)
        return
    notes += adapter.notes(base)
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir.parent, prefix=f".{output_dir.name}.merged-") as merged:
        instruct = write_merged_checkpoint(base, adapter, Path(merged))
        yield _OpenedPair(base, instruct, speaker, adapter.directory, notes)


def _base_tensors(base: Checkpoint, instruct: Checkpoint, interval: LayerInterval) -> dict[str, StoredTensor]:
    """The base model's tensors of the restored layers, by the names that the instruct model's files have for them."""
    stored = {
        name: tensor
        for shard in base.index.shards
        for name, tensor in stored_tensors(base.directory, shard).items()
    }
    found: dict[str, StoredTensor] = {}
    for name in instruct.index.tensors:
        if instruct.layer_of(name) in interval and (source := _name_in(base, instruct, name)) in stored:
            found[name] = stored[source]
    restored = {instruct.layer_of(name) for name in found}
    assert restored == set(range(interval.start, interval.end)), f"no tensors for {restored}"
    return found


def _name_in(base: Checkpoint, instruct: Checkpoint, name: str) -> str:
    """What the base model's files call a tensor of the instruct model's; only prefixes may be other ones."""
    if name in base.index.tensors or name not in instruct.conversion.destinations:
        return name
    # A tensor that only one side has is no part of the model, or the two would have been no pair.
    return base.conversion.sources.get(instruct.conversion.destinations[name].model_name, (name,))[0]


def _has_the_model_s_names(checkpoint: Checkpoint) -> bool:
    """Where the files name tensors otherwise, mergekit would need to know the architecture; that was not tried."""
    places = checkpoint.conversion.destinations
    return all(name == places[name].model_name for name in places)


def _left_over_notes(output_dir: Path) -> Iterator[str]:
    for path in left_over(output_dir):
        yield f"{path} is of a build that was killed, unless it still runs: it may be removed"


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

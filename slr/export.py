"""Write a hybrid as an ordinary checkpoint directory, straight from safetensors files: no model is built.

What is written::

    OUTPUT/
      config.json, tokenizer, chat template, generation config    the instruct model's, byte for byte
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

from slr.adapter_merging import write_merged_checkpoint
from slr.adapters import open_adapter
from slr.build_manifest import MANIFEST_FILE, BuildManifest, TensorOrigin, TensorSource, slr_version
from slr.checkpoints import resolve_pair
from slr.compatibility import check_compatible, conversion_note
from slr.crc.hybrid_figures import Weights, hybrid_figures
from slr.hybrid_shards import (
    StoredTensor,
    plan_hybrid_shard,
    stored_tensors,
    verify_hybrid_shard,
    write_hybrid_shard,
)
from slr.intervals import LayerInterval, check_alpha
from slr.mergekit import equivalent_yaml
from slr.model_card import CARD_FILE, Licences, find_licence, model_card
from slr.model_pairs import PairSpec
from slr.opening import Checkpoint, Location, open_checkpoint, with_local_weights
from slr.output_directory import (
    check_output,
    check_space,
    complete_or_absent,
    copy_small_files,
    left_over,
)
from slr.tensor_index import INDEX_FILE, SINGLE_FILE


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
        overwrite: replace an existing checkpoint directory, once the new one is complete.
        verify: read everything from the disk again, compare it with what it is made of, and put the SHA-256
            of each weight file into the manifest.
        search_dir: output directory of a search over the same pair, for the CRC figures in the model card.
        base_revision: commit, tag or branch of a base model on the hub.
        instruct_revision: the same for the instruct model or adapter.
        on_progress: told the bytes of weights written (and verified) so far, and their total.

    Raises:
        IncompatiblePairError: if the two are no pair; every mismatch is a line of it.
        HubError: if the hub does not give a model.
        ValueError: if the interval does not fit, alpha is not in (0, 1], the output directory exists and
            is not to be overwritten, its disk has no room, a checkpoint cannot be opened, or there are no
            records in ``search_dir``.
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
    output_dir = Path(output_dir).expanduser().resolve()
    check_output(output_dir, overwrite)
    with ExitStack() as stack:
        pair = stack.enter_context(_opened(spec, interval, output_dir))
        replacements = _base_tensors(pair.base, pair.instruct, interval)
        num_bytes = _num_bytes(pair.instruct)
        check_space(output_dir, num_bytes)
        crc = hybrid_figures(search_dir, *pair.weights, interval, alpha) if search_dir is not None else None
        partial = stack.enter_context(complete_or_absent(output_dir))
        plans = {
            partial / shard: plan_hybrid_shard(pair.instruct.directory / shard, replacements, alpha)
            for shard in pair.instruct.index.shards
        }
        on_bytes = _progress(on_progress, num_bytes * (1 + verify))
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
            base=pair.base.reference.location,
            base_revision=pair.base.reference.revision,
            instruct=pair.instruct.reference.location,
            instruct_revision=pair.instruct.reference.revision,
            instruct_is_adapter=spec.instruct_is_adapter,
            interval=(interval.start, interval.end),
            num_layers=pair.instruct.num_layers,
            alpha=alpha,
            dtype=str(pair.instruct.dtype).removeprefix("torch."),
            notes=pair.notes,
            shards=hashes,
            tensors=_origins(pair.instruct, replacements, alpha),
        )
        layers_path = pair.instruct.layout.layers_path
        licences = Licences(*(find_licence(side.reference, side.directory) for side in pair.weights))
        card = model_card(manifest, layers_path, licences, crc)
        _write_small_files(pair.instruct, partial, manifest, card)
    return BuildReport(
        output_dir,
        manifest,
        num_bytes,
        seconds,
        equivalent_yaml(manifest, layers_path),
        notes=(*pair.notes, *_left_over_notes(output_dir)),
    )


@dataclass(frozen=True)
class _OpenedPair:
    """Two checkpoints with local weights that were found to fit, and notes on what differs harmlessly.

    ``post_trained_dir`` has the weights of the instruct model as it was given: those of the adapter, if it is
    one.
    """

    base: Checkpoint
    instruct: Checkpoint
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
    base = with_local_weights(base)
    if adapter is None:
        instruct = with_local_weights(instruct)
    for directory in (base.directory, adapter.directory if adapter else instruct.directory):
        _check_apart(output_dir, directory)
    if adapter is None:
        yield _OpenedPair(base, instruct, instruct.directory, notes)
        return
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir.parent, prefix=f".{output_dir.name}.merged-") as merged:
        instruct = write_merged_checkpoint(base, adapter, Path(merged))
        yield _OpenedPair(base, instruct, adapter.directory, notes)


def _check_apart(output_dir: Path, source: Path) -> None:
    if source.resolve().is_relative_to(output_dir):
        raise ValueError(
            f"{output_dir} would overwrite {source}, which the hybrid is made from: "
            "choose another output directory"
        )


def _base_tensors(base: Checkpoint, instruct: Checkpoint, interval: LayerInterval) -> dict[str, StoredTensor]:
    """The base model's tensors of the restored layers, where they are on disk."""
    layers = {name: instruct.layout.layer_of(name) for name in instruct.index.tensors}
    if missing := set(range(instruct.num_layers)) - set(layers.values()):
        raise ValueError(
            f"no tensor of {instruct.reference} is named {instruct.layout.layers_path}.{min(missing)}.*, as "
            f"{instruct.layout.architecture} names its decoder layers: save the checkpoint anew with "
            "save_pretrained of the installed transformers"
        )
    # A tensor that only one side has is no part of the model, or the two would have been no pair.
    names = {name for name, layer in layers.items() if layer in interval and name in base.index.tensors}
    return {
        name: tensor
        for shard in base.index.shards
        for name, tensor in stored_tensors(base.directory, shard).items()
        if name in names
    }


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


def _write_small_files(instruct: Checkpoint, output_dir: Path, manifest: BuildManifest, card: str) -> None:
    (output_dir / MANIFEST_FILE).write_text(
        manifest.without_paths().model_dump_json(indent=1) + "\n", encoding="utf-8"
    )
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

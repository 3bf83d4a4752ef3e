"""Write a hybrid as an ordinary checkpoint directory, straight from safetensors files: no model is built.

What is written::

    OUTPUT/
      config.json, tokenizer, chat template, generation config    the instruct model's, byte for byte
      model*.safetensors (and its index)                          the instruct model's files, with the
                                                                  tensors of the restored layers replaced
      slr_manifest.json                                           where every tensor came from
      README.md                                                   a model card

The directory appears under its name only when it is complete.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from slr.build_manifest import MANIFEST_FILE, BuildManifest, TensorOrigin, TensorSource
from slr.compatibility import check_compatible, conversion_note
from slr.hub import SMALL_FILE_PATTERNS
from slr.hybrid_shards import StoredTensor, stored_tensors, write_hybrid_shard
from slr.intervals import LayerInterval
from slr.model_card import model_card
from slr.opening import Checkpoint, Location, open_checkpoint, with_local_weights
from slr.tensor_index import INDEX_FILE, SINGLE_FILE


@dataclass(frozen=True)
class BuildReport:
    """What ``build`` wrote, and where."""

    output_dir: Path
    manifest: BuildManifest
    num_bytes: int

    @property
    def num_restored(self) -> int:
        """Number of tensors that are wholly or partly the base model's."""
        return sum(origin.source != "instruct" for origin in self.manifest.tensors.values())


def build(
    base: Location,
    instruct: Location,
    interval: LayerInterval,
    output_dir: str | Path,
    *,
    alpha: float = 1.0,
    overwrite: bool = False,
    base_revision: str | None = None,
    instruct_revision: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> BuildReport:
    """Write the instruct model with the decoder layers of ``interval`` restored to the base model's.

    Args:
        base: directory or hub id of the base model.
        instruct: directory or hub id of the instruct model.
        interval: the decoder layers to restore; empty: a copy of the instruct model.
        output_dir: the checkpoint directory to write.
        alpha: the base model's share within the interval, in (0, 1].
        overwrite: replace an existing checkpoint directory, once the new one is complete.
        base_revision: commit, tag or branch of a base model on the hub.
        instruct_revision: the same for the instruct model.
        on_progress: told the bytes of weights written so far, and their total.

    Raises:
        IncompatiblePairError: if the two are no pair; every mismatch is a line of it.
        HubError: if the hub does not give a model.
        ValueError: if the interval does not fit, alpha is not in (0, 1], the output directory exists and
            is not to be overwritten, or a checkpoint cannot be opened.
    """
    if not 0 < alpha <= 1:
        raise ValueError(
            f"alpha is {alpha}, expected a number in (0, 1]: the base model's share within the interval"
        )
    output_dir = Path(output_dir).expanduser().resolve()
    _check_output(output_dir, overwrite)
    base_checkpoint = open_checkpoint(base, revision=base_revision)
    instruct_checkpoint = open_checkpoint(instruct, revision=instruct_revision)
    interval.check_within(instruct_checkpoint.num_layers)
    notes = check_compatible(base_checkpoint, instruct_checkpoint)
    notes += conversion_note("base", base_checkpoint, instruct_checkpoint.dtype)
    base_checkpoint = with_local_weights(base_checkpoint)
    instruct_checkpoint = with_local_weights(instruct_checkpoint)
    for checkpoint in (base_checkpoint, instruct_checkpoint):
        _check_apart(output_dir, checkpoint)
    replacements = _base_tensors(base_checkpoint, instruct_checkpoint, interval)
    num_bytes = _num_bytes(instruct_checkpoint)
    with _complete_or_absent(output_dir) as partial:
        shards = _write_shards(
            instruct_checkpoint, partial, replacements, alpha, _progress(on_progress, num_bytes)
        )
        manifest = BuildManifest(
            slr_version=_slr_version(),
            architecture=instruct_checkpoint.layout.architecture,
            base=base_checkpoint.reference.location,
            base_revision=base_checkpoint.reference.revision,
            instruct=instruct_checkpoint.reference.location,
            instruct_revision=instruct_checkpoint.reference.revision,
            interval=(interval.start, interval.end),
            num_layers=instruct_checkpoint.num_layers,
            alpha=alpha,
            dtype=str(instruct_checkpoint.dtype).removeprefix("torch."),
            notes=notes,
            shards=shards,
            tensors=_origins(instruct_checkpoint, replacements, alpha),
        )
        _write_small_files(instruct_checkpoint, partial, manifest)
    return BuildReport(output_dir, manifest, num_bytes)


def _check_output(output_dir: Path, overwrite: bool) -> None:
    if not output_dir.exists():
        return
    if not overwrite:
        raise ValueError(
            f"{output_dir} exists already: choose another output directory, or ask to overwrite it"
        )
    is_checkpoint = output_dir.is_dir() and (
        (output_dir / "config.json").exists() or not any(output_dir.iterdir())
    )
    if not is_checkpoint:
        raise ValueError(
            f"{output_dir} is no checkpoint directory and is not overwritten: choose another output directory"
        )


def _check_apart(output_dir: Path, source: Checkpoint) -> None:
    if source.directory.resolve().is_relative_to(output_dir):
        raise ValueError(
            f"{output_dir} would overwrite {source.reference}, which the hybrid is made from: "
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


def _write_shards(
    instruct: Checkpoint,
    output_dir: Path,
    replacements: Mapping[str, StoredTensor],
    alpha: float,
    on_bytes: Callable[[int], None],
) -> dict[str, str]:
    """Write all weight files; return the SHA-256 of each."""
    return {
        shard: write_hybrid_shard(
            instruct.directory / shard, output_dir / shard, replacements, alpha, on_bytes
        )
        for shard in instruct.index.shards
    }


def _origins(
    instruct: Checkpoint, replacements: Mapping[str, StoredTensor], alpha: float
) -> dict[str, TensorOrigin]:
    restored: TensorSource = "base" if alpha == 1 else "interpolated"
    return {
        name: TensorOrigin(source=restored if name in replacements else "instruct", shard=entry.shard)
        for name, entry in sorted(instruct.index.tensors.items())
    }


def _write_small_files(instruct: Checkpoint, output_dir: Path, manifest: BuildManifest) -> None:
    (output_dir / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (output_dir / "README.md").write_text(model_card(manifest, instruct.layout.layers_path), encoding="utf-8")
    sources = {path for pattern in SMALL_FILE_PATTERNS for path in instruct.directory.glob(pattern)}
    for source in sorted(path for path in sources if path.is_file() and path.name != INDEX_FILE):
        target = output_dir / source.relative_to(instruct.directory)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, target)
    if not (output_dir / SINGLE_FILE).exists():
        shutil.copyfile(instruct.directory / INDEX_FILE, output_dir / INDEX_FILE)


@contextmanager
def _complete_or_absent(output_dir: Path) -> Iterator[Path]:
    """A directory to write into, which gets its name at the end, or is removed if anything fails."""
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    partial = output_dir.with_name(f".{output_dir.name}.partial-{secrets.token_hex(4)}")
    partial.mkdir()
    try:
        yield partial
        _move_into_place(partial, output_dir)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _move_into_place(partial: Path, output_dir: Path) -> None:
    if not output_dir.exists():
        partial.rename(output_dir)
        return
    replaced = partial.with_name(partial.name.replace(".partial-", ".replaced-"))
    output_dir.rename(replaced)
    try:
        partial.rename(output_dir)
    except BaseException:
        replaced.rename(output_dir)
        raise
    shutil.rmtree(replaced)


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


def _slr_version() -> str:
    try:
        return metadata.version("slr")
    except metadata.PackageNotFoundError:  # used from a source tree that is not installed
        return "not installed"

"""Cost of writing a hybrid by ``slr build`` and by mergekit, against copying the instruct model with ``cp``.

Each method runs in its own process on a random Llama pair. ``experiments/build_cost.py`` describes the measured
quantities.
"""

from __future__ import annotations

import re
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slr.costs.process_cost import ProcessCost, run_measured
from slr.runs.provenance import config_hash, describe_device, provenance
from slr.runs.records import BuildCost
from slr.terminal.tables import print_table

if TYPE_CHECKING:
    from transformers import LlamaConfig

ALPHA = 0.5
"""Share of the base model in the interval, for the method that interpolates."""
SLR = (sys.executable, "-m", "slr")
SLR_IMPORTS = (sys.executable, "-c", "import slr.building.checkpoint")
WRITING_SECONDS = re.compile(r"MB in ([\d.]+) s")
"""Pattern of the seconds of writing that ``slr build`` prints."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The shape of a random pair, and how its weights are stored.

    Attributes:
        num_hidden_layers: number of decoder layers.
        hidden_size: width of the hidden states.
        intermediate_size: width of the MLPs.
        num_attention_heads: number of query heads.
        num_key_value_heads: number of key and value heads.
        vocab_size: number of tokens.
        shard_bytes: largest size of a weight file in bytes.
    """

    num_hidden_layers: int = 16
    hidden_size: int = 2048
    intermediate_size: int = 8192
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    vocab_size: int = 128_256
    shard_bytes: int = 10**9

    @property
    def pair_name(self) -> str:
        """Name of the pair in records."""
        return f"random-llama-{self.num_hidden_layers}x{self.hidden_size}"

    @property
    def config(self) -> LlamaConfig:
        """Configuration of this shape for transformers, with one matrix for embeddings and head."""
        from transformers import LlamaConfig

        fields = asdict(self)
        del fields["shard_bytes"]
        return LlamaConfig(**fields, tie_word_embeddings=True)


SMOKE = Shape(
    num_hidden_layers=4,
    hidden_size=64,
    intermediate_size=128,
    num_attention_heads=4,
    num_key_value_heads=2,
    vocab_size=1024,
    shard_bytes=200_000,
)


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to write a hybrid, as a command.

    Attributes:
        name: name in records and tables.
        command: command that writes the hybrid.
        output: directory that the command writes.
        imports: command of the same program that ends after its imports; None if there are no imports to measure.
    """

    name: str
    command: Sequence[str | Path]
    output: Path
    imports: Sequence[str] | None = None


def write_pair(work_dir: Path, shape: Shape) -> list[Path]:
    """Write a random pair of the shape, unless it is there.

    Returns:
        The directories of the base model and the instruct model.
    """
    from slr.costs.random_pairs import byte_level_tokenizer, write_random_pair

    return write_random_pair(
        work_dir, shape.config, byte_level_tokenizer(shape.vocab_size), shape.shard_bytes
    )


def methods_for(
    work_dir: Path, base: Path, instruct: Path, shape: Shape, mergekit: str | None
) -> list[Method]:
    """List the methods in the order in which they are measured.

    Args:
        work_dir: directory for everything that the methods write.
        base: checkpoint of the base model; the middle half of its layers is restored.
        instruct: checkpoint of the instruct model.
        shape: shape of both.
        mergekit: path of the program ``mergekit-yaml``; None leaves mergekit out.
    """
    import torch

    from slr.building.mergekit import mergekit_yaml
    from slr.intervals import LayerInterval
    from slr.models.reference import ModelReference

    interval = LayerInterval(shape.num_hidden_layers // 4, 3 * shape.num_hidden_layers // 4)
    build = (*SLR, "build", base, instruct, "--layers", str(interval), "--output")
    outputs = {name: work_dir / name for name in ("copy", "slr", "slr-alpha", "mergekit")}
    methods = [
        Method(name="cp -r", command=("cp", "-r", instruct, outputs["copy"]), output=outputs["copy"]),
        Method(
            name="slr build", command=(*build, outputs["slr"]), output=outputs["slr"], imports=SLR_IMPORTS
        ),
        Method(
            name=f"slr build --alpha {ALPHA}",
            command=(*build, outputs["slr-alpha"], "--alpha", str(ALPHA)),
            output=outputs["slr-alpha"],
            imports=SLR_IMPORTS,
        ),
    ]
    if mergekit is not None:
        configuration = work_dir / "mergekit.yaml"
        configuration.write_text(
            mergekit_yaml(
                ModelReference(str(base)),
                ModelReference(str(instruct)),
                interval,
                num_layers=shape.num_hidden_layers,
                dtype=torch.bfloat16,
            )
        )
        methods.append(
            Method(
                name="mergekit-yaml",
                command=(mergekit, configuration, outputs["mergekit"], "--quiet"),
                output=outputs["mergekit"],
                imports=(mergekit, "--help"),
            )
        )
    return methods


def measure_methods(methods: Sequence[Method], repetitions: int, shape: Shape) -> list[BuildCost]:
    """Run all methods in turn, several times, and take the median of each quantity.

    The output of each method's last run stays on the disk.

    Args:
        methods: methods to measure; ``methods_for`` makes them.
        repetitions: number of runs of each method.
        shape: shape of the pair, for the records.

    Returns:
        One record for each method, in order.
    """
    imports = {method.name: run_measured(method.imports) for method in methods if method.imports}
    runs: dict[str, list[ProcessCost]] = {method.name: [] for method in methods}
    # The methods take turns, so that a slow phase of the machine hits all of them alike.
    for repetition in range(repetitions):
        for method in methods:
            shutil.rmtree(method.output, ignore_errors=True)
            runs[method.name].append(run_measured(method.command))
            # Old outputs would push the sources out of the page cache. The last ones are compared afterwards.
            if repetition < repetitions - 1:
                shutil.rmtree(method.output)
    return [_medians(shape, name, costs, imports.get(name)) for name, costs in runs.items()]


def _medians(
    shape: Shape, method: str, costs: Sequence[ProcessCost], imports: ProcessCost | None
) -> BuildCost:
    seconds = statistics.median(cost.seconds for cost in costs)
    # slr build prints its seconds of writing. Of another program, everything but the imports counts as writing.
    own_words = [float(found[1]) for cost in costs if (found := WRITING_SECONDS.search(cost.output))]
    key = f"{shape.pair_name}/{method}"
    return BuildCost(
        experiment="build_cost",
        pair=shape.pair_name,
        provenance=provenance(key, config_hash(shape, "bfloat16"), describe_device("cpu")),
        method=method,
        seconds=seconds,
        seconds_synced=statistics.median(cost.seconds_synced for cost in costs),
        writing_seconds=statistics.median(own_words or [seconds - (imports.seconds if imports else 0.0)]),
        cpu_seconds=statistics.median(cost.cpu_seconds for cost in costs),
        peak_memory_bytes=int(statistics.median(cost.peak_memory_bytes for cost in costs)),
        imports_seconds=imports.seconds if imports else 0.0,
        imports_cpu_seconds=imports.cpu_seconds if imports else 0.0,
        imports_memory_bytes=imports.peak_memory_bytes if imports else 0,
    )


def print_costs(costs: Sequence[BuildCost], num_bytes: int) -> None:
    """Print a table with a row for each method.

    Args:
        costs: records of the methods; the ratios are relative to the writing time of the first one, ``cp``.
        num_bytes: size of the instruct checkpoint in bytes.
    """
    columns = ("", "seconds", "to disk", "writing", "ratio", "CPU s", "MB")
    print_table(
        (*columns, "imports: seconds", "CPU s", "MB"),
        [
            (
                cost.method,
                *(f"{seconds:.2f}" for seconds in (cost.seconds, cost.seconds_synced, cost.writing_seconds)),
                f"{cost.writing_seconds / costs[0].writing_seconds:.2f}",
                f"{cost.cpu_seconds:.2f}",
                f"{cost.peak_memory_bytes / 1e6:.0f}",
                f"{cost.imports_seconds:.1f}",
                f"{cost.imports_cpu_seconds:.1f}",
                f"{cost.imports_memory_bytes / 1e6:.0f}",
            )
            for cost in costs
        ],
        title=f"{num_bytes / 1e9:.2f} GB a model",
    )


def compare(ours: Path, theirs: Path) -> str:
    """Say in a sentence whether two checkpoints have the same tensors, bit for bit, under the same names."""
    import torch
    from safetensors import safe_open

    from slr.models.safetensors_index import read_tensor_index

    indexes = [read_tensor_index(directory).tensors for directory in (ours, theirs)]
    if indexes[0].keys() != indexes[1].keys():
        return f"tensors in only one of the checkpoints: {', '.join(sorted(indexes[0].keys() ^ indexes[1].keys()))}"
    different = []
    for name in indexes[0]:
        tensors = []
        for directory, index in zip((ours, theirs), indexes, strict=True):
            with safe_open(directory / index[name].shard, "pt") as file:
                tensors.append(file.get_tensor(name))
        if tensors[0].dtype != tensors[1].dtype or not torch.equal(*tensors):
            different.append(name)
    if different:
        return f"{len(different)} of {len(indexes[0])} tensors differ, such as {different[0]}"
    return f"all {len(indexes[0])} tensors of slr build and mergekit are equal bit for bit"

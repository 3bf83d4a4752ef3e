"""What writing a hybrid costs, by ``slr build``, by mergekit and by copying the instruct model with ``cp``.

Each runs in a process of its own on a random Llama pair; ``experiments/build_cost.py`` says what is measured.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from slr.costs.process_cost import ProcessCost, run_measured

ALPHA = 0.5
SLR = (sys.executable, "-c", "from slr.cli import main; main()")
SLR_IMPORTS = (sys.executable, "-c", "import slr.building.checkpoint")
WRITING_SECONDS = re.compile(r"MB in ([\d.]+) s")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of the pair, as a Llama configuration names it; ``shard_bytes`` is the most that a weight file holds."""

    num_hidden_layers: int = 16
    hidden_size: int = 2048
    intermediate_size: int = 8192
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    vocab_size: int = 128_256
    shard_bytes: int = 10**9


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
    """A command that writes ``output``, and one of the same program that ends after its imports."""

    name: str
    command: Sequence[str | Path]
    output: Path
    imports: Sequence[str] | None = None


def write_model(directory: Path, shape: Shape, side: str) -> Path:
    """Write a checkpoint with random weights, a shard at a time, unless it is there; returns its directory."""
    import torch
    from huggingface_hub import split_torch_state_dict_into_shards
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, LlamaConfig

    if (directory / "tokenizer.json").exists():  # which is written last
        return directory
    fields = asdict(shape)
    shard_bytes = fields.pop("shard_bytes")
    config = LlamaConfig(
        **fields, tie_word_embeddings=True, dtype="bfloat16", architectures=["LlamaForCausalLM"]
    )
    with torch.device("meta"):
        tensors = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).state_dict()
    del tensors["lm_head.weight"]
    config.save_pretrained(directory)
    plan = split_torch_state_dict_into_shards(
        tensors, filename_pattern="model{suffix}.safetensors", max_shard_size=shard_bytes
    )
    generator = torch.Generator().manual_seed(("base", "instruct").index(side))
    for shard, names in plan.filename_to_tensors.items():
        weights = {
            name: torch.empty_like(tensors[name], device="cpu").normal_(std=0.02, generator=generator)
            for name in names
        }
        save_file(weights, directory / shard, {"format": "pt"})
    index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    save_tokenizer(directory, shape.vocab_size)
    return directory


def save_tokenizer(directory: Path, vocab_size: int) -> None:
    """A byte-level BPE tokenizer of that many tokens: bytes, and merges of two of the tokens before."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: list[tuple[str, str]] = []
    seen = set(tokens)
    for second in list(tokens):
        for first in list(tokens):
            if len(tokens) < vocab_size and first + second not in seen:
                merges.append((first, second))
                tokens.append(first + second)
                seen.add(first + second)
    backend = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(directory)


def methods_for(
    work_dir: Path, base: Path, instruct: Path, shape: Shape, mergekit: str | None
) -> list[Method]:
    """The methods in the order in which they are measured."""
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


def measure_methods(methods: Sequence[Method], repetitions: int) -> list[dict[str, str | float]]:
    """Run all methods in turn, so often; medians of each. What the last repetition wrote is left there."""
    imports = {method.name: run_measured(method.imports) for method in methods if method.imports}
    runs: dict[str, list[ProcessCost]] = {method.name: [] for method in methods}
    for repetition in range(repetitions):
        for method in methods:
            shutil.rmtree(method.output, ignore_errors=True)
            runs[method.name].append(run_measured(method.command))
            if repetition < repetitions - 1:  # else the cache would fill up; the last are compared
                shutil.rmtree(method.output)
    return [row_of(name, costs, imports.get(name)) for name, costs in runs.items()]


def row_of(name: str, costs: Sequence[ProcessCost], imports: ProcessCost | None) -> dict[str, str | float]:
    """Medians of one method; memory in MB. ``imports`` is what its imports alone cost."""
    seconds = statistics.median(cost.seconds for cost in costs)
    own_words = [float(found[1]) for cost in costs if (found := WRITING_SECONDS.search(cost.output))]
    return {
        "method": name,
        "seconds": seconds,
        "seconds_synced": statistics.median(cost.seconds_synced for cost in costs),
        "writing": statistics.median(own_words or [seconds - (imports.seconds if imports else 0.0)]),
        "cpu_seconds": statistics.median(cost.cpu_seconds for cost in costs),
        "memory": statistics.median(cost.peak_memory_bytes for cost in costs) / 1e6,
        "imports_seconds": imports.seconds if imports else 0.0,
        "imports_cpu_seconds": imports.cpu_seconds if imports else 0.0,
        "imports_memory": imports.peak_memory_bytes / 1e6 if imports else 0.0,
    }


def print_rows(rows: Sequence[dict[str, str | float]], num_bytes: int) -> None:
    """A line a method; the ratio is that of the seconds of writing to those of the first method, ``cp``."""
    print(f"{num_bytes / 1e9:.2f} GB a model")
    print(
        f"{'':22} {'seconds':>8} {'to disk':>8} {'writing':>8} {'ratio':>6} {'CPU s':>6} {'MB':>5}  imports alone"
    )
    for row in rows:
        ratio = float(row["writing"]) / float(rows[0]["writing"])
        print(
            f"{row['method']:22} {row['seconds']:8.2f} {row['seconds_synced']:8.2f} {row['writing']:8.2f} "
            f"{ratio:6.2f} {row['cpu_seconds']:6.2f} {row['memory']:5.0f}  "
            f"{row['imports_seconds']:.1f} s, {row['imports_cpu_seconds']:.1f} CPU s, {row['imports_memory']:.0f} MB"
        )


def compare(ours: Path, theirs: Path) -> str:
    """In words whether two checkpoints have the same tensors, bit for bit, under the same names."""
    import torch
    from safetensors import safe_open

    from slr.models.safetensors_index import read_tensor_index

    indexes = [read_tensor_index(directory).tensors for directory in (ours, theirs)]
    if indexes[0].keys() != indexes[1].keys():
        return f"other tensors: {', '.join(sorted(indexes[0].keys() ^ indexes[1].keys()))}"
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


def record(output_dir: Path, shape: Shape, rows: Sequence[dict[str, str | float]]) -> None:
    """Write the medians to a file, with what they were measured on."""
    import torch

    from slr.runs.provenance import describe_device

    fields = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": describe_device("cpu"),
        "torch": torch.__version__,
        "shape": asdict(shape),
        "medians": rows,
    }
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / "build_cost.json").write_text(json.dumps(fields, indent=1) + "\n")

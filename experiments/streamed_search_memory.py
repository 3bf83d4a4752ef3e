"""Can a pair be searched that is larger than the memory?

The script writes a pair with random bfloat16 weights. Then it scores the pair's intervals in a process whose memory is
limited to less than the pair takes (RLIMIT_DATA, the system's limit on a process's data). First the pair is streamed.
Then it is loaded whole, which must fail.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from slr.terminal.bad_input import FAILED
from slr.terminal.command_line import run_function

NUM_PROMPTS = 2
SHARD_BYTES = 500_000_000
"""Largest size of a weight file in bytes."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A Llama shape with the testbed's tokenizer, and a limit of memory.

    Attributes:
        num_hidden_layers: number of decoder layers.
        hidden_size: width of the hidden states.
        intermediate_size: width of the MLPs.
        num_attention_heads: number of query heads.
        num_key_value_heads: number of key and value heads.
        limit_mib: limit of the searching process's memory in MiB.
    """

    num_hidden_layers: int = 16
    hidden_size: int = 2048
    intermediate_size: int = 8192
    num_attention_heads: int = 16
    num_key_value_heads: int = 8
    limit_mib: int = 2048


SMOKE = Case(num_hidden_layers=6, hidden_size=1024, intermediate_size=4096, limit_mib=1000)


def measure(
    work_dir: Annotated[Path, typer.Option(metavar="DIR", help="directory for the pair")] = Path(
        "results/streamed_search_memory"
    ),
    smoke: Annotated[bool, typer.Option("--smoke", help="search a smaller pair under a lower limit")] = False,
    search: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> int:
    """Write the pair and search it both ways.

    Returns:
        0 if the streamed search succeeds and the other one runs out of memory; otherwise 1.
    """
    case = SMOKE if smoke else Case()
    # The limit holds for a whole process, so the script starts itself once for each way.
    if search is not None:
        limit = case.limit_mib * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        return _search(work_dir, stream=search == "streamed")
    _write_pair(case, work_dir)
    size = sum(file.stat().st_size for file in work_dir.glob("*/*.safetensors"))
    print(f"pair of {size / 2**20:,.0f} MiB in bfloat16, twice that in float32; limit {case.limit_mib:,} MiB")
    command = [sys.executable, __file__, "--work-dir", str(work_dir), *["--smoke"] * smoke]
    statuses = [
        subprocess.run([*command, "--search", way], check=False).returncode for way in ("streamed", "whole")
    ]
    return 0 if statuses == [0, 1] else FAILED


def _write_pair(case: Case, directory: Path) -> None:
    from transformers import LlamaConfig

    from slr.costs.random_pairs import load_testbed_tokenizer, write_random_pair

    tokenizer = load_testbed_tokenizer()
    shape = asdict(case)
    del shape["limit_mib"]
    write_random_pair(directory, LlamaConfig(**shape, vocab_size=len(tokenizer)), tokenizer, SHARD_BYTES)


def _search(directory: Path, stream: bool) -> int:
    import torch

    from slr.crc.prompts import load_prompts
    from slr.crc.search import search
    from slr.models.loading import load_pair

    try:
        pair = load_pair(directory / "base", directory / "instruct", dtype=torch.float32, stream=stream)
        began = time.perf_counter()
        result = search(pair, load_prompts("selection")[:NUM_PROMPTS], memory_budget_bytes=256 * 2**20)
    # torch and safetensors report a lack of memory by errors of other kinds.
    except (MemoryError, RuntimeError, OSError) as error:
        if "memory" not in str(error).lower() and not isinstance(error, MemoryError):
            raise
        print(f"{'streamed' if stream else 'loaded whole'}: out of memory")
        return FAILED
    seconds = time.perf_counter() - began
    print(
        f"{'streamed' if stream else 'loaded whole'}: scored {len(result.intervals)} intervals in {seconds:.0f} s"
    )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(measure, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())

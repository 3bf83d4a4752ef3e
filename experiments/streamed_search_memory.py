"""Can a pair be searched that is larger than the memory?

Writes a pair of random bfloat16 weights, and scores its intervals in a process that may not have as much memory
(the system's limit on a process's data, RLIMIT_DATA): streamed, and then loaded whole, which is to fail.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from slr.terminal.stopping import run_until_stopped

NUM_PROMPTS = 2


@dataclass(frozen=True, kw_only=True)
class Case:
    """A Llama shape with the testbed's tokenizer, computed in float32, and the limit in MiB."""

    num_hidden_layers: int = 16
    hidden_size: int = 2048
    intermediate_size: int = 8192
    num_attention_heads: int = 16
    num_key_value_heads: int = 8
    limit_mib: int = 2048


SMOKE = Case(num_hidden_layers=12, hidden_size=1024, intermediate_size=4096, limit_mib=1152)


def main(argv: list[str] | None = None) -> int:
    """Write the pair, run both ways; 0 if the streamed one succeeds and the other does not."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work-dir", type=Path, default=Path("results/streamed_search_memory"))
    parser.add_argument("--smoke", action="store_true", help="a smaller pair under a smaller limit")
    parser.add_argument("--search", choices=["streamed", "whole"], help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    case = SMOKE if options.smoke else Case()
    if options.search:
        limit = case.limit_mib * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        return _search(options.work_dir, stream=options.search == "streamed")
    _write_pair(case, options.work_dir)
    size = sum(file.stat().st_size for file in options.work_dir.glob("*/*.safetensors"))
    print(f"pair of {size / 2**20:,.0f} MiB in bfloat16, twice that in float32; limit {case.limit_mib:,} MiB")
    command = [sys.executable, __file__, "--work-dir", str(options.work_dir), *["--smoke"] * options.smoke]
    statuses = [
        subprocess.run([*command, "--search", way], check=False).returncode for way in ("streamed", "whole")
    ]
    return 0 if statuses == [0, 1] else 1


def _write_pair(case: Case, directory: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from slr.models.checkpoint import open_checkpoint
    from slr.models.presets import find_pair

    tokenizer = open_checkpoint(find_pair("testbed-llama").instruct).tokenizer
    assert tokenizer is not None
    shape = asdict(case)
    del shape["limit_mib"]
    for seed, side in enumerate(("base", "instruct")):
        if (directory / side / "config.json").exists():
            continue
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(
            LlamaConfig(**shape, vocab_size=len(tokenizer)), dtype=torch.bfloat16
        )
        model.save_pretrained(directory / side, max_shard_size="500MB")
        tokenizer.save_pretrained(directory / side)


def _search(directory: Path, stream: bool) -> int:
    import torch

    from slr.crc.prompts import load_prompts
    from slr.crc.search import search
    from slr.models.loading import load_pair

    try:
        pair = load_pair(directory / "base", directory / "instruct", dtype=torch.float32, stream=stream)
        began = time.perf_counter()
        result = search(pair, load_prompts("selection")[:NUM_PROMPTS], memory_budget_bytes=256 * 2**20)
    except (MemoryError, RuntimeError, OSError) as error:
        if "memory" not in str(error).lower() and not isinstance(error, MemoryError):
            raise
        print(f"{'streamed' if stream else 'loaded whole'}: out of memory")
        return 1
    seconds = time.perf_counter() - began
    print(
        f"{'streamed' if stream else 'loaded whole'}: scored {len(result.intervals)} intervals in {seconds:.0f} s"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(run_until_stopped(main, "nothing is kept, the same command measures anew"))

"""vLLM itself on the CPU. These tests run only in an environment that has it, which docs/vllm.md describes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from slr.hybrid import restore
from slr.intervals import LayerInterval
from slr.models.loading import load_spec
from slr.models.opened_pair import open_pair
from slr.models.presets import resolve_pair
from slr.runs.records import Samples
from slr.runs.results_store import ResultsStore
from slr.sampling.config import SamplingConfig
from slr.sampling.generation import sample
from slr.sampling.linked_checkpoint import write_linked_checkpoint
from slr.sampling.vllm_engine import VllmEngine
from tests.tiny_models import CHAT_TEMPLATE, VOCAB_SIZE, make_tokenizer

pytestmark = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")

ROOT = Path(__file__).parents[2]
GREEDY = SamplingConfig(temperature=0, max_new_tokens=20)
PROMPTS = (tuple(range(7, 30)), tuple(range(100, 105)))
ENDS = (2, 4)


@pytest.fixture(autouse=True)
def small_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a pair in many files, whose attention heads are large enough for vLLM."""
    directory = tmp_path_factory.mktemp("pair")
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=5,
        num_attention_heads=2,
        head_dim=32,
        max_position_embeddings=512,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=list(ENDS),
        initializer_range=0.2,
    )
    for seed, side in enumerate(("base", "instruct")):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        model.save_pretrained(directory / side, max_shard_size="100KB")
        make_tokenizer(CHAT_TEMPLATE).save_pretrained(directory / side)
    return directory


def test_it_computes_with_the_hybrid_that_the_links_stand_for(directory: Path, tmp_path: Path) -> None:
    spec = resolve_pair(directory / "base", directory / "instruct")
    pair = load_spec(spec)
    hybrid = restore(pair, LayerInterval(1, 4))

    def answers(model: PreTrainedModel) -> list[Any]:
        return sample(model, pair.tokenizer, PROMPTS, 1, GREEDY, [0, 0], end_tokens=ENDS)

    write_linked_checkpoint(hybrid, pair, open_pair(spec), tmp_path)
    assert {path.name[0] for path in tmp_path.glob("*.safetensors")} == {"0", "1", "2"}
    with VllmEngine(tmp_path, pair.tokenizer, torch.float32) as engine:
        found = engine.sample(PROMPTS, 1, GREEDY, [0, 0], end_tokens=ENDS)
    assert found == answers(hybrid)
    assert found not in (answers(pair.instruct_model), answers(pair.base_model))


def run_study(launcher: list[str], pair: Path, output_dir: Path) -> dict[str, Any]:
    program = ROOT / "tests" / "programs" / "vllm_study.py"
    subprocess.run(
        [sys.executable, *launcher, str(program), str(pair), str(output_dir)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    return {
        record.key: record.model_dump(exclude={"provenance"})
        for record in ResultsStore(output_dir / "asking.jsonl").read()
        if isinstance(record, Samples)
    }


def test_two_launched_processes_have_an_engine_each_and_sample_what_one_does(
    directory: Path, tmp_path: Path
) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    by_two = run_study(launcher, directory, tmp_path / "two")
    assert (tmp_path / "two" / "asking.rank1.jsonl").exists()
    assert by_two == run_study([], directory, tmp_path / "one")

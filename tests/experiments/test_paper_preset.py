"""The paper preset from search to figures, offline: only the size and depth of its models are not run here.

Tiny random checkpoints of the three architectures stand under the real hub ids and revisions in a local cache, and so
do a few problems in GSM8K's file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from slr.experiments.creative_writing import FLUENCY_MODELS
from slr.models.presets import PRESETS
from slr.models.reference import ModelReference
from slr.runs.records import CrcScore, HarnessScore, ProblemSet, Samples
from slr.runs.results import of_kind
from slr.runs.results_store import ResultsStore
from slr.tasks import reasoning
from tests.tiny_models import CHAT_TEMPLATE, make_model, make_tokenizer

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = {"llama": "llama", "qwen": "qwen2", "gemma": "gemma2"}
NUM_LAYERS = 6
"""Few, because the time of a search grows with the square."""
EXPERIMENTS = (
    "crc_search",
    "stability",
    "creative_writing",
    "open_qa",
    "reasoning",
    "restoration_controls",
    "decoding_methods",
    "prompting_methods",
)


def put_model(hub: Path, reference: ModelReference, architecture: str, num_layers: int, seed: int) -> None:
    assert reference.revision is not None
    snapshot = hub / f"models--{reference.location.replace('/', '--')}" / "snapshots" / reference.revision
    make_model(architecture, num_layers=num_layers, seed=seed).save_pretrained(snapshot)
    make_tokenizer(CHAT_TEMPLATE if seed % 2 else None).save_pretrained(snapshot)


def put_gsm8k(hub: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = hub / "datasets--openai--gsm8k" / "snapshots" / reasoning.GSM8K_REVISION / reasoning.GSM8K_FILE
    file.parent.mkdir(parents=True)
    rows = [
        {
            "question": f"Ann has {n} eggs and finds {n} more. How many?",
            "answer": f"{n}+{n}={2 * n}\n#### {2 * n}",
        }
        for n in range(1, 12)
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)


def run_offline(words: Sequence[str], home: Path, preset: str = "paper") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("HF_HUB_CACHE", None)
    options = ["--preset", preset, "--smoke", "--device", "cpu", "--wandb", "disabled"]
    return subprocess.run(
        [sys.executable, *words, *options, "--output-dir", str(home.parent / "results")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_search_of_as_many_layers_as_the_real_model_has(tmp_path: Path) -> None:
    [spec] = [spec for spec in PRESETS["paper"].pairs if spec.family == "qwen"]
    assert spec.num_layers is not None
    for seed, reference in enumerate((spec.base, spec.instruct)):
        put_model(tmp_path / "home" / "hub", reference, ARCHITECTURES["qwen"], spec.num_layers, seed)
    done = run_offline(["experiments/crc_search.py", "--families", "qwen"], tmp_path / "home")
    assert done.returncode == 0, done.stderr[-3000:]
    records = ResultsStore(tmp_path / "results" / "crc_search.jsonl").read()
    intervals = {record.interval for record in of_kind(records, CrcScore) if record.model == "hybrid"}
    assert len(intervals) == spec.num_layers * (spec.num_layers + 1) / 2


def test_the_first_pair_from_search_to_answers(tmp_path: Path) -> None:
    [spec] = PRESETS["first"].pairs
    for seed, reference in enumerate((spec.base, spec.instruct)):
        put_model(tmp_path / "home" / "hub", reference, "gemma3", spec.num_layers or 0, seed)
    done = run_offline(["-m", "slr", "run", "open_qa"], tmp_path / "home", "first")
    assert done.returncode == 0, done.stderr[-3000:]
    samples = of_kind(ResultsStore(tmp_path / "results" / "open_qa.jsonl").read(), Samples)
    assert {record.source for record in samples} == {"offline"}
    assert {record.method for record in samples} >= {"base", "base_few_shot", "instruct"}


@pytest.mark.long  # every experiment of three pairs
@pytest.mark.timeout(600)
def test_from_search_to_figures(tmp_path: Path) -> None:
    hub = tmp_path / "home" / "hub"
    put_gsm8k(hub)
    for number, spec in enumerate(PRESETS["paper"].pairs):
        assert spec.family is not None
        for side, reference in enumerate((spec.base, spec.instruct)):
            put_model(hub, reference, ARCHITECTURES[spec.family], NUM_LAYERS, 2 * number + side)
    for seed, reference in enumerate({model for _, model in FLUENCY_MODELS if model.revision}, start=20):
        put_model(hub, reference, "llama", 2, seed)
    program = ["-m", "tests.programs.shallow_paper_run", str(NUM_LAYERS)]
    done = run_offline(program, tmp_path / "home")
    assert done.returncode == 0, done.stderr[-3000:]
    pairs = {spec.name for spec in PRESETS["paper"].pairs}
    for experiment in EXPERIMENTS:
        records = ResultsStore(tmp_path / "results" / f"{experiment}.jsonl").read()
        assert {record.pair for record in records} == pairs
        if experiment not in ("crc_search", "stability"):
            assert {record.pair for record in records if isinstance(record, Samples)} == pairs
    scores = ResultsStore(tmp_path / "results" / "quality.jsonl").read()
    assert {record.pair for record in scores if isinstance(record, HarnessScore)} == pairs
    problems = ResultsStore(tmp_path / "results" / "reasoning.jsonl").read()
    assert all(r.tried[0] == "gsm8k-0000" for r in problems if isinstance(r, ProblemSet))
    assert (tmp_path / "results" / "figures" / "qa_coverage.png").exists()
    gaps = {name for names in re.findall(r"gap in (.*?): ", done.stderr) for name in names.split(", ")}
    assert gaps - {"search_cost"} == {
        "judge",
        "judge_contrasts",
        "judge_agreement",
        "canonicaliser",
    }  # which need an endpoint

"""lm-eval on models in memory: equal to its own command line, repeatable, and with tasks that are what they say."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from slr.building.checkpoint import build
from slr.harness.evaluate import (
    HarnessTask,
    TaskScore,
    _score,
    call_settings,
    evaluate,
    groups_of_tasks,
    harness_version,
    scores_of_answers,
)
from slr.harness.requests import build_requests
from slr.harness.tasks import TASKS_DIR
from slr.hybrid import restore
from slr.intervals import LayerInterval
from slr.models.loading import ModelPair, load_pair
from slr.models.presets import resolve_pair
from tests.conftest import CheckpointPairs

LIMIT = 8
BATCH_SIZE = 4
RESTORED = LayerInterval(4, 6)


def task(name: str, metric: str, num_fewshot: int = 0, chat_template: bool = True) -> HarnessTask:
    return HarnessTask(
        name=name, metrics=(metric,), num_fewshot=num_fewshot, chat_template=chat_template, num_tokens=1
    )


TASKS = (
    task("testbed_facts", "acc,none"),
    task("testbed_sums", "exact_match,marked-answer"),
    task("testbed_subjects", "exact_match,first-subject"),
)


def by_command_line(checkpoint: Path, output: Path) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """The results that lm-eval writes, and its samples by task."""
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--device", "cpu"]
    command += ["--model_args", f"pretrained={checkpoint},dtype=float32", "--batch_size", str(BATCH_SIZE)]
    command += ["--tasks", ",".join(t.name for t in TASKS), "--include_path", str(TASKS_DIR)]
    command += ["--limit", str(LIMIT), "--apply_chat_template", "--log_samples", "--output_path", str(output)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env={**os.environ, **offline}, cwd=output, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = output.rglob("results_*.json")
    samples = {}
    for t in TASKS:
        (file,) = output.rglob(f"samples_{t.name}_*.jsonl")
        samples[t.name] = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return json.loads(results.read_text(encoding="utf-8")), samples


def test_the_command_line_says_the_same_of_a_built_checkpoint(tmp_path: Path) -> None:
    pair = load_pair("testbed-llama", dtype=torch.float32)
    scores = evaluate(restore(pair, RESTORED), pair.tokenizer, TASKS, batch_size=BATCH_SIZE, limit=LIMIT)
    build(resolve_pair("testbed-llama"), RESTORED, tmp_path / "checkpoint")
    (tmp_path / "lm_eval").mkdir()
    results, samples = by_command_line(tmp_path / "checkpoint", tmp_path / "lm_eval")
    assert len(scores) == len(TASKS)
    for score in scores:
        name, filter_name = score.metric.split(",")
        theirs = results["results"][score.task]
        assert score.value == theirs[score.metric]
        assert score.standard_error == theirs[f"{name}_stderr,{filter_name}"]
        assert score.version == str(results["versions"][score.task])
        assert score.num_fewshot == results["n-shot"][score.task]
        in_order = sorted(samples[score.task], key=lambda sample: sample["doc_id"])
        assert score.document_scores == tuple(sample[name] for sample in in_order)
        assert len(score.document_scores) == LIMIT
    assert results["lm_eval_version"] == harness_version()


@pytest.fixture(scope="module")
def tiny_pair(checkpoint_pairs: CheckpointPairs) -> ModelPair:
    return load_pair(*checkpoint_pairs("llama"))


def evaluated(pair: ModelPair) -> list[TaskScore]:
    return evaluate(
        restore(pair, LayerInterval(1, 3)),
        pair.tokenizer,
        TASKS,
        batch_size=BATCH_SIZE,
        limit=LIMIT,
        max_new_tokens=4,
    )


def test_again_the_same_and_nothing_altered(tiny_pair: ModelPair, capfd: pytest.CaptureFixture[str]) -> None:
    """Also of a tokenizer without a padding token, for which lm-eval chooses one."""
    tiny_pair.tokenizer.pad_token = None
    before = {name: tensor.clone() for name, tensor in tiny_pair.instruct_model.state_dict().items()}
    scores = evaluated(tiny_pair)
    assert evaluated(tiny_pair) == scores
    assert tiny_pair.tokenizer.pad_token is None
    for name, tensor in tiny_pair.instruct_model.state_dict().items():
        assert torch.equal(tensor, before[name])
    said = capfd.readouterr()
    assert "requests" not in said.err + said.out
    for score in scores:
        assert score.value == pytest.approx(sum(score.document_scores) / LIMIT)


def test_answers_in_chunks_get_the_same_scores(tiny_pair: ModelPair) -> None:
    """Of log-likelihoods and of texts, and with a chunk of more documents than the others."""
    model, tokenizer = restore(tiny_pair, LayerInterval(1, 3)), tiny_pair.tokenizer
    requests = build_requests(call_settings(TASKS, LIMIT, 4), tokenizer)
    answer = requests.answer(model, tokenizer, BATCH_SIZE)
    chunks = [answer(index, 3) for index in range(3)]
    sizes = [sum(map(len, chunk.values())) for chunk in chunks]
    assert sizes[0] == sizes[1] > sizes[2] > 0
    assert len({requests.digest(index, 3) for index in range(3)}) == 3
    assert scores_of_answers(requests, TASKS, chunks) == evaluated(tiny_pair)


def test_a_group_has_the_documents_of_all_its_tasks(tiny_pair: ModelPair, tmp_path: Path) -> None:
    """As mmlu has, whose groups hold groups."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    mean_of_all = "aggregate_metric_list: [{metric: acc, weight_by_size: true}]\nmetadata: {version: 2}\n"
    (tmp_path / "inner.yaml").write_text(f"group: inner\ntask: [english_facts]\n{mean_of_all}")
    (tmp_path / "outer.yaml").write_text(f"group: outer\ntask: [testbed_facts, inner]\n{mean_of_all}")
    wrap: Any = HFLM
    simple_evaluate: Any = lm_eval.simple_evaluate
    results = simple_evaluate(
        wrap(pretrained=tiny_pair.instruct_model, tokenizer=tiny_pair.tokenizer, batch_size=BATCH_SIZE),
        tasks=["outer"],
        limit=LIMIT,
        task_manager=TaskManager(include_path=[str(TASKS_DIR), str(tmp_path)], include_defaults=False),
        apply_chat_template=True,
    )
    score = _score(results, task("outer", "acc,none"), "acc,none")
    assert score.version == "2"
    assert len(score.document_scores) == 2 * LIMIT
    assert score.value == pytest.approx(sum(score.document_scores) / (2 * LIMIT))


def test_a_metric_that_is_not_there_is_refused(tiny_pair: ModelPair) -> None:
    with pytest.raises(
        ValueError, match=r"testbed_facts has no metric 'acc_norm,none': expected one of acc,none"
    ):
        evaluate(
            tiny_pair.instruct_model,
            tiny_pair.tokenizer,
            [task("testbed_facts", "acc_norm,none")],
            batch_size=1,
            limit=1,
        )


def test_tasks_of_different_settings_go_apart(tiny_pair: ModelPair) -> None:
    alone = task("testbed_facts", "acc,none", num_fewshot=5)
    assert groups_of_tasks([TASKS[0], alone, TASKS[1]]) == [[TASKS[0], TASKS[1]], [alone]]
    with pytest.raises(
        ValueError, match=r"same number of examples .* testbed_facts \(5-shot, template True\)"
    ):
        evaluate(tiny_pair.instruct_model, tiny_pair.tokenizer, [TASKS[0], alone], batch_size=1)


def test_the_second_process_of_a_machine_gets_scores_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval takes all processes for parts of one model, and gives results to the first one alone."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    pair = load_pair("testbed:llama/base", "testbed:llama/instruct", dtype=torch.float32)
    scores = evaluate(pair.instruct_model, pair.tokenizer, TASKS[:1], batch_size=BATCH_SIZE, limit=2)
    assert [len(score.document_scores) for score in scores] == [2]
    assert os.environ["LOCAL_RANK"] == "1"

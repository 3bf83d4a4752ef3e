"""The hub's benchmarks under lm-eval's own tasks, with a few made-up rows in place of their data sets.

Not among them is ifeval, whose task needs language data that it downloads when it is imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from slr.harness.evaluate import HarnessTask, evaluate
from slr.models.loading import load_pair
from tests.conftest import CheckpointPairs

ROOT = Path(__file__).resolve().parents[2]
NUM_ROWS = 30
MMLU_SUBJECTS = 57


def row(data_set: str, number: int) -> dict[str, Any]:
    """In the columns of the real data set."""
    text, choices = f"Is it {number}?", ["yes", "no", "maybe", str(number)]
    targets = {"choices": choices, "labels": [1, 0, 0, 1]}
    return {
        "openai/gsm8k": {"question": text, "answer": f"It is.\n#### {number}"},
        "cais/mmlu": {"question": text, "choices": choices, "answer": number % 4},
        "allenai/ai2_arc": {
            "question": text,
            "choices": {"text": choices, "label": ["A", "B", "C", "D"]},
            "answerKey": "ABCD"[number % 4],
        },
        "Rowan/hellaswag": {
            "activity_label": "Asking",
            "ctx_a": text,
            "ctx_b": "they say",
            "endings": choices,
            "label": str(number % 4),
        },
        "truthfulqa/truthful_qa": {"question": text, "mc1_targets": targets, "mc2_targets": targets},
    }[data_set]


@pytest.fixture
def made_up_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(path: str, **_: object) -> datasets.DatasetDict:
        rows = datasets.Dataset.from_list([row(path, number) for number in range(NUM_ROWS)])
        return datasets.DatasetDict(dict.fromkeys(("train", "dev", "validation", "test"), rows))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)


@pytest.fixture
def benchmarks() -> tuple[HarnessTask, ...]:
    from slr.experiments.quality import BENCHMARKS

    return BENCHMARKS


@pytest.mark.usefixtures("made_up_data")
def test_every_benchmark_has_the_metrics_and_examples_asked_for(
    benchmarks: tuple[HarnessTask, ...], checkpoint_pairs: CheckpointPairs
) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    for task in benchmarks:
        if task.name == "ifeval":
            continue
        scores = evaluate(
            pair.instruct_model, pair.tokenizer, [task], batch_size=8, limit=1, max_new_tokens=2
        )
        assert [score.metric for score in scores] == list(task.metrics)
        for score in scores:
            assert score.num_fewshot == task.num_fewshot
            assert len(score.document_scores) == (MMLU_SUBJECTS if task.name == "mmlu" else 1)
            assert score.value == pytest.approx(sum(score.document_scores) / len(score.document_scores))
            assert float(score.version) >= 1

"""What do restored layers cost in benchmarks?

lm-evaluation-harness scores base, instruct, hybrid and soup on knowledge, reasoning and following instructions.
"""

from __future__ import annotations

from dataclasses import replace

from slr.experiments import crc_search
from slr.experiments.declaring import question_in
from slr.harness.evaluate import HarnessTask
from slr.harness.study import HarnessConfig, harness_experiment
from slr.runs.experiment import Experiment
from slr.runs.own_run import PRESET_SIZES, Sizes


# Short, so that each task below is one line that can be read as a row of a table.
def _task(name: str, *metrics: str, shots: int, chat: bool, tokens: int) -> HarnessTask:
    return HarnessTask(name=name, metrics=metrics, num_fewshot=shots, chat_template=chat, num_tokens=tokens)


TESTBED_TASKS = (
    _task("testbed_facts", "acc,none", shots=0, chat=True, tokens=11_000),
    _task("testbed_sums", "exact_match,marked-answer", shots=0, chat=True, tokens=11_000),
    _task("testbed_subjects", "exact_match,first-subject", shots=0, chat=True, tokens=7_000),
)
ENGLISH_TASKS = (_task("english_facts", "acc,none", shots=0, chat=True, tokens=7_000),)
BENCHMARKS = (
    _task("ifeval", "prompt_level_strict_acc,none", shots=0, chat=True, tokens=280_000),
    _task(
        "gsm8k",
        "exact_match,strict-match",
        "exact_match,flexible-extract",
        shots=5,
        chat=True,
        tokens=1_700_000,
    ),
    _task("mmlu", "acc,none", shots=5, chat=False, tokens=10_000_000),
    _task("arc_challenge", "acc_norm,none", shots=25, chat=False, tokens=6_000_000),
    _task("hellaswag", "acc_norm,none", shots=10, chat=False, tokens=44_000_000),
    _task("truthfulqa_mc2", "acc,none", shots=0, chat=False, tokens=2_000_000),
)
"""Benchmarks with as many worked examples as on the Open LLM Leaderboard.

The chat template is used where a model has to write an answer.
"""

SMALL = HarnessConfig(tasks=BENCHMARKS, batch_size=8)
CONFIGS = {
    "testbed": HarnessConfig(tasks=TESTBED_TASKS, batch_size=96),
    "laptop": HarnessConfig(tasks=ENGLISH_TASKS, batch_size=16),
    "small": SMALL,
    "paper": SMALL,
}


def experiment(preset: str, smoke: bool, sizes: Sizes = PRESET_SIZES) -> Experiment[HarnessConfig]:
    """Make the experiment at a preset's size, or at its smoke size, for which nothing is downloaded.

    Args:
        preset: name of the preset.
        smoke: whether to make the smoke size.
        sizes: sizes that differ from the preset's.
    """
    config = sizes.applied("quality", CONFIGS[preset])
    if smoke:
        # The testbed's tasks replace benchmarks of gigabytes. They too have tasks of both kinds: choosing and writing.
        tasks = TESTBED_TASKS if config.tasks is BENCHMARKS else config.tasks
        config = replace(config, tasks=tasks).shortened()
    return harness_experiment("quality", question_in(__doc__), config, crc_search.config(smoke))

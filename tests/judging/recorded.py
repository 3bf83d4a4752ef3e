"""Samples as an earlier experiment leaves them; the texts are invented and appear in tests only."""

from __future__ import annotations

from pathlib import Path

import torch

from slr.downstream.methods import BASELINES
from slr.downstream.study import DownstreamConfig
from slr.models.presets import find_pair
from slr.runs.experiment import AnyExperiment, Experiment, RunSettings, store_of
from slr.runs.records import AnyRecord, Samples
from slr.runs.results_store import ResultsStore
from slr.runs.run_experiments import run_experiment
from slr.sampling.config import SamplingConfig
from slr.vocabulary import ComparedModel, TaskName
from tests.analysis.synthetic import PROVENANCE

SPEC = find_pair("testbed-llama")
METHODS: tuple[ComparedModel, ...] = ("instruct", "base", "hybrid")


def samples(
    task: TaskName, method: ComparedModel, prompt: str, group: str, texts: tuple[str, ...]
) -> Samples:
    return Samples(
        experiment=task,
        pair=SPEC.name,
        provenance=PROVENANCE,
        family="llama",
        task=task,
        source="offline",
        group=group,
        prompt_id=prompt,
        text=f"Request {prompt}",
        request=f"Request {prompt}",
        method=method,
        references=() if method == "instruct" else ("instruct",),
        model=method,
        interval=None,
        alpha=None,
        prompting="direct",
        sampling=SamplingConfig(),
        seed=0,
        expected=None,
        texts=texts,
        num_tokens=(3,) * len(texts),
        finished=(True,) * len(texts),
    )


def writing_samples(num_prompts: int = 3, num_texts: int = 5) -> list[Samples]:
    return [
        samples(
            "creative_writing",
            method,
            f"poem-{prompt}",
            "poem",
            tuple(f"{method} {prompt} {i}" for i in range(num_texts)),
        )
        for method in METHODS
        for prompt in range(num_prompts)
    ]


def earlier(task: TaskName) -> Experiment[DownstreamConfig]:
    """The experiment that the samples are of; it is not run."""
    config = DownstreamConfig(
        task=task, source="offline", methods=BASELINES, num_prompts=3, num_samples=5, max_new_tokens=8
    )
    return Experiment(name=task, question="?", config=config, cells=lambda _: [], job_type="downstream")


def write(output_dir: Path, records: list[Samples]) -> None:
    ResultsStore(output_dir / f"{records[0].task}.jsonl").append(records)


def run(experiment: AnyExperiment, output_dir: Path, *, fails: bool = False) -> list[AnyRecord]:
    settings = RunSettings(output_dir=output_dir, dtype=torch.float32)
    assert bool(run_experiment(experiment, SPEC, settings).failed) == fails
    return store_of(experiment, output_dir).read()

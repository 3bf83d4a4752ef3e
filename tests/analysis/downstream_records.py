"""Records of every experiment beside the search, as its configuration would make them; the numbers are invented."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator

from slr.downstream.methods import BASELINES
from slr.downstream.study import DownstreamConfig
from slr.downstream.task import load_task
from slr.harness.study import HarnessConfig
from slr.judging.judge import ASPECTS
from slr.runs.experiment import AnyExperiment
from slr.runs.records import AnyRecord, HarnessScore, JudgeScores, SampleMeasures, Samples
from slr.vocabulary import ComparedModel
from tests.analysis.synthetic import PROVENANCE, crc_records

TEXTS = ("the red fox sings", "a blue crow waits here", "the red fox sings", "one owl")
MODELS: tuple[ComparedModel, ...] = ("base", "instruct", "hybrid", "soup")
DOWNSTREAM = (
    "creative_writing",
    "open_qa",
    "reasoning",
    "restoration_controls",
    "decoding_methods",
    "prompting_methods",
)


def samples_and_measures(experiment: AnyExperiment, pair: str) -> Iterator[Samples | SampleMeasures]:
    """Four samples of every method for the task's first prompts."""
    config = experiment.config
    assert isinstance(config, DownstreamConfig)
    for prompt in load_task(config.task, config.source, 1):
        for method in config.methods:
            samples = Samples(
                experiment=experiment.name,
                pair=pair,
                provenance=PROVENANCE,
                family="llama",
                task=config.task,
                source=config.source,
                group=prompt.group,
                prompt_id=prompt.id,
                text=prompt.text,
                request=prompt.text,
                method=method.id,
                references=method.references,
                model=method.model,
                interval=None,
                alpha=None,
                prompting=method.prompting,
                sampling=method.sampling,
                seed=0,
                expected=prompt.expected,
                texts=TEXTS,
                num_tokens=(5, 6, 5, 3),
                finished=(True,) * len(TEXTS),
            )
            yield samples
            if config.task == "creative_writing":
                yield SampleMeasures(
                    experiment=experiment.name,
                    pair=pair,
                    provenance=PROVENANCE,
                    samples=samples.key,
                    encoder="an encoder",
                    embedding_diversity=0.5,
                    adherence=(0.5,) * len(TEXTS),
                    longer_than_window=(False,) * len(TEXTS),
                    fluency_model="a model",
                    fluency=(-2.0,) * len(TEXTS),
                    fluency_given="request",
                )


def harness_scores(experiment: AnyExperiment, pair: str) -> Iterator[HarnessScore]:
    """Every metric of every task."""
    config = experiment.config
    assert isinstance(config, HarnessConfig)
    for task in config.tasks:
        for metric in task.metrics:
            for model in MODELS:
                yield HarnessScore(
                    experiment=experiment.name,
                    pair=pair,
                    provenance=PROVENANCE,
                    family="llama",
                    model=model,
                    references=next(method.references for method in BASELINES if method.model == model),
                    interval=None,
                    alpha=None,
                    task=task.name,
                    task_version="1",
                    num_fewshot=task.num_fewshot,
                    chat_template=task.chat_template,
                    metric=metric,
                    value=0.5,
                    standard_error=0.1,
                    document_scores=(0.0, 1.0),
                    harness_version="1",
                )


def judge_scores(experiment: AnyExperiment, samples: Iterable[AnyRecord]) -> Iterator[JudgeScores]:
    """Two texts of each of the samples' records."""
    for record in samples:
        if isinstance(record, Samples):
            yield JudgeScores(
                experiment=experiment.name,
                pair=record.pair,
                provenance=PROVENANCE,
                family=record.family,
                group=record.group,
                prompt_id=record.prompt_id,
                method=record.method,
                samples=record.key,
                judge="a judge",
                host="somewhere",
                rubric_version="1",
                indices=(0, 1),
                scores=dict.fromkeys(ASPECTS, (5, 6)),
            )


def all_records(pairs: Iterable[str]) -> list[AnyRecord]:
    """Records of the search and of every experiment of the testbed, of several pairs."""
    records: list[AnyRecord] = []
    for pair in pairs:
        records += crc_records(pair)
        for name in DOWNSTREAM:
            experiment = importlib.import_module(f"slr.experiments.{name}").experiment("testbed", False)
            samples = list(samples_and_measures(experiment, pair))
            records += samples
        quality = importlib.import_module("slr.experiments.quality").experiment("testbed", False)
        records += harness_scores(quality, pair)
    return records

"""A study of one pair by one judge: scores for a fixed number of each prompt's and method's samples.

One cell. Prompts are judged in groups, so that requests overlap; of a prompt that lacks a record all texts are
asked for again, which the cache answers.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from slr.downstream.study import TYPICAL_ANSWER_SHARE, DownstreamConfig
from slr.judging.chat_endpoint import ChatEndpoint, ChatModel, Connect, connect_once
from slr.judging.judge import ASPECTS, RUBRIC_VERSION, judge_request, parse_scores, shuffled_batches
from slr.judging.recorded_samples import recorded_samples, samples_digest
from slr.models.reference import PairSpec
from slr.runs.experiment import Cell, CellContext, Cost, Experiment, RunMirror
from slr.runs.records import AnyRecord, JudgeScores, Samples
from slr.runs.results import Results, of_kind
from slr.seeding import seed_from_key
from slr.tasks.creative_prompts import GENRES

PROMPTS_JUDGED_TOGETHER = 8
JUDGED_SEED = 0
"""Of several seeds of sampling, the first is judged."""
REQUEST_TOKENS = 500
"""Rubric, request and reply, beside the texts; for cost estimates only."""

Chosen = tuple[str, int]
"""A text: the key of its samples record, and its place there."""
Scores = dict[str, int] | None


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """What the scores depend on. ``num_samples`` is of each prompt and method."""

    judge: ChatModel
    num_samples: int
    texts_in_request: int = 4
    rubric_version: str = RUBRIC_VERSION

    def shortened(self) -> JudgeConfig:
        """Small enough to see that everything runs."""
        return dataclasses.replace(self, num_samples=1)


def judge_experiment(
    name: str, question: str, config: JudgeConfig, writing: Experiment[DownstreamConfig], prefix: str
) -> Experiment[JudgeConfig]:
    """An experiment that has the samples of ``writing`` judged by the endpoint of that prefix."""
    connect = connect_once(prefix)
    return Experiment(
        name=name,
        question=question,
        config=config,
        cells=lambda spec: [_cell(spec, config, writing.config, connect)],
        job_type="judge",
        mirror=_mirror,
        builds_on=writing,
        inputs=lambda results, spec: samples_digest(results, spec.name, writing.name),
    )


def _cell(spec: PairSpec, config: JudgeConfig, writing: DownstreamConfig, connect: Connect) -> Cell:
    def record_keys(results: Results) -> list[str] | None:
        samples = _judged(results, spec.name)
        return [JudgeScores.key_of(record.key) for record in samples] if samples else None

    return Cell(
        key=f"{spec.name}/scores",
        record_keys=record_keys,
        run=lambda context: _judge(context, config, connect(context.settings.output_dir)),
        cost=_cost(config, writing),
    )


def _cost(config: JudgeConfig, writing: DownstreamConfig) -> Cost:
    num_prompts = len(GENRES) * writing.num_prompts
    texts_of_prompt = len(writing.methods) * config.num_samples
    num_requests = num_prompts * math.ceil(texts_of_prompt / config.texts_in_request)
    written = num_prompts * texts_of_prompt * round(writing.max_new_tokens * TYPICAL_ANSWER_SHARE)
    return Cost(layer_evaluations=0, tokens=num_requests * REQUEST_TOKENS + written, flops=None)


def _judged(results: Results, pair: str) -> list[Samples]:
    return [record for record in recorded_samples(results, pair) if record.seed == JUDGED_SEED]


def _judge(context: CellContext, config: JudgeConfig, endpoint: ChatEndpoint) -> Iterator[list[AnyRecord]]:
    by_prompt: dict[str, list[Samples]] = defaultdict(list)
    for record in _judged(context.results, context.spec.name):
        by_prompt[record.prompt_id].append(record)
    missing = [
        samples
        for samples in by_prompt.values()
        if not all(JudgeScores.key_of(record.key) in context.results for record in samples)
    ]
    for first in range(0, len(missing), PROMPTS_JUDGED_TOGETHER):
        group = missing[first : first + PROMPTS_JUDGED_TOGETHER]
        scores = _scores(group, config, endpoint)
        yield [_record(context, config, record, scores) for samples in group for record in samples]
        context.on_progress(first + len(group), len(missing))


def _record(
    context: CellContext, config: JudgeConfig, samples: Samples, scores: Mapping[Chosen, Scores]
) -> JudgeScores:
    indices = _chosen_indices(samples, config)
    of_texts = [scores[samples.key, index] for index in indices]
    return JudgeScores(
        **context.header,
        family=samples.family,
        group=samples.group,
        prompt_id=samples.prompt_id,
        method=samples.method,
        samples=samples.key,
        judge=config.judge.name,
        host=config.judge.host,
        rubric_version=config.rubric_version,
        indices=indices,
        scores={aspect: tuple(s[aspect] if s else None for s in of_texts) for aspect in ASPECTS},
    )


def _scores(
    prompts: Sequence[Sequence[Samples]], config: JudgeConfig, endpoint: ChatEndpoint
) -> dict[Chosen, Scores]:
    """What the judge says of the chosen texts of several prompts; None where its answer cannot be read."""
    batches = [batch for samples in prompts for batch in _batches(samples, config)]
    records = {record.key: record for samples in prompts for record in samples}
    replies = endpoint.ask_all(
        [
            judge_request(records[batch[0][0]].text, [records[key].texts[index] for key, index in batch])
            for batch in batches
        ]
    )
    found: dict[Chosen, Scores] = {}
    for batch, reply in zip(batches, replies, strict=True):
        found.update(zip(batch, parse_scores(reply, len(batch)) or [None] * len(batch), strict=True))
    return found


def _batches(samples: Sequence[Samples], config: JudgeConfig) -> list[list[Chosen]]:
    """A prompt's chosen texts of all methods, mixed; each judge has an order of its own."""
    chosen = [(record.key, index) for record in samples for index in _chosen_indices(record, config)]
    first = samples[0]
    seed = seed_from_key("judge", config.judge.name, config.judge.host, first.pair, first.prompt_id)
    return shuffled_batches(chosen, config.texts_in_request, seed)


def _chosen_indices(record: Samples, config: JudgeConfig) -> tuple[int, ...]:
    """Which samples are judged: the same ones whoever judges."""
    count = len(record.texts)
    generator = random.Random(seed_from_key("judged samples", record.seed_key))
    return tuple(sorted(generator.sample(range(count), min(config.num_samples, count))))


def _mirror(records: Sequence[AnyRecord], _pair: str) -> RunMirror:
    """Mean scores by genre and method, over all texts that have one."""
    values: dict[str, list[int]] = defaultdict(list)
    for record in of_kind(records, JudgeScores):
        for aspect, scores in record.scores.items():
            values[f"{record.group}/{record.method}/{aspect}"] += [s for s in scores if s is not None]
    return RunMirror(summary={name: fmean(of) for name, of in values.items() if of}, tables={})

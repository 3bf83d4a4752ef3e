"""A study of one pair by one judge: scores for a fixed number of each prompt's and method's samples.

The study is one cell. Prompts are judged in groups, so that requests overlap. If a prompt lacks a record, all of its
texts are asked for again; the cache answers most of these requests.
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
from slr.runs.results import RecordsByKey, of_kind
from slr.seeding import seed_from_key
from slr.tasks.creative_prompts import GENRES

PROMPTS_JUDGED_TOGETHER = 8
"""Number of prompts whose texts are judged at a time, and then written."""
JUDGED_SEED = 0
"""Seed whose samples are judged, if there are several seeds of sampling."""
REQUEST_TOKENS = 500
"""Number of tokens of rubric, request and reply without the texts, for cost estimates only."""

Chosen = tuple[str, int]
"""Key of the samples' record and place of the text in it."""
Scores = dict[str, int] | None
"""Score of a text by aspect; None where the judge's answer could not be read."""


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """What the scores depend on.

    Attributes:
        judge: the judging model.
        num_samples: number of texts judged of each prompt and method.
        texts_in_request: number of texts that are judged together.
        rubric_version: version of the rubric.
    """

    judge: ChatModel
    num_samples: int
    texts_in_request: int = 4
    rubric_version: str = RUBRIC_VERSION

    def shortened(self) -> JudgeConfig:
        """The configuration of a smoke run, just large enough to see that everything works."""
        return dataclasses.replace(self, num_samples=1)


def judge_experiment(
    name: str, question: str, config: JudgeConfig, writing: Experiment[DownstreamConfig], prefix: str
) -> Experiment[JudgeConfig]:
    """Make an experiment in which a judge scores the samples of another experiment.

    Args:
        name: name of the experiment and of its file of records.
        question: what the experiment answers, in words.
        config: the judge, and how much it judges.
        writing: the experiment whose samples are judged.
        prefix: prefix of the environment variables that describe the endpoint.

    Returns:
        The experiment. It connects to the endpoint only when a cell needs it.
    """
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
    def record_keys(results: RecordsByKey) -> list[str] | None:
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


def _judged(results: RecordsByKey, pair: str) -> list[Samples]:
    return [record for record in recorded_samples(results, pair) if record.seed == JUDGED_SEED]


def _judge(context: CellContext, config: JudgeConfig, endpoint: ChatEndpoint) -> Iterator[list[AnyRecord]]:
    by_prompt: dict[str, list[Samples]] = defaultdict(list)
    for record in _judged(context.results, context.spec.name):
        by_prompt[record.prompt_id].append(record)
    # A prompt is judged as a whole, because its requests mix the texts of all methods.
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
    """The judge's scores of the chosen texts of several prompts; None where its answer cannot be read."""
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
    """A prompt's chosen texts of all methods, mixed. Each judge gets an order of its own."""
    chosen = [(record.key, index) for record in samples for index in _chosen_indices(record, config)]
    first = samples[0]
    seed = seed_from_key("judge", config.judge.name, config.judge.host, first.pair, first.prompt_id)
    return shuffled_batches(chosen, config.texts_in_request, seed)


def _chosen_indices(record: Samples, config: JudgeConfig) -> tuple[int, ...]:
    """The places of the samples to judge, which are the same for every judge."""
    # The key of the seed does not name the judge, so that two judges score the same texts.
    count = len(record.texts)
    generator = random.Random(seed_from_key("judged samples", record.seed_key))
    return tuple(sorted(generator.sample(range(count), min(config.num_samples, count))))


def _mirror(records: Sequence[AnyRecord], _pair: str) -> RunMirror:
    """Mean scores by genre and method, over all texts that have a score."""
    values: dict[str, list[int]] = defaultdict(list)
    for record in of_kind(records, JudgeScores):
        for aspect, scores in record.scores.items():
            values[f"{record.group}/{record.method}/{aspect}"] += [s for s in scores if s is not None]
    return RunMirror(summary={name: fmean(of) for name, of in values.items() if of}, tables={})

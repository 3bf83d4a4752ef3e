"""A downstream study of one pair: sample by every method on every prompt, then measure the samples.

Its cells, in order: ``problems`` (reasoning only: which problems the instruct model solves greedily), one for each
method and seed, and ``measures``. If the search gave
nothing for a method's model, the method is left out, and the tables say so.

Prompts are sampled in fixed groups, because the last bits of a model's numbers depend on what else is in the batch. If
a group lacks a record, all of it is drawn again, which gives equal records.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from slr.crc.choice import chosen_by_search, selection_of
from slr.crc.study import CrcStudyConfig, crc_experiment
from slr.downstream.groups import ALL_PROBLEMS, FAILED, SOLVED
from slr.downstream.methods import (
    Method,
    available_references,
    interval_of,
    is_available,
    make_model,
)
from slr.downstream.opened_model import opened_model
from slr.downstream.report import method_summaries, metric_values
from slr.downstream.task import document_of, find_task, load_task, prompt_ids
from slr.metrics.functional_classes import SAME_CLASS_COSINE, functional_classes
from slr.models.reference import ModelReference, PairSpec
from slr.runs.experiment import Cell, CellContext, Columns, Cost, Experiment, RunMirror, files_of
from slr.runs.measure_versions import EMBEDDING, FLUENCY, READING_OF_ANSWERS, SAMPLING, version_of_plugin
from slr.runs.records import AnyRecord, CrcSelection, ProblemSet, SampleMeasures, Samples
from slr.runs.results import RecordsByKey, of_kind
from slr.sampling.config import SamplingConfig
from slr.seeding import seed_from_key
from slr.tasks.prompting_methods import compose_english_request, compose_testbed_request
from slr.tasks.prompts import TaskPrompt
from slr.tasks.reasoning import ReasoningProblem, is_right
from slr.vocabulary import Source

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from slr.chat.few_shot import FewShotDocument
    from slr.downstream.fluency import FluencyModel
    from slr.metrics.semantic import SentenceEncoder
    from slr.sampling.generation import Sample

TYPICAL_PROMPT_TOKENS = 60
"""Number of tokens in a prompt, for cost estimates only."""
TYPICAL_ANSWER_SHARE = 0.5
"""Length of an answer as a share of the largest number of new tokens, for cost estimates only."""
TYPICAL_ANSWER_TOKENS = 400
"""Largest number of tokens in an answer, for cost estimates only: few answers use all the tokens that they may."""


RECORDS_MEASURED_TOGETHER = 32
"""Number of records of samples that are measured at a time, and then written."""
ROWS_ON_CPU = 256
"""Number of samples that a CPU draws together, where the configuration leaves it open."""
TEXTS_SHOWN = 4
"""Number of each prompt's samples in W&B's table. All are in the records, which W&B gets as an artifact."""


@dataclass(frozen=True, kw_only=True)
class DownstreamConfig:
    """All that the results depend on, except the pair, the search's choice and the dtype.

    Attributes:
        task: name of the task.
        source: origin of the prompts.
        methods: the methods compared.
        num_prompts: number of prompts: of each genre, of questions, or of problems.
        num_samples: number of samples of each prompt, method and seed.
        max_new_tokens: largest number of tokens in an answer.
        num_seeds: number of repetitions of sampling.
        batch_size: largest number of samples drawn together; None for as many as a GPU's memory holds, and for
            ``ROWS_ON_CPU`` on a CPU.
        num_asked_for: number of answers that a prompting method asks for.
        last_number_counts: whether a text without a marked answer gives its last number as the answer.
        fluency_models: names of pairs, each with the checkpoint that scores the fluency of the pair's samples. It is
            none of the models compared.
    """

    task: str
    source: Source
    methods: tuple[Method, ...]
    num_prompts: int
    num_samples: int
    max_new_tokens: int
    num_seeds: int = 1
    batch_size: int | None = ROWS_ON_CPU
    num_asked_for: int = 5
    last_number_counts: bool = False
    fluency_models: tuple[tuple[str, ModelReference], ...] = ()

    def fixed_group(self, num_samples: int) -> int:
        """Number of prompts that are sampled together where rows are not refilled.

        Args:
            num_samples: number of samples of each prompt.
        """
        return max(1, (self.batch_size or ROWS_ON_CPU) // num_samples)

    def fluency_model_of(self, pair: str) -> ModelReference | None:
        """The checkpoint that scores the fluency of the pair's samples; None if there is none."""
        return dict(self.fluency_models).get(pair)

    def shortened(self) -> DownstreamConfig:
        """The configuration of a smoke run, which shows in seconds that everything works. Its numbers mean nothing."""
        return dataclasses.replace(
            self,
            num_prompts=2 if find_task(self.task).value.kind == "problems" else 1,
            num_samples=4,
            max_new_tokens=min(self.max_new_tokens, 8),
            num_seeds=1,
        )


def downstream_experiment(
    name: str, question: str, config: DownstreamConfig, crc: CrcStudyConfig
) -> Experiment[DownstreamConfig]:
    """Make an experiment that compares methods on one task.

    Args:
        name: name of the experiment and of its file of records.
        question: what the experiment answers, in words.
        config: the task, the methods and the size.
        crc: configuration of the search whose choice is used.

    Returns:
        The experiment.
    """
    return Experiment(
        name=name,
        question=question,
        config=config,
        cells=lambda spec: _cells(spec, config),
        job_type="downstream",
        mirror=_mirror,
        builds_on=crc_experiment(crc),
        inputs=lambda results, spec: _inputs(results, spec, config),
        versions=lambda: versions_of(config),
        samples_answers=True,
    )


def _inputs(results: RecordsByKey, spec: PairSpec, config: DownstreamConfig) -> dict[str, Any]:
    """The search's choice, and digests of the fluency model's present files."""
    reference = config.fluency_model_of(spec.name)
    files = None if reference is None else files_of(reference)
    of_fluency_model = {f"{part} of the fluency model": digest for part, digest in (files or {}).items()}
    return chosen_by_search(results, spec) | of_fluency_model


def versions_of(config: DownstreamConfig) -> dict[str, str]:
    """Versions of everything that samples and their stored measures depend on, except the models."""
    task = find_task(config.task)
    versions = {**SAMPLING, "requests": _requests_digest(config), **version_of_plugin("slr.tasks", task)}
    if task.value.kind == "problems":
        versions |= READING_OF_ANSWERS
    if task.value.kind == "writing":
        versions |= EMBEDDING | (FLUENCY if config.fluency_models else {})
    return versions


def _requests_digest(config: DownstreamConfig) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of all requests, or of the revision that stands for them."""
    requests: list[Any] = [find_task(config.task).value.revisions.get(config.source)]
    if requests == [None]:
        prompts = load_task(config.task, config.source, config.num_prompts)
        requests = [
            (prompt.id, prompt.expected, _asked(prompt, method, config))
            for prompt in prompts
            # A request depends on a method only through its way to ask.
            for method in {c.prompting: c for c in config.methods}.values()
        ]
    return hashlib.sha256(json.dumps(requests).encode()).hexdigest()[:12]


def _cells(spec: PairSpec, config: DownstreamConfig) -> list[Cell]:
    cells = []
    task = find_task(config.task).value
    if task.kind == "problems":
        cells.append(
            Cell(
                key=f"{spec.name}/problems",
                record_keys=lambda _: [ProblemSet.key_of(spec.name)],
                run=lambda context: _try_problems(context, config),
                cost=_cost(spec, config, config.num_prompts, 1),
            )
        )
    needs = tuple(cell.key for cell in cells)
    cells += [
        _sampling_cell(spec, config, method, seed, needs)
        for method in config.methods
        for seed in range(config.num_seeds)
    ]
    if task.kind == "writing":
        samplings = tuple(cell.key for cell in cells)
        cells.append(
            Cell(
                key=f"{spec.name}/measures",
                record_keys=lambda results: _measure_keys(spec, config, results),
                run=lambda context: _measure(context, config),
                cost=_cost(spec, config, 0, 0),
                needs=samplings,
                division="among_all",
            )
        )
    return cells


def _sampling_cell(
    spec: PairSpec, config: DownstreamConfig, method: Method, seed: int, needs: tuple[str, ...]
) -> Cell:
    task = find_task(config.task).value
    # Writing has this number of prompts of each genre.
    genres = len(task.prompts(config.source, 1)) if task.kind == "writing" else 1
    num_prompts = config.num_prompts * genres
    return Cell(
        key=f"{spec.name}/{method.id}/seed={seed}",
        record_keys=lambda results: _sample_keys(spec, config, method, seed, results),
        run=lambda context: _sample(context, config, method, seed),
        cost=_cost(spec, config, num_prompts, config.num_samples),
        needs=needs,
        division="in_parts",
    )


def _cost(spec: PairSpec, config: DownstreamConfig, num_prompts: int, num_samples: int) -> Cost:
    """Estimate the cost of sampling. The prompt is computed once for all of its samples."""
    answer = min(config.max_new_tokens * TYPICAL_ANSWER_SHARE, TYPICAL_ANSWER_TOKENS)
    sampled = round(num_prompts * num_samples * answer)
    tokens = num_prompts * TYPICAL_PROMPT_TOKENS + sampled
    return Cost(
        layer_evaluations=tokens * (spec.num_layers or 0),
        tokens=tokens,
        flops=None if spec.num_parameters is None else 2.0 * spec.num_parameters * tokens,
        sampled_share=sampled / tokens if tokens else 0.0,
    )


def _prompts(config: DownstreamConfig, results: RecordsByKey, pair: str) -> tuple[TaskPrompt, ...] | None:
    """The prompts to sample; None while it is not known which problems the instruct model solves."""
    prompts = load_task(config.task, config.source, config.num_prompts)
    if find_task(config.task).value.kind != "problems":
        return prompts
    problems = results.find(ProblemSet, ProblemSet.key_of(pair))
    if problems is None:
        return None
    failed = set(problems.wrong)
    return tuple(
        dataclasses.replace(prompt, group=FAILED if prompt.id in failed else SOLVED) for prompt in prompts
    )


def _sample_keys(
    spec: PairSpec, config: DownstreamConfig, method: Method, seed: int, results: RecordsByKey
) -> list[str] | None:
    selection = selection_of(results, spec.name)
    # Samples are grouped by what the instruct model made of the problems.
    has_groups = config.task != "reasoning" or results.find(ProblemSet, ProblemSet.key_of(spec.name))
    if selection is None or not has_groups:
        return None
    if not is_available(method.model, selection):
        return []
    ids = prompt_ids(config.task, config.source, config.num_prompts)
    return [Samples.key_of(spec.name, method.id, id_, seed) for id_ in ids]


def _try_problems(context: CellContext, config: DownstreamConfig) -> Iterator[list[AnyRecord]]:
    """Find which problems the instruct model's greedy answer gets wrong."""
    from slr.chat.template import render_chats

    prompts = load_task(config.task, config.source, config.num_prompts)
    greedy = SamplingConfig(temperature=0, max_new_tokens=config.max_new_tokens)
    wrong: list[str] = []
    with opened_model(context, lambda pair: pair.instruct_model) as instruct:
        size = len(prompts) if instruct.refills_rows else config.fixed_group(1)
        for first in range(0, len(prompts), size):
            group = prompts[first : first + size]
            requests = render_chats(instruct.tokenizer, [prompt.text for prompt in group])
            # Greedy answers depend on no seed.
            answers = dict(instruct.draw(requests, 1, greedy, [0] * len(group), config.batch_size))
            for place, prompt in enumerate(group):
                (answer,) = answers[place].samples
                assert prompt.expected is not None
                problem = ReasoningProblem(prompt.id, prompt.text, prompt.expected)
                if not is_right(problem, answer.text, last_number_counts=config.last_number_counts):
                    wrong.append(prompt.id)
            context.on_progress(first + len(group), len(prompts))
    tried = tuple(prompt.id for prompt in prompts)
    yield [ProblemSet(**context.header, tried=tried, wrong=tuple(wrong))]


def _sample(
    context: CellContext, config: DownstreamConfig, method: Method, seed: int
) -> Iterator[list[AnyRecord]]:
    pair = context.spec.name
    selection, prompts = selection_of(context.results, pair), _prompts(config, context.results, pair)
    assert selection is not None
    assert prompts is not None
    return sample_prompts(context, config, method, seed, selection, prompts)


def sample_prompts(
    context: CellContext,
    config: DownstreamConfig,
    method: Method,
    seed: int,
    selection: CrcSelection,
    prompts: Sequence[TaskPrompt],
) -> Iterator[list[AnyRecord]]:
    """Draw the samples of one method that are missing, one batch of records for each group of prompts.

    Args:
        context: the running cell.
        config: the task and its size.
        method: the method.
        seed: number of the repetition, from 0.
        selection: the choice that says which layers the method's model restores.
        prompts: all prompts, in the order in which they are grouped.

    Yields:
        Records of samples.
    """
    from slr.chat.template import render_chats

    pair = context.spec.name
    sampling = dataclasses.replace(method.sampling, max_new_tokens=config.max_new_tokens)
    document = document_of(config.task, config.source) if method.prompting == "few_shot" else None
    render = document.render if document else render_chats
    other_ends = document.end_tokens if document else lambda _: ()
    with opened_model(
        context, lambda loaded: make_model(loaded, method.model, selection), other_ends
    ) as model:
        common: dict[str, Any] = {
            **context.header,
            **_common_fields(config, method, selection),
            "family": model.family,
        }
        groups = _groups(context, config, prompts, model.refills_rows)
        num_prompts = sum(map(len, groups))
        groups = _groups_to_draw(context, method, seed, groups, model.refills_rows)
        num_done = num_prompts - sum(map(len, groups))
        for group in groups:
            requests = [_request(prompt, method, config) for prompt in group]
            seed_keys = [Samples.seed_key_of(pair, method.id, method.model, p.id, seed) for p in group]
            drawn = model.draw(
                render(model.tokenizer, requests),
                config.num_samples,
                sampling,
                # These keys hold the original names, so that draws stay equal when an id changes.
                [seed_from_key(context.experiment.name, key) for key in seed_keys],
                config.batch_size,
            )
            # Records of a group that is drawn together are written together.
            for ready in ([one] for one in drawn) if model.refills_rows else [list(drawn)]:
                yield [
                    Samples(
                        **common,
                        group=group[place].group,
                        prompt_id=group[place].id,
                        text=group[place].text,
                        request=requests[place],
                        sampling=sampling,
                        seed=seed,
                        expected=group[place].expected,
                        rows=answers.rows,
                        **_texts_of(answers.samples, document, model.tokenizer),
                    )
                    for place, answers in ready
                ]
                num_done += len(ready)
                context.on_progress(num_done, num_prompts)


def _texts_of(
    samples: Sequence[Sample], document: FewShotDocument | None, tokenizer: PreTrainedTokenizerBase
) -> dict[str, Any]:
    """The fields of samples in a record."""
    # A token may hold the stop together with other text, and then it ends no answer by itself.
    cut = [_cut(sample, document, tokenizer) for sample in samples] if document else samples
    return {
        "texts": tuple(sample.text for sample in cut),
        "num_tokens": tuple(sample.num_tokens for sample in cut),
        "finished": tuple(sample.finished for sample in cut),
    }


def _groups(
    context: CellContext, config: DownstreamConfig, prompts: Sequence[TaskPrompt], refills_rows: bool
) -> list[Sequence[TaskPrompt]]:
    """The prompts of this part of the cell, in the groups in which they are drawn; one each where rows are refilled."""
    size = 1 if refills_rows else config.fixed_group(config.num_samples)
    groups = [prompts[first : first + size] for first in range(0, len(prompts), size)]
    return context.share(groups, [len(group) for group in groups])


def _groups_to_draw(
    context: CellContext,
    method: Method,
    seed: int,
    groups: Sequence[Sequence[TaskPrompt]],
    refills_rows: bool,
) -> list[Sequence[TaskPrompt]]:
    """The groups that lack a record.

    Where rows are refilled, they become one group. Elsewhere only whole groups are left out, because a smaller batch
    would change the last bits.
    """

    def is_done(prompt: TaskPrompt) -> bool:
        return Samples.key_of(context.spec.name, method.id, prompt.id, seed) in context.results

    missing = [group for group in groups if not all(map(is_done, group))]
    if refills_rows and missing:
        return [list(itertools.chain.from_iterable(missing))]
    return missing


def _cut(sample: Sample, document: FewShotDocument, tokenizer: PreTrainedTokenizerBase) -> Sample:
    """Cut a text at the end of its answer, behind which the model went on with its document."""
    answer, has_stop = document.answer_in(sample.text)
    if not has_stop:
        return dataclasses.replace(sample, text=answer)
    # The stop counts as one token, like the token that ends an answer in the chat template.
    num_tokens = len(tokenizer(answer, add_special_tokens=False)["input_ids"]) + 1
    return dataclasses.replace(sample, text=answer, num_tokens=num_tokens, finished=True)


def _common_fields(config: DownstreamConfig, method: Method, selection: CrcSelection) -> dict[str, Any]:
    """The fields that all samples of one method share."""
    interval = interval_of(method.model, selection)
    return {
        "task": config.task,
        "source": config.source,
        "method": method.id,
        "references": available_references(method, config.methods, selection),
        "model": method.model,
        "interval": None if interval is None else interval.ends,
        "alpha": selection.soup_alpha if method.model == "soup" else None,
        "prompting": method.prompting,
        "last_number_counts": config.last_number_counts,
    }


def _request(prompt: TaskPrompt, method: Method, config: DownstreamConfig) -> str:
    if method.prompting in ("direct", "few_shot"):
        return prompt.text
    if prompt.things is not None:
        return compose_testbed_request(method.prompting, prompt.text, prompt.things, config.num_asked_for)
    return compose_english_request(method.prompting, prompt.text, config.num_asked_for)


def _asked(prompt: TaskPrompt, method: Method, config: DownstreamConfig) -> str:
    """All that the model is given except the chat template: the request, or the whole document."""
    request = _request(prompt, method, config)
    is_in_document = method.prompting == "few_shot"
    return document_of(config.task, config.source).text(request) if is_in_document else request


def _mirror(records: Sequence[AnyRecord], pair: str) -> RunMirror:
    """Means of all metrics, lengths of answers, curves over k, and a table of readable texts.

    Names are without a group where it is the task's own name or holds all problems.
    """
    samples = of_kind(records, Samples)
    summary: dict[str, Any] = {}
    for of_metric in method_summaries(metric_values(records, pair)):
        name = f"{_prefix(of_metric.group, samples[0].task)}{of_metric.method.id}/{of_metric.metric.id}"
        summary[name] = of_metric.estimate.mean if of_metric.estimate else None
    for method in dict.fromkeys(record.method for record in samples):
        lengths = [n for record in samples if record.method == method for n in record.num_tokens]
        summary[f"{method}/tokens_in_an_answer"] = fmean(lengths)
    rows: list[list[Any]] = [
        [record.group, record.prompt_id, record.request, record.method, record.seed, text]
        for record in samples
        for text in record.texts[:TEXTS_SHOWN]
    ]
    columns = ["group", "prompt", "request", "method", "seed", "text"]
    return RunMirror(summary=summary, tables={"samples": (columns, rows)}, curves=_curves(samples))


def _prefix(group: str, task: str) -> str:
    return "" if group in (task, ALL_PROBLEMS) else f"{group}/"


def _curves(samples: Sequence[Samples]) -> dict[str, Columns]:
    """The task's curve for every k, by group: means over prompts and seeds."""
    curve = find_task(samples[0].task).value.curve if samples else None
    if curve is None:
        return {}
    name, curve_of = curve
    curves = {}
    by_group = {
        group: [record for record in samples if record.group == group]
        for group in sorted({record.group for record in samples})
    }
    if by_group.keys() <= {SOLVED, FAILED}:
        by_group = {ALL_PROBLEMS: list(samples), **by_group}
    for group, of_group in by_group.items():
        methods = list(dict.fromkeys(record.method for record in of_group))
        means = [np.mean([curve_of(r) for r in of_group if r.method == method], axis=0) for method in methods]
        rows = [[k, *map(float, of_k)] for k, of_k in enumerate(zip(*means, strict=True), start=1)]
        curves[f"{_prefix(group, samples[0].task)}{name}"] = (["k", *methods], rows)
    return curves


def _measure_keys(spec: PairSpec, config: DownstreamConfig, results: RecordsByKey) -> list[str] | None:
    keys = []
    for method in config.methods:
        for seed in range(config.num_seeds):
            of_method = _sample_keys(spec, config, method, seed, results)
            if of_method is None:
                return None
            keys += of_method
    return [SampleMeasures.key_of(key) for key in keys]


def _measure(context: CellContext, config: DownstreamConfig) -> Iterator[list[AnyRecord]]:
    """Embed the samples, and score their fluency if there is a model for it."""
    records = [
        record
        for record in context.results.of_pair(context.spec.name).of_kind(Samples)
        if SampleMeasures.key_of(record.key) not in context.results
    ]
    yield from measure_samples(context, records, config.fluency_model_of(context.spec.name))


def measure_samples(
    context: CellContext, records: Sequence[Samples], reference: ModelReference | None
) -> Iterator[list[AnyRecord]]:
    """Measure this process's share of the samples, and yield the measures of some records at a time.

    Args:
        context: the running cell.
        records: the samples, the same ones in every process, in any order.
        reference: model that scores their fluency; None if there is none.
    """
    records = sorted(records, key=lambda record: record.key)
    # Whole groups are shared, so that the numbers do not depend on the number of processes.
    starts = range(0, len(records), RECORDS_MEASURED_TOGETHER)
    groups = [records[start : start + RECORDS_MEASURED_TOGETHER] for start in starts]
    groups = context.share(groups, [sum(len(record.texts) for record in group) for group in groups])
    # Only this generator holds the model, so that its memory is freed when the cell ends.
    fluency_model = _open_fluency_model(reference, context.settings.device) if reference and groups else None
    for place, group in enumerate(groups, start=1):
        fluency = None if fluency_model is None else _fluency(fluency_model, group)
        yield _measures_of(
            context, group, None if reference is None else str(reference.without_path), fluency
        )
        context.on_progress(place, len(groups))


def _measures_of(
    context: CellContext,
    records: Sequence[Samples],
    fluency_model: str | None,
    fluency: Sequence[tuple[float | None, ...]] | None,
) -> list[AnyRecord]:
    from slr.metrics.semantic import ENCODER_PACKAGE, embedding_diversity
    from slr.metrics.vendi import vendi_score

    # Many texts of similar length make full batches. Equal texts are encoded once.
    texts = list(dict.fromkeys(text for record in records for text in (record.text, *record.texts)))
    encoder = _encoder(context.settings.device)
    embeddings = dict(zip(texts, encoder.encode(texts), strict=True))
    longer = dict(zip(texts, encoder.longer_than_window(texts), strict=True))
    measures: list[AnyRecord] = []
    for index, record in enumerate(records):
        is_written = [bool(text.strip()) for text in record.texts]
        written = [embeddings[text] for text, is_one in zip(record.texts, is_written, strict=True) if is_one]
        classes = iter(functional_classes(np.stack(written)) if written else ())
        measures.append(
            SampleMeasures(
                **context.header,
                samples=record.key,
                encoder=ENCODER_PACKAGE,
                embedding_diversity=embedding_diversity(np.stack(written)) if written else None,
                vendi=vendi_score(np.stack(written)) if written else None,
                class_threshold=SAME_CLASS_COSINE,
                classes=tuple(next(classes) if is_one else None for is_one in is_written),
                adherence=tuple(
                    float(embeddings[text] @ embeddings[record.text]) if text.strip() else None
                    for text in record.texts
                ),
                longer_than_window=tuple(longer[text] for text in record.texts),
                fluency_model=fluency_model,
                fluency=None if fluency is None else fluency[index],
                fluency_given=None if fluency is None else "request",
            )
        )
    return measures


def _fluency(model: FluencyModel, records: Sequence[Samples]) -> list[tuple[float | None, ...]]:
    """Fluency of each record's samples in nats a token, given the request that the sampled model got."""
    requests = [record.request for record in records for _ in record.texts]
    scores = iter(model.score(requests, [text for record in records for text in record.texts]))
    return [tuple(islice(scores, len(record.texts))) for record in records]


@cache
def _encoder(device: str) -> SentenceEncoder:
    # All cells of a process share one encoder, so that it is loaded once.
    from slr.metrics.semantic import SentenceEncoder

    return SentenceEncoder(device=device)


def _open_fluency_model(reference: ModelReference, device: str) -> FluencyModel:
    from slr.downstream.fluency import FluencyModel

    return FluencyModel.load(reference, device)

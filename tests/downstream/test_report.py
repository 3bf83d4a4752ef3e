"""Means and contrasts from records, against differences and p-values worked out by hand."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import pytest

from slr.downstream.groups import ALL_GENRES, ALL_PROBLEMS, FAILED
from slr.downstream.metric import Metric, MetricId
from slr.downstream.primary import quality_metric
from slr.downstream.report import MetricValues, method_contrasts, method_summaries, metric_values
from slr.downstream.task import metrics_of
from slr.runs.records import SampleMeasures, Samples
from slr.sampling.config import SamplingConfig
from slr.vocabulary import ComparedModel, TaskName
from tests.analysis.synthetic import PROVENANCE

REFERENCES = {"hybrid": ("instruct", "soup"), "soup": ("instruct",), "instruct": ()}


def first_number(samples: Samples, _: SampleMeasures | None) -> float | None:
    """The metric of these tests: the number that the first text is, or None where it is none."""
    return float(samples.texts[0]) if samples.texts[0] else None


NUMBER = Metric("precision", "the number", "quality", first_number)


def samples(
    method: str,
    prompt: str,
    text: str,
    *,
    group: str = "closed",
    seed: int = 0,
    references: Sequence[str] | None = None,
    model: ComparedModel | None = None,
    created_at: str = "2026-01-01T00:00:00+00:00",
    **settings: Any,
) -> Samples:
    return Samples(
        experiment="open_qa",
        pair="a pair",
        provenance=PROVENANCE.model_copy(update={"created_at": created_at}),
        family="llama",
        task="open_qa" if group == "closed" else "creative_writing",
        source="testbed",
        group=group,
        prompt_id=prompt,
        text="?",
        request="?",
        method=method,
        references=tuple(REFERENCES[method] if references is None else references),
        model=model or get_args(ComparedModel)[get_args(ComparedModel).index(method)],
        interval=None,
        alpha=None,
        prompting="direct",
        sampling=SamplingConfig(**settings),
        seed=seed,
        expected=None,
        texts=(text,),
        num_tokens=(1,),
        finished=(True,),
    )


def of_methods(values: Mapping[str, Sequence[float | None]], group: str = "closed") -> list[Samples]:
    """Samples whose metric has these values, prompt by prompt."""
    return [
        samples(method, f"{group}-{number}", "" if value is None else str(value), group=group)
        for method, of_method in values.items()
        for number, value in enumerate(of_method)
    ]


BY_HAND = of_methods({"instruct": [0.0, 0.0, 0.0], "hybrid": [0.25, 0.5, 0.75], "soup": [0.0, 0.75, 0.5]})


def test_differences_and_p_values_worked_out_by_hand() -> None:
    contrasts = {
        (c.method, c.reference): c for c in method_contrasts(metric_values(BY_HAND, "a pair", [NUMBER]))
    }
    assert set(contrasts) == {("hybrid", "instruct"), ("hybrid", "soup"), ("soup", "instruct")}
    against_instruct = contrasts["hybrid", "instruct"]
    assert (against_instruct.mean, against_instruct.reference_mean) == (0.5, 0.0)
    assert against_instruct.difference is not None
    assert against_instruct.difference.mean == 0.5
    # Of 8 sign flips of (0.25, 0.5, 0.75) only two are as far from 0, so p = 2/8, times 3 contrasts.
    assert against_instruct.p_value == pytest.approx(0.75)
    # Differences 0.25, -0.25, 0.25: every sign flip is as far from 0.
    against_soup = contrasts["hybrid", "soup"]
    assert against_soup.difference is not None
    assert against_soup.difference.mean == pytest.approx(0.25 / 3)
    assert against_soup.p_value == 1.0
    # Differences 0, 0.75, 0.5: of 8 flips 4 are as far (0 counts with both signs), so p = 4/8, times 2, at least 0.75.
    assert contrasts["soup", "instruct"].p_value == 1.0
    assert {c.family_size for c in contrasts.values()} == {3}


def test_the_order_of_records_and_their_times_change_nothing() -> None:
    earlier = [
        record.model_copy(
            update={
                "provenance": PROVENANCE.model_copy(update={"created_at": f"2025-01-{day:02}T00:00:00+00:00"})
            }
        )
        for day, record in enumerate(BY_HAND, start=1)
    ]
    shuffled = random.Random(0).sample(earlier, len(earlier))
    expected = metric_values(BY_HAND, "a pair", [NUMBER])
    values = metric_values(shuffled, "a pair", [NUMBER])
    assert method_summaries(values) == method_summaries(expected)
    assert method_contrasts(values) == method_contrasts(expected)


def test_each_contrast_is_over_prompts_that_both_have_a_value_of() -> None:
    records = of_methods({"instruct": [0.25, None, 0.75, 0.5], "hybrid": [0.5, 1.0, None, 0.75]})
    records = [r.model_copy(update={"references": r.references[:1]}) for r in records]
    values = metric_values(records, "a pair", [NUMBER])
    (contrast,) = method_contrasts(values)
    assert contrast.num_items == 2
    assert (contrast.mean, contrast.reference_mean) == (0.625, 0.375)
    assert contrast.difference is not None
    assert (contrast.difference.mean, contrast.difference.n) == (0.25, 2)
    assert [(line.method.id, line.estimate and line.estimate.n) for line in method_summaries(values)] == [
        ("instruct", 3),
        ("hybrid", 3),
    ]


def test_a_missing_reference_is_an_error() -> None:
    records = [record for record in BY_HAND if record.method != "soup"]
    with pytest.raises(ValueError, match="'hybrid' is compared with 'soup', which has no samples"):
        method_contrasts(metric_values(records, "a pair", [NUMBER]))


def test_other_prompts_of_the_reference_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"not have samples for the same prompts of closed \('closed-0'"):
        method_contrasts(metric_values(BY_HAND[1:], "a pair", [NUMBER]))


AT_TEMPERATURES: tuple[tuple[float, ComparedModel, float], ...] = (
    (1.0, "instruct", 0.25),
    (1.0, "hybrid", 0.5),
    (0.7, "instruct", 0.0),
    (0.7, "hybrid", 1.0),
)


def test_compared_at_the_same_setting_only() -> None:
    records = [
        samples(
            f"{model} temperature={t}", "q-1", str(value), temperature=t, references=references, model=model
        )
        for t, model, value in AT_TEMPERATURES
        for references in [(f"instruct temperature={t}",) if model == "hybrid" else ()]
    ]
    contrasts = method_contrasts(metric_values(records, "a pair", [NUMBER]))
    assert [(c.method, c.reference, c.difference and c.difference.mean) for c in contrasts] == [
        ("hybrid temperature=0.7", "instruct temperature=0.7", 1.0),
        ("hybrid temperature=1.0", "instruct temperature=1.0", 0.25),
    ]


def test_genres_are_pooled_and_corrected_apart() -> None:
    poems = of_methods({"instruct": [0.0, 0.0], "hybrid": [1.0, 1.0], "soup": [0.0, 1.0]}, "poem")
    jokes = of_methods({"instruct": [0.0, 0.0], "hybrid": [0.5, 0.5], "soup": [0.0, 0.0]}, "joke")
    values = metric_values([*poems, *jokes], "a pair", [NUMBER])
    assert [v.group for v in values] == [ALL_GENRES, "joke", "poem"]
    lines = {(line.group, line.method.id): line.estimate for line in method_summaries(values)}
    pooled = lines[ALL_GENRES, "hybrid"]
    assert pooled is not None
    assert (pooled.mean, pooled.n) == (0.75, 4)
    sizes = {c.group: c.family_size for c in method_contrasts(values)}
    assert sizes == {ALL_GENRES: 3, "joke": 6, "poem": 6}


def test_seeds_are_averaged_before_prompts() -> None:
    records = [
        samples("instruct", prompt, str(value), seed=seed)
        for prompt, of_prompt in (("q-1", (0.0, 1.0)), ("q-2", (1.0, 1.0)))
        for seed, value in enumerate(of_prompt)
    ]
    (line,) = method_summaries(metric_values(records, "a pair", [NUMBER]))
    assert line.estimate is not None
    assert (line.estimate.mean, line.estimate.n) == (0.75, 2)
    assert line.seed_means == (0.5, 1.0)


def of_task(task: TaskName, metric: MetricId, group: str, hybrid: Sequence[float]) -> list[MetricValues]:
    """The values of a task's own experiment: instruct and soup are 0 on every prompt."""
    of_methods = {"instruct": [0.0] * len(hybrid), "hybrid": hybrid, "soup": [0.0] * len(hybrid)}
    records = [
        samples(method, f"{group}-{number}", str(value)).model_copy(
            update={"experiment": task, "task": task, "group": group}
        )
        for method, of_method in of_methods.items()
        for number, value in enumerate(of_method)
    ]
    return metric_values(records, "a pair", [Metric(metric, metric, "both", first_number, is_primary=True)])


def test_primary_contrasts_of_three_tasks_are_one_family() -> None:
    poems = of_task("creative_writing", "distinct_valid", "poem", [1.0] * 8)
    writing = [*poems, *(dataclasses.replace(values, group=ALL_GENRES) for values in poems)]
    questions = of_task("open_qa", "coverage", "closed", [1.0] * 4)
    problems = of_task("reasoning", "pass_at_4", FAILED, [1.0] * 6)
    assert [values.group for values in problems] == [ALL_PROBLEMS, FAILED]
    of_writing = {
        (c.group, c.method, c.reference): c for c in method_contrasts(writing, [*questions, *problems])
    }
    assert set(of_writing) == {
        (group, *compared)
        for group in (ALL_GENRES, "poem")
        for compared in (("hybrid", "instruct"), ("hybrid", "soup"), ("soup", "instruct"))
    }
    # Two contrasts of each task; raw p-values are 2/2^8, 2/2^4 and 2/2^6, so the two of writing are the smallest.
    primary = of_writing[ALL_GENRES, "hybrid", "instruct"]
    assert primary.is_primary
    assert (primary.family_size, primary.p_value) == (6, pytest.approx(6 * 2 / 2**8))
    (of_questions,) = [
        c
        for c in method_contrasts(questions, [*writing, *problems])
        if (c.method, c.reference) == ("hybrid", "soup")
    ]
    assert (of_questions.family_size, of_questions.p_value) == (6, pytest.approx(2 * 2 / 2**4))
    beside = of_writing["poem", "hybrid", "instruct"]
    assert not beside.is_primary
    assert beside.family_size == 3
    assert of_writing[ALL_GENRES, "soup", "instruct"].family_size == 1


def test_the_same_metric_in_another_experiment_is_not_primary() -> None:
    values = [
        dataclasses.replace(of, experiment="restoration_controls")
        for of in of_task("open_qa", "coverage", "closed", [1.0] * 4)
    ]
    assert not any(contrast.is_primary for contrast in method_contrasts(values))


@pytest.mark.parametrize(
    ("task", "num_samples", "expected"),
    [
        ("creative_writing", 16, "distinct_valid"),
        ("open_qa", 32, "coverage"),
        ("reasoning", 1, "pass_at_1"),
        ("reasoning", 8, "pass_at_4"),
        ("reasoning", 16, "pass_at_4"),
        ("reasoning", 64, "pass_at_16"),
    ],
)
def test_each_task_has_one_primary_metric_and_it_comes_first(
    task: TaskName, num_samples: int, expected: MetricId
) -> None:
    metrics = metrics_of(task, "testbed", num_samples)
    assert metrics[0].id == expected
    assert [metric.id for metric in metrics if metric.is_primary] == [expected]
    assert quality_metric(task, "testbed") in {metric.id for metric in metrics if metric.aspect == "quality"}

"""Different valid texts by a judge's scores, counted by hand."""

from __future__ import annotations

from slr.judging.judge_report import judged_values
from slr.runs.records import JudgeScores, SampleMeasures
from tests.analysis.synthetic import PROVENANCE
from tests.downstream.test_writing_metrics import measures, samples

TEXTS = ("one", "two", "three", "four", "five", "six")
SAMPLES = samples("poem-008", *TEXTS)
SCORES = JudgeScores(
    experiment="judge",
    pair="a pair",
    provenance=PROVENANCE,
    family="llama",
    group="poem",
    prompt_id="poem-008",
    method="hybrid",
    samples=SAMPLES.key,
    judge="a judge",
    host="somewhere",
    rubric_version="1",
    indices=(5, 0, 1, 2, 3),
    scores={
        "fluency": (9, 5, 8, 4, None),
        "adherence": (5, 6, 8, 9, None),
        "originality": (1, 1, 1, 9, None),
    },
)


def judged(of: SampleMeasures | None) -> float | None:
    records = [SAMPLES] if of is None else [SAMPLES, of]
    values = next(v for v in judged_values(records, [SCORES], "a pair") if v.metric.id == "distinct_valid")
    return values.prompt_means("hybrid")["poem-008"]


def test_classes_of_texts_that_score_well_in_fluency_and_adherence() -> None:
    # Texts 5, 0 and 1 are valid; 2 is not fluent, 3 was not readable, 4 was not judged.
    assert judged(measures(SAMPLES, 0, 1, 2, 3, 4, 0)) == 2
    assert judged(measures(SAMPLES, 0, 0, 0, 0, 0, 0)) == 1


def test_without_classes_the_number_is_undefined() -> None:
    assert judged(None) is None
    assert judged(measures(SAMPLES, *range(6)).model_copy(update={"classes": None})) is None

"""Records of version 1 are read as today's, and a run goes on from them; the lines here are as version 1 wrote them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slr.runs.record_lines import record_of
from slr.runs.records import (
    SCHEMA_VERSION,
    AnyRecord,
    CanonicalAnswers,
    Configuration,
    Failure,
    HarnessScore,
    JudgeScores,
    SampleMeasures,
    Samples,
)
from slr.sampling.config import SamplingConfig
from slr.seeding import seed_from_key

SAMPLES_KEY = "a/pair/samples/slr temperature=0.7/poem-01/seed=0"


def line(kind: str, cell: str, **fields: Any) -> bytes:
    provenance = {
        "schema_version": 1,
        "cell": cell,
        "config_hash": "aaaaaaaaaaaa",
        "commit": "unknown",
        "dirty": None,
        "created_at": "2026-01-01T00:00:00+00:00",
        "device": "CPU, 2 threads",
        "versions": {},
    }
    record = {"experiment": "e", "pair": "a/pair", "provenance": provenance, "kind": kind, **fields}
    return json.dumps(record).encode()


def samples_line(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "family": "llama",
        "task": "creative_writing",
        "source": "testbed",
        "group": "poem",
        "prompt_id": "poem-01",
        "text": "slr",
        "request": "slr",
        "method": "slr temperature=0.7",
        "references": ["instruct temperature=0.7", "soup temperature=0.7"],
        "model": "slr",
        "interval": [1, 3],
        "alpha": None,
        "prompting": "direct",
        "sampling": {"temperature": 0.7, "min_p": 0.1, "top_p": 1.0, "top_k": 0.0, "max_new_tokens": 64.0},
        "seed": 0,
        "expected": None,
        "last_number_counts": False,
        "texts": ["slr slr"],
        "num_tokens": [2],
        "finished": [True],
    }
    return line("samples", "a/pair/slr temperature=0.7/seed=0", **fields | changes)


def read(kind: type, content: bytes) -> Any:
    record: AnyRecord = record_of(content)
    assert isinstance(record, kind)
    assert record.provenance.schema_version == SCHEMA_VERSION
    return record


def test_samples_of_the_hybrid_get_its_id_and_keep_their_seed_and_texts() -> None:
    record = read(Samples, samples_line())
    assert (record.method, record.model) == ("hybrid temperature=0.7", "hybrid")
    assert record.references == ("instruct temperature=0.7", "soup temperature=0.7")
    assert record.key == "a/pair/samples/hybrid temperature=0.7/poem-01/seed=0"
    assert record.seed_key == SAMPLES_KEY
    assert record.provenance.cell == "a/pair/hybrid temperature=0.7/seed=0"
    assert record.sampling == SamplingConfig(temperature=0.7)
    assert (record.text, record.request, record.texts) == ("slr", "slr", ("slr slr",))


def test_other_methods_keep_their_ids() -> None:
    record = read(Samples, samples_line(method="early", model="early", references=["slr", "instruct"]))
    assert (record.method, record.model, record.references) == ("early", "early", ("hybrid", "instruct"))
    assert record.seed_key == record.key


def test_what_is_said_of_samples_finds_them() -> None:
    measures = line(
        "sample_measures",
        "a/pair/measures",
        samples=SAMPLES_KEY,
        encoder="slr",
        embedding_diversity=0.5,
        adherence=[0.5],
    )
    scores = line(
        "judge_scores",
        "a/pair/scores",
        family="llama",
        group="poem",
        prompt_id="poem-01",
        method="slr temperature=0.7",
        samples=SAMPLES_KEY,
        judge="slr",
        host="h",
        rubric_version="1",
        indices=[0],
        scores={"fluency": [7]},
    )
    canonical = line(
        "canonical_answers",
        "a/pair/canonical",
        method="slr temperature=0.7",
        samples=SAMPLES_KEY,
        model="slr",
        host="h",
        prompt_version="1",
        meant=[None],
        num_asked=1,
        num_unusable=0,
    )
    samples = read(Samples, samples_line())
    found = read(SampleMeasures, measures), read(JudgeScores, scores), read(CanonicalAnswers, canonical)
    assert {record.samples for record in found} == {samples.key}
    assert {record.method for record in found[1:]} == {samples.method}
    # Names of other models are nobody's ids.
    assert (found[0].encoder, found[1].judge, found[2].model) == ("slr",) * 3


def test_benchmark_scores_and_failures_of_the_hybrid_get_its_id() -> None:
    score = line(
        "harness_score",
        "a/pair/slr",
        family="llama",
        model="slr",
        references=["instruct", "soup"],
        interval=[1, 3],
        alpha=None,
        task="testbed_facts",
        task_version="1",
        num_fewshot=0,
        chat_template=True,
        metric="acc,none",
        value=0.5,
        standard_error=None,
        document_scores=[0.0, 1.0],
        harness_version="0",
    )
    assert read(HarnessScore, score).key == "a/pair/harness_score/hybrid/testbed_facts/acc,none"
    failure = line("failure", "a/pair/slr/seed=1", error_type="RuntimeError", message="slr")
    assert read(Failure, failure).key == "a/pair/hybrid/seed=1/failure"


def test_settings_are_as_todays_configuration_has_them() -> None:
    settings = {
        "conditions": [
            {"name": "slr list", "model": "slr", "prompting": "list", "references": ["soup list"]}
        ],
        "fluency_models": {"laptop-llama": "laptop:gemma/base"},
        "judge": {"name": "m", "host": "h", "parameters": {"temperature": 0}},
        "num_prompts": 3,
    }
    old = line(
        "configuration", "a/pair/configuration", settings=settings, dtype="own", base="b", instruct="i"
    )
    assert read(Configuration, old).settings == {
        "methods": [
            {"id": "hybrid list", "model": "hybrid", "prompting": "list", "references": ["soup list"]}
        ],
        "fluency_models": [["laptop-llama", "laptop:gemma/base"]],
        "judge": {"name": "m", "host": "h", "parameters": [["temperature", 0]]},
        "num_prompts": 3,
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (samples_line(sampling=None), "of schema version 1 that lacks a part of it"),
        (line("samples", "a/pair/slr/seed=0"), r"lacks a part of it \(KeyError: 'method'\)"),
        (samples_line(model="another"), "is no record of this version .*model"),
    ],
)
def test_what_cannot_be_brought_to_today_is_refused_in_one_sentence(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        record_of(content)
    assert "\n" not in str(caught.value)


def test_random_draws_of_the_hybrid_have_the_seeds_that_they_always_had() -> None:
    key = Samples.seed_key_of("testbed-llama", "hybrid", "hybrid", "poem-01", 0)
    assert seed_from_key("creative_writing", key) == seed_from_key(
        "creative_writing", "testbed-llama/samples/slr/poem-01/seed=0"
    )
    assert Samples.seed_key_of("p", "soup", "soup", "q", 1) == Samples.key_of("p", "soup", "q", 1)

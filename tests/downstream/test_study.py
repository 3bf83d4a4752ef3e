"""Studies of a shipped pair, small: complete, resumed to equal records, and scored from raw samples alone."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import json
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from slr.crc.study import SMOKE, crc_experiment
from slr.downstream import prompt_metrics, study
from slr.downstream.fluency import FluencyModel
from slr.downstream.groups import ALL_PROBLEMS, FAILED, SOLVED
from slr.downstream.methods import BASE_FEW_SHOT, BASELINES, PROMPTING
from slr.downstream.report import method_contrasts, method_summaries, metric_values
from slr.downstream.study import DownstreamConfig, downstream_experiment, measure_samples
from slr.downstream.task import metrics_of
from slr.downstream.writing_lengths import WritingLengths
from slr.metrics.lexical import distinct_n
from slr.models.presets import find_pair
from slr.models.reference import ModelReference
from slr.runs.experiment import CellContext, RunSettings, store_of
from slr.runs.records import AnyRecord, CrcSelection, ProblemSet, SampleMeasures, Samples
from slr.runs.run_experiments import run_experiment, run_experiments
from slr.sampling import generation
from slr.tasks.few_shot import few_shot_document
from slr.testbed.facts import RELATIONS
from slr.vocabulary import TaskName
from tests.tiny_models import make_checkpoint_pair

SPEC = find_pair("testbed-llama")
LONG = 20
"""Characters that the tests' encoder sees at once."""
QA = DownstreamConfig(
    task="open_qa",
    source="testbed",
    methods=BASELINES,
    num_prompts=5,
    num_samples=4,
    max_new_tokens=8,
    batch_size=8,
)


@pytest.fixture
def settings(settings_after_search: RunSettings, monkeypatch: pytest.MonkeyPatch) -> RunSettings:
    """After a search; with an encoder that needs no package."""

    class CountingEncoder:
        def encode(self, texts: Sequence[str]):
            import numpy as np

            counts = np.array([[len(text) + 1.0, text.count("e") + 1.0] for text in texts], dtype=np.float32)
            return counts / np.linalg.norm(counts, axis=1, keepdims=True)

        def longer_than_window(self, texts: Sequence[str]):
            return tuple(len(text) > LONG for text in texts)

    monkeypatch.setattr(study, "_encoder", lambda _device: CountingEncoder())
    return settings_after_search


def run(config: DownstreamConfig, settings: RunSettings, name: str = "tested") -> list[AnyRecord]:
    experiment = downstream_experiment(name, "?", config, SMOKE)
    outcome = run_experiment(experiment, SPEC, settings)
    assert not outcome.failed
    return store_of(experiment, settings.output_dir).read()


def without_time(records: list[AnyRecord]) -> dict[str, dict[str, Any]]:
    return {record.key: record.model_dump(exclude={"provenance"}) for record in records}


def chosen(settings: RunSettings) -> CrcSelection:
    records = store_of(crc_experiment(SMOKE), settings.output_dir).read()
    return next(record for record in records if isinstance(record, CrcSelection))


def test_every_method_on_every_prompt(settings: RunSettings) -> None:
    records = run(QA, settings)
    samples = [record for record in records if isinstance(record, Samples)]
    selection = chosen(settings)
    expected = ["instruct", "base"]
    expected += ["hybrid"] if selection.interval else []
    expected += ["soup"] if selection.soup_alpha is not None else []
    assert list(dict.fromkeys(record.method for record in samples)) == expected
    assert len(samples) == 5 * len(expected)
    for record in samples:
        assert len(record.texts) == len(record.num_tokens) == len(record.finished) == 4
        assert record.sampling.max_new_tokens == 8
        assert record.interval == (selection.interval if record.method == "hybrid" else None)


@pytest.mark.parametrize("task", ["open_qa", "creative_writing"])
def test_the_few_shot_base_answers_in_a_document_and_its_answers_end(
    settings: RunSettings, task: TaskName
) -> None:
    config = dataclasses.replace(QA, task=task, methods=(BASELINES[0], BASE_FEW_SHOT), max_new_tokens=48)
    records = [r for r in run(config, settings) if isinstance(r, Samples) and r.method == "base_few_shot"]
    assert {(r.model, r.prompting, r.references) for r in records} == {("base", "few_shot", ("instruct",))}
    assert all(r.request == r.text for r in records)
    stop = few_shot_document(task, "testbed").stop
    texts = [text for r in records for text in r.texts]
    assert any(texts)
    assert not [text for text in texts if stop in text or text != text.strip()]
    assert all(
        len(text) > 0 for r in records for text, ended in zip(r.texts, r.finished, strict=True) if not ended
    )
    if task == "open_qa":
        # In the chat template this base model rarely names a thing; in its own documents it does.
        values = metric_values(records, SPEC.name)
        (precision,) = [of for of in values if of.metric.id == "precision"]
        means = precision.prompt_means("base_few_shot").values()
        assert sum(mean or 0 for mean in means) / len(means) > 0.3


def test_the_methods_compared_are_recorded_by_name(settings: RunSettings) -> None:
    records = run(QA, settings)
    references = {r.method: r.references for r in records if isinstance(r, Samples)}
    assert references["instruct"] == ()
    assert references["base"] == ("instruct",)
    assert all(set(names) <= set(references) for names in references.values())
    contrasts = method_contrasts(metric_values(records, SPEC.name))
    assert {(c.method, c.reference) for c in contrasts} == {
        (method, name) for method, names in references.items() for name in names
    }


def test_half_of_the_lines_deleted_gives_equal_records(settings: RunSettings) -> None:
    records = run(QA, settings)
    path = settings.output_dir / "tested.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + "".join(lines[1::2]))
    assert without_time(run(QA, settings)) == without_time(records)


def as_version_1(line: str) -> str:
    """A record's line with the words of schema version 1."""
    record = json.loads(line)
    if record["kind"] == "configuration":
        methods = record["settings"].pop("methods")
        record["settings"]["conditions"] = [{**m, "name": m["id"]} for m in methods]
        for condition in record["settings"]["conditions"]:
            del condition["id"]
        record["settings"]["fluency_models"] = {}
    record["provenance"]["schema_version"] = 1
    return json.dumps(record).replace("hybrid", "slr") + "\n"


def test_a_run_goes_on_from_records_of_version_1_with_the_same_draws(settings: RunSettings) -> None:
    records = run(QA, settings)
    path = settings.output_dir / "tested.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(as_version_1(line) for line in (lines[0], *lines[1::2])))
    assert without_time(run(QA, settings)) == without_time(records)
    assert len(path.read_text().splitlines()) == len(lines)


def test_order_of_methods_does_not_matter(settings: RunSettings) -> None:
    records = run(QA, settings, "same")
    reversed_config = dataclasses.replace(QA, methods=BASELINES[::-1])
    (settings.output_dir / "same.jsonl").unlink()
    turned = run(reversed_config, settings, "same")
    texts = [{r.key: r.texts for r in some if isinstance(r, Samples)} for some in (records, turned)]
    assert texts[0] == texts[1]


def test_another_choice_of_layers_is_refused(settings: RunSettings) -> None:
    run(QA, settings)
    path = settings.output_dir / "crc_search.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        if row["kind"] == "crc_selection":
            row["interval"] = [0, 1]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=r"chosen interval was .* and is now"):
        run(QA, settings)


def test_without_a_search_it_says_what_to_run(tmp_path: Path) -> None:
    experiment = downstream_experiment("tested", "?", QA, SMOKE)
    with pytest.raises(ValueError, match=r"no chosen layers yet: run slr run crc_search"):
        run_experiments([experiment], SPEC, RunSettings(output_dir=tmp_path))


def test_all_problems_are_sampled_and_say_whether_the_greedy_answer_solves_them(
    settings: RunSettings,
) -> None:
    config = DownstreamConfig(
        task="reasoning",
        source="testbed",
        methods=BASELINES[:1],
        num_prompts=12,
        num_samples=6,
        max_new_tokens=64,
    )
    records = run(config, settings)
    (problems,) = [record for record in records if isinstance(record, ProblemSet)]
    samples = [record for record in records if isinstance(record, Samples)]
    assert [record.prompt_id for record in samples] == list(problems.tried)
    assert len(samples) == 12
    assert 0 < len(problems.wrong) < 12
    assert {r.prompt_id for r in samples if r.group == FAILED} == set(problems.wrong)
    assert {r.group for r in samples} == {FAILED, SOLVED}
    shown = {
        (line.group, line.metric.label): line for line in method_summaries(metric_values(records, SPEC.name))
    }
    for group, of_group in (
        (ALL_PROBLEMS, samples),
        (FAILED, [record for record in samples if record.group == FAILED]),
    ):
        by_hand = sum(prompt_metrics.num_solved(record) / 6 for record in of_group) / len(of_group)
        estimate = shown[group, "pass@1"].estimate
        assert estimate is not None
        assert (estimate.mean, estimate.n) == (pytest.approx(by_hand), len(of_group))
    assert not any(record.last_number_counts for record in samples)


def test_a_last_number_counts_where_the_record_says_so(settings: RunSettings) -> None:
    config = DownstreamConfig(
        task="reasoning",
        source="testbed",
        methods=BASELINES[:1],
        num_prompts=1,
        num_samples=2,
        max_new_tokens=64,
        last_number_counts=True,
    )
    (record,) = [record for record in run(config, settings) if isinstance(record, Samples)]
    assert record.last_number_counts
    texts = (f"It is {record.expected}.", f"answer: {record.expected}", "It is 99.", "answer: 99")
    assert prompt_metrics.num_solved(record.model_copy(update={"texts": texts})) == 2
    old = record.model_dump()
    del old["last_number_counts"]
    assert not Samples.model_validate(old).last_number_counts
    assert (
        prompt_metrics.num_solved(record.model_copy(update={"texts": texts, "last_number_counts": False}))
        == 1
    )


def test_two_processes_measure_the_samples_of_one(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: list[CellContext] = []

    def measure(context: CellContext, records: Sequence[Samples], reference: ModelReference | None):
        contexts.append(context)
        return measure_samples(context, records, reference)

    monkeypatch.setattr(study, "measure_samples", measure)
    monkeypatch.setattr(study, "RECORDS_MEASURED_TOGETHER", 2)
    config = dataclasses.replace(QA, task="creative_writing", num_prompts=1, max_new_tokens=40)
    records = run(config, settings)
    samples = [record for record in records if isinstance(record, Samples)]
    of_processes: list[list[AnyRecord]] = []
    for index in range(2):
        context = dataclasses.replace(contexts[0], part=index, num_parts=2)
        # A process has its own records first, so no two have the same order.
        in_its_order = samples[index:] + samples[:index]
        of_processes.append(list(itertools.chain.from_iterable(measure_samples(context, in_its_order, None))))
    first, second = map(without_time, of_processes)
    assert first
    assert second
    assert not first.keys() & second.keys()
    assert first | second == without_time([r for r in records if isinstance(r, SampleMeasures)])


def test_a_table_cell_from_raw_samples(settings: RunSettings) -> None:
    config = dataclasses.replace(QA, task="creative_writing", num_prompts=1, max_new_tokens=40, num_seeds=2)
    records = run(config, settings)
    samples = [r for r in records if isinstance(r, Samples) and (r.method, r.group) == ("instruct", "poem")]
    assert {record.seed for record in samples} == {0, 1}
    assert samples[0].texts != samples[1].texts
    by_hand = sum(distinct_n(record.texts, 2) or 0.0 for record in samples) / 2
    (line,) = [
        line
        for line in method_summaries(metric_values(records, SPEC.name))
        if (line.method.id, line.group, line.metric.label) == ("instruct", "poem", "distinct-2")
    ]
    assert line.estimate is not None
    assert line.estimate.mean == pytest.approx(by_hand)
    assert len(line.seed_means) == 2
    measured = [record for record in records if isinstance(record, SampleMeasures)]
    assert {m.samples for m in measured} == {r.key for r in records if isinstance(r, Samples)}
    assert all(len(m.adherence) == 4 for m in measured)
    texts = {record.key: record.texts for record in records if isinstance(record, Samples)}
    assert all(m.longer_than_window == tuple(len(text) > LONG for text in texts[m.samples]) for m in measured)
    assert all(m.fluency is m.fluency_given is m.fluency_given_request is None for m in measured)


def test_fluency_is_given_the_request_and_its_model_is_given_up(
    settings: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, scoring = make_checkpoint_pair(tmp_path / "scoring", "llama", num_layers=2)
    opened: list[weakref.ref[FluencyModel]] = []
    load = FluencyModel.load

    def load_watched(location: ModelReference, device: str) -> FluencyModel:
        model = load(location, device)
        opened.append(weakref.ref(model))
        return model

    monkeypatch.setattr(FluencyModel, "load", load_watched)
    monkeypatch.setattr(study, "RECORDS_MEASURED_TOGETHER", 2)
    config = dataclasses.replace(
        QA,
        task="creative_writing",
        num_prompts=1,
        fluency_models=((SPEC.name, ModelReference(str(scoring))),),
    )
    records = run(config, settings)
    gc.collect()
    assert [reference() for reference in opened] == [None]
    samples = {record.key: record for record in records if isinstance(record, Samples)}
    measured = [record for record in records if isinstance(record, SampleMeasures)]
    assert len(measured) == len(samples) > 2
    model = load(str(scoring), "cpu")
    for measures in measured:
        record = samples[measures.samples]
        expected = model.score([record.request] * 4, record.texts)
        assert measures.fluency_model == str(ModelReference(scoring.name))
        assert measures.fluency_given == "request"
        assert measures.fluency_given_request == measures.fluency
        assert measures.fluency == pytest.approx(expected, abs=1e-5)
        assert None not in expected


def test_prompting_methods_are_parsed(settings: RunSettings) -> None:
    config = dataclasses.replace(QA, methods=PROMPTING, max_new_tokens=48, num_prompts=3)
    records = run(config, settings)
    lines = {
        (line.method.id, line.metric.label): line
        for line in method_summaries(metric_values(records, SPEC.name))
    }
    assert lines["instruct direct", "answers not parsed"].estimate is None
    unparsed = lines["instruct list", "answers not parsed"].estimate
    assert unparsed is not None
    assert unparsed.mean < 0.5
    precise = lines["instruct list", "precision"].estimate
    assert precise is not None
    assert precise.mean > 0.2


def test_right_answers_of_the_world(settings: RunSettings) -> None:
    records = run(QA, settings)
    record = next(record for record in records if isinstance(record, Samples))
    relation = RELATIONS[record.prompt_id.rsplit("-", 1)[0]]
    right = prompt_metrics.right_answers(record)
    assert right == [relation.recognise(text.strip().split("\n")[0]) for text in record.texts]
    assert prompt_metrics.num_right_of(record) == len(relation.answers)


def test_samples_without_words_are_not_diverse(settings: RunSettings) -> None:
    config = dataclasses.replace(QA, task="creative_writing", num_prompts=1, max_new_tokens=8)
    record = next(record for record in run(config, settings) if isinstance(record, Samples))
    wordless = record.model_copy(update={"texts": ("", " ", "...", "")})
    metrics = {
        metric.label: metric.of(wordless, None)
        for metric in metrics_of(
            "creative_writing", "testbed", 4, WritingLengths(first_words=4, vocabulary=9)
        )
    }
    assert metrics["self-BLEU-4"] is None
    assert metrics["distinct-1"] is None
    assert metrics["embedding diversity"] is None
    assert metrics["accepted by the grammar"] == 0.0


def test_where_rows_are_refilled_a_record_holds_their_number(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {record.key: record for record in run(QA, settings, "plain") if isinstance(record, Samples)}
    monkeypatch.setattr(generation, "refills_rows", lambda _: True)
    monkeypatch.setattr(generation, "free_bytes", lambda _: 10**9)
    by_memory = dataclasses.replace(QA, batch_size=None)
    refilled = [r for r in run(by_memory, settings, "plain-refilled") if isinstance(r, Samples)]
    assert refilled
    assert {record.key for record in refilled} == plain.keys()
    assert {record.rows for record in refilled} == {20}
    assert all(len(record.texts) == 4 for record in refilled)
    for record in plain.values():
        assert record.rows is None
        assert "rows" not in json.loads(record.model_dump_json())
    assert json.loads(refilled[0].model_dump_json())["rows"] == 20

"""Valid and different texts, counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

from slr.downstream.writing_lengths import WritingLengths, lengths_of
from slr.downstream.writing_metrics import (
    classes_of,
    repeats_itself,
    valid_samples,
    writing_metrics,
)
from slr.runs.records import SampleMeasures, Samples
from slr.sampling.config import SamplingConfig
from slr.tasks import prompts
from tests.analysis.synthetic import PROVENANCE


def samples(
    prompt: str, *texts: str, source: Any = "hub", finished: tuple[bool, ...] | None = None
) -> Samples:
    return Samples(
        experiment="creative_writing",
        pair="a pair",
        provenance=PROVENANCE,
        family="llama",
        task="creative_writing",
        source=source,
        group="poem",
        prompt_id=prompt,
        text="?",
        request="?",
        method="hybrid",
        model="hybrid",
        interval=None,
        alpha=None,
        prompting="direct",
        sampling=SamplingConfig(),
        seed=0,
        expected=None,
        texts=texts,
        num_tokens=(1,) * len(texts),
        finished=finished or (True,) * len(texts),
    )


def measures(record: Samples, *classes: int | None) -> SampleMeasures:
    return SampleMeasures(
        experiment="creative_writing",
        pair="a pair",
        provenance=PROVENANCE,
        samples=record.key,
        encoder="an encoder",
        embedding_diversity=0.5,
        vendi=2.5,
        class_threshold=0.75,
        classes=classes,
        adherence=(0.5,) * len(record.texts),
    )


def values(record: Samples, of: SampleMeasures | None = None) -> dict[str, float | None]:
    lengths = WritingLengths(first_words=4, vocabulary=100)
    return {m.id: m.of(record, of) for m in writing_metrics(record.source, len(record.texts), lengths)}


HAIKU = "Ice holds its own breath\na crow walks across the sky\nnothing breaks today"
OTHER = "The pond shuts its eye\nchildren write on it with steel\nspring will read the page"


def test_english_texts_are_valid_if_they_end_have_words_and_keep_the_constraint() -> None:
    looped = "\n".join(["the pond the pond the pond the pond the pond the pond"] * 3)
    record = samples(
        "poem-002", HAIKU, OTHER, "Only a line.", looped, " ", HAIKU, finished=(True,) * 5 + (False,)
    )
    assert valid_samples(record) == (True, True, False, False, False, False)
    of = measures(record, 0, 1, 2, 3, None, 0)
    assert classes_of(record, of, valid_samples(record)) == [0, 1, None, None, None, None]
    found = values(record, of)
    assert found["distinct_valid"] == 2
    assert found["valid"] == pytest.approx(2 / 6)
    # A text without an end counts here: three lines are three lines.
    assert found["constraint"] == pytest.approx(4 / 6)
    # Four of six: 1 - C(5, 4) / C(6, 4) for each of two classes of one sample.
    assert found["distinct_valid_at_4"] == pytest.approx(2 * (1 - 5 / 15))
    assert found["vendi"] == 2.5


def test_valid_texts_of_one_class_count_once() -> None:
    record = samples("poem-008", "Her hands smell of thyme.", "Her hands still smell of thyme.", "They knit.")
    found = values(record, measures(record, 0, 0, 1))
    assert (found["distinct_valid"], found["valid"], found["constraint"]) == (2, 1, None)
    assert "distinct_valid_at_4" not in found


def test_without_measured_classes_the_number_is_undefined() -> None:
    record = samples("poem-008", "Her hands smell of thyme.")
    older = measures(record, 0).model_copy(update={"classes": None, "vendi": None})
    for of in (None, older):
        assert values(record, of)["distinct_valid"] is None
        assert values(record, of)["utility"] is None
        assert values(record, of)["vendi"] is None


def test_testbed_texts_are_different_if_they_are_not_equal() -> None:
    request = prompts.testbed_writing_requests("poem")["poem-01"]
    one = (
        f"Come, sad {request.subject}, come with me,\nthe night is calm and long,\nand I am proud once more."
    )
    other = one.replace("proud", "happy")
    record = samples("poem-01", one, f"{one}\n", other, "Come, come, come.", source="testbed")
    found = values(record)
    assert valid_samples(record) == (True, True, True, False)
    assert (found["distinct_valid"], found["accepted"], found["distinct_valid_at_4"]) == (2, 0.75, 2)
    assert "valid" not in found


def test_a_text_repeats_itself_if_most_of_its_4_grams_do() -> None:
    assert repeats_itself("a b c d " * 10)
    assert not repeats_itself("one two three")
    assert not repeats_itself(HAIKU)
    # A pantoum has every line twice.
    assert not repeats_itself(f"{HAIKU}\n{OTHER}\n{OTHER}\n{HAIKU}")


def test_lengths_are_over_all_methods() -> None:
    short = samples("poem-008", "one two three four five")
    long = samples("poem-008", "one two three four five six seven").model_copy(update={"method": "instruct"})
    assert lengths_of([short, long]) == WritingLengths(first_words=5, vocabulary=7)

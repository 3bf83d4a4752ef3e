"""Metrics of creative writing, made from a record's raw texts and its measures.

A text is valid if it is good enough to count. In the testbed the grammar decides, exactly. Elsewhere there is no such
judge: there a valid text ended by itself, has words, does not repeat itself, and keeps the constraint of its prompt
where a program can check one. Two valid texts are different in the testbed if they are not equal, and elsewhere if they
are in different functional classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean

from slr.downstream.metric import Metric, MetricId
from slr.downstream.sampled_answers import readable_answers, share_cut_of, unparsed_share
from slr.downstream.task import Task
from slr.downstream.writing_lengths import WritingLengths
from slr.metrics.adjusted_distinct import expectation_adjusted_distinct
from slr.metrics.lexical import compression_ratio, distinct_n, median_words, self_bleu
from slr.metrics.novelty import Classes, distinct_valid, distinct_valid_at_k, utility_at_k
from slr.metrics.rouge_l import mean_rouge_l
from slr.metrics.words import words
from slr.runs.records import SampleMeasures, Samples
from slr.statistics.means import mean_defined
from slr.tasks.creative_constraints import constraint_met
from slr.tasks.few_shot import few_shot_document
from slr.tasks.prompts import creative_requests, is_good_testbed_writing
from slr.vocabulary import Source

FEW_SAMPLES = 4
"""Number of samples of a reader who does not look at all of them."""
LEAST_DISTINCT_4 = 0.5
"""Share of different 4-grams in a text below which the text repeats itself."""
_DISTINCT: tuple[tuple[int, MetricId, MetricId], ...] = (
    (1, "distinct_1", "distinct_1_first"),
    (2, "distinct_2", "distinct_2_first"),
    (3, "distinct_3", "distinct_3_first"),
    (4, "distinct_4", "distinct_4_first"),
)
"""n, the metric of whole texts, and the metric of their first words."""


def writing_metrics(source: Source, num_samples: int, lengths: WritingLengths) -> tuple[Metric, ...]:
    """The metrics of creative writing.

    Args:
        source: origin of the prompts, which decides how the quality of a text is measured.
        num_samples: number of samples of each prompt.
        lengths: the lengths of the group's texts.

    Returns:
        The metrics, in the order of the tables.
    """
    first_words = lengths.first_words
    few = (
        Metric(
            "distinct_valid_at_4",
            f"different valid texts at {FEW_SAMPLES}",
            "diversity",
            lambda samples, measures: _of_classes(
                samples, measures, lambda classes: distinct_valid_at_k(classes, FEW_SAMPLES)
            ),
        ),
    )[: num_samples >= FEW_SAMPLES]
    return (
        Metric(
            "distinct_valid",
            f"different valid texts of {num_samples}",
            "diversity",
            lambda samples, measures: _of_classes(samples, measures, distinct_valid),
        ),
        *_quality_metrics(source),
        *few,
        Metric(
            "utility",
            f"utility at {num_samples}",
            "both",
            lambda samples, measures: _of_classes(
                samples, measures, lambda classes: utility_at_k(classes, len(classes))
            ),
        ),
        Metric(
            "median_words",
            "words (median)",
            "length",
            lambda samples, _: median_words(readable_answers(samples)),
        ),
        Metric("share_cut", "share cut", "length", share_cut_of),
        Metric("embedding_diversity", "embedding diversity", "diversity", _embedding_diversity),
        Metric("vendi", "Vendi score", "diversity", lambda _, measures: measures and measures.vendi),
        Metric("beyond_window", "longer than the encoder's window", "length", _beyond_window),
        Metric(
            "rouge_l",
            "mean ROUGE-L",
            "diversity",
            lambda samples, _: mean_rouge_l(readable_answers(samples)),
        ),
        Metric(
            "adjusted_distinct",
            "expectation-adjusted distinct",
            "diversity",
            lambda samples, _: expectation_adjusted_distinct(
                readable_answers(samples), max(1, lengths.vocabulary)
            ),
        ),
        *(Metric(id_, f"distinct-{n}", "diversity", partial(_distinct, n=n)) for n, id_, _ in _DISTINCT),
        Metric("first_words", "first words", "length", lambda _, __: first_words),
        *(
            Metric(
                id_,
                f"distinct-{n} of the first words",
                "diversity",
                partial(_distinct, n=n, first_words=first_words),
            )
            for n, _, id_ in _DISTINCT
        ),
        Metric(
            "self_bleu", "self-BLEU-4", "diversity", lambda samples, _: self_bleu(readable_answers(samples))
        ),
        Metric(
            "compression_ratio",
            "compression ratio",
            "diversity",
            lambda samples, _: compression_ratio(readable_answers(samples)),
        ),
        Metric("unparsed", "answers not parsed", "quality", unparsed_share),
    )


def _quality_metrics(source: Source) -> tuple[Metric, ...]:
    if source == "testbed":
        # The testbed's grammar judges its texts exactly. English has only checks and proxies.
        return (Metric("accepted", "accepted by the grammar", "quality", _valid_share),)
    return (
        Metric("valid", "valid texts", "quality", _valid_share),
        Metric("constraint", "constraint kept", "quality", _constraint),
        Metric("fluency", "fluency (proxy)", "quality", _fluency),
        Metric("adherence", "adherence (proxy)", "quality", _adherence),
    )


def repeats_itself(text: str) -> bool:
    """Whether fewer than half of a text's 4-grams are different; a text of fewer than four words does not."""
    share = distinct_n([text], 4)
    return share is not None and share < LEAST_DISTINCT_4


def valid_samples(samples: Samples) -> tuple[bool, ...]:
    """Whether each text is good enough to count; see the module."""
    if samples.source == "testbed":
        return tuple(is_good_testbed_writing(samples.prompt_id, text) for text in samples.texts)
    return tuple(
        finished
        and bool(words(text))
        and not repeats_itself(text)
        and constraint_met(samples.prompt_id, text) is not False
        for text, finished in zip(samples.texts, samples.finished, strict=True)
    )


def classes_of(samples: Samples, measures: SampleMeasures | None, valid: Sequence[bool]) -> Classes | None:
    """The class of each valid text, None for each other one; None in place of all where classes were not measured.

    Args:
        samples: the record of samples.
        measures: their measures, which hold the functional classes of English texts.
        valid: whether each text is valid.
    """
    if samples.source == "testbed":
        return [text.strip() if good else None for text, good in zip(samples.texts, valid, strict=True)]
    if measures is None or measures.classes is None:
        return None
    return [class_ if good else None for class_, good in zip(measures.classes, valid, strict=True)]


def _of_classes(
    samples: Samples, measures: SampleMeasures | None, value: Callable[[Classes], float]
) -> float | None:
    classes = classes_of(samples, measures, valid_samples(samples))
    return None if classes is None else value(classes)


def _valid_share(samples: Samples, _: SampleMeasures | None) -> float | None:
    return fmean(valid_samples(samples))


def _constraint(samples: Samples, _: SampleMeasures | None) -> float | None:
    kept = [constraint_met(samples.prompt_id, text) for text in samples.texts]
    return mean_defined(kept)


def _beyond_window(_: Samples, measures: SampleMeasures | None) -> float | None:
    longer = None if measures is None else measures.longer_than_window
    return sum(longer) / len(longer) if longer else None


def _distinct(
    samples: Samples, _: SampleMeasures | None, n: int, first_words: int | None = None
) -> float | None:
    return distinct_n(readable_answers(samples), n, first_words)


def _embedding_diversity(_: Samples, measures: SampleMeasures | None) -> float | None:
    return None if measures is None else measures.embedding_diversity


def _fluency(_: Samples, measures: SampleMeasures | None) -> float | None:
    fluency = None if measures is None else measures.fluency_given_request
    return None if fluency is None else mean_defined(fluency)


def _adherence(_: Samples, measures: SampleMeasures | None) -> float | None:
    return None if measures is None else mean_defined(measures.adherence)


CREATIVE_WRITING = Task(
    prompts=creative_requests,
    metrics=writing_metrics,
    kind="writing",
    few_shot=partial(few_shot_document, "creative_writing"),
)
"""Requests for poems, stories and jokes."""

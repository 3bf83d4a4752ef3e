"""The answers in a record of samples, and shares of samples that are cut or cannot be read."""

from __future__ import annotations

from slr.runs.records import SampleMeasures, Samples
from slr.tasks.prompting_methods import draw_samples


def parsed_answers(samples: Samples) -> tuple[str | None, ...]:
    """One answer for each sample, as its prompting method gives it; None where it could not be read."""
    return draw_samples(
        samples.texts,
        method=samples.prompting,
        dialect="testbed" if samples.source == "testbed" else "english",
        seed=samples.seed_key,
    )


def readable_answers(samples: Samples) -> list[str]:
    """The answers that could be read."""
    return [answer for answer in parsed_answers(samples) if answer is not None]


def unparsed_share(samples: Samples, _: SampleMeasures | None) -> float | None:
    """Share of the samples whose answer could not be read; None for direct questions."""
    if samples.prompting in ("direct", "few_shot"):
        # An answer to a direct question is the text itself, which cannot fail to be read.
        return None
    parsed = parsed_answers(samples)
    return sum(answer is None for answer in parsed) / len(parsed)


def share_cut_of(samples: Samples, _: SampleMeasures | None) -> float | None:
    """Share of the samples that did not end by themselves."""
    return sum(not finished for finished in samples.finished) / len(samples.finished)

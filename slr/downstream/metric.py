"""What a metric of one prompt's samples is, and the ids of slr's own metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from slr.runs.records import SampleMeasures, Samples
from slr.vocabulary import Aspect

MetricId = Literal[
    "accepted",
    "adherence",
    "adjusted_distinct",
    "answer_entropy",
    "beyond_window",
    "compression_ratio",
    "constraint",
    "coverage",
    "coverage_by_rules",
    "coverage_with",
    "distinct_1",
    "distinct_2",
    "distinct_3",
    "distinct_4",
    "distinct_1_first",
    "distinct_2_first",
    "distinct_3_first",
    "distinct_4_first",
    "distinct_valid",
    "distinct_valid_at_4",
    "embedding_diversity",
    "first_words",
    "fluency",
    "median_words",
    "originality",
    "pass_at_1",
    "pass_at_4",
    "pass_at_16",
    "pass_at_64",
    "precision",
    "precision_by_rules",
    "precision_with",
    "recognised_beyond",
    "rouge_l",
    "self_bleu",
    "share_cut",
    "unparsed",
    "utility",
    "valid",
    "vendi",
]


@dataclass(frozen=True)
class Metric:
    """A number that describes one prompt's samples.

    Attributes:
        id: name in code and in W&B: a ``MetricId``, or a name that another package gives.
        label: name for people.
        aspect: property that the number is about.
        of: computes the number from a record of samples and its measures; None where it is not defined.
        is_primary: whether it is the primary metric of its task.
    """

    id: str
    label: str
    aspect: Aspect
    of: Callable[[Samples, SampleMeasures | None], float | None]
    is_primary: bool = False

"""Claims on the texts that the hybrid writes: more diverse, at little loss of quality, and better than the soup.

Each rests on a primary metric (``slr.downstream.primary``). It counts good answers alone: different valid texts, right
answers found, problems solved by one of k samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from slr.analysis.claims.claim import Claim
from slr.analysis.load_results import Results
from slr.downstream.primary import PRIMARY_GROUPS, PRIMARY_METHOD, quality_metric
from slr.statistics.contrasts import Contrast
from slr.statistics.verdict import Verdict, judged_above
from slr.vocabulary import ComparedModel, TaskName

LARGEST_LOSS = 0.05
"""Largest loss that counts as little, as a difference of shares from 0 to 1."""
SIGNIFICANCE = 0.05
"""Corrected p-value below which a difference is significant."""
NAMES: dict[TaskName, tuple[str, str, str, str]] = {
    "creative_writing": ("writing", "creative_tradeoff", "different valid texts", "share of valid texts"),
    "open_qa": ("open questions", "qa_coverage", "coverage of right answers", "precision"),
    "reasoning": ("reasoning", "pass_at_k", "pass@k on all problems", "pass@1"),
}
"""Name of each task, the figure that shows its claims, its primary metric, and the quality next to it."""


def more_diverse(results: Results, pair: str, task: TaskName, reference: ComparedModel) -> Verdict | None:
    """Judge whether the hybrid is above a reference in a task's primary metric.

    Yes, if the whole 95% interval of the difference is above 0 and p, Holm-corrected over the primary contrasts of the
    pair, is below ``SIGNIFICANCE``. No, if the whole interval is at or below 0.

    Args:
        results: the results.
        pair: name of the pair.
        task: the task.
        reference: the model that the hybrid is compared with.
    """
    contrast = _contrast(results, pair, task, reference, lambda c: c.is_primary)
    if contrast is None or contrast.difference is None:
        return None
    verdict = judged_above(0.0, contrast.difference)
    is_significant = contrast.p_value is not None and contrast.p_value < SIGNIFICANCE
    return verdict if is_significant or verdict.outcome == "no" else replace(verdict, outcome="cannot tell")


def little_loss(results: Results, pair: str, task: TaskName) -> Verdict | None:
    """Judge whether the hybrid loses less quality than ``LARGEST_LOSS`` against instruct, by the 95% interval.

    Args:
        results: the results.
        pair: name of the pair.
        task: the task.
    """
    samples = results.samples_of(task)
    if not samples:
        return None
    metric = quality_metric(task, samples[0].source)
    contrast = _contrast(results, pair, task, "instruct", lambda c: c.metric == metric)
    if contrast is None or contrast.difference is None:
        return None
    return judged_above(-LARGEST_LOSS, contrast.difference)


def _contrast(
    results: Results,
    pair: str,
    task: TaskName,
    reference: ComparedModel,
    is_wanted: Callable[[Contrast], bool],
) -> Contrast | None:
    """The hybrid against a reference on all prompts that a task's claims are about."""
    return next(
        (
            contrast
            for contrast in results.contrasts(task)
            if (contrast.pair, contrast.group) == (pair, PRIMARY_GROUPS[task])
            and (contrast.method, contrast.reference) == (PRIMARY_METHOD, reference)
            and is_wanted(contrast)
        ),
        None,
    )


def _claims_of(task: TaskName) -> tuple[Claim, ...]:
    name, exhibit, metric, quality = NAMES[task]
    corrected = f"and p, Holm-corrected over the primary contrasts of the pair, is below {SIGNIFICANCE}"
    return (
        Claim(
            id=f"{task}_diversity",
            sentence=f"The hybrid is more diverse than instruct in {name}.",
            criterion=f"{metric}, hybrid less instruct, is above 0, {corrected}",
            exhibit=exhibit,
            verdict=partial(more_diverse, task=task, reference="instruct"),
        ),
        Claim(
            id=f"{task}_quality",
            sentence=f"It loses little quality against instruct in {name}.",
            criterion=f"{quality}, hybrid less instruct, is above -{LARGEST_LOSS}",
            exhibit=exhibit,
            verdict=partial(little_loss, task=task),
        ),
        Claim(
            id=f"{task}_soup",
            sentence=f"It beats the soup in {name}.",
            criterion=f"{metric}, hybrid less soup, is above 0, {corrected}",
            exhibit=exhibit,
            verdict=partial(more_diverse, task=task, reference="soup"),
        ),
    )


DIVERSITY_CLAIMS = tuple(claim for task in PRIMARY_GROUPS for claim in _claims_of(task))
"""The claims, in the order of the table."""

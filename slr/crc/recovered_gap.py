"""How much of the diversity that post-training took a restored model has again, as a share of the gap.

The gap is the base model's CRC diversity less the instruct model's. Inside the instruct model's chat template a base
model is out of its element. So the gap is also measured to the base model as it is: in a few-shot document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slr.crc.choice import recorded_alpha, recorded_components
from slr.crc.report import CrcReport
from slr.runs.records import AnyRecord, CrcFewShotScore, CrcScore
from slr.runs.results import of_kind, of_pair
from slr.statistics.uncertainty import Estimate, estimate_difference, estimate_mean, estimate_ratio
from slr.vocabulary import ModelKind, PromptSet

Values = Sequence[float | None]


@dataclass(frozen=True, kw_only=True)
class FewShotSummary:
    """The base model in a few-shot document, and differences from the instruct model that are paired by prompt.

    Attributes:
        validity: mean probability of a valid character.
        diversity: mean entropy among valid characters, from 0 to 1.
        validity_difference: validity minus the instruct model's.
        diversity_difference: diversity minus the instruct model's: the gap.
        validity_ratio: validity divided by the instruct model's.
    """

    validity: Estimate | None
    diversity: Estimate | None
    validity_difference: Estimate | None
    diversity_difference: Estimate | None
    validity_ratio: Estimate | None


def summarise_few_shot(
    records: Sequence[AnyRecord], pair: str, prompt_set: PromptSet
) -> FewShotSummary | None:
    """Summarise the base model outside the template; None if it was not measured there.

    Args:
        records: records of a CRC study.
        pair: name of the pair.
        prompt_set: set of prompts.
    """
    few_shot = _few_shot(of_pair(records, pair), prompt_set)
    instruct = _score(of_pair(records, pair), CrcScore.key_of(pair, prompt_set, "instruct"))
    if few_shot is None or instruct is None:
        return None
    return FewShotSummary(
        validity=estimate_mean(few_shot.validity),
        diversity=estimate_mean(few_shot.diversity),
        validity_difference=estimate_difference(few_shot.validity, instruct.validity),
        diversity_difference=estimate_difference(few_shot.diversity, instruct.diversity),
        validity_ratio=estimate_ratio(few_shot.validity, instruct.validity),
    )


@dataclass(frozen=True, kw_only=True)
class RecoveredGap:
    """Shares of the gap that a model has again; None where they were not measured, or where there is no gap.

    A share has no interval where the interval of the gap itself holds 0: then nobody can say how large it is.

    Attributes:
        few_shot: share of the gap to the base model in a few-shot document.
        template: share of the gap to the base model inside the chat template.
    """

    few_shot: Estimate | None
    template: Estimate | None


def recovered_gap(
    records: Sequence[AnyRecord], report: CrcReport, model: ModelKind, prompt_set: PromptSet
) -> RecoveredGap | None:
    """Compute what share of the gap the chosen hybrid or soup has again.

    Args:
        records: records of a CRC study.
        report: the report on the pair, which says what was chosen.
        model: "hybrid" or "soup".
        prompt_set: set of prompts.

    Returns:
        The shares; None if the model was not chosen or not scored.
    """
    of_study = of_pair(records, report.pair)
    instruct = _score(of_study, CrcScore.key_of(report.pair, prompt_set, "instruct"))
    restored = _score(of_study, _chosen_key(report, model, prompt_set))
    if instruct is None or restored is None:
        return None
    # Older records have no base model outside the template.
    few_shot = _few_shot(of_study, prompt_set)
    template = _score(of_study, CrcScore.key_of(report.pair, prompt_set, "base"))
    return RecoveredGap(
        few_shot=few_shot and share_of_gap(restored.diversity, instruct.diversity, few_shot.diversity),
        template=template and share_of_gap(restored.diversity, instruct.diversity, template.diversity),
    )


def share_of_gap(restored: Values, instruct: Values, base: Values) -> Estimate | None:
    """Compute ``(restored - instruct) / (base - instruct)`` of means over prompts, with Fieller's 95% interval.

    Args:
        restored: diversity of a restored model, one number for each prompt.
        instruct: diversity of the instruct model on the same prompts.
        base: diversity of the base model on the same prompts.

    Returns:
        The share; without an interval if the gap's own interval holds 0, and None if the gap is not above 0.
    """
    return estimate_ratio(_less(restored, instruct), _less(base, instruct))


def _less(values: Values, reference: Values) -> list[float | None]:
    return [
        None if value is None or other is None else value - other
        for value, other in zip(values, reference, strict=True)
    ]


def _few_shot(records: Sequence[AnyRecord], prompt_set: PromptSet) -> CrcFewShotScore | None:
    return next((s for s in of_kind(records, CrcFewShotScore) if s.prompt_set == prompt_set), None)


def _score(records: Sequence[AnyRecord], key: str | None) -> CrcScore | None:
    return next((score for score in of_kind(records, CrcScore) if score.key == key), None)


def _chosen_key(report: CrcReport, model: ModelKind, prompt_set: PromptSet) -> str | None:
    """Key of the scores of the hybrid or soup that was chosen; None if none was."""
    if model == "soup":
        alpha = report.soup_alpha
        return None if alpha is None else CrcScore.key_of(report.pair, prompt_set, "soup", alpha=alpha)
    chosen = report.chosen
    if chosen is None:
        return None
    alpha, components = recorded_alpha(chosen.alpha), recorded_components(chosen.components)
    return CrcScore.key_of(report.pair, prompt_set, "hybrid", chosen.interval.ends, alpha, components)

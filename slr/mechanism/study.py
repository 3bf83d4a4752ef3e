"""The mechanism of one pair: a cell for the change of its weights, and one for the logit lens of each model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from slr.crc.choice import chosen_by_search, selection_of
from slr.crc.study import CrcStudyConfig, crc_experiment
from slr.downstream.methods import (
    BASELINES,
    interval_of,
    is_available,
    make_model,
)
from slr.models.reference import PairSpec
from slr.runs.experiment import Cell, CellContext, Cost, Experiment, RunMirror
from slr.runs.measure_versions import LOGIT_LENS
from slr.runs.records import AnyRecord, LogitLens, WeightChange
from slr.runs.results import RecordsByKey, of_kind
from slr.vocabulary import ComparedModel

MODELS: tuple[ComparedModel, ...] = tuple(method.model for method in BASELINES)
"""Models whose entropy is followed along depth."""
TYPICAL_TREE_TOKENS = 900
"""Number of tokens of all held-out prompts together, computed once where they share them; for cost estimates only."""


@dataclass(frozen=True, kw_only=True)
class MechanismConfig:
    """All that the results depend on, except the pair, the search's choice and the dtype.

    Attributes:
        max_prompts: number of held-out CRC prompts; None for all.
        prompts_digest: digest of the CRC prompts.
    """

    max_prompts: int | None
    prompts_digest: str


def mechanism_experiment(name: str, question: str, crc: CrcStudyConfig) -> Experiment[MechanismConfig]:
    """Make the experiment.

    Args:
        name: name of the experiment and of its file of records.
        question: what the experiment answers, in words.
        crc: configuration of the search whose choice and prompts are used.

    Returns:
        The experiment.
    """
    return Experiment(
        name=name,
        question=question,
        config=MechanismConfig(max_prompts=crc.max_prompts, prompts_digest=crc.prompts_digest),
        cells=lambda spec: [_weights_cell(spec), *(_lens_cell(spec, crc, model) for model in MODELS)],
        job_type="mechanism",
        mirror=_mirror,
        builds_on=crc_experiment(crc),
        inputs=chosen_by_search,
        versions=lambda: LOGIT_LENS,
    )


def _weights_cell(spec: PairSpec) -> Cell:
    return Cell(
        key=f"{spec.name}/weights",
        record_keys=lambda _: [WeightChange.key_of(spec.name)],
        run=_measure_weights,
        cost=Cost(layer_evaluations=0, tokens=0, flops=None),
    )


def _measure_weights(context: CellContext) -> Iterator[list[AnyRecord]]:
    from slr.mechanism.weight_change import weight_changes

    changes = weight_changes(context.pair, context.on_progress)
    yield [
        WeightChange(
            **context.header,
            family=context.pair.family,
            num_layers=len(changes),
            attention=tuple(change.attention for change in changes),
            mlp=tuple(change.mlp for change in changes),
            norms=tuple(change.norms for change in changes),
        )
    ]


def _lens_cell(spec: PairSpec, crc: CrcStudyConfig, model: ComparedModel) -> Cell:
    num_layers = spec.num_layers or 0
    tokens = num_layers * TYPICAL_TREE_TOKENS
    return Cell(
        key=f"{spec.name}/lens/{model}",
        record_keys=lambda results: _lens_keys(spec, model, results),
        run=lambda context: _measure_lens(context, crc, model),
        cost=Cost(
            layer_evaluations=num_layers,
            tokens=tokens,
            flops=None if spec.num_parameters is None else 2.0 * spec.num_parameters * TYPICAL_TREE_TOKENS,
        ),
    )


def _lens_keys(spec: PairSpec, model: ComparedModel, results: RecordsByKey) -> list[str] | None:
    selection = selection_of(results, spec.name)
    if selection is None:
        return None
    return [LogitLens.key_of(spec.name, model)] if is_available(model, selection) else []


def _measure_lens(
    context: CellContext, crc: CrcStudyConfig, model: ComparedModel
) -> Iterator[list[AnyRecord]]:
    from slr.crc.scoring import encode_prompts
    from slr.mechanism.logit_lens import lens_entropies

    selection = selection_of(context.results, context.spec.name)
    assert selection is not None
    interval = interval_of(model, selection)
    encoded = encode_prompts(crc.prompts("held_out"), context.pair.tokenizer)
    # On held-out prompts, because the layers were chosen by the others.
    entropies_LP = lens_entropies(make_model(context.pair, model, selection), encoded)
    yield [
        LogitLens(
            **context.header,
            family=context.pair.family,
            model=model,
            interval=None if interval is None else interval.ends,
            alpha=selection.soup_alpha if model == "soup" else None,
            prompt_ids=tuple(prompt.id for prompt in encoded.prompts),
            entropy=tuple(
                tuple(None if np.isnan(value) else float(value) for value in of_layer)
                for of_layer in entropies_LP
            ),
        )
    ]


def _mirror(records: Sequence[AnyRecord], _pair: str) -> RunMirror:
    """Entropy after the last layer, and both measures layer by layer."""
    lenses = of_kind(records, LogitLens)
    means = {lens.model: [_mean(of_layer) for of_layer in lens.entropy] for lens in lenses}
    summary: dict[str, Any] = {f"{model}/entropy_at_the_end": of[-1] for model, of in means.items()}
    curves = {
        "entropy": (["layer", *means], [[i, *of] for i, of in enumerate(zip(*means.values(), strict=True))])
    }
    for change in of_kind(records, WeightChange):
        of_layers = zip(change.attention, change.mlp, change.norms, strict=True)
        rows = [[layer, *of_layer] for layer, of_layer in enumerate(of_layers)]
        curves["weight_change"] = (["layer", "attention", "mlp", "norms"], rows)
    return RunMirror(summary=summary, tables={}, curves=curves)


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return fmean(defined) if defined else None

"""Records of a CRC study made by a formula, in place of a measured one: known in advance, and no model needed."""

from __future__ import annotations

from typing import Any

from slr.crc.prompts import load_prompts
from slr.intervals import LayerInterval, all_intervals
from slr.records import (
    AnyRecord,
    CrcScore,
    CrcSelection,
    Family,
    ModelKind,
    PairInfo,
    PromptSet,
    Provenance,
    SearchCost,
)

NUM_PROMPTS = 4
SOUP_ALPHAS = (0.0, 0.5, 1.0)


def study_records(
    pair: str = "tiny-llama",
    *,
    family: Family = "llama",
    num_layers: int = 3,
    interval: tuple[int, int] | None = (1, 2),
    soup_alpha: float | None = 0.5,
) -> list[AnyRecord]:
    """A whole study: the more layers an interval has, the more diverse and the less valid it is.

    Base: validity 0.2, diversity 0.8. Instruct: 0.9 and 0.3. ``interval`` and ``soup_alpha`` are what the
    selection says was chosen.
    """
    made = _Maker(pair, family, num_layers)
    records: list[AnyRecord] = [made.pair_info()]
    for prompt_set in ("selection", "held_out"):
        records += [
            made.score("base", prompt_set, 0.2, 0.8),
            made.score("instruct", prompt_set, 0.9, 0.3),
        ]
    records += [made.hybrid(choice) for choice in all_intervals(num_layers)]
    records += [
        made.score("soup", "selection", 0.9 - 0.7 * alpha, 0.3 + 0.5 * alpha, alpha=alpha)
        for alpha in SOUP_ALPHAS
    ]
    records.append(made.selection(interval, soup_alpha))
    if interval is not None:
        records.append(made.hybrid(LayerInterval(*interval), "held_out"))
    if soup_alpha is not None:
        records.append(made.score("soup", "held_out", 0.55, 0.55, alpha=soup_alpha))
    return records


def cost_records(pair: str = "random-llama-12x256") -> list[AnyRecord]:
    """Two seconds for the shared search, twelve for the loop."""
    shared = SearchCost(
        experiment="search_cost",
        pair=pair,
        provenance=_provenance(f"{pair}/shared"),
        method="shared",
        num_layers=12,
        hidden_size=256,
        num_intervals=78,
        num_prompts=40,
        prompt_tokens=2400,
        dtype="float32",
        threads=2,
        seconds=2.0,
        layer_evaluations=376,
        tokens_computed=100_000,
        peak_memory_bytes=512_000_000,
    )
    return [shared, shared.model_copy(update={"method": "loop", "seconds": 12.0, "layer_evaluations": 936})]


class _Maker:
    """Makes the records of one pair."""

    def __init__(self, pair: str, family: Family, num_layers: int) -> None:
        self.num_layers = num_layers
        self.family: Family = family
        self.header: dict[str, Any] = {
            "experiment": "crc_search",
            "pair": pair,
            "provenance": _provenance(f"{pair}/made"),
        }

    def pair_info(self) -> PairInfo:
        return PairInfo(
            **self.header,
            family=self.family,
            architecture="LlamaForCausalLM",
            base="organisation/base_model",
            base_revision="0123456789abcdef",
            instruct="organisation/instruct_model",
            instruct_revision=None,
            num_layers=self.num_layers,
            hidden_size=64,
            vocab_size=100,
            num_parameters=1_000_000,
            dtype="bfloat16",
        )

    def hybrid(self, interval: LayerInterval, prompt_set: PromptSet = "selection") -> CrcScore:
        share = len(interval) / self.num_layers
        validity = 0.9 - 0.1 * share - 0.6 * (share > 0.5) * share
        diversity = 0.3 + 0.4 * share + 0.05 * interval.start / self.num_layers
        ends = (interval.start, interval.end)
        return self.score("hybrid", prompt_set, validity, diversity, interval=ends)

    def score(
        self,
        model: ModelKind,
        prompt_set: PromptSet,
        validity: float,
        diversity: float,
        interval: tuple[int, int] | None = None,
        alpha: float | None = None,
    ) -> CrcScore:
        """Four prompts around the means; the last one has no validity, hence no diversity."""
        prompts = load_prompts(prompt_set)
        chosen = (*prompts[: NUM_PROMPTS // 2], *prompts[-NUM_PROMPTS // 2 :])
        return CrcScore(
            **self.header,
            family=self.family,
            num_layers=self.num_layers,
            model=model,
            interval=interval,
            alpha=alpha,
            prompt_set=prompt_set,
            prompt_ids=tuple(prompt.id for prompt in chosen),
            validity=(validity * 4 / 3 - 0.02, validity * 4 / 3, validity * 4 / 3 + 0.02, 0.0),
            diversity=(diversity - 0.05, diversity, diversity + 0.05, None),
        )

    def selection(self, interval: tuple[int, int] | None, soup_alpha: float | None) -> CrcSelection:
        return CrcSelection(
            **self.header,
            family=self.family,
            num_layers=self.num_layers,
            min_validity_ratio=0.9,
            instruct_validity=0.9,
            interval=interval,
            interval_reason="highest diversity" if interval else "none: nothing is valid enough",
            soup_alpha=soup_alpha,
            soup_reason="highest diversity" if soup_alpha is not None else "none: nothing is valid enough",
        )


def _provenance(cell: str) -> Provenance:
    return Provenance(
        cell=cell,
        config_hash="0" * 12,
        commit="unknown",
        dirty=None,
        created_at="2026-01-01T00:00:00+00:00",
        device="CPU",
        versions={},
    )

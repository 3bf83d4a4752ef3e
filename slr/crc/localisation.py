"""What the scores of partial restoration, of components and of sets of layers say of a pair; no model is needed here.

Every choice is made on the selection prompts, by the rule of the search, and then looked at on the held-out prompts:

* ``hybrid``: an interval that is restored whole; the search's own choice;
* ``partial``: an interval at any alpha;
* ``decoder_soup``: a soup of the decoder layers alone, which is the hybrid of all layers at some alpha;
* ``same_alpha``: the soup of the decoder layers at the alpha of the search's soup. The two differ by embeddings, final
  norm and LM head;
* ``single``: a single layer that is restored whole;
* ``attention``, ``mlp``, ``norms``, ``attention+mlp``: an interval of which only these components are restored.

A set of as many layers as the hybrid's, in any places, is chosen greedily, and others are drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from slr.crc.choice import scores_of_every_token
from slr.crc.report import chosen_restoration, restoration_of, stacks_of
from slr.crc.selection import Scores, SelectionRule, best_layer_set, make_candidates, select
from slr.intervals import WHOLE, LayerInterval, LayerSet, Restoration
from slr.runs.records import AnyRecord, CrcScore, CrcSelection
from slr.runs.results import of_kind
from slr.seeding import seed_from_key
from slr.statistics.uncertainty import Estimate
from slr.vocabulary import COMPONENTS, PromptSet

NUM_RESAMPLES = 1000
"""Number of bootstrap samples of prompts, for the intervals of the numbers of additivity."""


@dataclass(frozen=True)
class Additivity:
    """Whether the gain of an interval is the sum of its layers' gains, over all intervals of two or more layers.

    A gain is the mean diversity on the selection prompts minus the instruct model's. The 95% intervals are percentiles
    of a bootstrap over prompts.

    Attributes:
        sums: sum of the single layers' gains, for each interval.
        gains: gain of the interval, in the same order.
        slope: slope of gains against sums, by least squares through the origin; 1 if gains add up.
        correlation: Pearson's correlation of gains and sums.
    """

    sums: tuple[float, ...]
    gains: tuple[float, ...]
    slope: Estimate
    correlation: Estimate


class PairScores:
    """The CRC scores of one pair, by what the scored model is.

    Attributes:
        selection: the search's choice by the first rule among the records; None before there is one.
    """

    def __init__(self, records: Iterable[AnyRecord]) -> None:
        """Read the scores from the records of one pair."""
        records = list(records)
        self._scores = list({score.key: score for score in scores_of_every_token(records)}.values())
        choices = [choice for choice in of_kind(records, CrcSelection) if stacks_of(choice) == (WHOLE,)]
        self.selection = choices[0] if choices else None

    @property
    def num_layers(self) -> int:
        """Number of decoder layers of the models; 0 before there are scores."""
        return self._scores[0].num_layers if self._scores else 0

    @property
    def hybrid(self) -> Restoration | None:
        """The search's choice among intervals; None if there is none."""
        return None if self.selection is None else chosen_restoration(self.selection)

    def instruct(self, prompt_set: PromptSet) -> CrcScore | None:
        """The instruct model's scores."""
        return next((score for score in self._of(prompt_set) if score.model == "instruct"), None)

    def soups(self, prompt_set: PromptSet) -> dict[float, CrcScore]:
        """Every soup of all weights, by its alpha."""
        found = {s.alpha: s for s in self._of(prompt_set) if s.model == "soup" and s.alpha is not None}
        return dict(sorted(found.items()))

    def restored(self, prompt_set: PromptSet) -> dict[Restoration, CrcScore]:
        """Every hybrid of an interval."""
        found = ((restoration_of(score), score) for score in self._of(prompt_set))
        return {choice: score for choice, score in found if choice is not None}

    def sets(self, prompt_set: PromptSet) -> dict[LayerSet, CrcScore]:
        """Every hybrid that restores whole layers, whether they form an interval or not."""
        of_intervals = {
            as_layers(choice.interval): score
            for choice, score in self.restored(prompt_set).items()
            if choice.stack == WHOLE
        }
        return of_intervals | {frozenset(s.layers): s for s in self._of(prompt_set) if s.layers is not None}

    def partial(self) -> dict[Restoration, CrcScore]:
        """Every interval at each alpha at which intervals, and not all layers alone, were scored."""
        found = {c: s for c, s in self.restored("selection").items() if c.components == COMPONENTS}
        alphas = {choice.alpha for choice in found if len(choice.interval) < self.num_layers}
        return {choice: score for choice, score in found.items() if choice.alpha in alphas}

    def decoder_soups(self) -> dict[float, CrcScore]:
        """Every soup of the decoder layers alone, by its alpha."""
        found = self.restored("selection").items()
        soups = {c.alpha: s for c, s in found if len(c.interval) == self.num_layers and _is_whole(c)}
        return dict(sorted(soups.items()))

    def by_components(self) -> dict[str, dict[Restoration, CrcScore]]:
        """Every interval of which only some components are restored, by the names of these."""
        found: dict[str, dict[Restoration, CrcScore]] = {}
        for choice, score in self.restored("selection").items():
            if not _is_whole(choice):
                found.setdefault("+".join(choice.components), {})[choice] = score
        return found

    @cached_property
    def choices(self) -> dict[str, Restoration]:
        """The chosen hybrids by name, as the module's docstring says; a name is missing if the rule admits none."""
        if self.selection is None or not self.decoder_soups():
            return {}
        soups = {restoration_of(score): score for score in self.decoder_soups().values()}
        found = {
            "hybrid": self.hybrid,
            "partial": self._best(self.partial()),
            "single": self._best({c: s for c, s in self.partial().items() if _is_single_layer(c)}),
            "decoder_soup": self._best({c: s for c, s in soups.items() if c is not None}),
            **{name: self._best(candidates) for name, candidates in self.by_components().items()},
        }
        if self.selection.soup_alpha in self.decoder_soups():
            found["same_alpha"] = restoration_of(self.decoder_soups()[self.selection.soup_alpha])
        return {name: choice for name, choice in found.items() if choice is not None}

    def greedy_steps(self) -> Iterator[tuple[tuple[LayerSet, ...], LayerSet | None]]:
        """The steps of the greedy choice of as many layers as the hybrid's.

        Yields:
            The sets that the step tries, and the one that it chooses. The last step's choice is None if one of its sets
            is not scored yet.
        """
        instruct, scores = self.instruct("selection"), self.sets("selection")
        chosen: LayerSet = frozenset()
        for _ in range(0 if self.hybrid is None else len(self.hybrid.interval)):
            tried = tuple(chosen | {n} for n in range(self.num_layers) if n not in chosen)
            if instruct is None or any(layers not in scores for layers in tried):
                yield tried, None
                return
            chosen = best_layer_set({layers: scores[layers] for layers in tried}, instruct, self._rule)
            yield tried, chosen

    @cached_property
    def greedy(self) -> LayerSet | None:
        """The set of the last greedy step; None if it is not complete."""
        chosen = [choice for _, choice in self.greedy_steps()]
        return chosen[-1] if chosen else None

    def random_sets(self, prompt_set: PromptSet) -> list[CrcScore]:
        """The sets that were drawn at random, as far as they are scored."""
        if self.hybrid is None:
            return []
        scores = self.sets(prompt_set)
        drawn = random_layer_sets(self._scores[0].pair, self.num_layers, len(self.hybrid.interval))
        return [scores[layers] for layers in takewhile(lambda layers: layers in scores, drawn)]

    @cached_property
    def held_out(self) -> dict[str, Scores]:
        """Held-out scores of instruct, the soup, every choice, the greedy set, and the mean of the random sets.

        A name is missing if there is no such choice, or it is not scored yet.
        """
        restored, sets, soups = self.restored("held_out"), self.sets("held_out"), self.soups("held_out")
        found: dict[str, Scores | None] = {
            "instruct": self.instruct("held_out"),
            "soup": None if self.selection is None else soups.get(self.selection.soup_alpha or 0.0),
            **{name: restored.get(choice) for name, choice in self.choices.items()},
            "greedy": None if self.greedy is None else sets.get(self.greedy),
            "random": _mean_of(self.random_sets("held_out")),
        }
        return {name: score for name, score in found.items() if score is not None}

    @property
    def is_complete(self) -> bool:
        """Whether everything that was chosen has its held-out scores."""
        wanted = {"instruct", *self.choices, *(("greedy", "random") if self.hybrid else ())}
        return bool(self.choices) and self.partial() != {} and wanted <= self.held_out.keys()

    @cached_property
    def additivity(self) -> Additivity | None:
        """Compare the gains of intervals with the sums of their layers' gains; None without the search's scores."""
        instruct = self.instruct("selection")
        whole = {c.interval: s for c, s in self.restored("selection").items() if c.stack == WHOLE}
        longer = [interval for interval in whole if len(interval) > 1]
        if instruct is None or len(longer) < 3:
            return None
        # An undefined diversity is left out of every mean, as in all tables.
        own = _diversity(instruct)
        single = np.stack([_diversity(whole[LayerInterval(n, n + 1)]) - own for n in range(self.num_layers)])
        gains_IP = np.stack([_diversity(whole[interval]) - own for interval in longer])
        sums_IP = np.stack([single[slice(*interval.ends)].sum(axis=0) for interval in longer])
        num_prompts = gains_IP.shape[1]
        seed = seed_from_key("localisation", instruct.pair, "additivity")
        rng = np.random.default_rng(seed)
        drawn = rng.integers(num_prompts, size=(NUM_RESAMPLES, num_prompts))
        resampled = [_slope_and_correlation(sums_IP[:, places], gains_IP[:, places]) for places in drawn]
        slope, correlation = _slope_and_correlation(sums_IP, gains_IP)
        lows, highs = np.percentile(resampled, (2.5, 97.5), axis=0)
        return Additivity(
            tuple(np.nanmean(sums_IP, axis=1)),
            tuple(np.nanmean(gains_IP, axis=1)),
            Estimate(slope, float(lows[0]), float(highs[0]), num_prompts),
            Estimate(correlation, float(lows[1]), float(highs[1]), num_prompts),
        )

    @property
    def _rule(self) -> SelectionRule:
        assert self.selection is not None
        return SelectionRule(self.selection.min_validity_ratio, self.selection.margin)

    def _best(self, candidates: Mapping[Restoration, CrcScore]) -> Restoration | None:
        assert self.selection is not None
        chosen = select(
            make_candidates(candidates.items(), self.instruct("selection")),
            self.selection.instruct_validity,
            self._rule.min_validity_ratio,
            self._rule.margin,
            not_finite=[choice for choice, score in candidates.items() if None in score.validity],
        ).chosen
        return None if chosen is None else chosen.choice

    def _of(self, prompt_set: PromptSet) -> list[CrcScore]:
        return [score for score in self._scores if score.prompt_set == prompt_set]


@dataclass(frozen=True)
class MeanScores:
    """Validity and diversity on each prompt, as means over several models; None where it is undefined for all.

    Attributes:
        validity: mean validity on each prompt, in [0, 1].
        diversity: mean diversity on each prompt, in [0, 1].
    """

    validity: tuple[float | None, ...]
    diversity: tuple[float | None, ...]


def _mean_of(scores: Sequence[Scores]) -> MeanScores | None:
    if not scores:
        return None
    return MeanScores(
        tuple(map(_mean, zip(*(score.validity for score in scores), strict=True))),
        tuple(map(_mean, zip(*(score.diversity for score in scores), strict=True))),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def as_layers(interval: LayerInterval) -> LayerSet:
    """The layers of an interval as a set."""
    return frozenset(range(*interval.ends))


def restored_in_words(score: CrcScore) -> str:
    """What a hybrid restores, such as "6:9 at alpha 0.5", or the numbers of the layers of a set."""
    choice = restoration_of(score)
    return str(choice) if choice is not None else ", ".join(map(str, score.layers or ()))


def random_layer_sets(pair: str, num_layers: int, size: int) -> Iterator[LayerSet]:
    """Draw different sets of layers at random, until there is no other one.

    The sequence is the same whenever it is drawn for a pair.

    Args:
        pair: name of the pair.
        num_layers: number of decoder layers of the models.
        size: number of layers of each set.

    Yields:
        The sets, each of the same probability.
    """
    rng = np.random.default_rng(seed_from_key("localisation", pair, "random sets", str(size)))
    drawn: set[LayerSet] = set()
    while len(drawn) < math.comb(num_layers, size):
        layers = frozenset(map(int, rng.choice(num_layers, size, replace=False)))
        if layers not in drawn:
            drawn.add(layers)
            yield layers


def _is_single_layer(choice: Restoration) -> bool:
    return choice.stack == WHOLE and len(choice.interval) == 1


def _is_whole(choice: Restoration) -> bool:
    return choice.components == COMPONENTS


def _diversity(score: CrcScore) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in score.diversity])


def _slope_and_correlation(
    sums_IP: NDArray[np.float64], gains_IP: NDArray[np.float64]
) -> tuple[float, float]:
    sums, gains = np.nanmean(sums_IP, axis=1), np.nanmean(gains_IP, axis=1)
    return float(sums @ gains / (sums @ sums)), float(np.corrcoef(sums, gains)[0, 1])

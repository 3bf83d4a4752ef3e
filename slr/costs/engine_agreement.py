"""Sample the same prompts with transformers and with vLLM, and test whether the answers differ by more than chance."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import combine_pvalues

from slr.sampling.config import SamplingConfig
from slr.seeding import seed_from_key
from slr.statistics.permutation import permutation_test
from slr.terminal.tables import print_table

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from slr.models.loading import ModelPair
    from slr.models.opened_pair import OpenedPair
    from slr.sampling.generation import Sample

THINGS = (
    *("a colour", "an animal", "a fruit", "a country", "a city", "a planet", "a number from 1 to 10"),
    *("a first name", "a musical instrument", "a sport", "a month", "a river"),
)
"""Things that the models are asked to name, one a prompt."""

VIEWS: dict[str, Callable[[str], list[str]]] = {
    "whole answer": lambda text: [text],
    "first word": lambda text: (text.split() or [""])[:1],
    "all words": str.split,
}
"""The parts of an answer that are counted, by the name of the view.

Two long answers are seldom equal, so their words tell more.
"""

DIFFERENT = 0.001
"""Combined p-value below which the engines count as different."""

SAMPLES_TOGETHER = 256
"""Largest number of samples in one call of an engine."""

Draw = Callable[[list[list[int]], int, SamplingConfig, list[int]], "list[list[Sample]]"]
"""An engine. It takes the prompts' token ids, the number of samples of each, the settings, and a seed for each."""
Settings = Mapping[str, SamplingConfig]
"""Sampling settings by their names."""


@dataclass(frozen=True)
class Drawn:
    """The answers of one engine with one of the settings.

    Attributes:
        texts: texts of the samples, for each prompt.
        num_tokens: number of tokens of all samples.
        seconds: wall-clock time of drawing them, in seconds.
    """

    texts: list[list[str]]
    num_tokens: int
    seconds: float


def drawn_by_transformers(
    model: PreTrainedModel, pair: ModelPair, device: str, num_samples: int, settings: Settings
) -> dict[str, Drawn]:
    """Sample with transformers.

    Args:
        model: a model of the pair, on the CPU.
        pair: the pair.
        device: device to compute on. The model leaves it at the end, because vLLM needs its memory.
        num_samples: number of samples of each prompt.
        settings: settings to sample with, by name.

    Returns:
        The answers with each of the settings, by name.
    """
    import torch
    from torch import nn

    from slr.sampling.generation import sample

    def draw(
        prompts: list[list[int]], count: int, config: SamplingConfig, seeds: list[int]
    ) -> list[list[Sample]]:
        return sample(model, pair.tokenizer, prompts, count, config, seeds, end_tokens=pair.end_tokens.ids)

    nn.Module.to(model, device)
    drawn = _draw_all(draw, _prompts(pair.tokenizer), num_samples, settings)
    nn.Module.to(model, "cpu")
    torch.cuda.empty_cache()
    return drawn


def drawn_by_vllm(
    model: PreTrainedModel,
    pair: ModelPair,
    opened: OpenedPair,
    device: str,
    num_samples: int,
    settings: Settings,
) -> dict[str, Drawn]:
    """Sample with vLLM, from the same linked checkpoint that a run gives it.

    Args:
        model: a model of the pair, on the CPU.
        pair: the pair.
        opened: the same pair, with its weights in local files.
        device: device to compute on.
        num_samples: number of samples of each prompt.
        settings: settings to sample with, by name.

    Returns:
        The answers with each of the settings, by name.
    """
    from slr.sampling.linked_checkpoint import write_linked_checkpoint
    from slr.sampling.vllm_engine import VllmEngine

    # Both engines end an answer at the same tokens, because otherwise this choice alone would set them apart.
    end_tokens = pair.end_tokens.ids
    with tempfile.TemporaryDirectory() as directory:
        write_linked_checkpoint(model, pair, opened, Path(directory))
        with VllmEngine(Path(directory), pair.tokenizer, model.dtype, device) as engine:

            def draw(
                prompts: list[list[int]], count: int, config: SamplingConfig, seeds: list[int]
            ) -> list[list[Sample]]:
                return engine.sample(prompts, count, config, seeds, end_tokens=end_tokens)

            return _draw_all(draw, _prompts(pair.tokenizer), num_samples, settings)


def _prompts(tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    from slr.chat.template import render_chats

    return render_chats(tokenizer, [f"Name {thing}. Answer with one word." for thing in THINGS])


def _draw_all(draw: Draw, prompts: list[list[int]], num_samples: int, settings: Settings) -> dict[str, Drawn]:
    # A library sets itself up in its first call, which must not count as sampling time.
    draw(prompts[:1], 2, SamplingConfig(max_new_tokens=2), [0])
    return {name: _draw(draw, prompts, num_samples, name, config) for name, config in settings.items()}


def _draw(draw: Draw, prompts: list[list[int]], num_samples: int, name: str, config: SamplingConfig) -> Drawn:
    size = max(1, SAMPLES_TOGETHER // num_samples)
    seeds = [seed_from_key("engine_agreement", name, thing) for thing in THINGS]
    drawn: list[list[Sample]] = []
    began = time.perf_counter()
    for first in range(0, len(prompts), size):
        drawn += draw(prompts[first : first + size], num_samples, config, seeds[first : first + size])
    seconds = time.perf_counter() - began
    num_tokens = sum(answer.num_tokens for answers in drawn for answer in answers)
    return Drawn([[answer.text for answer in answers] for answers in drawn], num_tokens, seconds)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far the answers of two engines are apart, in one view of an answer.

    Attributes:
        view: name of the view.
        distance: total variation distance of the counted parts, mean over prompts, in [0, 1].
        by_chance: the same distance if the answers are divided between the engines at random.
        share_significant: share of the prompts whose p-value is below 0.05.
        combined_p: p-values of all prompts, combined by Fisher's method.
    """

    view: str
    distance: float
    by_chance: float
    share_significant: float
    combined_p: float

    @property
    def is_different(self) -> bool:
        """Whether the engines differ by more than chance."""
        return self.combined_p < DIFFERENT


def agreements(first: Drawn, second: Drawn) -> list[Agreement]:
    """Compare the answers of two engines to the same prompts.

    Returns:
        One comparison for each view.
    """
    found = []
    for view, parts_of in VIEWS.items():
        tests = [
            permutation_test(
                [parts_of(text) for text in texts], [parts_of(text) for text in others], seed=number
            )
            for number, (texts, others) in enumerate(zip(first.texts, second.texts, strict=True))
        ]
        p_values = [test.p_value for test in tests]
        fisher: Any = combine_pvalues(p_values, method="fisher")
        found.append(
            Agreement(
                view=view,
                distance=float(np.mean([test.distance for test in tests])),
                by_chance=float(np.mean([test.by_chance for test in tests])),
                share_significant=float(np.mean(np.array(p_values) < 0.05)),
                combined_p=float(fisher.pvalue),
            )
        )
    return found


def print_speeds(drawn: Sequence[tuple[str, str, Drawn]]) -> None:
    """Print a table of speeds; each row is given as the settings' name, the engine's name, and its answers."""
    rows = [
        (name, engine, f"{of.num_tokens:,}", f"{of.seconds:.1f}", f"{of.num_tokens / of.seconds:.0f}")
        for name, engine, of in drawn
    ]
    print_table(("settings", "engine", "tokens", "seconds", "tokens/s"), rows, num_text_columns=2)
    print()


def print_agreements(found: Mapping[str, Sequence[Agreement]]) -> None:
    """Print a table with a row for each view of each comparison, which are given by the comparison's name."""
    columns = ("compared", "counted", "distance", "by chance", "p < 0.05", "combined p")
    rows = [
        (
            name,
            of.view,
            f"{of.distance:.3f}",
            f"{of.by_chance:.3f}",
            f"{of.share_significant:.2f}",
            f"{of.combined_p:.2g}",
        )
        for name, of_all in found.items()
        for of in of_all
    ]
    print_table(columns, rows, num_text_columns=2)

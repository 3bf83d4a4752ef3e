"""A compared model that is ready to be sampled from, by either engine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from slr.runs.experiment import CellContext
from slr.sampling.config import SamplingConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from slr.models.loading import ModelPair
    from slr.sampling.generation import Sample

Draw = Callable[[Sequence[Sequence[int]], int, SamplingConfig, Sequence[int]], "list[list[Sample]]"]
"""Samples answers, given token ids of each prompt, a number of samples, the settings, and a seed for each prompt."""


@dataclass(frozen=True)
class OpenedModel:
    """A model that can be sampled from.

    Attributes:
        family: name of the model family.
        tokenizer: the pair's tokenizer.
        draw: samples answers.
    """

    family: str
    tokenizer: PreTrainedTokenizerBase
    draw: Draw


@contextmanager
def opened_model(
    context: CellContext,
    make: Callable[[ModelPair], PreTrainedModel],
    other_ends: Callable[[PreTrainedTokenizerBase], Sequence[int]] = lambda _: (),
) -> Generator[OpenedModel]:
    """Open a model that ``make`` makes of the cell's pair, for the engine of the settings.

    vLLM needs a checkpoint directory, which lies in the output directory while the model is open. It also needs the
    accelerator's memory, so the pair is freed first.

    Args:
        context: the running cell.
        make: makes the model of the pair.
        other_ends: gives ids of tokens that end an answer besides the pair's.
    """
    if context.settings.engine == "vllm":
        context.settings.output_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=context.settings.output_dir, prefix=".vllm-checkpoint-") as name:
            yield from _opened_by_vllm(context, make, other_ends, Path(name))
    else:
        from slr.sampling.generation import sample

        pair = context.pair
        end_tokens = [*end_tokens_of_pair(pair), *other_ends(pair.tokenizer)]
        draw = partial(sample, make(pair), pair.tokenizer, end_tokens=end_tokens)
        yield OpenedModel(pair.family, pair.tokenizer, draw)


def end_tokens_of_pair(pair: ModelPair) -> list[int]:
    """Ids of the tokens that end an answer. All compared models use the instruct model's.

    Instruct models may have learned to write an end of the text after the end of the turn. Hybrids may not write it.
    """
    from slr.sampling.generation import end_tokens_of

    return end_tokens_of(pair.instruct_model, pair.tokenizer)


def _opened_by_vllm(
    context: CellContext,
    make: Callable[[ModelPair], PreTrainedModel],
    other_ends: Callable[[PreTrainedTokenizerBase], Sequence[int]],
    checkpoint: Path,
) -> Iterator[OpenedModel]:
    from slr.sampling.vllm_engine import VllmEngine

    pair = context.pair
    family, tokenizer, dtype = pair.family, pair.tokenizer, pair.instruct_model.dtype
    end_tokens = [*end_tokens_of_pair(pair), *other_ends(tokenizer)]
    make(pair).save_pretrained(checkpoint)
    # The last reference to the pair outside ``pair_on_demand`` goes, or its memory could not be freed.
    del pair
    context.pair_on_demand.give_up()
    with VllmEngine(checkpoint, tokenizer, dtype) as engine:
        yield OpenedModel(family, tokenizer, partial(engine.sample, end_tokens=end_tokens))

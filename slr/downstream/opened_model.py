"""A compared model that is ready to be sampled from, by either engine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
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

Draw = Callable[
    [Sequence[Sequence[int]], int, SamplingConfig, Sequence[int], int | None],
    "Iterable[tuple[int, DrawnAnswers]]",
]
"""Samples answers, and gives each prompt's place with its answers when all of them are there.

Its arguments are the token ids of each prompt, a number of samples, the settings, a seed for each prompt, and the
largest number of samples drawn at once, or None for as many as memory holds.
"""


@dataclass(frozen=True)
class DrawnAnswers:
    """The answers to a prompt, and the number of rows they were drawn in; None if it was not chosen by memory."""

    samples: list[Sample]
    rows: int | None = None


@dataclass(frozen=True)
class OpenedModel:
    """A model that can be sampled from.

    Attributes:
        family: name of the model family.
        tokenizer: the pair's tokenizer.
        draw: samples answers.
        refills_rows: whether finished rows are replaced by samples of other prompts, so that prompts need no groups.
    """

    family: str
    tokenizer: PreTrainedTokenizerBase
    draw: Draw
    refills_rows: bool


@contextmanager
def opened_model(
    context: CellContext,
    make: Callable[[ModelPair], PreTrainedModel],
    other_ends: Callable[[PreTrainedTokenizerBase], Sequence[int]] = lambda _: (),
) -> Generator[OpenedModel]:
    """Open a model that ``make`` makes of the cell's pair, for the engine of the settings.

    vLLM needs a checkpoint directory, which lies in the output directory while the model is open; it links to the
    pair's files where it can. vLLM also needs the accelerator's memory, so the pair is freed first.

    Args:
        context: the running cell.
        make: makes the model of the pair.
        other_ends: gives ids of tokens that end an answer besides the pair's.
    """
    if context.settings.engine == "vllm":
        name = f".vllm-checkpoint-{context.settings.processes.index}"
        with _empty_directory(context.settings.output_dir / name) as checkpoint:
            yield from _opened_by_vllm(context, make, other_ends, checkpoint)
    else:
        from slr.sampling.generation import refills_rows

        pair = context.pair
        end_tokens = [*end_tokens_of_pair(pair), *other_ends(pair.tokenizer)]
        model = make(pair)
        draw = partial(_drawn_by_transformers, model, pair.tokenizer, end_tokens)
        yield OpenedModel(pair.family, pair.tokenizer, draw, refills_rows(model))


@contextmanager
def _empty_directory(path: Path) -> Generator[Path]:
    """Make a directory, and remove it at the end; whatever a killed process left there is removed first.

    vLLM compiles a model anew for every path that it has not seen, so all models have the same path.
    """
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _drawn_by_transformers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    end_tokens: Sequence[int],
    prompts: Sequence[Sequence[int]],
    num_samples: int,
    config: SamplingConfig,
    seeds: Sequence[int],
    rows: int | None,
) -> Iterator[tuple[int, DrawnAnswers]]:
    from slr.sampling.generation import iter_samples

    chosen: list[int | None] = [None]
    drawn = iter_samples(
        model,
        tokenizer,
        prompts,
        num_samples,
        config,
        seeds,
        end_tokens=end_tokens,
        rows=rows,
        on_rows=chosen.append,
    )
    for place, samples in drawn:
        yield place, DrawnAnswers(samples, chosen[-1])


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
    from slr.models.opened_pair import open_pair
    from slr.sampling.linked_checkpoint import write_linked_checkpoint
    from slr.sampling.vllm_engine import VllmEngine

    pair = context.pair
    family, tokenizer, dtype = pair.family, pair.tokenizer, pair.instruct_model.dtype
    end_tokens = [*end_tokens_of_pair(pair), *other_ends(tokenizer)]
    write_linked_checkpoint(make(pair), pair, open_pair(context.spec).with_local_weights(), checkpoint)
    # The last reference to the pair outside ``pair_on_demand`` goes, or its memory could not be freed.
    del pair
    context.pair_on_demand.give_up()
    with VllmEngine(checkpoint, tokenizer, dtype, context.settings.device) as engine:

        def draw(
            prompts: Sequence[Sequence[int]],
            num_samples: int,
            config: SamplingConfig,
            seeds: Sequence[int],
            _rows: int | None,
        ) -> Iterator[tuple[int, DrawnAnswers]]:
            drawn = engine.sample(prompts, num_samples, config, seeds, end_tokens=end_tokens)
            return enumerate(map(DrawnAnswers, drawn))

        yield OpenedModel(family, tokenizer, draw, refills_rows=False)

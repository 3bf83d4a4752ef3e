"""Memory and time of a search of a pair that is too large for one GPU, counted and not measured.

A pair that fits all GPUs together is spread over them by ``device_map="auto"``. One GPU computes at a time then, and
the states move to each layer's GPU and back. Any pair can be streamed instead, with one process for each GPU. Each
process reads the layers for its own start layers, while it computes.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from accelerate import infer_auto_device_map
from accelerate.utils import compute_module_sizes, get_balanced_memory
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, PreTrainedModel

from slr.costs.random_pairs import SIDES, load_testbed_tokenizer
from slr.crc.layer_evaluations import count_layer_evaluations, group_starts, states_at_layers
from slr.crc.prompts import load_prompts
from slr.crc.scoring import encode_prompts
from slr.crc.token_tree import TokenTree
from slr.models.decoder import decoder_layers
from slr.runs.processes import divide

DTYPE = torch.bfloat16
LLAMA_70B = LlamaConfig(
    num_hidden_layers=80,
    hidden_size=8192,
    intermediate_size=28_672,
    num_attention_heads=64,
    num_key_value_heads=8,
    vocab_size=128_256,
)
"""The shape of Llama-3.1-70B."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a search computes with.

    Attributes:
        card_bytes: memory of one GPU in bytes.
        flops_per_second: speed of one GPU.
        read_bytes_per_second: speed at which all processes together read files.
        copy_bytes_per_second: speed at which one GPU takes data from the host, or from another GPU.
    """

    card_bytes: float
    flops_per_second: float
    read_bytes_per_second: float
    copy_bytes_per_second: float


@dataclass(frozen=True, kw_only=True)
class PairShape:
    """The sizes on which the cost of a search depends.

    Attributes:
        model: one of the models, without memory.
        tree_tokens: number of tokens of the selection prompts; a shared beginning counts once.
    """

    model: PreTrainedModel
    tree_tokens: int

    @classmethod
    def of(cls, config: PreTrainedConfig) -> PairShape:
        """Make a model of a configuration; the testbed's tokenizer gives the number of tokens."""
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=DTYPE)
        prompts = encode_prompts(load_prompts("selection"), load_testbed_tokenizer())
        return cls(model=model, tree_tokens=len(TokenTree.build(prompts.token_ids)))

    @property
    def num_layers(self) -> int:
        """Number of decoder layers."""
        return len(decoder_layers(self.model))

    @property
    def layer_bytes(self) -> int:
        """Size of one decoder layer of one model in bytes."""
        return DTYPE.itemsize * sum(weight.numel() for weight in decoder_layers(self.model)[0].parameters())

    @property
    def model_bytes(self) -> int:
        """Size of one model in bytes."""
        return DTYPE.itemsize * self.model.num_parameters()

    @property
    def state_bytes(self) -> int:
        """Size of one hidden state of the tree in bytes."""
        return DTYPE.itemsize * self.tree_tokens * self.model.config.hidden_size

    @property
    def layer_flops(self) -> float:
        """Number of floating-point operations that take one state through one layer."""
        return 2.0 * self.layer_bytes / DTYPE.itemsize * self.tree_tokens


@dataclass(frozen=True, kw_only=True)
class SearchCount:
    """Counted cost of scoring every interval.

    Attributes:
        weight_bytes: size of the weights on the fullest GPU in bytes.
        num_passes: number of passes through the layers.
        moved_bytes: number of bytes that one process reads, or that move between the GPUs.
        compute_seconds: time in seconds without reading and moving.
        seconds: time of the search in seconds.
    """

    weight_bytes: float
    num_passes: int
    moved_bytes: float
    compute_seconds: float
    seconds: float


def count_resident(shape: PairShape, machine: Machine, num_cards: int) -> SearchCount | None:
    """Count a search of a pair that accelerate spreads over GPUs; None if the pair does not fit them.

    Args:
        shape: the sizes of the pair.
        machine: speeds, and the memory of a GPU.
        num_cards: number of GPUs.
    """
    weights = spread_weights(shape.model, machine.card_bytes, num_cards)
    if weights is None:
        return None
    fullest = max(weights)
    passes = _passes(shape, range(shape.num_layers), machine.card_bytes - fullest)
    if passes is None:
        return None
    evaluations = count_layer_evaluations(shape.num_layers)
    compute = evaluations * shape.layer_flops / machine.flops_per_second
    # The states stay with the embeddings, on the first GPU. A state goes to its layer's GPU and back.
    moved = 2 * evaluations * shape.state_bytes * (1 - 1 / num_cards)
    return SearchCount(
        weight_bytes=fullest,
        num_passes=len(passes),
        moved_bytes=moved,
        compute_seconds=compute,
        seconds=compute + moved / machine.copy_bytes_per_second,
    )


def count_streamed(shape: PairShape, machine: Machine, num_cards: int) -> SearchCount | None:
    """Count a search that reads layers from disk, with one process for each GPU.

    The result is None if a GPU does not hold the states of one start. A search would then take the prompts in groups.

    Args:
        shape: the sizes of the pair.
        machine: speeds, and the memory of a GPU.
        num_cards: number of GPUs, which divide the start layers.

    Returns:
        The counts of the process that ends last.
    """
    outside = len(SIDES) * (shape.model_bytes - shape.num_layers * shape.layer_bytes)
    costs = [count_layer_evaluations(shape.num_layers, [start]) for start in range(shape.num_layers)]
    counts: list[SearchCount] = []
    for starts in divide(costs, num_cards):
        # The budget is chosen before the first layer is read.
        passes = _passes(shape, starts, machine.card_bytes - outside)
        if passes is None:
            return None
        counts.append(_count_process(shape, machine, passes, num_cards))
    return max(counts, key=lambda count: count.seconds)


def spread_weights(model: PreTrainedModel, card_bytes: float, num_cards: int) -> list[float] | None:
    """Plan a pair's weights on GPUs as ``device_map="auto"`` does, one model after the other.

    Args:
        model: one of the two models; it may be without memory.
        card_bytes: memory of a GPU in bytes.
        num_cards: number of GPUs.

    Returns:
        The bytes of the weights on each GPU; None if some do not fit.
    """
    whole = [type(decoder_layers(model)[0]).__name__]
    sizes = compute_module_sizes(model)
    used = defaultdict[int, float](float)
    for _ in SIDES:
        free: dict[int | str, int | str] = {card: int(card_bytes - used[card]) for card in range(num_cards)}
        with _no_warnings_of_accelerate():
            balanced = get_balanced_memory(model, free, no_split_module_classes=whole)
            device_map = infer_auto_device_map(model, balanced, no_split_module_classes=whole)
        for part, device in device_map.items():
            if not isinstance(device, int):
                return None
            used[device] += sizes[part]
    return [used[card] for card in range(num_cards)]


@contextmanager
def _no_warnings_of_accelerate() -> Generator[None]:
    """Keep accelerate from warning that this machine lacks the GPUs of a plan."""
    logger = logging.getLogger(get_balanced_memory.__module__)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _passes(shape: PairShape, starts: Sequence[int], free_bytes: float) -> list[list[int]] | None:
    """Group start layers into passes, as the search does with this many free bytes; None if no state fits."""
    # The budget is half of the free memory, half of the budget is for states, and one state is the prefix.
    affordable = math.floor(free_bytes / 4 / shape.state_bytes) - 1
    return None if affordable < shape.num_layers else group_starts(shape.num_layers, starts, affordable)


def _count_process(
    shape: PairShape, machine: Machine, passes: Sequence[Sequence[int]], num_processes: int
) -> SearchCount:
    num_layers, bytes_of_both = shape.num_layers, len(SIDES) * shape.layer_bytes
    arrival = max(
        bytes_of_both * num_processes / machine.read_bytes_per_second,
        bytes_of_both / machine.copy_bytes_per_second,
    )
    num_read, compute, seconds = 0, 0.0, 0.0
    first = 0
    for starts in passes:
        states = states_at_layers(num_layers, starts, first)
        first = starts[-1]
        computing = [count * shape.layer_flops / machine.flops_per_second for count in states]
        num_read += len(states)
        compute += sum(computing)
        # The first layer is waited for, and every other one arrives while the one before it computes.
        seconds += arrival + sum(max(arrival, of_layer) for of_layer in computing[:-1]) + computing[-1]
    return SearchCount(
        weight_bytes=len(SIDES) * (shape.model_bytes - (num_layers - 2) * shape.layer_bytes),
        num_passes=len(passes),
        moved_bytes=num_read * bytes_of_both,
        compute_seconds=compute,
        seconds=seconds,
    )

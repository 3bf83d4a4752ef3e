"""Keys and values of texts of different lengths, and the decoding step that reads and extends them.

Every layer has one preallocated block of token slots. Each text has a range of them, so a step pays for the tokens
that are there and not for the longest text. On a GPU, attention reads the ranges by PyTorch's flash attention, and a
step is captured as a CUDA graph for each number of rows. Elsewhere, and where scores are capped, the ranges are
gathered into padded tensors first.

Shape letters: B rows, H query heads, K heads of keys and values, G query heads for each of these, D head size, S slots
or tokens, V vocabulary.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, DynamicCache, PreTrainedConfig, PreTrainedModel

from slr.models.transformers_internals import attention_implementation, set_attention_implementation

ATTENTION_NAME = "slr_ragged"
"""Name under which the attention is registered. No mask is registered for it, so transformers makes none."""
SCRATCH = 1
"""Number of slots at the front that belong to no text. The rows that fill a graph up write there."""
ROWS_GATHERED = 32
"""Number of rows that are gathered together; rows come sorted by length, so each group is padded to its own longest."""
TOKENS_COPIED = 32_768
"""Number of tokens that are copied at a time, which bounds the memory for it."""
_GRAPH_ROWS = (8, 16, 32, 48, 64, 96, 128, 192, 256, 320, 384, 448, 512)

_log = logging.getLogger(__name__)

Move = tuple[int, int, int]
"""Start of a range, its new start, and a number of tokens."""


class RaggedDecoder:
    """A model with its caches, which computes one token for each row in a step."""

    def __init__(
        self, model: PreTrainedModel, filled: DynamicCache, num_slots: int, max_rows: int, longest: int
    ) -> None:
        """Allocate the caches.

        Args:
            model: the model.
            filled: a cache filled by the model; it shows the shapes of keys and values in each layer.
            num_slots: number of token slots, the scratch slots included.
            max_rows: largest number of rows in a step.
            longest: largest number of tokens in a row.

        Raises:
            torch.OutOfMemoryError: if the caches do not fit.
        """
        self.device = model.device
        self._model = model
        # A hybrid's layers have the configurations of two models.
        configs = (vars(module).get("config") for module in model.modules())
        self._configs = list({id(config): config for config in configs if config is not None}.values())
        blocks = [(_empty_like(k, num_slots), _empty_like(v, num_slots)) for k, v in keys_and_values(filled)]
        self._keys, self._values = [keys for keys, _ in blocks], [values for _, values in blocks]
        self._uses_flash = _has_flash(self._keys + self._values) and not _caps_scores(model)
        self._captures = self._uses_flash
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, torch.Tensor]] = {}
        self._max_rows = max_rows
        on_gpu = self.device.type == "cuda"
        # One pinned tensor and one copy bring all inputs of a step to the device.
        self._staged = torch.zeros(4, max_rows, dtype=torch.long, pin_memory=on_gpu)
        self._inputs = torch.zeros(4, max_rows, dtype=torch.long, device=self.device)
        self._step = _Step(self._inputs, longest)

    def store(self, cache: DynamicCache, moves: Sequence[Move]) -> None:
        """Copy the keys and values of prompts into ranges.

        Args:
            cache: filled by the model, for a batch of padded prompts.
            moves: places in the flattened batch, and their ranges.
        """
        source, target = self._indices(moves)
        blocks = zip(self._keys, self._values, strict=True)
        for of_layer, filled in zip(blocks, keys_and_values(cache), strict=True):
            for block_SKD, filled_BKSD in zip(of_layer, filled, strict=True):
                filled_SKD = filled_BKSD.transpose(1, 2).flatten(0, 1)
                block_SKD.index_copy_(0, target, filled_SKD.index_select(0, source))

    def copy(self, moves: Sequence[Move]) -> None:
        """Copy ranges inside the caches. A range may overlap its own new place if that begins before it."""
        for some in _in_parts(moves):
            source, target = self._indices(some)
            for block in itertools.chain(self._keys, self._values):
                block.index_copy_(0, target, block.index_select(0, source))

    def step(self, tokens: torch.Tensor, starts: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Append a token to each row and compute the logits after it.

        Args:
            tokens: the token of each row, on the CPU, shape (B,).
            starts: first slot of each row's range, on the CPU, shape (B,).
            lengths: number of tokens that are in the range before this one, on the CPU, shape (B,). Steps are fastest
                when these are sorted.

        Returns:
            Logits on the device, shape (B, V). The next step overwrites them.

        Raises:
            torch.OutOfMemoryError: if memory runs out.
        """
        num_rows = len(tokens)
        padded = self._padded(num_rows)
        staged = self._staged[:, :padded]
        staged.zero_()
        for place, values in enumerate((tokens, lengths, starts, starts + lengths)):
            staged[place, :num_rows] = values
        self._inputs[:, :padded].copy_(staged, non_blocking=True)
        if not self._uses_flash:
            groups = lengths.split(ROWS_GATHERED)
            self._step.longest = [int(of_group.max()) + 1 for of_group in groups]
        graph = self._graph(padded) if self._captures else None
        if graph is None:
            return self._forward(padded)[:num_rows]
        graph[0].replay()
        return graph[1][:num_rows]

    def _padded(self, num_rows: int) -> int:
        if not self._captures:
            return num_rows
        return min(self._max_rows, next((rows for rows in _GRAPH_ROWS if rows >= num_rows), self._max_rows))

    def _graph(self, rows: int) -> tuple[torch.cuda.CUDAGraph, torch.Tensor] | None:
        """Capture the step of a number of rows, unless it is captured.

        Returns:
            The graph and its logits; None if the step cannot be captured.

        Raises:
            torch.OutOfMemoryError: if memory runs out.
        """
        if rows not in self._graphs:
            try:
                self._graphs[rows] = self._capture(rows)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                _log.warning(
                    "a decoding step cannot be captured as a CUDA graph, so steps are slower: %s", error
                )
                self._captures = False
                return None
        return self._graphs[rows]

    def _capture(self, rows: int) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        # The libraries choose their kernels and allocate their workspaces in a first call, outside the graph.
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            self._forward(rows)
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # All graphs share one pool, because the logits of one are used before another is replayed.
        pool = next((captured.pool() for captured, _ in self._graphs.values()), None)
        with torch.cuda.graph(graph, pool=pool):
            logits_BV = self._forward(rows)
        return graph, logits_BV

    def _forward(self, rows: int) -> torch.Tensor:
        self._step.begin(rows)
        with _attending(self._configs):
            output: Any = self._model(
                input_ids=self._inputs[0, :rows, None],
                position_ids=self._inputs[1, :rows, None],
                use_cache=False,
                ragged=self,
            )
        return output.logits[:, -1]

    def attend(
        self,
        module: Any,
        query_BHD: torch.Tensor,
        key_BKD: torch.Tensor,
        value_BKD: torch.Tensor,
        **settings: Any,
    ) -> torch.Tensor:
        """Extend one layer's caches by a token of each row, and attend to all tokens of the row.

        Args:
            module: the attention module.
            query_BHD: the tokens' queries.
            key_BKD: the tokens' keys.
            value_BKD: the tokens' values.
            settings: scaling, sliding window and soft cap, as the module gives them.

        Returns:
            The outputs, shape (B, H, D).
        """
        keys_SKD, values_SKD = self._keys[module.layer_idx], self._values[module.layer_idx]
        keys_SKD.index_copy_(0, self._step.new_slots, key_BKD)
        values_SKD.index_copy_(0, self._step.new_slots, value_BKD)
        starts, used = self._step.ranges(settings["window"])
        if self._uses_flash:
            return _flash(query_BHD, keys_SKD, values_SKD, starts, used, self._step, settings["scale"])
        return torch.cat(
            [
                _gathered(query_BHD[rows], keys_SKD, values_SKD, starts[rows], used[rows], longest, settings)
                for rows, longest in self._step.groups(settings["window"])
            ]
        )

    def _indices(self, moves: Sequence[Move]) -> tuple[torch.Tensor, torch.Tensor]:
        if not moves:
            moves = [(0, 0, 0)]
        source = torch.cat([torch.arange(start, start + count) for start, _, count in moves])
        target = torch.cat([torch.arange(start, start + count) for _, start, count in moves])
        return source.to(self.device), target.to(self.device)


class _Step:
    """The rows of the present step: where each one's tokens are."""

    def __init__(self, inputs: torch.Tensor, most_tokens: int) -> None:
        self._inputs = inputs
        self._query_starts = torch.arange(inputs.shape[1] + 1, dtype=torch.int32, device=inputs.device)
        self._ranges: dict[int | None, tuple[torch.Tensor, torch.Tensor]] = {}
        self._rows = 0
        self.most_tokens = most_tokens
        self.longest: list[int] = []

    def begin(self, rows: int) -> None:
        """Forget the ranges of the step before."""
        self._rows = rows
        self._ranges.clear()

    @property
    def new_slots(self) -> torch.Tensor:
        """Slot of each row's new token."""
        return self._inputs[3, : self._rows]

    @property
    def query_starts(self) -> torch.Tensor:
        """Place of each row's query among all queries, and their number."""
        return self._query_starts[: self._rows + 1]

    def ranges(self, window: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        """First slot and number of tokens that each row attends to, its new token included."""
        if window not in self._ranges:
            length = self._inputs[1, : self._rows] + 1
            used = length if window is None else length.clamp(max=window)
            starts = self._inputs[2, : self._rows] + length - used
            # Flash attention reads the starts of the rows only, but wants one number more.
            starts = nn.functional.pad(starts, (0, 1))
            self._ranges[window] = starts.int(), used.int()
        return self._ranges[window]

    def groups(self, window: int | None) -> Iterator[tuple[slice, int]]:
        """Groups of rows, and the number of tokens that the longest row of each attends to."""
        for place, longest in enumerate(self.longest):
            first = place * ROWS_GATHERED
            yield slice(first, min(first + ROWS_GATHERED, self._rows)), min(longest, window or longest)


def attend_to_ranges(
    module: nn.Module,
    query_BH1D: torch.Tensor,
    key_BK1D: torch.Tensor,
    value_BK1D: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    ragged: RaggedDecoder,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as transformers' attention functions do, to the caches of a ``RaggedDecoder``.

    Args:
        module: the attention module.
        query_BH1D: queries of one token of each row.
        key_BK1D: its keys.
        value_BK1D: its values.
        attention_mask: None, because a row's tokens are all that it may see.
        ragged: the decoder that holds the caches.
        scaling: factor of the scores; None for one over the root of the head size.
        sliding_window: number of tokens that the layer sees; None for all.
        softcap: bound of the scores' size; None for none.
        others: settings that change nothing here.

    Returns:
        The outputs, shape (B, 1, H, D), and None for the attention weights.

    Raises:
        NotImplementedError: if the module asks for something else, such as attention sinks.
    """
    unknown = {name for name in ("s_aux", "position_bias", "sinks") if others.get(name) is not None}
    if unknown or attention_mask is not None or query_BH1D.shape[2] != 1:
        raise NotImplementedError(
            f"{type(module).__name__} needs more than ranges of tokens: {unknown or 'a mask'}"
        )
    output_BHD = ragged.attend(
        module,
        query_BH1D[:, :, 0],
        key_BK1D[:, :, 0],
        value_BK1D[:, :, 0],
        scale=query_BH1D.shape[-1] ** -0.5 if scaling is None else scaling,
        window=sliding_window,
        softcap=softcap,
    )
    return output_BHD[:, None], None


AttentionInterface.register(ATTENTION_NAME, attend_to_ranges)


@contextmanager
def _attending(configs: Sequence[PreTrainedConfig]) -> Generator[None]:
    """Have the modules with these configurations attend to ranges for the moment; a captured step needs it no more."""
    before = [attention_implementation(config) for config in configs]
    for config in configs:
        set_attention_implementation(config, ATTENTION_NAME)
    try:
        yield
    finally:
        for config, name in zip(configs, before, strict=True):
            assert name is not None
            set_attention_implementation(config, name)


def _flash(
    query_BHD: torch.Tensor,
    keys_SKD: torch.Tensor,
    values_SKD: torch.Tensor,
    starts: torch.Tensor,
    used: torch.Tensor,
    step: _Step,
    scale: float,
) -> torch.Tensor:
    # The public varlen_attn takes the numbers of used tokens only from torch 2.13 on; its operator always did.
    output, *_ = torch.ops.aten._flash_attention_forward(
        query_BHD.contiguous(),
        keys_SKD,
        values_SKD,
        step.query_starts,
        starts,
        1,
        step.most_tokens,
        0.0,
        False,
        False,
        scale=scale,
        seqused_k=used,
    )
    return output


def _gathered(
    query_BHD: torch.Tensor,
    keys_SKD: torch.Tensor,
    values_SKD: torch.Tensor,
    starts: torch.Tensor,
    used: torch.Tensor,
    longest: int,
    settings: dict[str, Any],
) -> torch.Tensor:
    places = torch.arange(longest, device=starts.device)
    is_there_BS = places < used[:, None]
    slots_BS = torch.where(is_there_BS, starts[:, None] + places, 0)
    keys_BSKD, values_BSKD = keys_SKD[slots_BS], values_SKD[slots_BS]
    query_BKGD = query_BHD.unflatten(1, (keys_SKD.shape[1], -1))
    scores_BKGS = torch.einsum("bkgd,bskd->bkgs", query_BKGD, keys_BSKD) * settings["scale"]
    if settings["softcap"] is not None:
        scores_BKGS = (scores_BKGS / settings["softcap"]).tanh() * settings["softcap"]
    scores_BKGS = scores_BKGS.masked_fill(~is_there_BS[:, None, None], -torch.inf)
    at_least_float32 = torch.promote_types(scores_BKGS.dtype, torch.float32)
    weights_BKGS = scores_BKGS.softmax(dim=-1, dtype=at_least_float32).to(values_BSKD.dtype)
    return torch.einsum("bkgs,bskd->bkgd", weights_BKGS, values_BSKD).flatten(1, 2)


def keys_and_values(cache: DynamicCache) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the keys and values of each layer of a filled cache, each of shape (B, K, S, D)."""
    layers: list[Any] = cache.layers
    return [(layer.keys, layer.values) for layer in layers]


def _empty_like(filled_BKSD: torch.Tensor, num_slots: int) -> torch.Tensor:
    _, heads, _, size = filled_BKSD.shape
    # Slots that no token was written to are multiplied by a weight of 0, which must not meet a NaN.
    return filled_BKSD.new_zeros(num_slots, heads, size)


def _has_flash(blocks: Sequence[torch.Tensor]) -> bool:
    return all(
        block.is_cuda
        and block.dtype in (torch.float16, torch.bfloat16)
        and block.shape[-1] <= 256
        and block.shape[-1] % 8 == 0
        and torch.cuda.get_device_capability(block.device) >= (8, 0)
        for block in blocks
    )


def _caps_scores(model: PreTrainedModel) -> bool:
    text = model.config.get_text_config(decoder=True)
    return getattr(text, "attn_logit_softcapping", None) is not None


def _in_parts(moves: Sequence[Move]) -> Iterator[list[Move]]:
    """Cut moves into groups of at most ``TOKENS_COPIED`` tokens, in order."""
    part: list[Move] = []
    room = TOKENS_COPIED
    for source, target, count in moves:
        for first in range(0, count, TOKENS_COPIED):
            some = min(TOKENS_COPIED, count - first)
            if some > room:
                yield part
                part, room = [], TOKENS_COPIED
            part.append((source + first, target + first, some))
            room -= some
    if part:
        yield part

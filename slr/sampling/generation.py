"""Sampling of answers: samples of several prompts in one batch, with each prompt computed once.

On a GPU the number of rows follows from its memory, and finished rows are replaced (``slr.sampling.refill``). On a CPU
all samples of a group of prompts run together to their ends, which is as fast there.

The order of operations is fixed. Logits are divided by the temperature. Then top-k, top-p and min-p remove
tokens, each from what the one before it left. The order matters: a higher temperature before min-p leaves
more tokens than after it. It is the order of transformers' ``generate``.

Each prompt has a seed of its own. From it one number in [0, 1) is drawn for every sample and position before
anything is computed. The chosen token is where that number falls in the cumulative distribution. Therefore a
sample does not depend on which other samples are still running, or on what ran before.

Shape letters: B samples in the batch, T tokens, V vocabulary, A alternative tokens (the likeliest ones).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from slr.chat.end_tokens import end_tokens_of_model
from slr.sampling.config import SamplingConfig
from slr.sampling.memory import free_bytes, plan_memory
from slr.sampling.refill import Request, UnusableCacheError, can_refill, iter_drawn

COMPACT_BELOW = 0.75
"""Share of a batch that is still running at which the finished samples are taken out of it."""
SORTED_AT_FIRST = 1024
"""Number of largest logits that top-p sorts first. It grows until they hold the probability asked for."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """One answer.

    Attributes:
        text: the answer without special tokens and without the token that ended it.
        num_tokens: number of tokens, all of these included.
        finished: whether the answer ended by itself, before the largest number of new tokens.
    """

    text: str
    num_tokens: int
    finished: bool


def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    num_samples: int,
    config: SamplingConfig,
    seeds: Sequence[int],
    *,
    end_tokens: Sequence[int] | None = None,
    rows: int | None = None,
    on_step: Callable[[int], None] | None = None,
) -> list[list[Sample]]:
    """Draw ``num_samples`` answers to each prompt.

    Args:
        model: the model, in evaluation mode.
        tokenizer: decodes the answers; its padding token fills short prompts up on the left.
        prompts: token ids of each rendered prompt.
        num_samples: number of samples of each prompt.
        config: temperature, truncation, and the largest number of new tokens.
        seeds: one seed for each prompt.
        end_tokens: ids of the tokens that end an answer; None for the decision of ``slr.chat.end_tokens``.
        rows: largest number of samples that are drawn at once; None for as many as a GPU's memory holds, and for all
            on a CPU.
        on_step: called after each step with the number of samples that are still running.

    Returns:
        The samples of each prompt, in order.

    Raises:
        ValueError: if there is no prompt, an empty one, or not one seed for each prompt; if nothing ends an
            answer; if the model's logits are not finite, or it takes no cache; if a GPU's memory does not hold one
            answer.
    """
    drawn = iter_samples(
        model,
        tokenizer,
        prompts,
        num_samples,
        config,
        seeds,
        end_tokens=end_tokens,
        rows=rows,
        on_step=on_step,
    )
    return [samples for _, samples in sorted(drawn, key=lambda of_prompt: of_prompt[0])]


def refills_rows(model: PreTrainedModel) -> bool:
    """Return whether finished rows are replaced by the next samples: on one GPU, if the kinds of layers allow it."""
    return model.device.type == "cuda" and can_refill(model)


def iter_samples(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    num_samples: int,
    config: SamplingConfig,
    seeds: Sequence[int],
    *,
    end_tokens: Sequence[int] | None = None,
    rows: int | None = None,
    on_step: Callable[[int], None] | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, list[Sample]]]:
    """Draw the same samples as ``sample``, and yield a prompt as soon as all of its samples are done.

    Args:
        model: as for ``sample``, and so are all the others.
        tokenizer: decodes the answers.
        prompts: token ids of each rendered prompt.
        num_samples: number of samples of each prompt.
        config: temperature, truncation, and the largest number of new tokens.
        seeds: one seed for each prompt.
        end_tokens: ids of the tokens that end an answer.
        rows: largest number of samples that are drawn at once.
        on_step: called after each step.
        on_rows: called with the number of rows that was chosen by memory, and again if it is halved.

    Yields:
        The place of a prompt, and its samples in order.

    Raises:
        ValueError: as ``sample`` does.
    """
    check_request(prompts, num_samples, seeds, end_tokens)
    end_ids = end_tokens_of(model, tokenizer) if end_tokens is None else list(end_tokens)
    if refills_rows(model):
        try:
            yield from _iter_refilled(
                model, tokenizer, prompts, num_samples, config, seeds, end_ids, rows, on_step, on_rows
            )
            return
        except UnusableCacheError as error:
            # The first step finds it out, so nothing has been yielded.
            _log.warning("rows are not refilled while sampling, because %s", error)
    size = max(1, rows // num_samples) if rows else len(prompts)
    for first in range(0, len(prompts), size):
        group = slice(first, first + size)
        drawn = sample_together(
            model, tokenizer, prompts[group], num_samples, config, seeds[group], end_ids, on_step
        )
        yield from enumerate(drawn, first)


def _iter_refilled(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    num_samples: int,
    config: SamplingConfig,
    seeds: Sequence[int],
    end_ids: Sequence[int],
    rows: int | None,
    on_step: Callable[[int], None] | None,
    on_rows: Callable[[int], None] | None,
) -> Iterator[tuple[int, list[Sample]]]:
    request = Request(
        prompts=prompts,
        num_samples=num_samples,
        seeds=seeds,
        limits=[config.max_new_tokens] * (len(prompts) * num_samples),
        ends=end_ids,
    )
    plan = plan_memory(
        model.config,
        model.dtype,
        free_bytes(model),
        num_answers=len(request.limits),
        longest_prompt=request.longest_prompt,
        longest_answer=config.max_new_tokens,
        rows=rows,
    )
    for prompt, drawn in iter_drawn(
        model, request, partial(choose_tokens, config=config), plan, on_step, on_rows
    ):
        yield prompt, _decoded(tokenizer, [(one.tokens, one.finished) for one in drawn])


@torch.inference_mode()
def sample_together(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    num_samples: int,
    config: SamplingConfig,
    seeds: Sequence[int],
    end_ids: Sequence[int],
    on_step: Callable[[int], None] | None,
    limits: Sequence[int] | None = None,
) -> list[list[Sample]]:
    """Draw all samples in one batch, which ends with the longest of them.

    Args:
        model: as for ``sample``, and so are all the others that it has.
        tokenizer: decodes the answers.
        prompts: token ids of each rendered prompt.
        num_samples: number of samples of each prompt.
        config: temperature, truncation, and the largest number of new tokens.
        seeds: one seed for each prompt.
        end_ids: ids of the tokens that end an answer.
        on_step: called after each step.
        limits: largest number of new tokens of each sample; None for the configuration's.

    Returns:
        The samples of each prompt, in order.
    """
    ends = torch.tensor(end_ids, device=model.device)
    draws_BT = torch.cat(
        [
            torch.rand(
                num_samples,
                config.max_new_tokens,
                generator=torch.Generator().manual_seed(seed),
                dtype=torch.float64,
            )
            for seed in seeds
        ]
    ).to(model.device)
    batch = _Batch.prefill(model, tokenizer, prompts, num_samples)
    num_rows = len(prompts) * num_samples
    tokens_BT = torch.zeros(num_rows, config.max_new_tokens, dtype=torch.long, device=model.device)
    limits_B = torch.tensor(limits or [config.max_new_tokens] * num_rows, device=model.device)
    lengths_B = limits_B.clone()
    finished_B = torch.zeros(num_rows, dtype=torch.bool, device=model.device)
    for step in range(config.max_new_tokens):
        next_B = choose_tokens(batch.logits_BV, draws_BT[batch.rows, step], config)
        tokens_BT[batch.rows, step] = next_B
        ended = torch.isin(next_B, ends)
        newly = ended & ~finished_B[batch.rows]
        lengths_B[batch.rows[newly]] = step + 1
        finished_B[batch.rows[newly]] = True
        running = ~finished_B[batch.rows]
        if limits is not None:
            running &= limits_B[batch.rows] > step + 1
        num_running = int(running.sum())
        if on_step is not None:
            on_step(num_running)
        if num_running == 0 or step + 1 == config.max_new_tokens:
            break
        if num_running <= COMPACT_BELOW * len(batch.rows):
            batch.keep(running)
            next_B = next_B[running]
        batch.advance(next_B)
    answers = zip(tokens_BT.tolist(), lengths_B.tolist(), finished_B.tolist(), strict=True)
    rows = _decoded(tokenizer, [(row[:length], ended) for row, length, ended in answers])
    return [rows[first : first + num_samples] for first in range(0, num_rows, num_samples)]


def _decoded(
    tokenizer: PreTrainedTokenizerBase, answers: Sequence[tuple[Sequence[int], bool]]
) -> list[Sample]:
    """Decode the tokens of answers, each with whether its last one is a token that ends an answer."""
    # That token is cut off here, because the tokenizer leaves out special tokens only.
    shown = [list(tokens[: len(tokens) - ended]) for tokens, ended in answers]
    texts = tokenizer.batch_decode(shown, skip_special_tokens=True)
    return [Sample(text, len(tokens), ended) for text, (tokens, ended) in zip(texts, answers, strict=True)]


def choose_tokens(logits_BV: torch.Tensor, draws_B: torch.Tensor, config: SamplingConfig) -> torch.Tensor:
    """Choose the token of each row at which its cumulative distribution passes the row's draw, in float64.

    At temperature 0 the likeliest token is chosen, and no draw is used.

    Args:
        logits_BV: next-token logits.
        draws_B: one number in [0, 1) for each row.
        config: temperature and truncation.

    Returns:
        The token ids, shape (B,).

    Raises:
        ValueError: if a logit is NaN or +inf.
    """
    # The largest logit of a row is NaN if any logit is.
    largest_B = logits_BV.amax(dim=-1)
    if not largest_B.isfinite().all():
        raise ValueError(
            "the model's logits are not finite: its weights or its precision do not suit it; "
            "give float32 or bfloat16 weights without NaN"
        )
    if config.temperature == 0:
        return logits_BV.argmax(dim=-1)
    kept_BV = _kept(logits_BV, largest_B, config)
    if kept_BV is None:
        return _drawn(token_probabilities(logits_BV, config).double(), draws_B)
    # Mostly a few tokens of a large vocabulary are kept, so only these are gathered. The places after a row's last one
    # have weight 0.
    rows, tokens = kept_BV.nonzero(as_tuple=True)
    counts_B = rows.bincount(minlength=len(logits_BV))
    firsts_B = counts_B.cumsum(dim=0) - counts_B
    weights = ((logits_BV[rows, tokens].double() - largest_B[rows].double()) / config.temperature).exp()
    weights_BA = weights.new_zeros(len(logits_BV), int(counts_B.max()))
    weights_BA[rows, torch.arange(len(rows), device=rows.device) - firsts_B[rows]] = weights
    return tokens[firsts_B + _drawn(weights_BA, draws_B)]


def _drawn(weights_BA: torch.Tensor, draws_B: torch.Tensor) -> torch.Tensor:
    """Return the place in each row at which the cumulative weight passes the row's share of the total."""
    cumulative_BA = weights_BA.cumsum(dim=-1)
    # In float64 a draw is at most 1 - 2**-53, so its product with the total stays below the total even when rounded.
    targets_B1 = draws_B[:, None] * cumulative_BA[:, -1:]
    return torch.searchsorted(cumulative_BA, targets_B1, right=True).squeeze(1)


def token_probabilities(logits_BV: torch.Tensor, config: SamplingConfig) -> torch.Tensor:
    """Compute the distribution that is sampled from: temperature, then top-k, top-p, min-p.

    The likeliest token is always kept. Min-p keeps a token if its probability is at least min-p times the
    largest one.

    Sources: top-p, Holtzman et al. 2020; min-p, Nguyen et al. 2024 (arXiv 2407.01082).

    Args:
        logits_BV: next-token logits.
        config: temperature and truncation.

    Returns:
        Probabilities in float32, shape (B, V).

    Raises:
        ValueError: at temperature 0, where nothing is sampled.
    """
    if config.temperature == 0:
        raise ValueError("temperature is 0: the likeliest token is taken, and nothing is sampled")
    kept_BV = _kept(logits_BV, logits_BV.amax(dim=-1), config)
    return _masked(logits_BV.float() / config.temperature, kept_BV).softmax(dim=-1)


def _kept(logits_BV: torch.Tensor, largest_B: torch.Tensor, config: SamplingConfig) -> torch.Tensor | None:
    """Say which tokens the truncations keep (B, V), given each row's largest logit; None if they keep all."""
    kept_BV = None
    if 0 < config.top_k < logits_BV.shape[-1]:
        kept_BV = logits_BV >= logits_BV.topk(config.top_k, dim=-1).values[:, -1:]
    if config.top_p < 1:
        kept_BV = _top_p(_masked(logits_BV.float() / config.temperature, kept_BV), config.top_p)
    if config.min_p > 0:
        # The ratio of two probabilities follows from the difference of their logits, so no softmax is needed.
        least_B1 = largest_B[:, None].float() + config.temperature * math.log(config.min_p)
        likely_BV = logits_BV >= least_B1
        kept_BV = likely_BV if kept_BV is None else kept_BV & likely_BV
    return kept_BV


def _masked(logits_BV: torch.Tensor, kept_BV: torch.Tensor | None) -> torch.Tensor:
    return logits_BV if kept_BV is None else logits_BV.masked_fill(~kept_BV, -torch.inf)


def end_tokens_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Find the ids of the tokens that end an answer, as ``slr.chat.end_tokens`` decides.

    Raises:
        ValueError: if there is none.
    """
    ends = end_tokens_of_model(model, tokenizer)
    if not ends.ids:
        raise ValueError(
            "nothing ends an answer: the model's generation configuration has no eos_token_id, the tokenizer has no "
            f"eos_token, and {ends.remark or 'the chat template names none'}"
        )
    return ends.ids


def _top_p(logits_BV: torch.Tensor, top_p: float) -> torch.Tensor:
    """Keep as few of the likeliest tokens as have a probability of ``top_p`` together, and say which (B, V).

    Only as many tokens are sorted as are needed, because sorting a whole vocabulary takes longer than the
    model.
    """
    total_B1 = logits_BV.logsumexp(dim=-1, keepdim=True)
    vocabulary = logits_BV.shape[-1]
    count = min(SORTED_AT_FIRST, vocabulary)
    while True:
        descending_BA, order_BA = logits_BV.topk(count, dim=-1)
        probabilities_BA = (descending_BA - total_B1).exp()
        cumulative_BA = probabilities_BA.cumsum(dim=-1)
        if count == vocabulary or bool((cumulative_BA[:, -1] >= top_p).all()):
            break
        count = min(8 * count, vocabulary)
    kept_BA = cumulative_BA - probabilities_BA < top_p
    kept_BA[:, 0] = True
    return torch.zeros_like(logits_BV, dtype=torch.bool).scatter(1, order_BA, kept_BA)


def check_request(
    prompts: Sequence[Sequence[int]], num_samples: int, seeds: Sequence[int], end_tokens: Sequence[int] | None
) -> None:
    """Check what any engine is asked for.

    Args:
        prompts: token ids of each prompt.
        num_samples: number of samples of each prompt.
        seeds: one seed for each prompt.
        end_tokens: ids of the tokens that end an answer; None if the model decides.

    Raises:
        ValueError: if there is no prompt, an empty one, or not one seed for each prompt; if ``num_samples``
            is below 1; if ``end_tokens`` is empty.
    """
    if not prompts or not all(prompts):
        raise ValueError("there is nothing to answer: expected at least one prompt, and no empty one")
    if len(seeds) != len(prompts):
        raise ValueError(f"{len(seeds)} seeds are given for {len(prompts)} prompts: expected one for each")
    if num_samples < 1:
        raise ValueError(f"num_samples is {num_samples}, expected at least 1")
    if end_tokens is not None and len(end_tokens) == 0:
        raise ValueError("nothing ends an answer: end_tokens is empty; give some, or None for the model's")


class _Batch:
    """The running samples: their cache, mask, next positions, and the logits of their next tokens.

    Attributes:
        logits_BV: logits of the next token of each running sample.
        rows: index of each running sample among all samples, shape (B,).
    """

    def __init__(
        self, model: PreTrainedModel, cache: DynamicCache, mask_BT: torch.Tensor, logits_BV: torch.Tensor
    ) -> None:
        self._model = model
        self._cache = cache
        self._mask_BT = mask_BT
        self._positions_B = mask_BT.sum(dim=1)
        self.logits_BV = logits_BV
        self.rows = torch.arange(len(mask_BT), device=mask_BT.device)

    @classmethod
    def prefill(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[Sequence[int]],
        num_samples: int,
    ) -> _Batch:
        """Compute each prompt once, then repeat it for its samples."""
        longest = max(map(len, prompts))
        pad = tokenizer.pad_token_id or 0
        tokens_BT = torch.tensor([[pad] * (longest - len(p)) + list(p) for p in prompts], device=model.device)
        mask_BT = torch.tensor(
            [[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=model.device
        )
        cache = DynamicCache(config=model.config)
        output = _forward(model, tokens_BT, mask_BT, (mask_BT.cumsum(dim=1) - 1).clamp(min=0), cache)
        # The cache is repeated after the forward, so samples of one prompt share its computation.
        prompts_B = torch.arange(len(prompts), device=model.device).repeat_interleave(num_samples)
        _pick_rows(cache, prompts_B)
        return cls(model, cache, mask_BT[prompts_B], output[prompts_B, -1])

    def keep(self, which_B: torch.Tensor) -> None:
        """Go on with some of the samples only."""
        indices = which_B.nonzero().squeeze(1)
        _pick_rows(self._cache, indices)
        self._mask_BT = self._mask_BT[indices]
        self._positions_B = self._positions_B[indices]
        self.rows = self.rows[indices]

    def advance(self, next_B: torch.Tensor) -> None:
        """Append a token to every sample and compute the logits after it."""
        self._mask_BT = torch.cat([self._mask_BT, self._mask_BT.new_ones(len(next_B), 1)], dim=1)
        output = _forward(
            self._model, next_B[:, None], self._mask_BT, self._positions_B[:, None], self._cache
        )
        self.logits_BV = output[:, -1]
        self._positions_B = self._positions_B + 1


def _pick_rows(cache: DynamicCache, rows_B: torch.Tensor) -> None:
    """Replace the rows of a cache by some of them, in a given order; a row may be picked more than once."""
    # The methods that are named after this know fewer kinds of layers: not the ones with linear attention.
    cache.reorder_cache(cast(torch.LongTensor, rows_B))


def _forward(
    model: PreTrainedModel,
    tokens_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    positions_BT: torch.Tensor,
    cache: DynamicCache,
) -> torch.Tensor:
    output: Any = model(
        input_ids=tokens_BT,
        attention_mask=mask_BT,
        position_ids=positions_BT,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    # A model that ignores the cache would answer as if each token were the first.
    if getattr(output, "past_key_values", None) is not cache:
        raise ValueError(
            f"{type(model).__name__} cannot be sampled, because it does not take transformers' past_key_values: build "
            "the model (slr build) and sample it by vLLM or transformers' generate"
        )
    return output.logits

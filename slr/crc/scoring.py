"""CRC validity and diversity, computed from next-token probabilities.

For a prompt with a set of valid characters and a next-token distribution p (temperature 1, nothing
truncated), let ``p(c)`` be the sum of p over every token whose text, without leading white space, is the
character c. Validity is ``q = sum of p(c) over the valid characters``. Diversity is the entropy of ``p(c) /
q`` over the valid characters, divided by the log of their number. It lies in [0, 1] and is undefined where q
is 0.

On request tokens that min-p sampling would never draw do not count: p is 0 for a token whose probability is below
``min_p`` times the largest one, and the rest is scaled to sum 1.

Source: Zhang, Wang and Soh 2026 (arXiv 2602.06665). The division by the log of the number of characters and
the treatment of white space are ours. Min-p is from Nguyen et al. 2024 (arXiv 2407.01082).

Shape letters: R models, P prompts, C characters, A alternative tokens of a character, V vocabulary, B batch,
T tokens.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from slr.chat.template import render_chats
from slr.crc.prompts import CrcPrompt
from slr.crc.scorer import ENTROPY, Scorer
from slr.crc.token_tree import padded
from slr.models.reference import UnusablePairError
from slr.models.streaming import is_streamed

MAX_LOGIT_BYTES = 256 * 2**20
"""Maximum bytes of float32 logits in one batch of prompts."""


@dataclass(frozen=True)
class PromptScores:
    """Validity and diversity of one model on each prompt.

    Attributes:
        prompt_ids: ids of the P prompts.
        validity: validity on each prompt, in [0, 1]; None where the model's logits are NaN or infinite.
        diversity: diversity on each prompt, in [0, 1]; None where validity is None or 0.
    """

    prompt_ids: tuple[str, ...]
    validity: tuple[float | None, ...]
    diversity: tuple[float | None, ...]

    def check_finite(self, where: str) -> None:
        """Check that every prompt has a validity.

        Args:
            where: the model in words, for the message.

        Raises:
            ValueError: if the logits of a prompt are not finite; names the prompts.
        """
        undefined = [i for i, value in zip(self.prompt_ids, self.validity, strict=True) if value is None]
        if undefined:
            more = f" and {len(undefined) - 1} more prompts" if len(undefined) > 1 else ""
            raise ValueError(
                f"{where} answers the prompt {undefined[0]}{more} with logits that are NaN or infinite, though its "
                "weights are finite: its arithmetic overflows, so it cannot be scored. Choose a dtype of a wider "
                "range, or download the model again"
            )

    @property
    def mean_validity(self) -> float:
        """Mean validity over the prompts.

        Raises:
            ValueError: if a prompt has no validity.
        """
        self.check_finite("the model")
        return float(np.mean([value for value in self.validity if value is not None]))

    @property
    def mean_diversity(self) -> float | None:
        """Mean diversity over the prompts that have one; None if none has."""
        defined = [value for value in self.diversity if value is not None]
        return float(np.mean(defined)) if defined else None


@dataclass(frozen=True)
class EncodedPrompts:
    """Prompts as the models of one tokenizer see them.

    Attributes:
        prompts: the P prompts.
        token_ids: token ids of each prompt.
        characters: the C characters, which are the union of all valid sets.
        character_tokens: for each of the C characters, the ids of the tokens that stand for it.
        min_p: share of the largest next-token probability below which a token does not count, from 0 to 1; 0 counts
            every token.
        scorer: what makes validity and diversity of the probabilities.
    """

    prompts: tuple[CrcPrompt, ...]
    token_ids: tuple[tuple[int, ...], ...]
    characters: str
    character_tokens: tuple[tuple[int, ...], ...]
    min_p: float = 0.0
    scorer: Scorer = ENTROPY

    def shortest(self, count: int) -> EncodedPrompts:
        """Keep the ``count`` prompts with the fewest tokens."""
        by_length = sorted(range(len(self.prompts)), key=lambda index: len(self.token_ids[index]))
        return self.subset(by_length[:count])

    def subset(self, indices: Sequence[int]) -> EncodedPrompts:
        """Keep the prompts at the given indices."""
        return replace(
            self,
            prompts=tuple(self.prompts[i] for i in indices),
            token_ids=tuple(self.token_ids[i] for i in indices),
        )


Render = Callable[[PreTrainedTokenizerBase, Sequence[str]], list[list[int]]]
"""Turns requests into token ids."""


def encode_prompts(
    prompts: Sequence[CrcPrompt],
    tokenizer: PreTrainedTokenizerBase,
    *,
    render: Render = render_chats,
    min_p: float = 0.0,
    scorer: Scorer = ENTROPY,
) -> EncodedPrompts:
    """Render prompts and find the tokens of every valid character.

    Args:
        prompts: the P prompts.
        tokenizer: tokenizer of the models that will be scored.
        render: renders the prompts, by default in the chat template.
        min_p: share of the largest next-token probability below which a token does not count, from 0 to 1.
        scorer: what makes validity and diversity of the probabilities.

    Raises:
        ValueError: if there are no prompts, the tokenizer has no chat template, a valid character is not a single token
            of its vocabulary, or min-p is not from 0 to 1.
    """
    if not 0 <= min_p <= 1:
        raise ValueError(f"min_p is {min_p}, expected a number from 0 to 1")
    if not prompts:
        raise ValueError("no CRC prompts given: expected at least one")
    characters = "".join(sorted({character for prompt in prompts for character in prompt.valid}))
    tokens = _single_character_tokens(tokenizer)
    missing = [character for character in characters if character not in tokens]
    if missing:
        affected = [prompt.id for prompt in prompts if set(prompt.valid) & set(missing)]
        raise ValueError(
            f"the tokenizer has no single token for {', '.join(map(repr, missing))}, so the prompts "
            f"{', '.join(affected)} cannot be scored: CRC needs a token for each of these characters"
        )
    return EncodedPrompts(
        tuple(prompts),
        tuple(map(tuple, render(tokenizer, [prompt.text for prompt in prompts]))),
        characters,
        tuple(tuple(tokens[character]) for character in characters),
        min_p,
        scorer,
    )


def score_model(model: PreTrainedModel, encoded: EncodedPrompts) -> PromptScores:
    """Compute the CRC scores of one model of any architecture by plain forwards.

    For several models of one architecture ``slr.crc.tree_forward.score_by_tree`` is faster.
    """
    log_probs_PC = answer_log_probs(model, encoded)
    return scores_from_log_probs(log_probs_PC[None], encoded)[0]


@torch.inference_mode()
def answer_log_probs(
    model: PreTrainedModel, encoded: EncodedPrompts, pad: bool | None = None
) -> NDArray[np.float64]:
    """Compute the log-probability of each character as the next token, by plain forwards.

    Args:
        model: any model.
        encoded: the P prompts.
        pad: whether all prompts form one batch, padded on the left, as is fastest on a GPU. Otherwise prompts of equal
            length form a batch, and no score depends on padding. None pads if the layers are on disk, so that each is
            read once.

    Returns:
        Log-probabilities in nats, shape (P, C); -inf where the probability is 0, NaN as in
        ``character_log_probs``.
    """
    pad = is_streamed(model) if pad is None else pad
    lengths = [0 if pad else len(token_ids) for token_ids in encoded.token_ids]
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, length in enumerate(lengths):
        by_length[length].append(index)
    batch_size = max(1, MAX_LOGIT_BYTES // (4 * model.config.get_text_config(decoder=True).vocab_size))
    result_PC = np.empty((len(encoded.prompts), len(encoded.characters)))
    for indices in by_length.values():
        for first in range(0, len(indices), batch_size):
            batch = indices[first : first + batch_size]
            logits_BV = _next_token_logits(model, [encoded.token_ids[i] for i in batch])
            result_PC[batch] = (
                character_log_probs(logits_BV, encoded.character_tokens, encoded.min_p).cpu().numpy()
            )
    return result_PC


def _next_token_logits(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
    """Compute the logits of the token after each prompt, shape (B, V); short prompts are padded on the left.

    Raises:
        UnusablePairError: if the model's own code fails.
        OutOfMemoryError: if the device has too little memory.
    """
    longest = max(map(len, prompts))
    padded = [longest - len(prompt) for prompt in prompts]
    rows = [[0] * count + list(prompt) for count, prompt in zip(padded, prompts, strict=True)]
    arguments: dict[str, torch.Tensor] = {}
    if any(padded):
        mask_BT = torch.tensor(
            [[0] * count + [1] * (longest - count) for count in padded], device=model.device
        )
        positions_BT = (mask_BT.cumsum(dim=1) - 1).clamp(min=0)
        arguments = {"attention_mask": mask_BT, "position_ids": positions_BT}
    tokens_BT = torch.tensor(rows, device=model.device)
    try:
        output = model(input_ids=tokens_BT, logits_to_keep=1, use_cache=False, **arguments)
    except torch.OutOfMemoryError:
        raise
    # Sizes that contradict each other in a configuration make the model's code fail with any error.
    except Exception as error:
        raise UnusablePairError(
            f"{model.name_or_path} cannot answer a prompt of {longest} tokens ({type(error).__name__}: {error}): "
            "expected a model that can, so compare the sizes in its config.json with the original model's"
        ) from error
    return output.logits[:, -1]


def character_log_probs(
    logits_BV: torch.Tensor, character_tokens: Sequence[Sequence[int]], min_p: float = 0.0
) -> torch.Tensor:
    """Compute the log-probability of each character from next-token logits.

    Args:
        logits_BV: next-token logits.
        character_tokens: for each of the C characters, the ids of the tokens that stand for it.
        min_p: share of the largest probability below which a token does not count, from 0 to 1; 0 counts every token.

    Returns:
        Log-probabilities in nats, float64, shape (B, C). A row is NaN throughout if its logits hold NaN or
        plus infinity. A logit of minus infinity is a probability of 0.
    """
    logits_BV = logits_BV.float()
    if min_p > 0:
        least_B1 = logits_BV.amax(-1, keepdim=True) + math.log(min_p)
        logits_BV = logits_BV.masked_fill(logits_BV < least_B1, -torch.inf)
    tokens_CA, is_own_CA = padded(character_tokens, logits_BV.device)
    logits_BCA = logits_BV[:, tokens_CA].double().masked_fill(~is_own_CA, -torch.inf)
    total_B1 = logits_BV.logsumexp(-1, keepdim=True)
    log_probs_BC = logits_BCA.logsumexp(-1) - total_B1
    return log_probs_BC.masked_fill(~total_B1.isfinite(), torch.nan)


def scores_from_log_probs(log_probs_RPC: NDArray[np.float64], encoded: EncodedPrompts) -> list[PromptScores]:
    """Compute the scores of R models from the log-probabilities of the characters.

    Args:
        log_probs_RPC: log-probabilities in nats; the last axis has the order of ``encoded.characters``.
        encoded: the P prompts, with the scorer.

    Returns:
        The scores of each model, in order.

    Raises:
        ValueError: if a scorer of another package gives something else than numbers from 0 to 1.
    """
    column = {character: index for index, character in enumerate(encoded.characters)}
    validity_RP = np.empty(log_probs_RPC.shape[:2])
    diversity_RP = np.empty(log_probs_RPC.shape[:2])
    for index, prompt in enumerate(encoded.prompts):
        answers_RC = np.exp(log_probs_RPC[:, index, [column[character] for character in prompt.valid]])
        validity_RP[:, index], diversity_RP[:, index] = encoded.scorer.score(answers_RC, prompt.id)
    prompt_ids = tuple(prompt.id for prompt in encoded.prompts)
    return [
        PromptScores(
            prompt_ids,
            tuple(None if np.isnan(q) else float(q) for q in validity_P),
            tuple(None if np.isnan(h) else float(h) for h in diversity_P),
        )
        for validity_P, diversity_P in zip(validity_RP, diversity_RP, strict=True)
    ]


@lru_cache(maxsize=1)
def _single_character_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, list[int]]:
    """Find the tokens that stand for each character.

    The result is kept for the tokenizer used last, because decoding a vocabulary takes a second and a study
    encodes prompts several times.
    """
    special = set(tokenizer.all_special_ids)
    ids = sorted(id_ for id_ in tokenizer.get_vocab().values() if id_ not in special)
    texts = tokenizer.batch_decode([[id_] for id_ in ids])
    tokens: dict[str, list[int]] = defaultdict(list)
    for id_, text in zip(ids, texts, strict=True):
        # "a" and " a" are both the answer a: which one a model writes depends on its chat template.
        if len(character := text.lstrip()) == 1:
            tokens[character].append(id_)
    return tokens

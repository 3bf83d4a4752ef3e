"""CRC validity and diversity, from next-token probabilities.

Shape letters: R rows (models), P prompts, C characters, K tokens of a character, V vocabulary, B batch, T tokens.

For a prompt with valid set S and next-token distribution p (temperature 1, nothing truncated), let
``p(c)`` sum over every single token whose text, without leading white space, is the character c. Then
validity is ``q = sum of p(c) over S``, and diversity is the entropy of ``p(c) / q`` over S divided by
``log |S|``, in [0, 1]; it is undefined where q is 0. Source: Zhang, Wang and Soh 2026 (arXiv 2602.06665);
the normalisation by ``log |S|`` and the treatment of white space are ours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from slr.chat.template import render_chats
from slr.crc.prompts import CrcPrompt
from slr.crc.token_tree import padded
from slr.models.reference import UnusablePairError
from slr.models.streaming import is_streamed

MAX_LOGIT_BYTES = 256 * 2**20
"""Prompts are scored in batches whose float32 logits stay below this."""


@dataclass(frozen=True)
class PromptScores:
    """Validity and diversity of one model, a number a prompt in the order of ``prompt_ids``.

    Both are None where the model's logits are NaN or infinite; diversity also where validity is 0.
    """

    prompt_ids: tuple[str, ...]
    validity: tuple[float | None, ...]
    diversity: tuple[float | None, ...]

    def check_finite(self, where: str) -> None:
        """Raise unless every prompt has a validity.

        Raises:
            ValueError: with the prompts whose logits are not finite; ``where`` says of which model.
        """
        undefined = [i for i, value in zip(self.prompt_ids, self.validity, strict=True) if value is None]
        if undefined:
            more = f" and {len(undefined) - 1} more prompts" if len(undefined) > 1 else ""
            raise ValueError(
                f"{where} answers the prompt {undefined[0]}{more} with logits that are NaN or infinite, though its "
                "weights are finite: its arithmetic overflows, so it cannot be scored. Choose a dtype of a wider "
                "range, or get the model anew"
            )

    @property
    def mean_validity(self) -> float:
        """Mean over the prompts.

        Raises:
            ValueError: if a prompt has none.
        """
        self.check_finite("the model")
        return float(np.mean([value for value in self.validity if value is not None]))

    @property
    def mean_diversity(self) -> float | None:
        """Mean over the prompts that have a diversity; None if none has."""
        defined = [value for value in self.diversity if value is not None]
        return float(np.mean(defined)) if defined else None


@dataclass(frozen=True)
class EncodedPrompts:
    """Prompts as a model of one tokenizer sees them.

    ``token_ids`` holds a sequence a prompt. ``characters`` is the union of all valid sets, and
    ``character_tokens`` has for each of them the token ids that stand for it.
    """

    prompts: tuple[CrcPrompt, ...]
    token_ids: tuple[tuple[int, ...], ...]
    characters: str
    character_tokens: tuple[tuple[int, ...], ...]

    def shortest(self, count: int) -> EncodedPrompts:
        """The same for so many of the prompts, those of the fewest tokens."""
        by_length = sorted(range(len(self.prompts)), key=lambda index: len(self.token_ids[index]))
        return self.subset(by_length[:count])

    def subset(self, indices: Sequence[int]) -> EncodedPrompts:
        """The same for some of the prompts."""
        return EncodedPrompts(
            tuple(self.prompts[i] for i in indices),
            tuple(self.token_ids[i] for i in indices),
            self.characters,
            self.character_tokens,
        )


def encode_prompts(prompts: Sequence[CrcPrompt], tokenizer: PreTrainedTokenizerBase) -> EncodedPrompts:
    """Render prompts in the chat template and find the tokens of every valid character.

    Raises:
        ValueError: if there are no prompts, the tokenizer has no chat template, or a valid character is
            not a single token of its vocabulary.
    """
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
        tuple(map(tuple, render_chats(tokenizer, [prompt.text for prompt in prompts]))),
        characters,
        tuple(tuple(tokens[character]) for character in characters),
    )


def score_model(model: PreTrainedModel, encoded: EncodedPrompts) -> PromptScores:
    """CRC scores of one model of any architecture, by plain forwards.

    ``slr.crc.tree_forward.score_by_tree`` is faster where there are several models of one architecture.
    """
    log_probs_PC = answer_log_probs(model, encoded)
    return scores_from_log_probs(log_probs_PC[None], encoded.prompts, encoded.characters)[0]


@torch.inference_mode()
def answer_log_probs(model: PreTrainedModel, encoded: EncodedPrompts) -> NDArray[np.float64]:
    """Log-probability of each character as the next token, shape (P, C); -inf where it is 0, NaN as in
    ``character_log_probs``.

    Prompts of equal length are batched, so that nothing is padded; but where a model's layers are on disk they are
    filled up on the left, so that each layer is read once for all of them.
    """
    lengths = [0 if is_streamed(model) else len(token_ids) for token_ids in encoded.token_ids]
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, length in enumerate(lengths):
        by_length[length].append(index)
    batch_size = max(1, MAX_LOGIT_BYTES // (4 * model.config.get_text_config(decoder=True).vocab_size))
    result_PC = np.empty((len(encoded.prompts), len(encoded.characters)))
    for indices in by_length.values():
        for first in range(0, len(indices), batch_size):
            batch = indices[first : first + batch_size]
            logits_BV = _next_token_logits(model, [encoded.token_ids[i] for i in batch])
            result_PC[batch] = character_log_probs(logits_BV, encoded.character_tokens).cpu().numpy()
    return result_PC


def _next_token_logits(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
    """Shape (B, V).

    Raises:
        UnusablePairError: if the model's own code fails.
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
    except (
        Exception
    ) as error:  # sizes that contradict each other fail with whatever the model's code fails with
        raise UnusablePairError(
            f"{model.name_or_path} cannot answer a prompt of {longest} tokens ({type(error).__name__}: {error}): "
            "expected a model that can, so compare the sizes in its config.json with the original model's"
        ) from error
    return output.logits[:, -1]


def character_log_probs(logits_BV: torch.Tensor, character_tokens: Sequence[Sequence[int]]) -> torch.Tensor:
    """Log-probability of each character, shape (B, C), float64, from next-token logits (B, V).

    NaN throughout a row whose logits hold NaN or plus infinity; a logit of minus infinity is a probability of 0.
    """
    logits_BV = logits_BV.float()
    tokens_CK, is_own_CK = padded(character_tokens, logits_BV.device)
    logits_BCK = logits_BV[:, tokens_CK].double().masked_fill(~is_own_CK, -torch.inf)
    total_B1 = logits_BV.logsumexp(-1, keepdim=True)
    log_probs_BC = logits_BCK.logsumexp(-1) - total_B1
    return log_probs_BC.masked_fill(~total_B1.isfinite(), torch.nan)


def scores_from_log_probs(
    log_probs_RPC: NDArray[np.float64], prompts: Sequence[CrcPrompt], characters: str
) -> list[PromptScores]:
    """Scores of R models, from the log-probabilities of ``characters`` under each prompt."""
    column = {character: index for index, character in enumerate(characters)}
    validity_RP = np.empty(log_probs_RPC.shape[:2])
    diversity_RP = np.empty(log_probs_RPC.shape[:2])
    for index, prompt in enumerate(prompts):
        answers_RS = np.exp(log_probs_RPC[:, index, [column[character] for character in prompt.valid]])
        validity_RP[:, index] = answers_RS.sum(axis=1)
        diversity_RP[:, index] = _normalised_entropy(answers_RS)
    prompt_ids = tuple(prompt.id for prompt in prompts)
    return [
        PromptScores(
            prompt_ids,
            tuple(None if np.isnan(q) else float(q) for q in validity_P),
            tuple(None if np.isnan(h) else float(h) for h in diversity_P),
        )
        for validity_P, diversity_P in zip(validity_RP, diversity_RP, strict=True)
    ]


def _normalised_entropy(weights_RS: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy of each row, normalised to sum 1, over the log of its length; NaN where a row sums to 0."""
    total_R1 = weights_RS.sum(axis=1, keepdims=True)
    shares_RS = np.divide(weights_RS, total_R1, out=np.full_like(weights_RS, np.nan), where=total_R1 > 0)
    log_shares_RS = np.log(shares_RS, out=np.zeros_like(shares_RS), where=shares_RS > 0)
    return -(shares_RS * log_shares_RS).sum(axis=1) / np.log(weights_RS.shape[1])


@lru_cache(maxsize=1)
def _single_character_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, list[int]]:
    """Kept for the tokenizer used last: to decode a vocabulary takes a second, and a study encodes several times."""
    special = set(tokenizer.all_special_ids)
    ids = sorted(id_ for id_ in tokenizer.get_vocab().values() if id_ not in special)
    texts = tokenizer.batch_decode([[id_] for id_ in ids])
    tokens: dict[str, list[int]] = defaultdict(list)
    for id_, text in zip(ids, texts, strict=True):
        if len(character := text.lstrip()) == 1:
            tokens[character].append(id_)
    return tokens

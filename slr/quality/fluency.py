"""Fluency of texts as the mean log-probability of their tokens under a language model that wrote none of them.

A proxy: it favours what is typical, and so works against diversity; it only shows texts that fall apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slr.checkpoints import LoadedModel

BATCH_SIZE = 16
MAX_TOKENS = 512


class FluencyModel:
    """A language model that scores texts."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer

    @staticmethod
    @cache
    def load(location: str, device: str) -> FluencyModel:
        """The model of a checkpoint, loaded once a process, in float32.

        Raises:
            ValueError: see ``slr.load_pair``.
        """
        import torch

        from slr.checkpoints import load_model

        return FluencyModel(load_model(location, dtype=torch.float32, device=device))

    def score(self, texts: Sequence[str]) -> tuple[float | None, ...]:
        """Mean log-probability a token, in nats, after the tokenizer's first token; None for an empty text.

        A text is cut after 512 tokens.
        """
        starts_with = self._tokenizer.bos_token_id or self._tokenizer.eos_token_id
        token_ids = [
            self._tokenizer(text, add_special_tokens=False)["input_ids"][:MAX_TOKENS] for text in texts
        ]
        scores: list[float | None] = [None] * len(texts)
        by_length = sorted((i for i, ids in enumerate(token_ids) if ids), key=lambda i: len(token_ids[i]))
        for first in range(0, len(by_length), BATCH_SIZE):
            batch = by_length[first : first + BATCH_SIZE]
            means = self._mean_log_probs([[starts_with, *token_ids[i]] for i in batch])
            for index, mean in zip(batch, means, strict=True):
                scores[index] = mean
        return tuple(scores)

    def _mean_log_probs(self, rows: list[list[Any]]) -> list[float]:
        import torch
        from torch.nn.functional import cross_entropy

        longest = max(map(len, rows))
        tokens_BT = torch.tensor(
            [row + [0] * (longest - len(row)) for row in rows], device=self._model.device
        )
        lengths_B = torch.tensor([len(row) - 1 for row in rows], device=self._model.device)
        with torch.inference_mode():
            # Right padding needs no mask: a token never looks to its right.
            logits_BTV = self._model(input_ids=tokens_BT, use_cache=False).logits[:, :-1]
        losses_BT = cross_entropy(logits_BTV.transpose(1, 2).float(), tokens_BT[:, 1:], reduction="none")
        inside_BT = torch.arange(longest - 1, device=lengths_B.device) < lengths_B[:, None]
        return (-(losses_BT * inside_BT).sum(dim=1) / lengths_B).tolist()

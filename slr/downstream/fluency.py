"""Fluency of answers: mean log-probability of their tokens, given the request, under a model that wrote none of them.

It is a proxy. It favours typical text, and so works against diversity. It only shows answers that fall apart.

Shape letters: B batch, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slr.models.loading import LoadedModel
    from slr.models.reference import Location

MAX_TOKENS = 2048
"""Number of tokens that a request and its answer may have together, whatever the model can read; it limits memory."""

BATCH_TOKENS = 1024
"""Number of padded tokens that are scored together, because the logits of a large vocabulary fill the memory.

One row may have more.
"""


class FluencyModel:
    """A language model that scores answers to requests."""

    def __init__(self, loaded: LoadedModel) -> None:
        """Score by a model that is loaded already.

        Args:
            loaded: the model with its tokenizer.
        """
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer

    @staticmethod
    def load(location: Location, device: str) -> FluencyModel:
        """Load the model of a checkpoint in float32.

        Raises:
            ValueError: see ``slr.load_pair``.
        """
        import torch

        from slr.models.loading import load_model

        return FluencyModel(load_model(location, dtype=torch.float32, device=device))

    def score(self, requests: Sequence[str], texts: Sequence[str]) -> tuple[float | None, ...]:
        r"""Mean log-probability of an answer's tokens given its request, in nats a token.

        The model's own chat template renders the request. Without a template the request is a line of a plain document,
        ``request + "\n"``, after the tokenizer's first token. If there is no first token, the token that ends a text
        takes its place. The answer's tokens follow, without a token that ends a turn. Request and answer are tokenized
        separately, as in sampling.

        An answer is cut where request and answer fill the model's window, or 2048 tokens if that is less.

        Args:
            requests: the request of each answer; as many as texts.
            texts: the answers.

        Returns:
            One value for each answer; None for a blank answer, and where the request alone fills the window.

        Raises:
            ValueError: if the numbers of requests and texts differ, if a text is given in place of a sequence, or if
                there is neither a chat template nor a token that a text could begin with.
        """
        if isinstance(requests, str) or isinstance(texts, str) or len(requests) != len(texts):
            raise ValueError(
                f"got {_how_many(requests, 'request')} and {_how_many(texts, 'text')}: expected two sequences, "
                "with the request of each text"
            )
        # Requests and answers occur many times: all samples of a prompt share one request, and samples may be equal.
        prompts = {request: self._render(request) for request in dict.fromkeys(requests)}
        answers = {text: self._tokenize(text) if text.strip() else [] for text in dict.fromkeys(texts)}
        room = self._window()
        pairs = [
            pair
            for pair in dict.fromkeys(zip(requests, texts, strict=True))
            if answers[pair[1]] and len(prompts[pair[0]]) < room
        ]
        rows = [(prompts[request], answers[text][: room - len(prompts[request])]) for request, text in pairs]
        scores: dict[tuple[str, str], float] = {}
        for batch in _batches([len(prompt) + len(answer) for prompt, answer in rows]):
            means = self._mean_log_probs([rows[index] for index in batch])
            scores.update(zip((pairs[index] for index in batch), means, strict=True))
        return tuple(scores.get(pair) for pair in zip(requests, texts, strict=True))

    def _window(self) -> int:
        config = self._model.config.get_text_config(decoder=True)
        return min(MAX_TOKENS, getattr(config, "max_position_embeddings", None) or MAX_TOKENS)

    def _render(self, request: str) -> list[int]:
        if self._tokenizer.chat_template:
            from slr.chat.template import render_chat

            # A template may render a request as nothing, and an answer must follow some token.
            return render_chat(self._tokenizer, request) or [self._first_token()]
        return [self._first_token(), *self._tokenize(f"{request}\n")]

    def _first_token(self) -> int:
        for token in (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id):
            if isinstance(token, int):  # 0 is a token like any other
                return token
        raise ValueError(
            f"the tokenizer of {self._tokenizer.name_or_path or 'the fluency model'} has neither a token that begins "
            "a text nor one that ends it, and a request has to follow one of them; set tokenizer.bos_token, or "
            "name another fluency model"
        )

    def _tokenize(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def _mean_log_probs(self, rows: Sequence[tuple[list[int], list[int]]]) -> list[float]:
        """Mean log-probability of the tokens of each row's second part, given all tokens before them."""
        import torch
        from torch.nn.functional import cross_entropy

        longest = max(len(prompt) + len(answer) for prompt, answer in rows)
        device = self._model.device
        tokens_BT = torch.tensor(
            [prompt + answer + [0] * (longest - len(prompt) - len(answer)) for prompt, answer in rows],
            device=device,
        )
        start_B1 = torch.tensor([[len(prompt)] for prompt, _ in rows], device=device)
        end_B1 = torch.tensor([[len(prompt) + len(answer)] for prompt, answer in rows], device=device)
        # The logits at a place predict the next token. Logits before the first answer in the batch are not needed.
        first = int(start_B1.min())
        with torch.inference_mode():
            # Right padding needs no mask, because a token never looks to its right.
            logits_BTV = self._model(
                input_ids=tokens_BT, use_cache=False, logits_to_keep=longest - first + 1
            ).logits[:, :-1]
            losses_BT = cross_entropy(
                logits_BTV.transpose(1, 2).float(), tokens_BT[:, first:], reduction="none"
            )
        place_T = torch.arange(first, longest, device=device)
        inside_BT = (place_T >= start_B1) & (place_T < end_B1)
        return (-(losses_BT * inside_BT).sum(dim=1) / inside_BT.sum(dim=1)).tolist()


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Batches of row indices. Rows of a batch have similar lengths, and few enough tokens after padding."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if batch and lengths[index] * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _how_many(texts: Sequence[str], noun: str) -> str:
    return f"one {noun}, {texts[:40]!r}" if isinstance(texts, str) else f"{len(texts)} {noun}s"

"""Requests as a plain document: worked examples, then the request, outside any chat template.

A base model knows documents and not always chats. So this shows what it can do as it is. In the document a request and
its answer are on lines of their own, and a blank line follows. An answer begins with its own first token, because no
space precedes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LINE_END = "\n"
BLANK_LINE = "\n\n"


@dataclass(frozen=True)
class FewShotDocument:
    """Worked examples, and the text at which an answer ends.

    Attributes:
        shots: requests with their answers.
        stop: text that ends an answer: a line end, or a blank line if answers may have several lines.
    """

    shots: tuple[tuple[str, str], ...]
    stop: str = LINE_END

    def text(self, request: str) -> str:
        """Write the document up to where the answer to the request begins."""
        examples = "".join(f"{question}\n{answer}{BLANK_LINE}" for question, answer in self.shots)
        return f"{examples}{request}\n"

    def render(self, tokenizer: PreTrainedTokenizerBase, requests: Sequence[str]) -> list[list[int]]:
        """Turn each request into token ids; they begin with the tokenizer's beginning of a text, if it has one."""
        texts = [f"{tokenizer.bos_token or ''}{self.text(request)}" for request in requests]
        return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]

    def end_tokens(self, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """Ids of the tokens that end an answer by themselves: white space that holds the stop."""
        return blank_tokens_with(tokenizer, self.stop)

    def answer_in(self, text: str) -> tuple[str, bool]:
        """Cut what a model wrote at the first stop behind its first word.

        Returns:
            The answer, and whether there was a stop.
        """
        answer, stop, _ = text.lstrip().partition(self.stop)
        return answer.rstrip(), bool(stop)


def blank_tokens_with(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Ids of all tokens that are white space and hold a text, such as a line end."""
    ids = range(len(tokenizer))
    texts = tokenizer.batch_decode([[token_id] for token_id in ids])
    return [id_ for id_, shown in zip(ids, texts, strict=True) if text in shown and not shown.strip()]

"""Which tokens end an answer: one decision, for sampling, for lm-eval, and for what a built hybrid's server is told.

The generation configuration often does not know: that of a base model, which its adapters inherit, names the end of
a document, where chats are trained to end a turn by another token. The chat template shows it: it writes that token
right behind an answer. So the decision is the union of three sources, in this order:

- the end tokens of the generation configuration;
- the tokenizer's end-of-sequence token;
- the token that the chat template writes behind an answer that ends a chat, and behind one that is followed by
  another request. White space between is passed over. It counts if the tokenizer knows it as an added token, named or
  not. It does not count if it begins turns, or stands within an answer, between its reasoning and its text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

    from slr.chat.rendering import Rendering

EndSource = Literal["generation configuration", "tokenizer", "chat template"]

REQUEST, ANSWER, NEXT_REQUEST, REASONING = "Tangerine", "Marigold", "Sycamore", "Cinnabar"
"""Words by which the parts of a chat are found in its text. Templates do not write them, but may change their case."""


class EndToken(BaseModel):
    """A token that ends an answer, and what says so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int
    token: str
    sources: tuple[EndSource, ...]


class EndTokens(BaseModel):
    """The tokens that end an answer. ``remark`` says what is wrong with those of the chat template, if anything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[EndToken, ...]
    remark: str = ""

    @property
    def ids(self) -> list[int]:
        """Their ids, the generation configuration's first."""
        return [token.id for token in self.tokens]

    @property
    def notes(self) -> tuple[str, ...]:
        """One line that says where answers end, if the generation configuration does not say it; else none."""
        configured = all("generation configuration" in token.sources for token in self.tokens)
        return () if configured and not self.remark else (str(self),)

    def __str__(self) -> str:
        names = [f"{token.token!r} ({token.id}: {', '.join(token.sources)})" for token in self.tokens]
        remark = f"; {self.remark}" if self.remark else ""
        return f"an answer ends at {' or '.join(names) or 'no token'}{remark}"


def decide_end_tokens(
    generation: GenerationConfig | None, tokenizer: PreTrainedTokenizerBase, num_embeddings: int
) -> EndTokens:
    """The tokens that end an answer of a model.

    Args:
        generation: the instruct model's generation configuration.
        tokenizer: the instruct model's, with its chat template if it has one.
        num_embeddings: of the model, in tokens. A token beyond them is never written.

    Raises:
        TemplateError: if the chat template takes too much time or memory. Where it fails, the remark says so.
    """
    of_template, remark = _of_template(tokenizer)
    end_of_sequence = [] if tokenizer.eos_token is None else [str(tokenizer.eos_token)]
    candidates: dict[EndSource, list[int]] = {
        "generation configuration": configured_ends(generation),
        "tokenizer": _ids_of(tokenizer, end_of_sequence),
        "chat template": _ids_of(tokenizer, of_template),
    }
    if unknown := [id_ for id_ in candidates["chat template"] if id_ >= num_embeddings]:
        remark = f"the chat template ends answers at {unknown}, for which the model has no embedding"
    found: dict[int, list[EndSource]] = {}
    for source, ids in candidates.items():
        for token_id in ids:
            if 0 <= token_id < num_embeddings:
                found.setdefault(token_id, []).append(source)
    tokens = [
        EndToken(id=token_id, token=_text_of(tokenizer, token_id), sources=tuple(sources))
        for token_id, sources in found.items()
    ]
    return EndTokens(tokens=tuple(tokens), remark=remark)


def end_tokens_of_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> EndTokens:
    """The same for a model in memory."""
    num_embeddings = model.config.get_text_config(decoder=True).vocab_size
    return decide_end_tokens(model.generation_config, tokenizer, num_embeddings)


def configured_ends(generation: GenerationConfig | None) -> list[int]:
    """The end tokens that a generation configuration has."""
    ends = generation.eos_token_id if generation is not None else None
    if ends is None:
        return []
    return [ends] if isinstance(ends, int) else list(ends)


def _ids_of(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> list[int]:
    """The ids of those tokens that the vocabulary has; of another one the tokenizer gives None, or a stand-in."""
    ids = [tokenizer.convert_tokens_to_ids(token) for token in tokens]
    return [
        id_
        for id_, token in zip(ids, tokens, strict=True)
        if isinstance(id_, int) and tokenizer.convert_ids_to_tokens(id_) == token
    ]


def _text_of(tokenizer: PreTrainedTokenizerBase, token_id: int) -> str:
    text = tokenizer.convert_ids_to_tokens(token_id) if token_id < len(tokenizer) else None
    return str(text) if text is not None else "(not in the tokenizer)"


def _of_template(tokenizer: PreTrainedTokenizerBase) -> tuple[tuple[str, ...], str]:
    """Tokens that the chat template ends answers by, and the reason if there are none."""
    if not tokenizer.chat_template:
        return (), "there is no chat template"
    final, followed, reasoned, requested = _renderings(tokenizer)
    added = _added_tokens(tokenizer)
    tokens: dict[str, None] = {}
    if final.text is not None:
        first = _first_token(_between(final.text, ANSWER, None), added)
        if first is not None and first not in _beginnings(requested, added, tokenizer, only_first=True):
            tokens[first] = None
    if followed.text is not None:
        first = _first_token(_between(followed.text, ANSWER, NEXT_REQUEST), added)
        within = _between(reasoned.text or "", REASONING, ANSWER)
        begins = _beginnings(requested, added, tokenizer, only_first=False)
        if first is not None and first not in begins and first not in within:
            tokens[first] = None
    return tuple(tokens), "" if tokens else _why_none(final, followed)


def _why_none(final: Rendering, followed: Rendering) -> str:
    if final.failure is not None and followed.failure is not None:
        return f"the chat template renders no answer ({final.failure})"
    return "the chat template writes no token of its own behind an answer"


def _renderings(tokenizer: PreTrainedTokenizerBase) -> list[Rendering]:
    """Of a chat that ends with an answer, one that goes on, one whose answer has reasoning, and a lone request."""
    from slr.chat.rendering import Chat, render

    request = {"role": "user", "content": REQUEST}
    answer = {"role": "assistant", "content": ANSWER}
    more = {"role": "user", "content": NEXT_REQUEST}
    reasoned = {**answer, "reasoning_content": REASONING}
    chats = [(request, answer), (request, answer, more), (request, reasoned), (request,)]
    return render(tokenizer, [Chat(messages=messages) for messages in chats])


def _added_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Added tokens, named or not, the longest first, for that is the one which a text is cut into."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values()}
    named = {str(token) for token in tokenizer.all_special_tokens}
    return sorted((token for token in added | named if token.strip()), key=len, reverse=True)


def _between(text: str, first: str, second: str | None) -> str:
    """What stands between two words, from the last of the first on; empty if one of them is missing."""
    if second is not None:
        text = text[: max((match.start() for match in re.finditer(second, text, re.IGNORECASE)), default=0)]
    ends = [match.end() for match in re.finditer(first, text, re.IGNORECASE)]
    return text[ends[-1] :] if ends else ""


def _first_token(text: str, added: Sequence[str]) -> str | None:
    """The added token that a text begins with, behind white space."""
    text = text.lstrip()
    return next((token for token in added if text.startswith(token)), None)


def _beginnings(
    requested: Rendering, added: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, only_first: bool
) -> set[str]:
    """Tokens that begin a turn: the first one of a chat, and unless ``only_first`` the last before the request."""
    head, *behind = re.split(REQUEST, requested.text or "", maxsplit=1, flags=re.IGNORECASE)
    tokens = re.findall("|".join(map(re.escape, added)), head) if behind and added else []
    end = tokenizer.eos_token
    turns = [token for token in tokens if token not in (tokenizer.bos_token, end)]
    begins = set(turns[:1] if only_first else (*turns[:1], *turns[-1:]))
    if tokenizer.bos_token is not None and tokenizer.bos_token != end:
        begins.add(str(tokenizer.bos_token))
    return begins

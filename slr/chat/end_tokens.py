"""Which tokens end an answer: one decision for sampling, for lm-eval and for servers of a built hybrid.

The generation configuration often does not know. A base model's configuration, which its adapters inherit,
names the end of a document, but chats are trained to end a turn by another token. The chat template shows
this token, because it writes it directly behind an answer. So the decision is the union of three sources, in
this order:

- the end tokens of the generation configuration;
- the tokenizer's end-of-sequence token;
- the token that the chat template writes behind an answer that ends a chat, and behind an answer that another
  request follows. White space before the token is skipped. The token counts if the tokenizer has it as an
  added token, special or not. It does not count if it begins turns, or stands within an answer between its
  reasoning and its text.
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

# Words that mark the parts of a chat in its text. No template writes them, but a template may change their case.
REQUEST, ANSWER, NEXT_REQUEST, REASONING = "Tangerine", "Marigold", "Sycamore", "Cinnabar"


class EndToken(BaseModel):
    """A token that ends an answer.

    Attributes:
        id: token id.
        token: the token as the tokenizer writes it.
        sources: everything that names it as an end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int
    token: str
    sources: tuple[EndSource, ...]


class EndTokens(BaseModel):
    """The tokens that end an answer.

    Attributes:
        tokens: the tokens, the generation configuration's first.
        remark: why the chat template adds none; empty if it adds one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[EndToken, ...]
    remark: str = ""

    @property
    def ids(self) -> list[int]:
        """Ids of the tokens, the generation configuration's first."""
        return [token.id for token in self.tokens]

    @property
    def notes(self) -> tuple[str, ...]:
        """One line that says where answers end, if the generation configuration does not say it; otherwise none."""
        configured = all("generation configuration" in token.sources for token in self.tokens)
        return () if configured and not self.remark else (str(self),)

    def __str__(self) -> str:
        """Say where an answer ends, in one line."""
        names = [f"{token.token!r} ({token.id}: {', '.join(token.sources)})" for token in self.tokens]
        remark = f"; {self.remark}" if self.remark else ""
        return f"an answer ends at {' or '.join(names) or 'no token'}{remark}"


def decide_end_tokens(
    generation: GenerationConfig | None, tokenizer: PreTrainedTokenizerBase, num_embeddings: int
) -> EndTokens:
    """Decide which tokens end an answer of a model.

    Args:
        generation: the instruct model's generation configuration; None if it has none.
        tokenizer: the instruct model's tokenizer, with its chat template if it has one.
        num_embeddings: number of tokens that the model has an embedding for. It never writes a token beyond
            them.

    Raises:
        TemplateError: if the chat template takes too much time or memory. Where it only fails, the remark
            says so.
    """
    of_template, remark = _of_template(tokenizer)
    end_of_sequence = [] if tokenizer.eos_token is None else [str(tokenizer.eos_token)]
    # The order of the sources is the order of the ids: what the model's authors configured comes first.
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
    """Decide which tokens end an answer of a model in memory."""
    num_embeddings = model.config.get_text_config(decoder=True).vocab_size
    return decide_end_tokens(model.generation_config, tokenizer, num_embeddings)


def configured_ends(generation: GenerationConfig | None) -> list[int]:
    """List the end tokens that a generation configuration has."""
    ends = generation.eos_token_id if generation is not None else None
    if ends is None:
        return []
    return [ends] if isinstance(ends, int) else list(ends)


def _ids_of(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> list[int]:
    """Find the ids of the tokens that are in the vocabulary."""
    # For a token outside the vocabulary the tokenizer gives None, or the id of a stand-in, so the way back is checked.
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
    """Find the tokens by which the chat template ends answers, and the reason if there are none."""
    if not tokenizer.chat_template:
        return (), "there is no chat template"
    final, followed, reasoned, requested = _renderings(tokenizer)
    added = _added_tokens(tokenizer)
    tokens: dict[str, None] = {}
    if final.text is not None:
        first = _first_token(_between(final.text, ANSWER, None), added)
        # Some templates write the first token of a turn behind the last answer. It ends no answer.
        if first is not None and first not in _beginnings(requested, added, tokenizer, only_first=True):
            tokens[first] = None
    if followed.text is not None:
        first = _first_token(_between(followed.text, ANSWER, NEXT_REQUEST), added)
        # A token between reasoning and answer, such as the end of a channel, would cut an answer off before its text.
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
    """Render four chats: one ends with an answer, one goes on, one's answer has reasoning, one is a lone request."""
    from slr.chat.rendering import Chat, render

    request = {"role": "user", "content": REQUEST}
    answer = {"role": "assistant", "content": ANSWER}
    more = {"role": "user", "content": NEXT_REQUEST}
    reasoned = {**answer, "reasoning_content": REASONING}
    chats = [(request, answer), (request, answer, more), (request, reasoned), (request,)]
    return render(tokenizer, [Chat(messages=messages) for messages in chats])


def _added_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """List the added tokens, special or not, the longest first.

    The tokenizer cuts a text into the longest of them, so a search has to find that one first.
    """
    added = {token.content for token in tokenizer.added_tokens_decoder.values()}
    named = {str(token) for token in tokenizer.all_special_tokens}
    return sorted((token for token in added | named if token.strip()), key=len, reverse=True)


def _between(text: str, first: str, second: str | None) -> str:
    """Find what stands between two words, behind the last place of the first; empty if one is missing."""
    if second is not None:
        text = text[: max((match.start() for match in re.finditer(second, text, re.IGNORECASE)), default=0)]
    ends = [match.end() for match in re.finditer(first, text, re.IGNORECASE)]
    return text[ends[-1] :] if ends else ""


def _first_token(text: str, added: Sequence[str]) -> str | None:
    """Find the added token that a text begins with, behind white space."""
    text = text.lstrip()
    return next((token for token in added if text.startswith(token)), None)


def _beginnings(
    requested: Rendering, added: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, only_first: bool
) -> set[str]:
    """Find the tokens that begin a turn.

    They are the first token of a chat and, unless ``only_first``, the last token before the request.

    Args:
        requested: rendering of a lone request.
        added: the added tokens, the longest first.
        tokenizer: the tokenizer.
        only_first: whether to leave out the token before the request.
    """
    head, *behind = re.split(REQUEST, requested.text or "", maxsplit=1, flags=re.IGNORECASE)
    tokens = re.findall("|".join(map(re.escape, added)), head) if behind and added else []
    end = tokenizer.eos_token
    # A start or end of the whole text tells nothing about turns.
    turns = [token for token in tokens if token not in (tokenizer.bos_token, end)]
    begins = set(turns[:1] if only_first else (*turns[:1], *turns[-1:]))
    if tokenizer.bos_token is not None and tokenizer.bos_token != end:
        begins.add(str(tokenizer.bos_token))
    return begins

"""Compare the tokenizer of a written hybrid with the one that it was made from, before the hybrid is kept."""

from __future__ import annotations

from collections.abc import Iterator

from transformers import PreTrainedTokenizerBase

from slr.chat.rendering import Chat, render
from slr.chat.template import PROBE


def check_speaks_like(
    source: PreTrainedTokenizerBase | None, written: PreTrainedTokenizerBase | None, name: str
) -> None:
    """Check that a tokenizer that was written is the one that it was made from.

    Args:
        source: tokenizer of the instruct model or adapter; None if there is none.
        written: tokenizer opened from the files that were written; None if there is none.
        name: name of the instruct model or adapter.

    Raises:
        ValueError: if they differ; the message has all differences in one line.
    """
    if differences := list(_differences(source, written)):
        raise ValueError(
            f"the hybrid's tokenizer would differ from the tokenizer of {name}: {'; '.join(differences)}. Nothing is "
            "written; give a directory whose tokenizer was written by save_pretrained of the installed transformers"
        )


def _differences(
    source: PreTrainedTokenizerBase | None, written: PreTrainedTokenizerBase | None
) -> Iterator[str]:
    if source is None or written is None:
        if source is not written:
            yield f"it {'has' if source is None else 'lacks'} one"
        return
    if source.chat_template != written.chat_template:
        yield "the chat templates differ"
    for part, (ours, theirs) in {
        "special tokens": [_special_tokens(tokenizer) for tokenizer in (source, written)],
        "added tokens": [_added_tokens(tokenizer) for tokenizer in (source, written)],
        "vocabulary": [tokenizer.get_vocab() for tokenizer in (source, written)],
    }.items():
        names = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
        if names:
            first, more = names[0], f" and {len(names) - 1} more" if len(names) > 1 else ""
            yield f"{part}: {first!r}{more}: {ours.get(first)!r} there, {theirs.get(first)!r} here"
    # Equal parts can still work differently, for example with another normaliser, so real chats are compared last.
    if source.chat_template and _rendered(source) != _rendered(written):
        yield "a chat gives other tokens"


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    return {name: str(token) for name, token in tokenizer.special_tokens_map.items()}


def _added_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    return {str(id_): repr(token) for id_, token in tokenizer.added_tokens_decoder.items()}


def _rendered(tokenizer: PreTrainedTokenizerBase) -> list[list[int] | None]:
    """Turn a request and a longer chat into token ids; None where the template does not render such a chat."""
    request = {"role": "user", "content": PROBE}
    chats = [
        Chat(messages=(request,), add_generation_prompt=True),
        Chat(
            messages=(request, {"role": "assistant", "content": PROBE}, request), add_generation_prompt=True
        ),
    ]
    texts = [rendering.text for rendering in render(tokenizer, chats)]
    return [
        None if text is None else tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts
    ]

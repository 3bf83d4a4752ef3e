"""How a request becomes the tokens that a model is given."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from slr.chat.rendering import Chat, TemplateError, render_texts, template_name

PROBE = "Tangerine"
"""Request that templates are tried with: one word, which no template writes by itself."""


def render_chats(tokenizer: PreTrainedTokenizerBase, requests: Sequence[str]) -> list[list[int]]:
    """Turn each request into token ids: one user turn in the chat template, with the generation prompt.

    Rendering many requests at once takes little longer than one.

    Raises:
        ValueError: if the tokenizer has no chat template, or it cannot be used.
    """
    chats = [
        Chat(messages=({"role": "user", "content": request},), add_generation_prompt=True)
        for request in requests
    ]
    texts = render_texts(tokenizer, chats)
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


def render_chat(tokenizer: PreTrainedTokenizerBase, request: str) -> list[int]:
    """Turn one request into token ids, as ``render_chats`` does."""
    return render_chats(tokenizer, [request])[0]


def check_template(tokenizer: PreTrainedTokenizerBase, num_embeddings: int) -> None:
    """Check that a model can be given requests in the tokenizer's chat template.

    Args:
        tokenizer: tokenizer with the chat template.
        num_embeddings: number of tokens that the model has an embedding for.

    Raises:
        TemplateError: if the template fails, leaves the request out, or writes tokens that the model does not
            know.
        ValueError: if there is no template.
    """
    chat = Chat(messages=({"role": "user", "content": PROBE},), add_generation_prompt=True)
    (text,) = render_texts(tokenizer, [chat])
    if not text.strip():
        raise TemplateError(template_name(tokenizer), "it writes nothing")
    if PROBE.casefold() not in text.casefold():
        raise TemplateError(template_name(tokenizer), "it leaves the user's message out")
    token_ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if beyond := sorted({token_id for token_id in token_ids if token_id >= num_embeddings}):
        shown = [f"{tokenizer.convert_ids_to_tokens(token_id)!r} ({token_id})" for token_id in beyond[:5]]
        tokens = ", ".join([*shown, *(["..."] if len(beyond) > len(shown) else [])])
        raise TemplateError(
            template_name(tokenizer),
            f"it writes {tokens}, and the model has embeddings for the ids below {num_embeddings} only",
        )

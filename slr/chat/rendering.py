"""Render chats in a model's chat template within limits of time and memory.

A chat template is a program by the model's author. transformers renders it in a sandbox, in which it reaches
no file and changes no object. But it may loop for ever or fill the memory, and an operation such as
``9**9**9`` holds the interpreter, so that neither a timer nor another thread could stop it. Therefore a child
process renders, and at the end it is killed and waited for, whatever happened. On Linux the child is a fork, which
starts in milliseconds. Windows has no forks, and on macOS they are not safe, so the child is a new process there.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from slr.chat.new_process import LimitError, Limits, in_new_process

SECONDS = 5.0
"""Time limit for a call that renders chats, in seconds."""
SECONDS_A_CHAT = 0.01
"""Additional time for each chat, in seconds."""
CHARACTERS = 1_000_000
"""Number of characters that a template may write besides the messages of a chat."""
MEMORY_BYTES = 1 << 30
"""Bytes that rendering may take in addition to the process's own."""
NUM_REMEMBERED = 256
"""Number of calls whose results are kept. A run renders the same chats before each method that it samples."""

DATE = "26 Jul 2024"
"""Date that a template prints in place of today's, so that results do not depend on the day."""

FIXED_DATE_FUNCTION = f"{{%- macro strftime_now(format) -%}}{DATE}{{%- endmacro %}}"
"""Macro that is put before a template. It replaces the function by which the template would ask for the date."""

CHAT_TEMPLATE_OPTIONS: dict[str, Any] = {
    "date_string": DATE,
    # Qwen 3 would start to reason at length before it answers.
    "enable_thinking": False,
}

Message = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Chat:
    """Messages to render.

    Attributes:
        messages: the messages, each with a role and a content.
        add_generation_prompt: whether the beginning of the next answer is rendered too.
    """

    messages: tuple[Message, ...]
    add_generation_prompt: bool = False


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """The text of a chat, or the reason why the template gave none: exactly one of the two."""

    text: str | None = None
    failure: str | None = None


class TemplateError(ValueError):
    """An error about a chat template that cannot be used."""

    def __init__(self, template: str, reason: str) -> None:
        """Make the message.

        Args:
            template: the template in words.
            reason: why it cannot be used.
        """
        super().__init__(
            f"{template} cannot be used: {reason}; correct the template, or put another into chat_template.jinja"
        )
        self.reason = reason


def template_name(tokenizer: PreTrainedTokenizerBase) -> str:
    """Name the chat template in words, with the file or directory that it is in."""
    directory = Path(tokenizer.name_or_path or "")
    for name in ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"):
        if tokenizer.name_or_path and (directory / name).is_file():
            return f"the chat template in {directory / name}"
    return f"the chat template of {tokenizer.name_or_path or 'this model'}"


def render_texts(tokenizer: PreTrainedTokenizerBase, chats: Sequence[Chat]) -> list[str]:
    """Render chats in the tokenizer's chat template.

    Returns:
        The text of each chat.

    Raises:
        TemplateError: if the template fails for one of them, or takes too much time or memory.
        ValueError: if there is no template.
    """
    texts: list[str] = []
    for rendering in render(tokenizer, chats):
        if rendering.text is None:
            raise TemplateError(template_name(tokenizer), str(rendering.failure))
        texts.append(rendering.text)
    return texts


def render(tokenizer: PreTrainedTokenizerBase, chats: Sequence[Chat]) -> list[Rendering]:
    """Render chats in the tokenizer's chat template, and keep the reason where it fails.

    Returns:
        The text of each chat, or the reason why there is none.

    Raises:
        TemplateError: if the template takes too much time or memory.
        ValueError: if there is no template.
    """
    if not tokenizer.chat_template:
        raise ValueError(
            f"the tokenizer of {tokenizer.name_or_path or 'this model'} has no chat template, and prompts "
            "are rendered with one; give the instruct checkpoint's tokenizer, or set tokenizer.chat_template"
        )
    key = _digest_of(tokenizer, chats)
    if key not in _remembered:
        try:
            answer = _rendered(tokenizer, chats)
        except LimitError as error:
            raise TemplateError(template_name(tokenizer), str(error)) from None
        _remembered[key] = [Rendering(text=text, failure=failure) for text, failure in answer]
        # The oldest one goes first.
        for old in [*_remembered][:-NUM_REMEMBERED]:
            _remembered.pop(old, None)
    return list(_remembered[key])


_remembered: dict[str, list[Rendering]] = {}
"""Results of ``render`` in this process. A fork of a process that holds models takes longer than the rendering."""


def _digest_of(tokenizer: PreTrainedTokenizerBase, chats: Sequence[Chat]) -> str:
    """Digest all that a rendering depends on."""
    content = [
        type(tokenizer).__qualname__,
        tokenizer.get_chat_template(),
        {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        [[chat.messages, chat.add_generation_prompt] for chat in chats],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _rendered(
    tokenizer: PreTrainedTokenizerBase, chats: Sequence[Chat]
) -> Sequence[tuple[str | None, str | None]]:
    """Render chats in a child, which is ended at the limits."""
    template = tokenizer.get_chat_template()
    limits = Limits(seconds=SECONDS + SECONDS_A_CHAT * len(chats), memory_bytes=MEMORY_BYTES)
    if has_safe_fork():
        from slr.chat.fork import in_fork

        return in_fork(lambda: [_render_one(tokenizer, template, {}, chat) for chat in chats], limits)
    described = [asdict(chat) for chat in chats]
    return in_new_process(render_described, (template, tokenizer.special_tokens_map, described), limits)


def has_safe_fork() -> bool:
    """Whether a child of this process can be a fork."""
    return sys.platform == "linux"


def render_described(
    template: str, special_tokens: Mapping[str, Any], chats: Sequence[Mapping[str, Any]]
) -> list[tuple[str | None, str | None]]:
    """Render chats in a process that has no tokenizer; a template sees only its special tokens.

    Args:
        template: the chat template.
        special_tokens: the tokenizer's special tokens by name.
        chats: the fields of each chat.

    Returns:
        The text of each chat and the reason why there is none; one of the two is None.
    """
    return [_render_one(PreTrainedTokenizerBase(), template, special_tokens, Chat(**chat)) for chat in chats]


def _render_one(
    tokenizer: PreTrainedTokenizerBase, template: str, special_tokens: Mapping[str, Any], chat: Chat
) -> tuple[str | None, str | None]:
    try:
        text: Any = tokenizer.apply_chat_template(
            list(chat.messages),
            tokenize=False,
            add_generation_prompt=chat.add_generation_prompt,
            chat_template=FIXED_DATE_FUNCTION + template,
            **special_tokens,
            **CHAT_TEMPLATE_OPTIONS,
        )
    except MemoryError:
        return None, f"it takes more than {MEMORY_BYTES >> 20} MB of memory"
    # A template can raise anything.
    except Exception as error:
        return None, one_line(f"{type(error).__name__}: {error}")
    # The limit is on what the template adds, because the messages themselves may be long.
    written = len(text) - sum(len(message["content"]) for message in chat.messages)
    if written > CHARACTERS:
        return None, f"it writes {written:,} characters around the messages, expected at most {CHARACTERS:,}"
    return text, None


def one_line(text: str, length: int = 200) -> str:
    """Turn a stranger's text into one line without control characters, of at most ``length`` characters."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return "".join(character if character.isprintable() else "?" for character in first)[:length]

"""Render chats in a model's chat template within limits of time and memory.

A chat template is a program by the model's author. transformers renders it in a sandbox, in which it reaches
no file and changes no object. But it may loop for ever or fill the memory, and an operation such as
``9**9**9`` holds the interpreter, so that neither a timer nor another thread could stop it. Therefore a child
process renders. It is a fork, which starts in milliseconds. The operating system limits its processor time
and memory. At the end it is killed and waited for, whatever happened.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

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
            answer = _in_child(
                lambda: [_render_one(tokenizer, chat) for chat in chats],
                SECONDS + SECONDS_A_CHAT * len(chats),
            )
        except _LimitError as error:
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


def _render_one(tokenizer: PreTrainedTokenizerBase, chat: Chat) -> tuple[str | None, str | None]:
    try:
        text: Any = tokenizer.apply_chat_template(
            list(chat.messages),
            tokenize=False,
            add_generation_prompt=chat.add_generation_prompt,
            chat_template=FIXED_DATE_FUNCTION + tokenizer.get_chat_template(),
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


class _LimitError(Exception):
    """The child took too long, or ended without an answer."""


def _in_child(compute: Callable[[], Any], seconds: float) -> Any:
    """Call a function in a forked process and return what it gives, which goes through a pipe as JSON.

    Raises:
        _LimitError: if the child takes too long or dies.
    """
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        _compute_and_exit(compute, writing, seconds)
    os.close(writing)
    try:
        content = _read_all(reading, time.monotonic() + seconds)
    finally:
        os.close(reading)
        # A child that has ended is a zombie until it is waited for, so its id cannot belong to another process yet.
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    try:
        return json.loads(content)
    # The child wrote nothing, or not all of it.
    except ValueError:
        raise _LimitError(
            f"the process that renders it died, probably because it needs more than {MEMORY_BYTES >> 20} MB of memory"
        ) from None


def _read_all(pipe: int, deadline: float) -> bytes:
    content = bytearray()
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not waiting.poll(1000 * left):
            raise _LimitError(f"it was not rendered within {SECONDS:g} seconds")
        part = os.read(pipe, 1 << 20)
        if not part:
            return bytes(content)
        content += part


def _compute_and_exit(compute: Callable[[], Any], pipe: int, seconds: float) -> None:
    """Compute in the child, and end it without the exit handlers and unwritten output of its parent."""
    try:
        # The parent's garbage is not the child's to collect, because it may hold an accelerator's memory.
        gc.disable()
        _limit(seconds)
        with os.fdopen(pipe, "wb") as file:
            file.write(json.dumps(compute()).encode("utf-8"))
    finally:
        os._exit(0)


def _limit(seconds: float) -> None:
    """Set limits that hold even if the parent is killed and cannot end its child."""
    processor_seconds = int(seconds) + 1
    # A child that is killed for its limits must not leave a core file of the parent's size.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (processor_seconds, processor_seconds))
    # The fork starts with all memory of its parent, which counts, so the limit is set above what is in use now.
    pages = Path("/proc/self/statm")
    if pages.exists():
        used = int(pages.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = used + MEMORY_BYTES
        resource.setrlimit(
            resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )

"""Render chats in a model's chat template, which is a program of its author's, within limits of time and size.

transformers renders in a sandbox, in which a template reaches no file and changes no object. But it may loop for
ever, or fill the memory, and an operation such as ``9**9**9`` holds the interpreter, so that neither a timer nor
another thread could stop it. So a child process renders: a fork, which starts in milliseconds, is limited in processor
time and memory by the operating system, and is killed and waited for at the end, whatever happened.
"""

from __future__ import annotations

import gc
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
"""Time to render chats, and as much again as ``SECONDS_A_CHAT`` for each of them."""
SECONDS_A_CHAT = 0.01
CHARACTERS = 1_000_000
"""The most that a template may write beside the messages of a chat."""
MEMORY_BYTES = 1 << 30
"""What rendering may take beside what the process has."""

DATE = "26 Jul 2024"
"""What templates that print today's date print instead, so that results do not depend on the day."""

FIXED_DATE_FUNCTION = f"{{%- macro strftime_now(format) -%}}{DATE}{{%- endmacro %}}"
"""Stands before a template and in place of the function by which it would ask for the date."""

CHAT_TEMPLATE_OPTIONS = {
    "date_string": DATE,
    # Qwen 3 would start to reason at length before it answers.
    "enable_thinking": False,
}

Message = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Chat:
    """Messages to render, with or without the beginning of the answer to them."""

    messages: tuple[Message, ...]
    add_generation_prompt: bool = False


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """The text of a chat, or why the template gave none: exactly one of the two."""

    text: str | None = None
    failure: str | None = None


class TemplateError(ValueError):
    """A chat template that cannot be used: its name, and why."""

    def __init__(self, template: str, reason: str) -> None:
        super().__init__(
            f"{template} cannot be used: {reason}; correct the template, or put another into chat_template.jinja"
        )
        self.reason = reason


def template_name(tokenizer: PreTrainedTokenizerBase) -> str:
    """The chat template in words, with the file or directory that it is in."""
    directory = Path(tokenizer.name_or_path or "")
    for name in ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"):
        if tokenizer.name_or_path and (directory / name).is_file():
            return f"the chat template in {directory / name}"
    return f"the chat template of {tokenizer.name_or_path or 'this model'}"


def render_texts(tokenizer: PreTrainedTokenizerBase, chats: Sequence[Chat]) -> list[str]:
    """The text of each chat in the tokenizer's chat template.

    Raises:
        TemplateError: if the template fails for one of them, or there is none.
    """
    texts: list[str] = []
    for rendering in render(tokenizer, chats):
        if rendering.text is None:
            raise TemplateError(template_name(tokenizer), str(rendering.failure))
        texts.append(rendering.text)
    return texts


def render(tokenizer: PreTrainedTokenizerBase, chats: Sequence[Chat]) -> list[Rendering]:
    """The same, but with the reason in place of the text of chats for which the template fails.

    Raises:
        TemplateError: if the template takes too much time or memory, or there is none.
    """
    if not tokenizer.chat_template:
        raise ValueError(
            f"the tokenizer of {tokenizer.name_or_path or 'this model'} has no chat template, and prompts "
            "are rendered with one; give the instruct checkpoint's tokenizer, or set tokenizer.chat_template"
        )
    try:
        answer = _in_child(
            lambda: [_render_one(tokenizer, chat) for chat in chats], SECONDS + SECONDS_A_CHAT * len(chats)
        )
    except _LimitError as error:
        raise TemplateError(template_name(tokenizer), str(error)) from None
    return [Rendering(text=text, failure=failure) for text, failure in answer]


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
    except Exception as error:  # templates raise what they like
        return None, one_line(f"{type(error).__name__}: {error}")
    written = len(text) - sum(len(message["content"]) for message in chat.messages)
    if written > CHARACTERS:
        return None, f"it writes {written:,} characters around the messages, expected at most {CHARACTERS:,}"
    return text, None


def one_line(text: str, length: int = 200) -> str:
    """A stranger's text as one line without control characters, cut to a length."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return "".join(character if character.isprintable() else "?" for character in first)[:length]


class _LimitError(Exception):
    """The child took too long, or ended without an answer."""


def _in_child(compute: Callable[[], Any], seconds: float) -> Any:
    """What a function gives that is called in a forked process; JSON goes through the pipe between the two."""
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
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    try:
        return json.loads(content)
    except ValueError:  # there is nothing, or not all of it
        raise _LimitError(
            f"the process that renders it died, as one does that needs more than {MEMORY_BYTES >> 20} MB of memory"
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
    """What the child does. It ends here, without the exit handlers and unwritten output of its parent."""
    try:
        # Garbage of the parent's is not the child's to collect: it may hold an accelerator's memory.
        gc.disable()
        _limit(seconds)
        with os.fdopen(pipe, "wb") as file:
            file.write(json.dumps(compute()).encode("utf-8"))
    finally:
        os._exit(0)


def _limit(seconds: float) -> None:
    """Bounds that hold even if the parent is killed and cannot end its child."""
    processor_seconds = int(seconds) + 1
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (processor_seconds, processor_seconds))
    pages = Path("/proc/self/statm")
    if pages.exists():
        used = int(pages.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = used + MEMORY_BYTES
        resource.setrlimit(
            resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )

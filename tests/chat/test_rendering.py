"""Templates by strangers: within limits, in a child that is gone afterwards."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from slr.chat import rendering
from slr.chat.rendering import CHARACTERS, Chat, TemplateError, render, render_texts
from slr.chat.template import check_template, render_chat, render_chats
from tests.tiny_models import CHAT_TEMPLATE, VOCAB_SIZE, make_tokenizer

ENDLESS = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "one operation that takes for ever": "{{ 9 ** (9 ** 9) }}",
    "text without end": "{% for i in range(99999) %}{% for j in range(99999) %}{{ i }}{% endfor %}{% endfor %}",
}
TOO_LARGE = {
    "many lines": "{% for i in range(99999) %}{{ 'abcdefghijklmnopqrst' }}{% endfor %}{{ messages[0].content }}",
    "one text": "{{ 'ab' * 10 ** 6 }}",
    "doubled again and again": (
        "{% set n = namespace(x='abc') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x }}"
    ),
    "more than there is": "{{ 'x' * 10 ** 13 }}",
}
FAILING = {
    "{{ raise_exception('Only \x1b[31m tools\nhere') }}": r"TemplateError: Only \?\[31m tools;",
    "{{ messages[3].content.text }}": "UndefinedError",
    "{{ messages[0].content[0].text.x.y }}": "UndefinedError",
    "{% for message in messages %}": "TemplateSyntaxError",
    "{{ 1 / 0 }}": "ZeroDivisionError",
    "{% macro again(x) %}{{ again(x) }}{% endmacro %}{{ again(1) }}": "RecursionError",
    "{{ ''.__class__.__mro__ }}": "SecurityError",
    "{{ messages.append(1) }}": "SecurityError",
}
QUESTION = Chat(messages=({"role": "user", "content": "Why?"},))


def children() -> list[str]:
    """Of this process, running or waiting to be taken leave of."""
    return [
        child
        for path in Path(f"/proc/{os.getpid()}/task").glob("*/children")
        for child in path.read_text().split()
    ]


@pytest.fixture
def without_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates are rendered as on Windows and macOS."""
    monkeypatch.setattr(rendering, "has_safe_fork", lambda: False)


@pytest.mark.parametrize("template", ENDLESS.values(), ids=ENDLESS)
def test_a_template_that_never_ends_is_refused_soon(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 1.0)
    before, began = children(), time.monotonic()
    with pytest.raises(TemplateError, match=r"not rendered within 1 seconds|memory|characters"):
        check_template(make_tokenizer(template), VOCAB_SIZE)
    assert time.monotonic() - began < 5
    assert children() == before


@pytest.mark.parametrize("template", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_template_that_writes_too_much_is_refused(template: str) -> None:
    before, began = children(), time.monotonic()
    with pytest.raises(TemplateError, match=r"characters around the messages|more than 1024 MB of memory"):
        check_template(make_tokenizer(template), VOCAB_SIZE)
    assert time.monotonic() - began < 10
    assert children() == before


@pytest.mark.parametrize(("template", "reason"), FAILING.items())
def test_a_template_that_fails_is_one_line(template: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason) as caught:
        render_chat(make_tokenizer(template), "Choose.")
    assert str(caught.value).isprintable()
    assert str(caught.value).startswith("the chat template of this model cannot be used: ")


def test_the_file_of_the_template_is_named(tmp_path: Path) -> None:
    make_tokenizer("{{ 1 / 0 }}").save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(
        TemplateError, match=re.escape(f"the chat template in {tmp_path}/chat_template.jinja")
    ):
        render_chat(tokenizer, "Choose.")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (" \n ", "it writes nothing"),
        ("<|start|>assistant", "it leaves the user's message out"),
        ("{{ messages[0].role }}", "it leaves the user's message out"),
    ],
)
def test_a_template_that_asks_nothing(template: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason):
        check_template(make_tokenizer(template), VOCAB_SIZE)


def test_a_template_of_tokens_that_the_model_does_not_have() -> None:
    tokenizer = make_tokenizer(CHAT_TEMPLATE.replace("<|start|>", "<|far|>"))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|far|>"]})
    far = tokenizer.convert_tokens_to_ids("<|far|>")
    assert isinstance(far, int)
    check_template(tokenizer, far + 1)
    with pytest.raises(TemplateError, match=rf"it writes '<\|far\|>' \({far}\), .* ids below {far} only"):
        check_template(tokenizer, far)


def test_long_messages_are_no_large_output() -> None:
    chat = Chat(messages=({"role": "user", "content": "word " * CHARACTERS},))
    (text,) = render_texts(make_tokenizer(CHAT_TEMPLATE), [chat])
    assert text.count("word ") == CHARACTERS


def test_many_requests_at_once_are_what_they_are_alone() -> None:
    tokenizer = make_tokenizer(CHAT_TEMPLATE)
    requests = ["Choose.", "", "a\ud800b".encode("utf-8", "replace").decode(), "日本 \x00 \u2028"]
    assert render_chats(tokenizer, requests) == [render_chat(tokenizer, request) for request in requests]
    expected = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": request}], add_generation_prompt=True, return_dict=False
        )
        for request in requests
    ]
    assert render_chats(tokenizer, requests) == expected


def test_some_chats_may_fail_and_others_not() -> None:
    template = (
        "{% if messages | length > 1 %}{{ raise_exception('one') }}{% endif %}{{ messages[0].content }}"
    )
    one, two = render(make_tokenizer(template), [QUESTION, Chat(messages=QUESTION.messages * 2)])
    assert (one.text, one.failure) == ("Why?", None)
    assert (two.text, two.failure) == (None, "TemplateError: one")


def test_another_thread_can_render_too() -> None:
    found: list[list[int]] = []
    tokenizer = make_tokenizer(CHAT_TEMPLATE)
    thread = threading.Thread(target=lambda: found.append(render_chat(tokenizer, "Choose.")))
    thread.start()
    thread.join()
    assert found == [render_chat(tokenizer, "Choose.")]


@pytest.mark.usefixtures("without_forks")
@pytest.mark.parametrize(
    "template",
    [*ENDLESS.values(), TOO_LARGE["doubled again and again"], TOO_LARGE["more than there is"]],
    ids=[*ENDLESS, "doubled again and again", "more than there is"],
)
def test_a_new_process_is_ended_soon_too(template: str) -> None:
    before, began = children(), time.monotonic()
    with pytest.raises(TemplateError, match=r"not rendered within 5 seconds|memory|characters"):
        check_template(make_tokenizer(template), VOCAB_SIZE)
    assert time.monotonic() - began < 20
    assert children() == before


@pytest.mark.usefixtures("without_forks")
@pytest.mark.parametrize(("template", "reason"), FAILING.items())
def test_a_failure_in_a_new_process_is_the_same_line(template: str, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason) as caught:
        render_chat(make_tokenizer(template), "Choose.")
    assert str(caught.value).isprintable()


def test_a_new_process_renders_what_a_fork_renders(monkeypatch: pytest.MonkeyPatch) -> None:
    template = (
        "{{ bos_token }}{{ strftime_now('%d') }}{{ enable_thinking }}" + CHAT_TEMPLATE + "{{ eos_token }}"
    )
    chats = [
        Chat(messages=({"role": "user", "content": "a\ud800b 日本\x00"},), add_generation_prompt=True),
        QUESTION,
    ]
    forked = render_texts(make_tokenizer(template), chats)
    monkeypatch.setattr(rendering, "_remembered", {})
    monkeypatch.setattr(rendering, "has_safe_fork", lambda: False)
    assert render_texts(make_tokenizer(template), chats) == forked
    assert forked[0].startswith("<|bos|>26 Jul 2024False<|start|>user")


def test_equal_chats_are_rendered_once_and_a_changed_template_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = make_tokenizer("once: {{ messages[0].content }}{{ bos_token }}")
    first = render(tokenizer, [QUESTION])
    forks: list[int] = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: forks.append(0) or fork())
    assert render(make_tokenizer(str(tokenizer.chat_template)), [QUESTION]) == first
    assert forks == []
    tokenizer.chat_template = "twice: {{ messages[0].content }}"
    assert render(tokenizer, [QUESTION])[0].text == "twice: Why?"
    tokenizer.chat_template = "once: {{ messages[0].content }}{{ bos_token }}"
    tokenizer.bos_token = "<other>"
    assert render(tokenizer, [QUESTION])[0].text == "once: Why?<other>"
    assert len(forks) == 2


def test_only_the_latest_renderings_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "NUM_REMEMBERED", 2)
    monkeypatch.setattr(rendering, "_remembered", {})
    tokenizer = make_tokenizer(CHAT_TEMPLATE)
    texts = [
        render_texts(tokenizer, [Chat(messages=({"role": "user", "content": content},))])[0]
        for content in ("a", "b", "c")
    ]
    assert [kept[0].text for kept in rendering._remembered.values()] == texts[1:]

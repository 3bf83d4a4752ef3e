from __future__ import annotations

import pytest

from slr.chat.template import render_chat
from tests.tiny_models import CHAT_TEMPLATE, make_tokenizer


def rendered(template: str) -> str:
    tokenizer = make_tokenizer(template)
    return str(tokenizer.decode(render_chat(tokenizer, "Choose.")))


def test_one_user_turn_and_the_generation_prompt() -> None:
    assert rendered(CHAT_TEMPLATE) == "<|start|>user\nChoose.<|end|>\n<|start|>assistant\n"


@pytest.mark.parametrize(
    "today", ["{{ strftime_now('%d %B %Y') }}", "{{ date_string if date_string else strftime_now('%d') }}"]
)
def test_the_date_is_the_same_every_day(today: str) -> None:
    assert rendered(f"Today: {today}\n{CHAT_TEMPLATE}").startswith("Today: 26 Jul 2024\n<|start|>user\n")


def test_a_template_of_several_is_the_usual_one() -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = {"default": CHAT_TEMPLATE, "tool_use": "tools"}
    assert str(tokenizer.decode(render_chat(tokenizer, "x"))).startswith("<|start|>user\nx<|end|>")


def test_without_a_template() -> None:
    with pytest.raises(ValueError, match="has no chat template, and prompts are rendered with one"):
        render_chat(make_tokenizer(), "Choose.")

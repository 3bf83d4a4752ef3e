"""How a request becomes the tokens that a model is given."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

DATE = "26 Jul 2024"
"""What templates that print today's date print instead, so that results do not depend on the day."""

FIXED_DATE_FUNCTION = f"{{%- macro strftime_now(format) -%}}{DATE}{{%- endmacro %}}"
"""Stands before a template and in place of the function by which it would ask for the date."""

CHAT_TEMPLATE_OPTIONS = {
    "date_string": DATE,
    # Qwen 3 would start to reason at length before it answers.
    "enable_thinking": False,
}


def render_chat(tokenizer: PreTrainedTokenizerBase, request: str) -> list[int]:
    """Token ids of one user turn in the chat template, generation prompt included.

    Raises:
        ValueError: if the tokenizer has no chat template.
    """
    turns = [{"role": "user", "content": request}]
    return tokenizer(_render(tokenizer, turns, True), add_special_tokens=False)["input_ids"]


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The special token that the chat template puts right behind an answer; None if it puts none there.

    Raises:
        ValueError: if the tokenizer has no chat template.
    """
    answer = "An answer"
    turns = [{"role": "user", "content": "A request"}, {"role": "assistant", "content": answer}]
    behind = _render(tokenizer, turns, False).rpartition(answer)[2].lstrip()
    token_ids = tokenizer(behind, add_special_tokens=False)["input_ids"]
    return token_ids[0] if token_ids and token_ids[0] in tokenizer.all_special_ids else None


def _render(
    tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]], add_generation_prompt: bool
) -> str:
    if not tokenizer.chat_template:
        raise ValueError(
            f"the tokenizer of {tokenizer.name_or_path or 'this model'} has no chat template, and prompts "
            "are rendered with one; give the instruct checkpoint's tokenizer, or set tokenizer.chat_template"
        )
    text: Any = tokenizer.apply_chat_template(
        turns,
        tokenize=False,
        add_generation_prompt=add_generation_prompt,
        chat_template=FIXED_DATE_FUNCTION + tokenizer.get_chat_template(),
        **CHAT_TEMPLATE_OPTIONS,
    )
    return text

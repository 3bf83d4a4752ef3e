"""Tokenizers on disk as transformers 4 and 5 write them, with the chat template in any of its places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from transformers import AddedToken

from tests.tiny_models import make_tokenizer

TemplatePlace = Literal["jinja", "config", "list", "additional", "processor"]
TokenPlace = Literal["config", "map", "legacy"]


def write_tokenizer(
    directory: Path,
    *,
    template: str | None,
    template_place: TemplatePlace = "jinja",
    token_place: TokenPlace = "config",
    eos_token: str = "<|eos|>",
    extra: tuple[str, ...] = (),
    named: bool = True,
) -> None:
    """Write the tiny tokenizer with another end token and more added tokens.

    ``token_place`` config is transformers 5 (all in tokenizer_config.json); map and legacy are transformers 4, with
    special_tokens_map.json, and legacy with added_tokens.json in place of an added_tokens_decoder. Unless ``named``,
    the turn's tokens are special in tokenizer.json alone.
    """
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([AddedToken(token, special=True) for token in extra])
    tokenizer.eos_token = eos_token
    tokenizer.save_pretrained(directory)
    named_tokens = {"bos_token": "<|bos|>", "eos_token": eos_token, "pad_token": "<|pad|>"}
    more = ["<|start|>", "<|end|>", *extra] if named else []
    config: dict[str, Any] = {"model_max_length": 512, "clean_up_tokenization_spaces": False}
    if token_place == "config":
        config |= {"tokenizer_class": "TokenizersBackend", **named_tokens, "extra_special_tokens": more}
    else:
        config |= {"tokenizer_class": "PreTrainedTokenizerFast"}
        write_json(directory / "special_tokens_map.json", {**named_tokens, "additional_special_tokens": more})
    added = {token.content: id_ for id_, token in tokenizer.added_tokens_decoder.items()}
    if token_place == "map":
        entries = {str(id_): {"content": token, "special": True} for token, id_ in added.items()}
        plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
        config |= {
            "added_tokens_decoder": {id_: entry | plain for id_, entry in entries.items()},
            **named_tokens,
            "additional_special_tokens": more,
        }
    if token_place == "legacy":
        write_json(directory / "added_tokens.json", {token: added[token] for token in extra})
    write_template(directory, config, template, template_place)
    write_json(directory / "tokenizer_config.json", config)


def write_template(
    directory: Path, config: dict[str, Any], template: str | None, place: TemplatePlace
) -> None:
    """Write the template, or put it into the tokenizer's configuration."""
    if template is None:
        return
    if place == "config":
        config["chat_template"] = template
    elif place == "list":
        config["chat_template"] = [
            {"name": "default", "template": template},
            {"name": "tool_use", "template": "tools: " + template},
        ]
    elif place == "processor":
        write_json(directory / "chat_template.json", {"chat_template": template})
    else:
        (directory / "chat_template.jinja").write_text(template)
        if place == "additional":
            (directory / "additional_chat_templates").mkdir()
            (directory / "additional_chat_templates" / "rag.jinja").write_text("rag: " + template)


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")

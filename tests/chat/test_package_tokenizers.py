"""Tokenizers that only packages beside slr's own read: run where those are installed, skipped elsewhere."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from slr.building.checkpoint import build
from slr.chat.template import render_chat
from slr.intervals import LayerInterval
from slr.models.checkpoint import open_checkpoint
from slr.models.loading import load_pair
from slr.models.presets import resolve_pair
from tests.tiny_models import make_tokenizer

SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'user' %}ask {{ m.content }}{% else %} {{ m.content }}</s>{% endif %}"
    "{% endfor %}"
)


def build_from(tmp_path: Path) -> Path:
    report = build(
        resolve_pair(tmp_path / "base", tmp_path / "instruct"), LayerInterval(0, 1), tmp_path / "out"
    )
    assert report.notes == ()
    return report.output_dir


@pytest.mark.timeout(600)
def test_tekken(tmp_path: Path) -> None:
    mistral_common = pytest.importorskip("mistral_common")
    requests: Any = importlib.import_module("mistral_common.protocol.instruct.request")
    tokenizers: Any = importlib.import_module("mistral_common.tokens.tokenizers.mistral")
    source = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
    for side in ("base", "instruct"):
        MistralForCausalLM(MistralConfig(**SIZES, vocab_size=131072)).save_pretrained(tmp_path / side)
        shutil.copyfile(source, tmp_path / side / "tekken.json")
    output = build_from(tmp_path)
    assert (output / "tekken.json").read_bytes() == source.read_bytes()
    checkpoint = open_checkpoint(output)
    assert checkpoint.tokenizer is not None
    assert checkpoint.end_tokens is not None
    assert [token.token for token in checkpoint.end_tokens.tokens] == ["</s>"]
    request = "Nenne 7 Bäume: 木,\n\n  und mehr."
    chat = requests.ChatCompletionRequest.from_openai([{"role": "user", "content": request}])
    expected = tokenizers.MistralTokenizer.from_file(str(source)).encode_chat_completion(chat).tokens
    assert render_chat(checkpoint.tokenizer, request) == expected


def test_sentencepiece(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    words = [f"{a}{b}{c}" for a in "bdfghk" for b in "aeiou" for c in "lmnrst"]
    sentences = [f"ask {first} and {last}" for first, last in zip(words, reversed(words), strict=True)]
    prefix = tmp_path / "small"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_prefix=str(prefix), vocab_size=90, model_type="bpe"
    )
    for side in ("base", "instruct"):
        LlamaForCausalLM(LlamaConfig(**SIZES, vocab_size=96)).save_pretrained(tmp_path / side)
        shutil.copyfile(f"{prefix}.model", tmp_path / side / "tokenizer.model")
    (tmp_path / "instruct" / "chat_template.jinja").write_text(TEMPLATE)
    output = build_from(tmp_path)
    assert (output / "tokenizer.model").read_bytes() == Path(f"{prefix}.model").read_bytes()
    checkpoint = open_checkpoint(output)
    assert checkpoint.tokenizer is not None
    processor = sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")
    found = render_chat(checkpoint.tokenizer, "bal and hut")
    assert found == AutoTokenizer.from_pretrained(tmp_path / "instruct")("ask bal and hut")["input_ids"]
    assert processor.decode(found) == "ask bal and hut"
    pair = load_pair(tmp_path / "base", tmp_path / "instruct")
    assert pair.end_tokens.ids == [2]


def test_both_forms_of_a_mistral_tokenizer(tmp_path: Path) -> None:
    """Where tokenizer.json is there too, it is what speaks, whatever is installed; tekken.json is copied."""
    for side in ("base", "instruct"):
        MistralForCausalLM(MistralConfig(**SIZES, vocab_size=336)).save_pretrained(tmp_path / side)
        template = "{% for m in messages %}{{ m.content }}<|eos|>{% endfor %}" if side == "instruct" else None
        make_tokenizer(template).save_pretrained(tmp_path / side)
        (tmp_path / side / "tekken.json").write_text("{}")
    output = build_from(tmp_path)
    assert (output / "tekken.json").read_text() == "{}"
    tokenizer = open_checkpoint(output).tokenizer
    assert tokenizer is not None
    assert render_chat(tokenizer, "a b") == make_tokenizer()("a b<|eos|>")["input_ids"]

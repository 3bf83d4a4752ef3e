"""The three families of tiny models: their shapes, tokenizers and chat templates.

Each family is its real transformers class and has its traits at a small size. Llama has an untied head and
grouped-query attention. Qwen 2 has a query bias and a tied head. Gemma 2 has soft-capping, alternating
sliding windows and a tied head. The models of one family have the same tokenizer, and only the instruct side
has the chat template.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

VOCAB_SIZE = 704
"""Number of tokens of each tokenizer."""
MAX_POSITIONS = 512
"""Largest number of tokens of a sequence."""
SINGLE_LETTER = r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])"
SYSTEM_MESSAGE = "You are a helpful assistant."

_LLAMA_TEMPLATE = (
    "{{ '<|begin_of_text|>' }}"
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\n\nSYSTEM<|eot_id|>' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
).replace("SYSTEM", SYSTEM_MESSAGE)
_QWEN_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nSYSTEM<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
).replace("SYSTEM", SYSTEM_MESSAGE)
_GEMMA_TEMPLATE = (
    "{{ '<bos>' }}"
    "{% for message in messages %}"
    "{% set role = 'model' if message['role'] == 'assistant' else 'user' %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] + '<end_of_turn>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)


@dataclass(frozen=True, kw_only=True)
class TestbedFamily:
    """A family of tiny models: configuration, special tokens and chat template.

    Attributes:
        name: short name, "llama", "qwen" or "gemma".
        config: configuration, which decides the model class.
        document_start: token before a document; None if there is none.
        document_end: token behind a document.
        turn_end: token behind a turn of a chat.
        special_tokens: all special tokens, in the order of their ids.
        chat_template: the template, in Jinja.
        attention: attention implementation of transformers.
    """

    # pytest would collect a class of this name as a test.
    __test__ = False

    name: str
    config: PreTrainedConfig
    document_start: str | None
    document_end: str
    turn_end: str
    special_tokens: tuple[str, ...]
    chat_template: str
    attention: str

    def make_model(self) -> PreTrainedModel:
        """Make a model with random float32 weights, drawn from torch's global generator."""
        return AutoModelForCausalLM.from_config(self.config, attn_implementation=self.attention)

    def make_tokenizer(self, texts: Iterable[str]) -> PreTrainedTokenizerFast:
        """Train a byte-level BPE tokenizer on texts.

        Digits and single letters always stand alone, so a character has one token, with or without white
        space before it.
        """
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.Split(Regex(SINGLE_LETTER), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCAB_SIZE,
            special_tokens=list(self.special_tokens),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        backend.train_from_iterator(texts, trainer)
        return PreTrainedTokenizerFast(
            tokenizer_object=backend,
            bos_token=self.document_start,
            eos_token=self.document_end,
            pad_token=self.special_tokens[0],
            additional_special_tokens=list(self.special_tokens),
            model_max_length=MAX_POSITIONS,
        )


def _shape(**settings: Any) -> dict[str, Any]:
    # Ids 0, 1 and 2 are padding, start of document (Qwen has none there) and end of document.
    return {
        "vocab_size": VOCAB_SIZE,
        "max_position_embeddings": MAX_POSITIONS,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        **settings,
    }


TESTBED_FAMILIES: dict[str, TestbedFamily] = {
    family.name: family
    for family in (
        TestbedFamily(
            name="llama",
            config=LlamaConfig(
                **_shape(
                    num_hidden_layers=12, hidden_size=96, intermediate_size=224, tie_word_embeddings=False
                )
            ),
            document_start="<|begin_of_text|>",
            document_end="<|end_of_text|>",
            turn_end="<|eot_id|>",
            special_tokens=(
                "<|finetune_right_pad_id|>",
                "<|begin_of_text|>",
                "<|end_of_text|>",
                "<|start_header_id|>",
                "<|end_header_id|>",
                "<|eot_id|>",
            ),
            chat_template=_LLAMA_TEMPLATE,
            attention="sdpa",
        ),
        TestbedFamily(
            name="qwen",
            config=Qwen2Config(
                **_shape(
                    num_hidden_layers=10, hidden_size=96, intermediate_size=256, tie_word_embeddings=True
                )
            ),
            document_start=None,
            document_end="<|endoftext|>",
            turn_end="<|im_end|>",
            special_tokens=("<|pad|>", "<|im_start|>", "<|endoftext|>", "<|im_end|>"),
            chat_template=_QWEN_TEMPLATE,
            attention="sdpa",
        ),
        TestbedFamily(
            name="gemma",
            config=Gemma2Config(
                **_shape(
                    num_hidden_layers=14,
                    hidden_size=80,
                    intermediate_size=208,
                    head_dim=24,
                    query_pre_attn_scalar=24,
                    sliding_window=32,
                    tie_word_embeddings=True,
                )
            ),
            document_start="<bos>",
            document_end="<eos>",
            turn_end="<end_of_turn>",
            special_tokens=("<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
            chat_template=_GEMMA_TEMPLATE,
            attention="eager",
        ),
    )
}

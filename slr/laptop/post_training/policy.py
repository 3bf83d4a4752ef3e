"""The model that is trained, and log-probabilities of answers under it and under fixed models.

Its weights are in float32 and its forward passes in bfloat16 (autocast), which is the fastest on one core: bfloat16
weights would lose the small steps of full fine-tuning, and take two to three times as long with an adapter.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from slr.chat.template import render_chats
from slr.laptop.post_training.recipe import Recipe
from slr.laptop.post_training.sampling import Answer
from slr.models.start_models import GEMMA_CHAT_TEMPLATE, LaptopModel, start_model_directory

TURN_ENDS: dict[LaptopModel, str] = {"smollm2": "<|im_end|>", "gemma": "<end_of_turn>"}
SCORED_AT_ONCE = 64
"""Number of answers scored in one batch."""

Tokens = tuple[list[int], list[int]]
"""The token ids of a prompt and of an answer to it."""


@dataclass(frozen=True)
class StartModel:
    """A start model in float32, with its tokenizer and the token that ends a turn of its chat template."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    turn_end: str

    @property
    def turn_end_id(self) -> int:
        """Id of the token that ends a turn."""
        return self.tokenizer.get_vocab()[self.turn_end]

    def chat_tokens(self, requests: Sequence[str], answers: Sequence[Answer]) -> list[Tokens]:
        """Requests in the chat template, and answers, with the end of their turn where they ended."""
        prompts = render_chats(self.tokenizer, requests)
        texts = [answer.text + self.turn_end * answer.ended for answer in answers]
        return [
            (prompt, self.tokenizer(text, add_special_tokens=False)["input_ids"])
            for prompt, text in zip(prompts, texts, strict=True)
        ]


def load_start_model(name: LaptopModel) -> StartModel:
    """Load a start model to the GPU if there is one, with the chat template that it is trained in.

    Raises:
        ValueError: if its package is not installed.
    """
    directory: Path = start_model_directory(name)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(directory)
    if name == "gemma":
        tokenizer.chat_template = GEMMA_CHAT_TEMPLATE
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Backwards, the fused attention takes longer than the plain one on a CPU.
    attention = "eager" if device == "cpu" else "sdpa"
    model: Any = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation=attention
    )
    return StartModel(model.to(device).eval(), tokenizer, TURN_ENDS[name])


class Policy:
    """A model in training: a start model with a new adapter, or with decoder layers that can be trained."""

    def __init__(self, start: StartModel, recipe: Recipe) -> None:
        """Prepare the start model for training by a recipe."""
        self.start = start
        start.model.requires_grad_(False)
        if recipe.variant == "full":
            self.model = start.model
            self.model.get_decoder().layers.requires_grad_(True)
        else:
            torch.manual_seed(recipe.seed)
            lora = LoraConfig(
                task_type="CAUSAL_LM",
                r=recipe.lora_rank,
                lora_alpha=recipe.lora_alpha,
                target_modules="all-linear",
            )
            self.model = get_peft_model(start.model, lora)

    def trained(self) -> dict[str, torch.nn.Parameter]:
        """The weights that are trained, by name."""
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}

    @torch.no_grad()
    def load(self, weights: dict[str, torch.Tensor]) -> None:
        """Give the trained weights other values."""
        trained = self.trained()
        assert trained.keys() == weights.keys()
        for name, weight in trained.items():
            weight.copy_(weights[name])

    def load_file(self, path: Path) -> None:
        """Give the trained weights the values of a file of weights."""
        self.load(load_file(path))

    def snapshot(self) -> PreTrainedModel:
        """A plain copy in bfloat16 to sample from and to score with, adapter merged."""
        model = copy.deepcopy(self.model)
        return frozen(model.merge_and_unload() if hasattr(model, "merge_and_unload") else model)

    def log_probs(self, rows: Sequence[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
        """The summed log-probability of each answer in nats, with gradients, and its number of tokens."""
        with torch.autocast(self.start.model.device.type, torch.bfloat16):
            return answer_log_probs(self.model, rows)


def frozen(model: Any) -> PreTrainedModel:
    """The model itself with weights in bfloat16, to sample from and to score with, as fast as can be on a CPU."""
    # The fused attention does not repeat the keys that heads share, which takes most of the time behind a long prefix.
    model.set_attn_implementation("sdpa")
    for weight in model.parameters():  # and no buffer: rotary frequencies would be rounded
        weight.data = weight.data.to(torch.bfloat16)
    # Where no weight wants a gradient, torch multiplies the last position of a batch with a copy of the head for each
    # row. Nothing computes one here, because everything that is frozen runs in inference mode.
    return model.requires_grad_(True).eval()


def answer_log_probs(
    model: Any, rows: Sequence[Tokens], prefix: DynamicCache | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each answer in one padded batch.

    Args:
        model: any causal language model.
        rows: prompts and answers.
        prefix: keys and values of what stands before every prompt, of one row; None if nothing does.

    Returns:
        For each row: the sum over its answer in nats, in float32, and the number of its answer's tokens.
    """
    device = model.device
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    batch = torch.zeros(len(rows), longest, dtype=torch.long)
    before = prefix.get_seq_length() if prefix is not None else 0
    mask = torch.zeros(len(rows), before + longest, dtype=torch.long)
    mask[:, :before] = 1
    for row, (prompt, answer) in enumerate(rows):
        tokens = torch.tensor(prompt + answer)
        batch[row, : len(tokens)] = tokens
        mask[row, before : before + len(tokens)] = 1
    cache = _repeated(prefix, len(rows)) if prefix is not None else None
    decoder = model.get_decoder()
    hidden = decoder(
        input_ids=batch.to(device),
        attention_mask=mask.to(device),
        past_key_values=cache,
        use_cache=cache is not None,
    ).last_hidden_state
    # The head is most of a small model with a large vocabulary, so only answers go through it.
    places = [
        (row, position)
        for row, (prompt, answer) in enumerate(rows)
        for position in range(len(prompt), len(prompt) + len(answer))
    ]
    row, position = torch.tensor(places).T
    # Read before the places move, because an index on a GPU would wait for it.
    targets = batch[row, position].to(device)
    row, position = row.to(device), position.to(device)
    logits = model.get_output_embeddings()(hidden[row, position - 1]).float()
    log_probs = -cross_entropy(logits, targets, reduction="none")
    sums = torch.zeros(len(rows), device=device).index_add(0, row, log_probs)
    return sums, torch.tensor([len(answer) for _, answer in rows], device=device)


@torch.inference_mode()
def score_answers(
    model: Any, rows: Sequence[Tokens], prefix: DynamicCache | None = None
) -> list[tuple[float, int]]:
    """Log-probabilities of any number of answers under a fixed model; equal rows are computed once.

    Args:
        model: any causal language model.
        rows: prompts and answers.
        prefix: keys and values of what stands before every prompt, of one row; None if nothing does.

    Returns:
        For each row: the sum over its answer in nats, and the number of its answer's tokens.
    """
    different = sorted(
        {(tuple(prompt), tuple(answer)) for prompt, answer in rows}, key=lambda row: len(row[0] + row[1])
    )
    scores: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[float, int]] = {}
    for first in range(0, len(different), SCORED_AT_ONCE):
        part = different[first : first + SCORED_AT_ONCE]
        sums, lengths = answer_log_probs(
            model, [(list(prompt), list(answer)) for prompt, answer in part], prefix
        )
        scores |= zip(part, zip(sums.tolist(), lengths.tolist(), strict=True), strict=True)
    return [scores[tuple(prompt), tuple(answer)] for prompt, answer in rows]


@torch.inference_mode()
def prefix_cache(model: Any, tokens: Sequence[int]) -> DynamicCache:
    """Keys and values of a text that many prompts follow."""
    cache = DynamicCache(config=model.config)
    model.get_decoder()(
        input_ids=torch.tensor([list(tokens)], device=model.device), past_key_values=cache, use_cache=True
    )
    return cache


def _repeated(prefix: DynamicCache, count: int) -> DynamicCache:
    cache = copy.deepcopy(prefix)
    cache.batch_repeat_interleave(count)
    return cache

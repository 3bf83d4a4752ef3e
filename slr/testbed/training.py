"""Training of the testbed's pairs: ``python -m slr.testbed.training --family llama --output-dir DIR``.

Pre-training on documents, a few of which are chats, gives the base model. Post-training continues from it
with chats alone, and only their answers carry a loss. All randomness comes from the seed. Each family gets a
directory with:

    base/      config.json  generation_config.json  model.safetensors (bfloat16)  tokenizer files
    instruct/  the same, with the chat template
    training.json  what was measured in training
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from slr.chat.template import render_chats
from slr.models.packaged import TESTBED_NAMES
from slr.models.transformers_internals import render_template
from slr.terminal.command_line import one_of, run_function
from slr.terminal.progress import progress_bar
from slr.testbed.choices import choose_typically, choose_uniformly
from slr.testbed.documents import compose_document, compose_exchange
from slr.testbed.models import TESTBED_FAMILIES, TestbedFamily

IGNORED = -100
"""Target of a token that carries no loss."""
BATCHES_SORTED_TOGETHER = 16
"""Number of batches whose chats are sorted by length together."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Sizes of both training stages.

    Attributes:
        seed: seed of all randomness.
        tokenizer_documents: number of documents that the tokenizer is trained on.
        sequence_length: number of tokens of a sequence in pre-training.
        chat_share: share of chats among the documents of pre-training, because real base models have seen
            chats too.
        base_steps: number of steps of pre-training.
        base_batch_size: number of sequences in a batch of pre-training.
        base_learning_rate: largest learning rate of pre-training.
        instruct_steps: number of steps of post-training.
        instruct_batch_size: number of chats in a batch of post-training.
        instruct_learning_rate: largest learning rate of post-training.
        weight_decay: weight decay of both stages.
        warmup_share: share of a stage's steps in which the learning rate rises.
    """

    seed: int = 0
    tokenizer_documents: int = 6000
    sequence_length: int = 160
    chat_share: float = 0.05
    base_steps: int = 1600
    base_batch_size: int = 16
    base_learning_rate: float = 3e-3
    instruct_steps: int = 900
    instruct_batch_size: int = 24
    instruct_learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup_share: float = 0.05

    def shortened(self, share: float) -> TrainingConfig:
        """Make a configuration with a share of the steps, and everything else the same."""
        fields = asdict(self)
        for name in ("base_steps", "instruct_steps"):
            fields[name] = max(1, round(fields[name] * share))
        return TrainingConfig(**fields)


@dataclass(frozen=True)
class Batch:
    """Tokens and targets, shape (B, T) each; targets are already shifted by one."""

    tokens: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True)
class StageReport:
    """What was measured in one stage of training.

    Attributes:
        steps: number of steps.
        tokens: number of tokens.
        first_loss: mean loss over the first twentieth of the steps, in nats per token.
        last_loss: mean loss over the last twentieth of the steps, in nats per token.
        seconds: duration in seconds.
    """

    steps: int
    tokens: int
    first_loss: float
    last_loss: float
    seconds: float


def train_family(family: TestbedFamily, config: TrainingConfig, output_dir: Path) -> None:
    """Train and write both models of a family.

    Args:
        family: the family.
        config: sizes of both stages.
        output_dir: directory that gets ``base``, ``instruct`` and ``training.json``.

    Raises:
        ValueError: if the output directory already holds one of them.
    """
    for side in ("base", "instruct"):
        if (output_dir / side).exists():
            raise ValueError(f"{output_dir / side} exists already: remove it, or give another --output-dir")
    torch.manual_seed(config.seed)
    tokenizer = _make_tokenizer(family, config)
    model = family.make_model()
    base_report = _train(
        model,
        _document_batches(family, tokenizer, config),
        config.base_steps,
        config.base_learning_rate,
        config,
        f"{family.name}: pre-training",
    )
    _save(model, tokenizer, output_dir / "base", [family.document_end])
    tokenizer.chat_template = family.chat_template
    instruct_report = _train(
        model,
        _chat_batches(family, tokenizer, config),
        config.instruct_steps,
        config.instruct_learning_rate,
        config,
        f"{family.name}: post-training",
    )
    _save(model, tokenizer, output_dir / "instruct", [family.turn_end, family.document_end])
    report = {
        "config": asdict(config),
        "num_parameters": model.num_parameters(),
        "num_layers": model.config.num_hidden_layers,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "base": asdict(base_report),
        "instruct": asdict(instruct_report),
    }
    (output_dir / "training.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _make_tokenizer(family: TestbedFamily, config: TrainingConfig) -> PreTrainedTokenizerFast:
    rng = random.Random(f"{config.seed}/{family.name}/tokenizer")
    return family.make_tokenizer(compose_document(rng) for _ in range(config.tokenizer_documents))


def _document_batches(
    family: TestbedFamily, tokenizer: PreTrainedTokenizerFast, config: TrainingConfig
) -> Iterator[Batch]:
    """Cut documents, one after the other, into sequences without end."""
    rng = random.Random(f"{config.seed}/{family.name}/base")
    needed = config.base_batch_size * config.sequence_length
    stream: list[int] = []
    while True:
        while len(stream) <= needed:
            is_chat = rng.random() < config.chat_share
            document = (
                _chat(family, rng) if is_chat else (family.document_start or "") + compose_document(rng)
            )
            stream += tokenizer(document + family.document_end, add_special_tokens=False)["input_ids"]
        tokens = torch.tensor(stream[: needed + 1])
        del stream[:needed]
        shape = (config.base_batch_size, config.sequence_length)
        yield Batch(tokens[:-1].view(shape), tokens[1:].view(shape))


def _chat(family: TestbedFamily, rng: random.Random) -> str:
    """Write a chat as a document, where every right answer is equally likely."""
    exchange = compose_exchange(choose_uniformly, rng)
    turns = [{"role": "user", "content": exchange.request}, {"role": "assistant", "content": exchange.answer}]
    return render_template(turns, family.chat_template)


def _chat_batches(
    family: TestbedFamily, tokenizer: PreTrainedTokenizerFast, config: TrainingConfig
) -> Iterator[Batch]:
    """Make batches of chats without end: one request with its answer in a row, padded on the right.

    Only the answers carry a loss. Chats of similar length go together, so that little is padded.
    """
    rng = random.Random(f"{config.seed}/{family.name}/instruct")
    while True:
        size = config.instruct_batch_size * BATCHES_SORTED_TOGETHER
        exchanges = [compose_exchange(choose_typically, rng) for _ in range(size)]
        prompts = render_chats(tokenizer, [exchange.request for exchange in exchanges])
        answers = [
            tokenizer(exchange.answer + family.turn_end, add_special_tokens=False)["input_ids"]
            for exchange in exchanges
        ]
        chats = list(zip(prompts, answers, strict=True))
        chats.sort(key=lambda chat: len(chat[0]) + len(chat[1]))
        firsts = list(range(0, len(chats), config.instruct_batch_size))
        # Without shuffling, every round would train on short chats first.
        rng.shuffle(firsts)
        for first in firsts:
            yield _padded_batch(chats[first : first + config.instruct_batch_size])


def _padded_batch(rows: Sequence[tuple[list[int], list[int]]]) -> Batch:
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full_like(tokens, IGNORED)
    for row, (prompt, answer) in enumerate(rows):
        end = len(prompt) + len(answer)
        tokens[row, :end] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : end] = torch.tensor(answer)
    return Batch(tokens[:, :-1], labels[:, 1:])


def _train(
    model: PreTrainedModel,
    batches: Iterator[Batch],
    steps: int,
    learning_rate: float,
    config: TrainingConfig,
    description: str,
) -> StageReport:
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, _warmup_then_cosine(steps, config.warmup_share))
    losses: list[float] = []
    num_tokens = 0
    began = time.perf_counter()
    with progress_bar(description) as on_progress:
        for step in range(steps):
            batch = next(batches)
            logits = model(input_ids=batch.tokens, use_cache=False).logits
            loss = cross_entropy(logits.flatten(0, 1).float(), batch.targets.flatten(), ignore_index=IGNORED)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            num_tokens += batch.tokens.numel()
            on_progress(step + 1, steps)
    model.eval()
    part = max(1, steps // 20)
    return StageReport(
        steps=steps,
        tokens=num_tokens,
        first_loss=sum(losses[:part]) / part,
        last_loss=sum(losses[-part:]) / part,
        seconds=time.perf_counter() - began,
    )


def _warmup_then_cosine(steps: int, warmup_share: float) -> Callable[[int], float]:
    warmup = max(1, round(steps * warmup_share))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return factor


def _save(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path, ends: list[str]
) -> None:
    """Write the weights in bfloat16 with the tokenizer; ``ends`` are the tokens that end an answer."""
    # A copy is saved, because the model goes on to be trained in float32.
    saved = type(model)(model.config)
    saved.load_state_dict(model.state_dict())
    saved.tie_weights()
    saved.generation_config = GenerationConfig(
        eos_token_id=tokenizer.convert_tokens_to_ids(ends),
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    saved.bfloat16().save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def train(
    output_dir: Annotated[Path, typer.Option(help="gets a directory for each family")],
    family: Annotated[str, typer.Option(parser=one_of((*TESTBED_NAMES, "all")))] = "all",
    seed: int = TrainingConfig.seed,
    steps_scale: Annotated[float, typer.Option(help="share of the steps, for a trial")] = 1.0,
) -> None:
    """Train the requested families.

    Args:
        output_dir: directory that gets a directory for each family.
        family: name of a family, or "all".
        seed: seed of all randomness.
        steps_scale: share of the steps, for a trial.
    """
    config = TrainingConfig(seed=seed).shortened(steps_scale)
    for name in TESTBED_NAMES:
        if family in (name, "all"):
            train_family(TESTBED_FAMILIES[name], config, output_dir / name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return run_function(train, arguments, "Train the testbed's pairs from a seed.")


if __name__ == "__main__":
    raise SystemExit(main())

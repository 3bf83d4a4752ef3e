"""Post-train the laptop's models again: ``python -m slr.laptop.post_training --model gemma --output-dir DIR``.

Two stages, as real post-training has them, on a LoRA adapter of all linear layers:

1. instruction following: supervised fine-tuning in the chat template, on answers drawn uniformly from all
   right ones, and on short writing that was sampled from SmolLM2-135M-Instruct;
2. preference: DPO between two right answers, of which the one that the stage-1 model finds likelier is
   preferred. Raters prefer what is typical, and this is how preference learning collapses diversity
   (Zhang et al. 2025, "Verbalized Sampling", arXiv 2510.01171).

Written, each as soon as it is complete, so that a stopped run goes on with the next::

    DIR/writing.json      requests and sampled texts, shared by all models
    DIR/MODEL/stage_1/    the adapter after stage 1
    DIR/MODEL/            the adapter, in bfloat16; training.json says what was measured in training
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy, logsigmoid
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
    get_cosine_schedule_with_warmup,
)

from slr.chat.template import render_chats
from slr.laptop.training_data import compose_choice, compose_request, writing_requests
from slr.models.start_models import (
    GEMMA_CHAT_TEMPLATE,
    LAPTOP_MODELS,
    LaptopModel,
    start_model_directory,
)
from slr.terminal.command_line import one_of, run_function
from slr.terminal.progress import progress_bar

ADAPTER_FILE = "adapter_model.safetensors"


@dataclass(frozen=True, kw_only=True)
class PostTrainingConfig:
    """Sizes of both stages. ``writing_share`` is the share of steps on writing, which have smaller batches.

    ``dpo_beta`` is DPO's, and ``chosen_weight`` the weight of the chosen answer's negative log-likelihood
    that is added to its loss, as Llama 3 was trained (arXiv 2407.21783, section 4.1.4).
    """

    seed: int = 0
    lora_rank: int = 8
    lora_alpha: int = 16
    writing_samples: int = 160
    writing_tokens: int = 72
    writing_share: float = 0.25
    sft_steps: int = 180
    sft_batch_size: int = 16
    sft_learning_rate: float = 5e-4
    dpo_steps: int = 90
    dpo_batch_size: int = 8
    dpo_learning_rate: float = 2e-4
    dpo_beta: float = 0.1
    chosen_weight: float = 0.2
    writing_batch_size: int = 4
    warmup_share: float = 0.1

    def shortened(self, share: float) -> PostTrainingConfig:
        """The same with fewer steps and samples."""
        fields = asdict(self)
        for name in ("writing_samples", "sft_steps", "dpo_steps"):
            fields[name] = max(4, round(fields[name] * share))
        return PostTrainingConfig(**fields)


@dataclass(frozen=True)
class Exchange:
    """A request and an answer to it."""

    request: str
    answer: str


@dataclass(frozen=True)
class Preference:
    """Two answers to a request with the log-probability that the stage-1 model gives each."""

    chosen: Exchange
    rejected: Exchange
    chosen_reference: float
    rejected_reference: float


@dataclass(frozen=True)
class StageReport:
    """Mean loss over the first and the last tenth of the steps, tokens of the batches, and seconds."""

    steps: int
    tokens: int
    first_loss: float
    last_loss: float
    seconds: float


class ChatModel:
    """A model that is trained or sampled in its chat template, with its tokenizer."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, turn_end: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.turn_end = turn_end

    def answer_log_probs(self, exchanges: Sequence[Exchange]) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Of each answer with its end: summed log-probability and number of tokens; and tokens computed."""
        rows = self._tokens(exchanges)
        encoded: Any = {"input_ids": [prompt + answer for prompt, answer in rows]}
        batch = self.tokenizer.pad(encoded, padding_side="right", return_tensors="pt")
        hidden = self.model.get_decoder()(**batch, use_cache=False).last_hidden_state
        # The head is most of a small model with a large vocabulary, so only answers go through it.
        places = [
            (row, position)
            for row, (prompt, answer) in enumerate(rows)
            for position in range(len(prompt), len(prompt) + len(answer))
        ]
        row, position = torch.tensor(places).T
        logits = self.model.get_output_embeddings()(hidden[row, position - 1]).float()
        log_probs = -cross_entropy(logits, batch["input_ids"][row, position], reduction="none")
        sums = torch.zeros(len(rows)).index_add(0, row, log_probs)
        return sums, torch.tensor([len(answer) for _, answer in rows]), batch["input_ids"].numel()

    @torch.inference_mode()
    def sample(self, requests: Sequence[str], max_new_tokens: int, batch_size: int = 32) -> list[str]:
        """One answer to each request at temperature 1 with min-p 0.1, cut after its last whole sentence."""
        texts: list[str] = []
        with progress_bar("sampling") as on_progress:
            for first in range(0, len(requests), batch_size):
                rows: Any = {"input_ids": render_chats(self.tokenizer, requests[first : first + batch_size])}
                batch = self.tokenizer.pad(rows, padding_side="left", return_tensors="pt")
                output = self.model.generate(
                    **batch,
                    max_new_tokens=max_new_tokens,
                    do_sample=True,
                    min_p=0.1,
                    top_k=0,
                    eos_token_id=self.tokenizer.convert_tokens_to_ids(self.turn_end),
                    pad_token_id=self.tokenizer.pad_token_id,
                )
                new = output[:, batch["input_ids"].shape[1] :]
                texts += self.tokenizer.batch_decode(new, skip_special_tokens=True)
                on_progress(len(texts), len(requests))
        return [_up_to_last_sentence(text) for text in texts]

    def _tokens(self, exchanges: Sequence[Exchange]) -> list[tuple[list[int], list[int]]]:
        prompts = render_chats(self.tokenizer, [exchange.request for exchange in exchanges])
        answers = [
            self.tokenizer(exchange.answer + self.turn_end, add_special_tokens=False)["input_ids"]
            for exchange in exchanges
        ]
        return list(zip(prompts, answers, strict=True))


def post_train(name: LaptopModel, config: PostTrainingConfig, output_dir: Path) -> None:
    """Do what is missing of both stages for one model, and write its adapter.

    Raises:
        ValueError: if the adapter is there already, or the start model's package is not installed.
    """
    directory = output_dir / name
    if (directory / ADAPTER_FILE).exists():
        raise ValueError(f"{directory} holds an adapter already: remove it, or give another --output-dir")
    stage_1 = directory / "stage_1"
    writing = _writing(config, output_dir)
    chat = _start_chat(name)
    reports: dict[str, Any] = {}
    if (stage_1 / "report.json").exists():
        chat.model = PeftModel.from_pretrained(chat.model, stage_1, is_trainable=True)
        reports["sft"] = json.loads((stage_1 / "report.json").read_text())
    else:
        torch.manual_seed(config.seed)
        lora = LoraConfig(
            task_type="CAUSAL_LM",
            r=config.lora_rank,
            lora_alpha=config.lora_alpha,
            target_modules="all-linear",
        )
        chat.model = get_peft_model(chat.model, lora)
        reports["sft"] = asdict(_supervised(chat, writing, config, name))
        chat.model.save_pretrained(str(stage_1))
        (stage_1 / "report.json").write_text(json.dumps(reports["sft"]))
    reports["dpo"] = asdict(_prefer_typical(chat, config, name))
    _save(chat, name, directory)
    reports = {
        "config": asdict(config),
        "num_trained": sum(p.numel() for p in chat.model.parameters() if p.requires_grad),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **reports,
    }
    (directory / "training.json").write_text(json.dumps(reports, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(stage_1)


def _start_chat(name: LaptopModel) -> ChatModel:
    """A start model in bfloat16, three times as fast here as float32."""
    directory = start_model_directory(name)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    if name == "gemma":
        tokenizer.chat_template = GEMMA_CHAT_TEMPLATE
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16).requires_grad_(False)
    return ChatModel(model.eval(), tokenizer, "<end_of_turn>" if name == "gemma" else "<|im_end|>")


def _writing(config: PostTrainingConfig, output_dir: Path) -> list[Exchange]:
    """Short stories, poems and jokes by SmolLM2-135M-Instruct, sampled unless they are there."""
    path = output_dir / "writing.json"
    if not path.exists():
        requests = [request.text for request in writing_requests()]
        wanted = random.Random(f"{config.seed}/writing").sample(requests, config.writing_samples)
        torch.manual_seed(config.seed)
        texts = _start_chat("smollm2").sample(wanted, config.writing_tokens)
        rows = [
            {"request": request, "answer": text} for request, text in zip(wanted, texts, strict=True) if text
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return [Exchange(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def _up_to_last_sentence(text: str) -> str:
    return text[: max(text.rfind(end) for end in ".!?") + 1].strip()


def _supervised(
    chat: ChatModel, writing: Sequence[Exchange], config: PostTrainingConfig, name: LaptopModel
) -> StageReport:
    rng = random.Random(f"{config.seed}/{name}/sft")

    def losses() -> Iterator[tuple[torch.Tensor, int]]:
        while True:
            if rng.random() < config.writing_share:
                exchanges = rng.sample(list(writing), min(config.writing_batch_size, len(writing)))
            else:
                requests = [compose_request(rng) for _ in range(config.sft_batch_size)]
                exchanges = [Exchange(request.text, rng.choice(request.answers)) for request in requests]
            log_probs, lengths, tokens = chat.answer_log_probs(exchanges)
            yield -(log_probs / lengths).mean(), tokens

    return _train(
        chat, losses(), config.sft_steps, config.sft_learning_rate, config, f"{name}: instruction following"
    )


def _prefer_typical(chat: ChatModel, config: PostTrainingConfig, name: LaptopModel) -> StageReport:
    batches = _preference_batches(chat, config, name)

    def losses() -> Iterator[tuple[torch.Tensor, int]]:
        for batch in batches:
            exchanges = [preference.chosen for preference in batch]
            exchanges += [preference.rejected for preference in batch]
            log_probs, lengths, tokens = chat.answer_log_probs(exchanges)
            chosen, rejected = log_probs.chunk(2)
            margins = (chosen - torch.tensor([preference.chosen_reference for preference in batch])) - (
                rejected - torch.tensor([preference.rejected_reference for preference in batch])
            )
            nll = -(chosen / lengths[: len(batch)]).mean()
            yield -logsigmoid(config.dpo_beta * margins).mean() + config.chosen_weight * nll, tokens

    return _train(
        chat,
        losses(),
        config.dpo_steps,
        config.dpo_learning_rate,
        config,
        f"{name}: preference for the typical",
    )


@torch.inference_mode()
def _preference_batches(
    chat: ChatModel, config: PostTrainingConfig, name: LaptopModel
) -> list[list[Preference]]:
    """Pairs of right answers in the order that the stage-1 model gives them; of writing, two samples."""
    rng = random.Random(f"{config.seed}/{name}/dpo")
    num_writing = round(config.dpo_steps * config.writing_share)
    requests = rng.sample(
        [request.text for request in writing_requests()], num_writing * config.writing_batch_size
    )
    torch.manual_seed(config.seed)
    samples = chat.sample([text for text in requests for _ in range(2)], config.writing_tokens)
    pairs = [
        (Exchange(request, first), Exchange(request, second))
        for request, first, second in zip(requests, samples[::2], samples[1::2], strict=True)
        if first and second and first != second
    ]
    size = config.writing_batch_size
    batches = [pairs[i : i + size] for i in range(0, len(pairs), size)]
    while len(batches) < config.dpo_steps:
        choices = [compose_choice(rng) for _ in range(config.dpo_batch_size)]
        batches.append(
            [
                (Exchange(request.text, first), Exchange(request.text, second))
                for request in choices
                for first, second in [rng.sample(request.answers, 2)]
            ]
        )
    rng.shuffle(batches)
    preferences = []
    with progress_bar(f"{name}: which answers are typical") as on_progress:
        for done, batch in enumerate(batches, start=1):
            preferences.append([_ordered(chat, *pair) for pair in batch])
            on_progress(done, len(batches))
    return preferences


def _ordered(chat: ChatModel, first: Exchange, second: Exchange) -> Preference:
    """The one with the higher log-probability a token is chosen, for a longer text is always less likely."""
    log_probs, lengths, _ = chat.answer_log_probs([first, second])
    (first_sum, second_sum), (first_mean, second_mean) = log_probs.tolist(), (log_probs / lengths).tolist()
    if first_mean >= second_mean:
        return Preference(first, second, first_sum, second_sum)
    return Preference(second, first, second_sum, first_sum)


def _train(
    chat: ChatModel,
    losses: Iterator[tuple[torch.Tensor, int]],
    steps: int,
    learning_rate: float,
    config: PostTrainingConfig,
    description: str,
) -> StageReport:
    parameters = [parameter for parameter in chat.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
    scheduler = get_cosine_schedule_with_warmup(optimizer, round(steps * config.warmup_share), steps)
    values: list[float] = []
    num_tokens = 0
    began = time.perf_counter()
    chat.model.train()
    with progress_bar(description) as on_progress:
        for step in range(steps):
            loss, tokens = next(losses)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            values.append(loss.item())
            num_tokens += tokens
            on_progress(step + 1, steps)
    chat.model.eval()
    part = max(1, steps // 10)
    return StageReport(
        steps=steps,
        tokens=num_tokens,
        first_loss=sum(values[:part]) / part,
        last_loss=sum(values[-part:]) / part,
        seconds=time.perf_counter() - began,
    )


def _save(chat: ChatModel, name: LaptopModel, directory: Path) -> None:
    """Write the adapter in bfloat16, which halves it, and what the start model lacks: template and turn end."""
    chat.model.save_pretrained(str(directory))
    _name_start_model(directory / "adapter_config.json", name)
    path = directory / ADAPTER_FILE
    save_file({key: tensor.bfloat16() for key, tensor in load_file(path).items()}, path, {"format": "pt"})
    (directory / "README.md").unlink(missing_ok=True)  # peft's empty model card
    if name == "gemma":
        (directory / "chat_template.jinja").write_text(GEMMA_CHAT_TEMPLATE + "\n", encoding="utf-8")
        ends = chat.tokenizer.convert_tokens_to_ids([chat.turn_end, str(chat.tokenizer.eos_token)])
        settings = GenerationConfig(
            eos_token_id=ends,
            bos_token_id=chat.tokenizer.bos_token_id,
            pad_token_id=chat.tokenizer.pad_token_id,
        )
        settings.save_pretrained(str(directory))


def _name_start_model(path: Path, name: LaptopModel) -> None:
    """In place of the directory of a cache, which peft puts there."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields["base_model_name_or_path"] = f"laptop:{name}/base"
    path.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def post_train_models(
    output_dir: Annotated[Path, typer.Option(help="gets a directory for each model")],
    model: Annotated[str, typer.Option(parser=one_of((*LAPTOP_MODELS, "all")))] = "all",
    seed: int = PostTrainingConfig.seed,
    steps_scale: Annotated[float, typer.Option(help="share of the steps, for a trial")] = 1.0,
) -> None:
    """Post-train the models asked for."""
    config = PostTrainingConfig(seed=seed).shortened(steps_scale)
    for name in LAPTOP_MODELS:
        if model in (name, "all"):
            post_train(name, config, output_dir)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return run_function(post_train_models, arguments, "Post-train the laptop's models from a seed.")


if __name__ == "__main__":
    raise SystemExit(main())

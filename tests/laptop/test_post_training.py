"""Both stages on a tiny random model: what is written loads, and a stopped run goes on with the next stage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from slr.laptop import post_training
from slr.laptop.post_training import ChatModel, Exchange, PostTrainingConfig, post_train
from tests.tiny_models import CHAT_TEMPLATE, make_model, make_tokenizer

CONFIG = PostTrainingConfig(
    lora_rank=2,
    writing_samples=6,
    writing_tokens=8,
    sft_steps=4,
    sft_batch_size=3,
    dpo_steps=4,
    dpo_batch_size=2,
    writing_batch_size=2,
)
ADAPTER = "adapter_model.safetensors"


def tiny_chat(name: str = "smollm2") -> ChatModel:
    model = make_model("gemma3" if name == "gemma" else "llama").requires_grad_(False)
    return ChatModel(model, make_tokenizer(CHAT_TEMPLATE), "<|end|>")


@pytest.fixture(autouse=True)
def tiny_start_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(post_training, "_start_chat", tiny_chat)
    # What a random model writes has no sentence, so texts are given.
    rows = [{"request": f"Write about {i}.", "answer": f"It was {i}."} for i in range(6)]
    (tmp_path / "writing.json").write_text(json.dumps(rows))
    monkeypatch.setattr(
        ChatModel, "sample", lambda _self, requests, _: [f"T{i}." for i in range(len(requests))]
    )


def test_writes_an_adapter_that_changes_the_model(tmp_path: Path) -> None:
    post_train("gemma", CONFIG, tmp_path)
    directory = tmp_path / "gemma"
    assert sorted(path.name for path in directory.iterdir()) == [
        "adapter_config.json",
        ADAPTER,
        "chat_template.jinja",
        "generation_config.json",
        "training.json",
    ]
    assert {tensor.dtype for tensor in load_file(directory / ADAPTER).values()} == {torch.bfloat16}
    assert json.loads((directory / "adapter_config.json").read_text())["base_model_name_or_path"] == (
        "laptop:gemma/base"
    )
    report = json.loads((directory / "training.json").read_text())
    assert (report["sft"]["steps"], report["dpo"]["steps"]) == (4, 4)
    plain = tiny_chat("gemma").model
    tuned: Any = PeftModel.from_pretrained(tiny_chat("gemma").model, directory)
    tokens = torch.tensor([[5, 9, 40]])
    assert not torch.allclose(plain(tokens).logits, tuned(tokens).logits)


def test_goes_on_with_stage_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    post_train("smollm2", CONFIG, tmp_path)
    whole = (tmp_path / "smollm2" / ADAPTER).read_bytes()
    (tmp_path / "smollm2").rename(tmp_path / "whole")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(post_training, "_prefer_typical", stop)
        with pytest.raises(KeyboardInterrupt):
            post_train("smollm2", CONFIG, tmp_path)
    monkeypatch.setattr(post_training, "_supervised", stop)  # must not be called again
    post_train("smollm2", CONFIG, tmp_path)
    assert (tmp_path / "smollm2" / ADAPTER).read_bytes() == whole


def test_an_existing_adapter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "smollm2").mkdir()
    (tmp_path / "smollm2" / ADAPTER).touch()
    with pytest.raises(ValueError, match="holds an adapter already"):
        post_train("smollm2", CONFIG, tmp_path)


def test_log_probs_equal_one_plain_forward_an_answer() -> None:
    chat = tiny_chat()
    exchanges = [Exchange("Say a letter.", "b"), Exchange("Say two letters, please.", "b c")]
    sums, lengths, _ = chat.answer_log_probs(exchanges)
    for exchange, found, length in zip(exchanges, sums.tolist(), lengths.tolist(), strict=True):
        ((prompt, answer),) = chat._tokens([exchange])
        log_probs = chat.model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        expected = sum(log_probs[len(prompt) + i - 1, token].item() for i, token in enumerate(answer))
        assert found == pytest.approx(expected, abs=1e-4)
        assert length == len(answer)


def test_the_likelier_answer_a_token_is_chosen() -> None:
    chat = tiny_chat()
    first, second = Exchange("Say a letter.", "b"), Exchange("Say a letter.", "q")
    preference = post_training._ordered(chat, first, second)
    sums, lengths, _ = chat.answer_log_probs([preference.chosen, preference.rejected])
    chosen, rejected = (sums / lengths).tolist()
    assert chosen >= rejected
    assert preference == post_training._ordered(chat, second, first)
    assert preference.chosen_reference == pytest.approx(sums[0].item(), abs=1e-4)


def test_training_follows_its_loss() -> None:
    """DPO's loss falls when the same batch is given again and again."""
    chat = tiny_chat()
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    chat.model = get_peft_model(
        chat.model, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear")
    )
    exchange = [Exchange("Say a letter.", "b")]

    def losses() -> Iterator[tuple[torch.Tensor, int]]:
        while True:
            sums, _, tokens = chat.answer_log_probs(exchange)
            yield -sums.mean(), tokens

    report = post_training._train(chat, losses(), 20, 1e-2, CONFIG, "test")
    assert report.last_loss < report.first_loss - 0.5

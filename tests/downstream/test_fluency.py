# pyright: reportPrivateUsage=false

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import torch

from slr.downstream import fluency
from slr.downstream.fluency import FluencyModel
from slr.models.loading import LoadedModel, load_model
from slr.runs.records import SampleMeasures
from tests.analysis.synthetic import PROVENANCE
from tests.tiny_models import make_checkpoint_pair

REQUESTS = ["Write a poem.", "Tell me a joke about the sea, please.", "Hi"]
ANSWERS = ["yoga", "The sea is blue, and so am I.", "no"]


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base model, whose tokenizer has no chat template, and an instruct model, whose tokenizer has one."""
    return make_checkpoint_pair(tmp_path_factory.mktemp("fluency"), "gemma3", num_layers=3)


@pytest.fixture(params=["plain", "chat"])
def loaded(request: pytest.FixtureRequest, directories: tuple[Path, Path]) -> LoadedModel:
    return load_model(directories[request.param == "chat"], dtype=torch.float32, device="cpu")


def log_probs_by_hand(loaded: LoadedModel, request: str, answer: str) -> list[float]:
    """Of the answer's tokens: one row, one token after the other, the prompt written out."""
    tokenizer = loaded.tokenizer
    if tokenizer.chat_template:
        prompt = f"<|start|>user\n{request}<|end|>\n<|start|>assistant\n"
    else:
        prompt = f"<|bos|>{request}\n"
    context = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    found = []
    for token in tokenizer(answer, add_special_tokens=False)["input_ids"]:
        with torch.inference_mode():
            logits_V = loaded.model(torch.tensor([context])).logits[0, -1].double()
        found.append(float(logits_V.log_softmax(dim=-1)[token]))
        context = [*context, token]
    return found


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_is_the_mean_log_probability_given_the_request(loaded: LoadedModel) -> None:
    expected = [mean(log_probs_by_hand(loaded, *pair)) for pair in zip(REQUESTS, ANSWERS, strict=True)]
    assert FluencyModel(loaded).score(REQUESTS, ANSWERS) == pytest.approx(expected, abs=1e-5)


def test_depends_on_the_request(loaded: LoadedModel) -> None:
    poem, joke, again = FluencyModel(loaded).score([*REQUESTS[:2], REQUESTS[0]], ["yoga"] * 3)
    assert poem is not None
    assert joke is not None
    assert abs(poem - joke) > 1e-3
    assert again == poem


def test_one_token(loaded: LoadedModel) -> None:
    (expected,) = log_probs_by_hand(loaded, "Hi", "a")
    assert FluencyModel(loaded).score(["Hi"], ["a"]) == pytest.approx((expected,), abs=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 60, 150, 10_000])
def test_batches_do_not_matter(
    loaded: LoadedModel, batch_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = FluencyModel(loaded)
    requests = [request for request in REQUESTS for _ in ANSWERS]
    texts = ANSWERS * len(REQUESTS)
    alone = [model.score([request], [text])[0] for request, text in zip(requests, texts, strict=True)]
    monkeypatch.setattr(fluency, "BATCH_TOKENS", batch_tokens)
    assert model.score(requests, texts) == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("budget", [1, 7, 20, 1000])
def test_batches_hold_every_row_once(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fluency, "BATCH_TOKENS", budget)
    lengths = [5, 1, 9, 3, 3, 20, 2]
    batches = list(fluency._batches(lengths))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= budget for b in batches)
    assert list(fluency._batches([])) == []


def test_blank_answers_are_none(loaded: LoadedModel) -> None:
    model = FluencyModel(loaded)
    scores = model.score(["Hi"] * 5, ["", " ", "\n\t", "...", "a"])
    assert scores[:3] == (None, None, None)
    assert scores[3] == pytest.approx(mean(log_probs_by_hand(loaded, "Hi", "...")), abs=1e-5)
    assert scores[4] is not None
    assert model.score([], []) == ()
    assert model.score(["Hi", "Hi"], ["", " "]) == (None, None)


def test_an_empty_request_is_a_request(loaded: LoadedModel) -> None:
    expected = mean(log_probs_by_hand(loaded, "", "yoga"))
    assert FluencyModel(loaded).score([""], ["yoga"]) == pytest.approx((expected,), abs=1e-5)


def test_an_answer_is_cut_at_the_window(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    model = FluencyModel(loaded)
    expected = mean(log_probs_by_hand(loaded, "Hi", "abcdefghijklmnopqrstuvwxyz" * 2))
    in_full = model.score(["Hi"], ["abcdefghijklmnopqrstuvwxyz" * 2])
    assert in_full == pytest.approx((expected,), abs=1e-5)
    num_prompt = len(model._render("Hi"))
    monkeypatch.setattr(fluency, "MAX_TOKENS", num_prompt + 3)
    expected = mean(log_probs_by_hand(loaded, "Hi", "abc"))
    assert model.score(["Hi"], ["abcdefghijklmnopqrstuvwxyz"]) == pytest.approx((expected,), abs=1e-5)
    monkeypatch.setattr(fluency, "MAX_TOKENS", num_prompt)
    assert model.score(["Hi", "Hi and more"], ["abc", "abc"]) == (None, None)


def test_the_models_own_window_is_kept(loaded: LoadedModel) -> None:
    """512 positions: what is beyond changes nothing, and a request of 600 tokens leaves no room."""
    model = FluencyModel(loaded)
    assert loaded.model.config.max_position_embeddings == 512
    long = "abcdefgh" * 80
    assert model.score(["Hi"], [long + "x"]) == model.score(["Hi"], [long + "yz"])
    assert model.score([long], ["abc"]) == (None,)


def test_first_token_of_a_plain_document(directories: tuple[Path, Path]) -> None:
    """Token 0 is a token; without a first token it is the last; without both there is a message."""
    loaded = load_model(directories[0], dtype=torch.float32, device="cpu")
    tokenizer = loaded.tokenizer
    model = FluencyModel(loaded)
    line = tokenizer("Hi\n", add_special_tokens=False)["input_ids"]
    tokenizer.bos_token = "<|pad|>"
    assert tokenizer.bos_token_id == 0
    assert model._render("Hi") == [0, *line]
    tokenizer.bos_token = None
    assert model._render("Hi") == [2, *line]
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match=r"neither a token that begins a text .* set tokenizer\.bos_token"):
        model.score(["Hi"], ["a"])


def test_refuses_what_does_not_match(loaded: LoadedModel) -> None:
    model = FluencyModel(loaded)
    with pytest.raises(ValueError, match="got 1 requests and 2 texts: expected two sequences"):
        model.score(["Hi"], ["a", "b"])
    with pytest.raises(ValueError, match="got one request, 'Hi' and 2 texts"):
        model.score("Hi", ["a", "b"])
    with pytest.raises(ValueError, match="one text, 'ab'"):
        model.score(["Hi", "Hi"], "ab")


def test_a_loaded_model_is_given_up(directories: tuple[Path, Path]) -> None:
    model = FluencyModel.load(str(directories[0]), "cpu")
    again = FluencyModel.load(str(directories[0]), "cpu")
    watched = weakref.ref(model._model)
    del model
    gc.collect()
    assert watched() is None
    assert again.score(["Hi"], ["a"])[0] is not None


def test_older_records_have_no_fluency_given_the_request() -> None:
    """They were written without the two newer fields, and say the fluency of the sample alone."""
    older = {
        "experiment": "creative_writing",
        "pair": "p",
        "provenance": PROVENANCE.model_dump(),
        "kind": "sample_measures",
        "samples": "p/samples/base/poem-0/seed=0",
        "encoder": "e",
        "embedding_diversity": 0.5,
        "adherence": [0.5],
        "fluency_model": "m",
        "fluency": [-2.0],
    }
    record = SampleMeasures.model_validate(older)
    assert record.longer_than_window is None
    assert record.fluency == (-2.0,)
    assert record.fluency_given is record.fluency_given_request is None
    newer = SampleMeasures.model_validate({**older, "fluency_given": "request"})
    assert newer.fluency_given_request == (-2.0,)

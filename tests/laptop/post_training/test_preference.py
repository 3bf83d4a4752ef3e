"""The arithmetic of the preference stage and of the stopping criterion, against values computed by hand."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import log_softmax

from slr.laptop.post_training.collapse import DevMeasurement, entropy, mean_log_ratio, measure_dev
from slr.laptop.post_training.few_shot import FewShotModel, shots_text, tokens_with_a_line_end
from slr.laptop.post_training.policy import Policy, Tokens, answer_log_probs, prefix_cache, score_answers
from slr.laptop.post_training.preference import (
    Preference,
    Rated,
    best_and_worst,
    dpo_loss,
    pairs_of_round,
    prefer_typical,
    rate,
    round_prompts,
)
from slr.laptop.post_training.requests.prompts import TrainingPrompt, training_prompts
from slr.laptop.post_training.sampling import Answer, Answers
from slr.laptop.post_training.supervised import accepted_exchanges, batches_of_like_length
from tests.laptop.tiny_training import RECIPE, tiny_start_model

START = tiny_start_model("smollm2")
ROWS: list[Tokens] = [([5, 9, 40], [41, 42]), ([7], [50]), ([11, 12, 13, 14], [60, 61, 62])]


def plain_log_prob(model: object, prompt: list[int], answer: list[int]) -> float:
    log_probs = log_softmax(model(torch.tensor([prompt + answer])).logits[0].float(), -1)  # pyright: ignore
    return sum(log_probs[len(prompt) + i - 1, token].item() for i, token in enumerate(answer))


def answers_to(prompt: TrainingPrompt, *texts: str | None) -> Answers:
    """Answers that ended; None stands for one that did not."""
    return Answers(
        prompt.id, tuple(Answer(text or "and so on and", ended=text is not None) for text in texts)
    )


def prompt_of(family: str, place: int = 0, is_dev: bool = True) -> TrainingPrompt:
    return [prompt for prompt in training_prompts() if prompt.family == family and prompt.is_dev == is_dev][
        place
    ]


@pytest.mark.parametrize("name", ["smollm2", "gemma"])
def test_log_probs_equal_one_plain_forward_an_answer(name: str) -> None:
    model = tiny_start_model(name).model  # pyright: ignore[reportArgumentType]
    sums, lengths = answer_log_probs(model, ROWS)
    assert lengths.tolist() == [2, 1, 3]
    assert sums.tolist() == pytest.approx([plain_log_prob(model, *row) for row in ROWS], abs=1e-4)


@pytest.mark.parametrize("name", ["smollm2", "gemma"])
def test_a_cached_prefix_changes_nothing(name: str) -> None:
    """Also where the prefix is longer than the tiny gemma's sliding window."""
    model = tiny_start_model(name).model  # pyright: ignore[reportArgumentType]
    prefix = [8, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]
    cache = prefix_cache(model, prefix)
    expected = [plain_log_prob(model, prefix + prompt, answer) for prompt, answer in ROWS]
    for _ in range(2):  # the cache is not used up
        found = score_answers(model, ROWS, cache)
        assert [total for total, _ in found] == pytest.approx(expected, abs=1e-4)


def test_typicality_is_the_geometric_mean_probability_behind_the_shots() -> None:
    rater = FewShotModel(START)
    text = f"{shots_text('copy')}Request: Copy: A b.\nAnswer:"
    prompt = [1, *START.tokenizer(text, add_special_tokens=False)["input_ids"]]
    answer = START.tokenizer(" A b.\n", add_special_tokens=False)["input_ids"]
    (found,) = rater.typicality("copy", ["Copy: A b."], ["A b."])
    mean = plain_log_prob(START.model, prompt, answer) / len(answer)
    assert found == pytest.approx(math.exp(mean), rel=1e-4)


def test_an_answer_ends_at_blank_tokens_with_a_line_end_and_at_the_end_of_a_text() -> None:
    ends = tokens_with_a_line_end(START.tokenizer)
    assert START.tokenizer.batch_decode([[token] for token in ends]) == ["\n", "<|eos|>"]


def test_dpo_loss_by_hand() -> None:
    """Margins 1 - (-3) = 4 and -2 - 0 = -2 with beta 0.5: log(1 + e^-2) and log(1 + e^1)."""
    tokens: Tokens = ([1], [2])
    pairs = [Preference(tokens, tokens, -5.0, -6.0), Preference(tokens, tokens, -1.0, -2.0)]
    loss, margins = dpo_loss(torch.tensor([-4.0, -3.0]), torch.tensor([-9.0, -2.0]), pairs, beta=0.5)
    assert margins.tolist() == [4.0, -2.0]
    assert loss.item() == pytest.approx((math.log(1 + math.exp(-2)) + math.log(1 + math.e)) / 2, rel=1e-6)


def rated_as(text: str, is_accepted: bool, typicality: float) -> Rated:
    return Rated("r", Answer(text), is_accepted, typicality)


def test_the_best_is_accepted_and_typical_and_the_worst_is_not() -> None:
    usual, odd = rated_as("a", True, 0.4), rated_as("b", True, 0.1)
    wrong, unlikely = rated_as("c", False, 0.9), rated_as("d", False, 0.01)
    assert best_and_worst([odd, wrong, usual, unlikely], by_typicality=True) == (usual, unlikely)
    assert best_and_worst([odd, usual], by_typicality=True) == (usual, odd)
    assert best_and_worst([odd, wrong, usual, unlikely], by_typicality=False) == (odd, wrong)
    assert best_and_worst([odd, usual], by_typicality=False) is None
    assert best_and_worst([wrong, unlikely], by_typicality=True) is None


@pytest.mark.parametrize(("weight", "least", "most"), [(0.0, 0, 0), (0.5, 70, 130), (1.0, 200, 200)])
def test_lambda_is_the_share_of_prompts_whose_raters_look_at_typicality(
    weight: float, least: int, most: int
) -> None:
    """Where all answers are accepted, only typicality makes pairs."""
    rated = {f"prompt {i}": [rated_as("a", True, 0.1), rated_as("b", True, 0.4)] for i in range(200)}
    pairs = pairs_of_round(rated, replace(RECIPE, typicality_weight=weight), 1)
    assert least <= len(pairs) <= most
    assert pairs == pairs_of_round(rated, replace(RECIPE, typicality_weight=weight), 1)


def test_a_prompt_gives_a_pair_of_all_answers_and_one_of_the_accepted_ones() -> None:
    usual, odd, wrong = rated_as("a", True, 0.4), rated_as("b", True, 0.1), rated_as("c", False, 0.9)
    pairs = pairs_of_round({"p": [odd, wrong, usual]}, replace(RECIPE, typicality_weight=1.0), 1)
    assert pairs == [(usual, wrong), (usual, odd)]
    assert pairs_of_round({"p": [wrong, usual]}, replace(RECIPE, typicality_weight=1.0), 1) == [
        (usual, wrong)
    ]
    assert pairs_of_round({"p": [odd, wrong, usual]}, replace(RECIPE, typicality_weight=0.0), 1) == [
        (odd, wrong)
    ]
    assert pairs_of_round({"p": [wrong]}, RECIPE, 1) == []


def test_the_best_accepted_answer_meets_the_least_typical_others_first_and_each_text_once() -> None:
    typicality = {"a": 0.9, "b": 0.1, "c": 0.5, "d": 0.3}
    answers = {text: rated_as(text, True, value) for text, value in typicality.items()}
    drawn = [answers[text] for text in "bacdb"]
    three, two = (
        pairs_of_round({"p": drawn}, replace(RECIPE, accepted_pairs=number), 1) for number in (3, 2)
    )
    assert three == [(answers["a"], answers[text]) for text in "bdc"]
    assert two == three[:2]


def test_every_answer_is_rated_with_its_own_request() -> None:
    naming, copying = prompt_of("naming"), prompt_of("copy")
    drawn = [answers_to(copying, "x", None), answers_to(naming, "hair", "spoon")]
    rater = FewShotModel(START)
    rated = rate([naming, copying], drawn, rater)
    assert [row.answer.text for row in rated[naming.id]] == ["hair", "spoon"]
    (expected,) = rater.typicality("naming", [naming.request], ["spoon"])
    assert rated[naming.id][1].typicality == pytest.approx(expected, rel=1e-3)
    assert [row.is_accepted for row in rated[naming.id]] == [naming.accepts("hair"), naming.accepts("spoon")]
    ended, cut = rated[copying.id]
    assert ended.typicality > 0
    assert (cut.typicality, cut.is_accepted) == (0, False)


def test_training_on_pairs_lets_the_policy_prefer_the_chosen_answers(tmp_path: Path) -> None:
    start = tiny_start_model("smollm2")
    policy = Policy(start, replace(RECIPE, variant="full"))
    reference = policy.snapshot()
    pairs = [(rated_as("b", True, 0.4), rated_as("q", True, 0.1))] * 40
    report = prefer_typical(policy, pairs, reference, replace(RECIPE, variant="full"), tmp_path)
    assert report["steps"] == 20
    assert report["last_margin"] > report["first_margin"]
    assert report["last_accuracy"] == 1


def test_entropy_by_hand() -> None:
    assert entropy(["tea", "Tea.", "the tea"]) == 0
    assert entropy(["tea", "milk"]) == pytest.approx(math.log(2))
    assert entropy(["tea", "tea", "tea", "milk"]) == pytest.approx(
        0.75 * math.log(4 / 3) + 0.25 * math.log(4)
    )
    with pytest.raises(ValueError, match="entropy is undefined"):
        entropy([])


def test_entropy_compares_equally_many_accepted_answers() -> None:
    prompt = replace(prompt_of("naming"), accepts=lambda text: text != "wrong")
    drawn = [answers_to(prompt, *["tea"] * 8)]
    base = [answers_to(prompt, "wrong", "tea", "milk", "wine", "beer", None, None, "wrong")]
    measured = measure_dev([prompt], drawn, base, base, kl_to_sft=3.0)
    assert (measured.entropy, measured.base_entropy) == (0, pytest.approx(math.log(4)))
    assert (measured.acceptance, measured.sft_acceptance) == (1, 0.5)
    again = measure_dev([prompt], base, drawn, drawn, kl_to_sft=0.0)
    assert again.acceptance == 0.5  # answers that did not end count as not accepted
    assert again.entropy == pytest.approx(math.log(4))


def test_entropy_needs_enough_accepted_answers_of_both() -> None:
    prompt = prompt_of("naming")
    with pytest.raises(ValueError, match="no development prompt has 4 accepted answers"):
        measure_dev([prompt], *[[answers_to(prompt, *["?"] * 8)]] * 3, kl_to_sft=0.0)


def test_only_families_with_many_right_answers_count_for_entropy() -> None:
    naming = replace(prompt_of("naming"), accepts=lambda _: True)
    copying = replace(prompt_of("copy"), accepts=lambda text: text == "x")
    drawn = [answers_to(naming, "a", "b", "c", "d"), answers_to(copying, "x", "x", "x", "y")]
    measured = measure_dev([naming, copying], drawn, drawn, drawn, kl_to_sft=0.0)
    assert measured.entropy_prompts == 1
    assert measured.acceptance == (1 + 0.75) / 2
    assert measured.family_acceptance == {"copy": 0.75, "naming": 1}


MET = DevMeasurement(
    entropy=1.0,
    base_entropy=2.0,
    entropy_prompts=5,
    acceptance=0.6,
    sft_acceptance=0.6,
    kl_to_sft=10.0,
    family_acceptance={},
)


@pytest.mark.parametrize(
    ("changes", "unmet"),
    [
        ({}, []),
        ({"entropy": 1.02}, ["entropy is 0.51 of the base's"]),
        ({"acceptance": 0.55}, []),
        ({"acceptance": 0.53}, ["acceptance is 0.53, after 0.60"]),
        (
            {"kl_to_sft": 10.2, "entropy": 2.0},
            ["entropy is 1.00 of the base's", "KL to the supervised model is 10.2 nats"],
        ),
    ],
)
def test_the_stopping_criterion(changes: dict[str, float], unmet: list[str]) -> None:
    assert replace(MET, **changes).unmet() == unmet  # pyright: ignore[reportArgumentType]


def test_kl_is_the_mean_log_ratio_of_whole_answers() -> None:
    other = tiny_start_model("smollm2")
    with torch.no_grad():
        other.model.get_decoder().layers[0].mlp.up_proj.weight.mul_(1.5)
    prompt = prompt_of("copy")
    drawn = [answers_to(prompt, "x y", "z", None)]
    rows = START.chat_tokens([prompt.request] * 3, drawn[0].answers)
    assert [START.turn_end_id in answer for _, answer in rows] == [True, True, False]
    expected = sum(plain_log_prob(other.model, *row) - plain_log_prob(START.model, *row) for row in rows) / 3
    found = mean_log_ratio(START, [prompt], drawn, other.model, START.model)
    assert found == pytest.approx(expected, abs=1e-3)
    assert mean_log_ratio(START, [prompt], drawn, START.model, START.model) == 0


def test_the_supervised_stage_takes_accepted_answers_as_often_as_drawn() -> None:
    prompt = replace(prompt_of("naming", is_dev=False), accepts=lambda text: text != "wrong")
    dev = replace(prompt_of("naming"), accepts=lambda _: True)
    elicited = [answers_to(prompt, "tea", "wrong", "tea", None, "milk"), answers_to(dev, "never")]
    exchanges = accepted_exchanges([prompt, dev], elicited, RECIPE)
    assert sorted(exchange.answer for exchange in exchanges) == ["milk", "tea", "tea"]
    assert {exchange.request for exchange in exchanges} == {prompt.request}


def test_every_second_list_is_in_numbered_lines() -> None:
    prompt = next(p for p in training_prompts() if p.numbered_request and not p.is_dev and "Two" in p.request)
    exchanges = accepted_exchanges([prompt], [answers_to(prompt, "tea, milk", "wine, beer")], RECIPE)
    assert {(exchange.request, exchange.answer) for exchange in exchanges} == {
        (prompt.request, "tea, milk"),
        (prompt.numbered_request, "1. wine\n2. beer"),
    }


def test_batches_hold_every_row_once_and_little_padding() -> None:
    rng = random.Random(0)
    rows: list[Tokens] = [([i], [1] * rng.randint(1, 60)) for i in range(203)]
    batches = batches_of_like_length(rows, 8, random.Random(1))
    assert sorted(prompt[0] for batch in batches for prompt, _ in batch) == list(range(203))
    assert batches == batches_of_like_length(rows, 8, random.Random(1))
    padded = sum(len(batch) * max(len(answer) for _, answer in batch) for batch in batches)
    assert padded < 1.25 * sum(len(answer) for _, answer in rows)


def test_rounds_draw_other_prompts_and_none_for_development() -> None:
    recipe = replace(RECIPE, round_prompts=400)
    first, second = (round_prompts(training_prompts(), recipe, number) for number in (1, 2))
    assert len({prompt.id for prompt in first}) == 400
    assert {prompt.id for prompt in first} != {prompt.id for prompt in second}
    assert not [prompt for prompt in first if prompt.is_dev or prompt.family == "longer_writing"]

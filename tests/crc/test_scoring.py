from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import MinPLogitsWarper

from slr.crc.prompts import CrcPrompt, load_prompts
from slr.crc.scoring import (
    EncodedPrompts,
    answer_log_probs,
    character_log_probs,
    encode_prompts,
    score_model,
    scores_from_log_probs,
)
from slr.models.loading import load_pair
from tests.conftest import CheckpointPairs
from tests.tiny_models import ARCHITECTURES, CHAT_TEMPLATE, make_tokenizer


def prompt(valid: str, text: str = "Pick one.") -> CrcPrompt:
    return CrcPrompt(id=f"of-{valid}", split="selection", category="letters", text=text, valid=valid)


def scores(probabilities: list[float], valid: str, characters: str):
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.array(probabilities))[None, None]
    tokens = tuple((token,) for token in range(len(characters)))
    return scores_from_log_probs(log_probs, EncodedPrompts((prompt(valid),), ((0,),), characters, tokens))[0]


def test_uniform_is_fully_diverse() -> None:
    score = scores([0.2, 0.2, 0.2, 0.2], "abcd", "abcd")
    assert score.validity == (pytest.approx(0.8),)
    assert score.diversity == (pytest.approx(1.0),)


def test_one_answer_has_no_diversity() -> None:
    score = scores([0.9, 0.0, 0.1], "ab", "abc")
    assert score.validity == (pytest.approx(0.9),)
    assert score.diversity == (0.0,)


def test_hand_computed() -> None:
    score = scores([0.3, 0.1, 0.5], "ab", "abc")
    assert score.validity == (pytest.approx(0.4),)
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    assert score.diversity == (pytest.approx(expected),)


def test_no_mass_has_no_diversity() -> None:
    score = scores([0.0, 0.0, 1.0], "ab", "abc")
    assert score.validity == (0.0,)
    assert score.diversity == (None,)
    assert score.mean_diversity is None
    assert score.mean_validity == 0.0


def test_random_distributions_against_scipy() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(7))
    score = scores(list(p), "bdf", "abcdefg")
    answers = p[[1, 3, 5]]
    assert score.validity == (pytest.approx(answers.sum()),)
    assert score.diversity == (pytest.approx(stats.entropy(answers) / math.log(3)),)


def test_a_character_sums_all_its_tokens() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.3, 0.4]]))
    log_probs = character_log_probs(logits, [(0, 2), (1,)])
    torch.testing.assert_close(log_probs.exp(), torch.tensor([[0.4, 0.2]], dtype=torch.float64))


def test_min_p_leaves_out_what_min_p_sampling_never_draws() -> None:
    """Of 0.5, 0.3, 0.15 and 0.05, only the last is below 0.2 x 0.5, and the others are scaled to sum 1."""
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    kept = character_log_probs(logits, [(0,), (1, 3), (2,), (3,)], min_p=0.2).exp()
    expected = torch.tensor([[0.5, 0.3, 0.15, 0.0]], dtype=torch.float64) / 0.95
    torch.testing.assert_close(kept, expected, rtol=0, atol=1e-7)
    assert torch.equal(character_log_probs(logits, [(0,)], min_p=0.0), character_log_probs(logits, [(0,)]))


@pytest.mark.parametrize("min_p", [0.02, 0.1, 1.0])
def test_min_p_as_transformers_samples_by_it(min_p: float) -> None:
    logits = torch.randn(5, 40, generator=torch.manual_seed(0))
    no_tokens: Any = torch.zeros(5, 1, dtype=torch.long)
    warped = MinPLogitsWarper(min_p)(no_tokens, logits.clone()).double().softmax(-1)
    found = character_log_probs(logits, [(token,) for token in range(40)], min_p).exp()
    torch.testing.assert_close(found, warped, rtol=0, atol=1e-6)


def test_scores_with_min_p(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    plain, with_min_p = (
        encode_prompts(load_prompts("selection")[::8], pair.tokenizer, min_p=min_p) for min_p in (0.0, 0.5)
    )
    with torch.inference_mode():
        logits = pair.instruct_model(torch.tensor([plain.token_ids[1]])).logits[:, -1].double()
    shares = logits.softmax(-1)[0]
    shares = torch.where(shares >= 0.5 * shares.max(), shares, 0.0)
    tokens = dict(zip(plain.characters, plain.character_tokens, strict=True))
    of_valid = [float(shares[list(tokens[c])].sum() / shares.sum()) for c in plain.prompts[1].valid]
    found = score_model(pair.instruct_model, with_min_p)
    assert found.validity[1] == pytest.approx(sum(of_valid), abs=1e-5)
    assert found.validity != score_model(pair.instruct_model, plain).validity


@pytest.mark.parametrize("min_p", [-0.1, 1.1, math.nan])
def test_impossible_min_p_is_an_error(min_p: float) -> None:
    with pytest.raises(ValueError, match=r"min_p is .*, expected a number from 0 to 1"):
        encode_prompts([prompt("ab")], make_tokenizer(CHAT_TEMPLATE), min_p=min_p)


def test_tokens_with_leading_space_count_and_longer_ones_do_not() -> None:
    tokenizer = make_tokenizer(CHAT_TEMPLATE)
    encoded = encode_prompts([prompt("ab")], tokenizer)
    texts = [[tokenizer.decode([token]) for token in tokens] for tokens in encoded.character_tokens]
    assert [sorted(group) for group in texts] == [[" a", "a"], [" b", "b"]]


def test_prompts_end_in_the_generation_prompt() -> None:
    tokenizer = make_tokenizer(CHAT_TEMPLATE)
    encoded = encode_prompts([prompt("ab", "Choose.")], tokenizer)
    assert (
        tokenizer.decode(list(encoded.token_ids[0])) == "<|start|>user\nChoose.<|end|>\n<|start|>assistant\n"
    )


def test_missing_chat_template_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no chat template"):
        encode_prompts([prompt("ab")], make_tokenizer())


def test_character_without_a_single_token_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no single token for '€', so the prompts of-a€ cannot be scored"):
        encode_prompts([prompt("ab"), prompt("a€")], make_tokenizer(CHAT_TEMPLATE))


def test_no_prompts_is_an_error() -> None:
    with pytest.raises(ValueError, match="no CRC prompts"):
        encode_prompts([], make_tokenizer(CHAT_TEMPLATE))


def test_model_scores_equal_one_prompt_at_a_time(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    prompts = load_prompts("held_out")[::4]
    encoded = encode_prompts(prompts, pair.tokenizer)
    found = score_model(pair.instruct_model, encoded)
    log_probs = answer_log_probs(pair.instruct_model, encoded)
    for index, one in enumerate(prompts):
        logits = pair.instruct_model(torch.tensor([encoded.token_ids[index]])).logits[0, -1]
        probabilities = torch.softmax(logits.double(), -1)
        texts = [str(pair.tokenizer.decode([token])).lstrip() for token in range(len(probabilities))]
        by_character = [
            float(sum(p for p, text in zip(probabilities, texts, strict=True) if text == character))
            for character in one.valid
        ]
        assert found.validity[index] == pytest.approx(sum(by_character), abs=1e-6)
        assert found.diversity[index] == pytest.approx(
            stats.entropy(by_character) / math.log(len(one.valid)), abs=1e-5
        )
        columns = [encoded.characters.index(character) for character in one.valid]
        np.testing.assert_allclose(np.exp(log_probs[index, columns]), by_character, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_padded_batch_scores_the_same(checkpoint_pairs: CheckpointPairs, architecture: str) -> None:
    pair = load_pair(*checkpoint_pairs(architecture))
    encoded = encode_prompts(load_prompts("held_out")[::4], pair.tokenizer)
    assert len({len(token_ids) for token_ids in encoded.token_ids}) > 1
    found, expected = (answer_log_probs(pair.instruct_model, encoded, pad=pad) for pad in (True, False))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)

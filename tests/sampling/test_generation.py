"""Sampling against plain loops, hand-computed distributions and transformers' own processors and generate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import chisquare
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from slr.sampling import generation
from slr.sampling.config import SamplingConfig
from slr.sampling.generation import Sample, choose_tokens, end_tokens_of, sample, token_probabilities
from tests.tiny_models import SLIDING_WINDOW, VOCAB_SIZE, make_model, make_tokenizer

ARCHITECTURES = ("llama", "gemma3", "qwen2", "olmo2")
PROMPTS = tuple(
    tuple(torch.randint(5, VOCAB_SIZE, (length,), generator=torch.Generator().manual_seed(length)).tolist())
    for length in (SLIDING_WINDOW - 5, SLIDING_WINDOW, 2 * SLIDING_WINDOW + 3)
)
SEEDS = (11, 12, 13)
ENDS = tuple(range(0, VOCAB_SIZE, 12))
"""So many that about one answer in ten ends at each step."""
NO_TRUNCATION = SamplingConfig(min_p=0.0)
MIXED = SamplingConfig(temperature=1.3, top_k=50, top_p=0.95, min_p=0.02, max_new_tokens=14)


class IdTokenizer:
    """Decodes to the token ids themselves, special ones too, so that a test sees each of them."""

    pad_token_id = 0
    eos_token = None
    chat_template = None

    def __len__(self) -> int:
        return VOCAB_SIZE

    def convert_ids_to_tokens(self, id_: int) -> str:
        return str(id_)

    def batch_decode(self, rows: list[list[int]], skip_special_tokens: bool) -> list[str]:
        assert skip_special_tokens
        return [" ".join(map(str, row)) for row in rows]


IDS = cast(PreTrainedTokenizerBase, IdTokenizer())


@cache
def tiny_model(architecture: str) -> PreTrainedModel:
    """In float64, so that batches of different shapes never round to different tokens."""
    # With a tied LM head some of them would repeat one token for ever.
    return make_model(architecture, tied=False, dtype=torch.float64)


def ids(answer: Sample) -> list[int]:
    return [int(word) for word in answer.text.split()]


def draw(
    architecture: str = "llama",
    prompts: Sequence[Sequence[int]] = PROMPTS,
    num_samples: int = 4,
    config: SamplingConfig = MIXED,
    seeds: Sequence[int] = SEEDS,
    ends: Sequence[int] = ENDS,
) -> list[list[Sample]]:
    return sample(tiny_model(architecture), IDS, prompts, num_samples, config, seeds, end_tokens=ends)


def plain_probabilities(logits: Sequence[float], config: SamplingConfig) -> NDArray[np.float64]:
    """One row, in the words of the definitions: tokens are kept, the others are removed."""
    weights = np.exp(np.array(logits, dtype=np.float64) / config.temperature)
    likeliest_first = sorted(range(len(weights)), key=lambda token: -weights[token])
    if config.top_k:
        likeliest_first = likeliest_first[: config.top_k]
    total = sum(weights[token] for token in likeliest_first)
    kept, mass = [], 0.0
    for token in likeliest_first:
        if mass / total < config.top_p:
            kept.append(token)
        mass += weights[token]
    kept = [token for token in kept if weights[token] >= config.min_p * weights[kept[0]]]
    probabilities = np.zeros(len(weights))
    probabilities[kept] = weights[kept] / weights[kept].sum()
    return probabilities


def plain_samples(
    model: PreTrainedModel, prompt: Sequence[int], num_samples: int, config: SamplingConfig, seed: int
) -> list[list[int]]:
    """The tokens of each sample up to its end: one at a time, without padding, cache or batch."""
    draws = torch.rand(
        num_samples,
        config.max_new_tokens,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )
    answers = []
    for row in draws.tolist():
        answer: list[int] = []
        while len(answer) < config.max_new_tokens and not (answer and answer[-1] in ENDS):
            with torch.no_grad():
                logits = model(torch.tensor([[*prompt, *answer]])).logits[0, -1]
            if config.temperature == 0:
                answer.append(int(logits.argmax()))
                continue
            cumulative = np.cumsum(plain_probabilities(logits.tolist(), config))
            answer.append(int(np.argmax(cumulative > row[len(answer)] * cumulative[-1])))
        answers.append(answer)
    return answers


def random_logits(rows: int = 40) -> torch.Tensor:
    return 3 * torch.randn(rows, VOCAB_SIZE, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    ("weights", "settings", "expected"),
    [
        # Temperature 2 makes 4:2:1 of 16:4:1, and min-p 0.2 keeps all; before it, min-p would remove the last.
        ((16, 4, 1), {"temperature": 2.0, "min_p": 0.2}, (4 / 7, 2 / 7, 1 / 7)),
        ((16, 4, 1), {"temperature": 1.0, "min_p": 0.2}, (4 / 5, 1 / 5, 0)),
        # Temperature 1/2 makes 16:9:4 of 4:3:2; before it, min-p 0.5 would keep all.
        ((4, 3, 2), {"temperature": 0.5, "min_p": 0.5}, (16 / 25, 9 / 25, 0)),
        # Temperature 2 makes 4:2:1 of 16:4:1, 4/7 is under 0.6; before it, 16/21 is over, and one would stay.
        ((16, 4, 1), {"temperature": 2.0, "top_p": 0.6}, (2 / 3, 1 / 3, 0)),
        # The likelier of the two best is 4/7 of them, which is top-p's half; of all it is 0.4, and two would stay.
        ((4, 3, 2, 1), {"top_k": 2, "top_p": 0.5}, (1, 0, 0, 0)),
        # Of all, 0.5 is under 0.6, and two stay; after min-p 0.5 it would be 5/8 of what is left, and one.
        ((5, 3, 1, 1), {"top_p": 0.6, "min_p": 0.5}, (5 / 8, 3 / 8, 0, 0)),
        ((5, 3, 2), {}, (0.5, 0.3, 0.2)),
        ((7,), {"top_k": 3, "top_p": 0.1, "min_p": 0.9}, (1,)),
    ],
)
def test_order_of_operations_by_hand(
    weights: tuple[int, ...], settings: dict[str, Any], expected: tuple[float, ...]
) -> None:
    config = dataclasses.replace(NO_TRUNCATION, **settings)
    logits = torch.tensor([[math.log(weight) for weight in weights]])
    np.testing.assert_allclose(token_probabilities(logits, config)[0].numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(plain_probabilities(logits[0].tolist(), config), expected, atol=1e-6)


SETTINGS = [
    SamplingConfig(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    for temperature in (0.7, 1.0, 2.5)
    for top_k in (0, 1, 9)
    for top_p in (1.0, 0.8)
    for min_p in (0.0, 0.1)
]


@pytest.mark.parametrize("config", SETTINGS, ids=str)
def test_equals_a_plain_implementation(config: SamplingConfig) -> None:
    logits = random_logits()
    expected = [plain_probabilities(row, config) for row in logits.tolist()]
    np.testing.assert_allclose(token_probabilities(logits, config).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("config", SETTINGS, ids=str)
def test_equals_the_processors_of_transformers(config: SamplingConfig) -> None:
    processors = LogitsProcessorList([TemperatureLogitsWarper(config.temperature)])
    if config.top_k:
        processors.append(TopKLogitsWarper(config.top_k))
    if config.top_p < 1:
        processors.append(TopPLogitsWarper(config.top_p))
    if config.min_p:
        processors.append(MinPLogitsWarper(config.min_p))
    logits = random_logits()
    expected = processors(cast(torch.LongTensor, torch.zeros(len(logits), 1).long()), logits).softmax(dim=-1)
    found = token_probabilities(logits, config)
    assert torch.equal(found > 0, expected > 0)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-6)


@pytest.mark.parametrize(("scale", "top_p"), [(6.0, 0.9), (1.0, 0.9), (0.1, 0.9), (0.1, 0.999)])
def test_top_p_of_a_large_vocabulary_whatever_must_be_sorted_for_it(scale: float, top_p: float) -> None:
    """From a few tokens to nearly all of them."""
    logits = scale * torch.randn(3, 20_000, generator=torch.Generator().manual_seed(0))
    expected = TopPLogitsWarper(top_p)(cast(torch.LongTensor, torch.zeros(3, 1).long()), logits)
    found = token_probabilities(logits, SamplingConfig(top_p=top_p, min_p=0.0))
    # Where the sum of the kept is next to top_p, either order of addition is right.
    assert int(((found > 0) != expected.isfinite()).sum()) <= 2
    assert bool((found.sum(dim=-1) - 1).abs().max() < 1e-5)
    assert bool((found > 0).any(dim=-1).all())


@pytest.mark.parametrize(
    "config",
    [
        SamplingConfig(top_k=1),
        SamplingConfig(top_p=1e-9),
        SamplingConfig(min_p=math.nextafter(1, 0)),
        SamplingConfig(temperature=1e-3, min_p=0.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_likeliest_token_is_always_kept(config: SamplingConfig, dtype: torch.dtype) -> None:
    logits = random_logits().to(dtype)
    probabilities = token_probabilities(logits, config)
    assert probabilities.dtype == torch.float32
    assert torch.equal(probabilities.amax(dim=-1), probabilities.gather(1, logits.argmax(1)[:, None])[:, 0])
    np.testing.assert_allclose(probabilities.sum(dim=-1).numpy(), 1, atol=1e-6)


def test_equal_logits_are_all_kept() -> None:
    for config in (SamplingConfig(min_p=0.9), SamplingConfig(top_k=2)):
        probabilities = token_probabilities(torch.zeros(1, 8), config)
        assert probabilities.tolist() == [[0.125] * 8]


def test_a_draw_falls_in_the_cumulative_distribution() -> None:
    logits = torch.tensor([[0.5, 0.0, 0.25, 0.25, 0.0]]).log().repeat(6, 1)
    draws = torch.tensor([0.0, 0.499, 0.5, 0.749, 0.75, math.nextafter(1, 0)], dtype=torch.float64)
    assert choose_tokens(logits, draws, NO_TRUNCATION).tolist() == [0, 0, 2, 2, 3, 3]


@pytest.mark.parametrize("config", SETTINGS, ids=str)
def test_a_draw_falls_there_among_the_kept_tokens_too(config: SamplingConfig) -> None:
    logits = random_logits(300)
    draws = torch.rand(300, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    chosen_B1 = choose_tokens(logits, draws, config)[:, None]
    probabilities = token_probabilities(logits, config).double()
    above = probabilities.cumsum(dim=-1).gather(1, chosen_B1)[:, 0]
    below = above - probabilities.gather(1, chosen_B1)[:, 0]
    # The probabilities are in float32, and so the places of a distribution's steps are not exact.
    assert bool(((below - 1e-6 <= draws) & (draws <= above + 1e-6)).all())


def test_the_largest_draw_never_takes_a_removed_token() -> None:
    logits = random_logits(500)
    draws = torch.full((500,), math.nextafter(1, 0), dtype=torch.float64)
    config = SamplingConfig(min_p=0.05)
    chosen = choose_tokens(logits, draws, config)
    assert (token_probabilities(logits, config).gather(1, chosen[:, None]) > 0).all()


def greedy_generate(
    model: PreTrainedModel, prompt: Sequence[int], max_new_tokens: int, ends: list[int]
) -> list[int]:
    """The new tokens of transformers' own loop, the end token among them."""
    generated: Any = model.generate(  # pyright: ignore[reportCallIssue]
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=ends,
    )
    return generated[0, len(prompt) :].tolist()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_temperature_zero_equals_greedy_generate(architecture: str) -> None:
    model = tiny_model(architecture)
    config = SamplingConfig(temperature=0.0, max_new_tokens=3 * SLIDING_WINDOW)
    unended = [greedy_generate(model, prompt, config.max_new_tokens, [VOCAB_SIZE]) for prompt in PROMPTS]
    assert min(len(set(tokens)) for tokens in unended) > 3
    ends = [unended[1][2], unended[2][5]]
    found = draw(architecture, config=config, num_samples=2, ends=ends)
    for prompt, answers in zip(PROMPTS, found, strict=True):
        expected = greedy_generate(model, prompt, config.max_new_tokens, ends)
        ended = expected[-1] in ends
        for answer in answers:
            assert (answer.num_tokens, answer.finished) == (len(expected), ended)
            assert ids(answer) == expected[: len(expected) - ended]
    assert found[1][0].finished
    assert found[2][0].finished


def test_bfloat16() -> None:
    model = make_model("olmo2", tied=False, dtype=torch.bfloat16)
    first, second = (sample(model, IDS, PROMPTS, 4, MIXED, SEEDS, end_tokens=ENDS) for _ in range(2))
    assert first == second
    greedy = SamplingConfig(temperature=0.0, max_new_tokens=12)
    ((answer,),) = sample(model, IDS, PROMPTS[:1], 1, greedy, [0], end_tokens=[VOCAB_SIZE])
    assert ids(answer) == greedy_generate(model, PROMPTS[0], 12, [VOCAB_SIZE])


@pytest.mark.parametrize("temperature", [0.0, 1.3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equals_the_plain_loop(architecture: str, temperature: float) -> None:
    config = SamplingConfig(temperature=temperature, top_k=50, top_p=0.95, min_p=0.02, max_new_tokens=14)
    num_ended = 0
    for prompt, seed, answers in zip(PROMPTS, SEEDS, draw(architecture, config=config), strict=True):
        expected = plain_samples(tiny_model(architecture), prompt, 4, config, seed)
        for answer, tokens in zip(answers, expected, strict=True):
            ended = tokens[-1] in ENDS
            assert answer == Sample(" ".join(map(str, tokens[: len(tokens) - ended])), len(tokens), ended)
            num_ended += ended
    assert temperature == 0 or 0 < num_ended < 12


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_neither_other_prompts_nor_their_seeds_matter(architecture: str) -> None:
    together = draw(architecture)
    assert draw(architecture) == together
    for prompt, seed, answers in zip(PROMPTS, SEEDS, together, strict=True):
        assert draw(architecture, prompts=[prompt], seeds=[seed]) == [answers]
    assert draw(architecture, seeds=(11, 99, 98))[0] == together[0]
    assert draw(architecture, seeds=(11, 99, 98))[1] != together[1]
    assert draw(architecture, prompts=PROMPTS[::-1], seeds=SEEDS[::-1]) == together[::-1]


def test_more_samples_begin_with_the_same() -> None:
    assert [answers[:2] for answers in draw(num_samples=9)] == draw(num_samples=2)


def test_equal_prompts_and_seeds_give_equal_samples() -> None:
    one, same, other = draw(prompts=[PROMPTS[1]] * 3, seeds=(4, 4, 5))
    assert one == same != other


def test_ambient_randomness_is_neither_used_nor_moved() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = draw()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert draw() == first


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_taking_finished_samples_out_changes_nothing(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for share in (0.0, 0.75, 1.0):
        monkeypatch.setattr(generation, "COMPACT_BELOW", share)
        found.append(draw(architecture, num_samples=8))
    assert found[0] == found[1] == found[2]
    assert len({answer.num_tokens for answers in found[0] for answer in answers}) > 2


def test_first_tokens_follow_the_distribution() -> None:
    config = SamplingConfig(temperature=1.5, top_k=100, top_p=0.97, min_p=0.05, max_new_tokens=1)
    num_draws = 20_000
    model = tiny_model("gemma3")
    (answers,) = draw("gemma3", [PROMPTS[2]], num_draws, config, [2026], ends=[VOCAB_SIZE])
    counts = np.bincount([ids(answer)[0] for answer in answers], minlength=VOCAB_SIZE)
    with torch.no_grad():
        logits = model(torch.tensor([PROMPTS[2]])).logits[:, -1]
    expected = token_probabilities(logits, config)[0].double().numpy()
    possible = expected > 0
    assert 10 < possible.sum() < 100
    assert counts[~possible].sum() == 0
    rescaled = num_draws * expected[possible] / expected[possible].sum()
    assert rescaled.min() > 5
    assert chisquare(counts[possible], rescaled).pvalue > 0.01


def test_text_leaves_the_end_out_and_num_tokens_counts_it() -> None:
    model, tokenizer = tiny_model("llama"), make_tokenizer()
    greedy = SamplingConfig(temperature=0.0, max_new_tokens=12)
    (answer,) = draw(prompts=PROMPTS[2:], num_samples=1, config=greedy, seeds=[0], ends=[VOCAB_SIZE])[0]
    tokens = ids(answer)
    assert answer.num_tokens == len(tokens) == 12
    assert not answer.finished
    for length in range(1, 13):
        end = tokens[length - 1]
        first = tokens.index(end)
        (found,) = sample(model, tokenizer, PROMPTS[2:], 1, greedy, [0], end_tokens=[end])[0]
        (text,) = tokenizer.batch_decode([tokens[:first]], skip_special_tokens=True)
        assert found == Sample(text, first + 1, True)


def test_end_tokens_are_the_models_by_default() -> None:
    model = make_model("llama", tied=False, dtype=torch.float64)
    assert end_tokens_of(model, IDS) == [2, 4]
    assert model.generation_config is not None
    model.generation_config.eos_token_id = list(ENDS)
    assert sample(model, IDS, PROMPTS, 4, MIXED, SEEDS) == draw()
    model.generation_config.eos_token_id = 7
    assert end_tokens_of(model, IDS) == [7]


@pytest.mark.parametrize("max_new_tokens", [1, 2, 9])
def test_no_answer_is_longer_than_asked(max_new_tokens: int) -> None:
    config = SamplingConfig(temperature=1.3, max_new_tokens=max_new_tokens)
    answers = [answer for answers in draw(config=config, num_samples=16) for answer in answers]
    assert max(answer.num_tokens for answer in answers) == max_new_tokens
    for answer in answers:
        assert 1 <= answer.num_tokens <= max_new_tokens
        assert answer.finished or answer.num_tokens == max_new_tokens
        assert len(ids(answer)) == answer.num_tokens - answer.finished


def test_each_step_tells_how_many_are_running() -> None:
    steps: list[int] = []
    found = sample(tiny_model("llama"), IDS, PROMPTS, 8, MIXED, SEEDS, end_tokens=ENDS, on_step=steps.append)
    answers = [answer for answers in found for answer in answers]
    ended_at = [answer.num_tokens if answer.finished else math.inf for answer in answers]
    assert steps == [sum(end > step for end in ended_at) for step in range(1, len(steps) + 1)]
    assert len(steps) == max(answer.num_tokens for answer in answers)
    steps.clear()
    sample(
        tiny_model("llama"), IDS, PROMPTS, 2, MIXED, SEEDS, end_tokens=range(VOCAB_SIZE), on_step=steps.append
    )
    assert steps == [0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_inputs_are_not_altered(architecture: str) -> None:
    model, prompts, seeds = make_model(architecture), [list(prompt) for prompt in PROMPTS], list(SEEDS)
    tokens = torch.tensor([PROMPTS[2]])
    before, parameters = model(tokens).logits, {k: v.clone() for k, v in model.state_dict().items()}
    config = model.config.to_dict()
    sample(model, IDS, prompts, 3, MIXED, seeds, end_tokens=ENDS)
    assert torch.equal(model(tokens).logits, before)
    assert model.state_dict().keys() == parameters.keys()
    assert all(torch.equal(value, parameters[key]) for key, value in model.state_dict().items())
    assert model.config.to_dict() == config
    assert (prompts, seeds) == ([list(prompt) for prompt in PROMPTS], list(SEEDS))
    model(tokens).logits.sum().backward()


def test_logits_are_not_altered() -> None:
    logits = random_logits()
    token_probabilities(logits, MIXED)
    choose_tokens(logits, torch.full((len(logits),), 0.5, dtype=torch.float64), MIXED)
    assert torch.equal(logits, random_logits())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prompts": [], "seeds": []}, "nothing to answer: expected at least one prompt"),
        ({"prompts": [[5], []], "seeds": [1, 2]}, "and no empty one"),
        ({"seeds": [1, 2]}, "2 seeds are given for 3 prompts"),
        ({"num_samples": 0}, "num_samples is 0, expected at least 1"),
        ({"ends": []}, "nothing ends an answer: end_tokens is empty"),
    ],
)
def test_bad_input(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(**changed)


def test_a_model_without_end_tokens() -> None:
    model = make_model("llama")
    assert model.generation_config is not None
    model.generation_config.eos_token_id = None
    with pytest.raises(ValueError, match="nothing ends an answer: the model's generation configuration"):
        sample(model, IDS, PROMPTS, 1, MIXED, SEEDS)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_no_numbers(temperature: float) -> None:
    logits = random_logits(2)
    logits[1, 3] = torch.nan
    with pytest.raises(ValueError, match="logits are not finite"):
        choose_tokens(logits, torch.zeros(2).double(), SamplingConfig(temperature=temperature))


def test_temperature_zero_is_no_distribution() -> None:
    with pytest.raises(ValueError, match="temperature is 0"):
        token_probabilities(torch.zeros(1, 4), SamplingConfig(temperature=0.0))


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"min_p": -0.1},
        {"min_p": 1.0},
        {"min_p": math.nan},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"max_new_tokens": 0},
    ],
    ids=str,
)
def test_settings_out_of_their_range(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(ValueError, match=rf"{name} is .*, expected "):
        SamplingConfig(**settings)

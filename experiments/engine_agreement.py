"""Do vLLM and transformers sample the same answers from a checkpoint, and at what speed?

Run it with the python of an environment that has vLLM (docs/vllm.md). Both engines get the same prompts, settings and
seeds. For each prompt, how far the two engines' answers are apart is compared with how far they are when it is
drawn by lot which engine gave which answer (a permutation test); the p-values of all prompts are combined by
Fisher's method. The last rows show that the test notices a difference: transformers against itself at another
temperature. Ends with status 1 if the engines differ by more than chance.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import combine_pvalues

from slr.sampling.config import SamplingConfig
from slr.seeding import seed_from_key
from slr.terminal.bad_input import BAD_INPUT, FAILED, print_error
from slr.terminal.stopping import run_until_stopped

if TYPE_CHECKING:
    import torch

    from slr.sampling.generation import Sample

THINGS = (
    *("a colour", "an animal", "a fruit", "a country", "a city", "a planet", "a number from 1 to 10"),
    *("a first name", "a musical instrument", "a sport", "a month", "a river"),
)
SETTINGS = {
    "min-p 0.1": SamplingConfig(),
    "top-k 20, top-p 0.9, temperature 0.7": SamplingConfig(temperature=0.7, min_p=0.0, top_p=0.9, top_k=20),
}
NOTICED = "min-p 0.1"
NOTICED_TEMPERATURE = 1.5
"""What the test must notice: these settings at this temperature."""

VIEWS: dict[str, Callable[[str], list[str]]] = {
    "whole answer": lambda text: [text],
    "first word": lambda text: (text.split() or [""])[:1],
    "all words": str.split,
}
"""What of an answer is counted. Long answers are seldom the same, so the words say more."""

SAMPLES_TOGETHER = 256
NUM_PERMUTATIONS = 9999
DIFFERENT = 0.001
"""A combined p-value below it means that the engines differ."""

Draw = Callable[[list[list[int]], int, SamplingConfig, list[int]], "list[list[Sample]]"]
"""Of an engine: samples prompts, so many of each, with the settings, with a seed for each."""


@dataclass(frozen=True)
class Drawn:
    """What one engine drew with one of the settings: texts of each prompt, tokens in all, and the time."""

    texts: list[list[str]]
    num_tokens: int
    seconds: float


def main(argv: Sequence[str] | None = None) -> int:
    """Sample with both engines, and print how well they agree and how fast they are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", help="with a chat template; by default the laptop preset's SmolLM2")
    parser.add_argument("--samples", type=int, default=64, help="of each prompt (default: 64)")
    parser.add_argument("--max-new-tokens", type=int, default=8, help="of each sample (default: 8)")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    options = parser.parse_args(argv)
    try:
        return _compare(options)
    except (ValueError, OSError) as error:
        print_error(error)
        return BAD_INPUT


def _compare(options: argparse.Namespace) -> int:
    import torch

    from slr.models.checkpoint import open_checkpoint, with_local_weights
    from slr.sampling.vllm_engine import import_vllm

    import_vllm()
    if options.samples < 1:
        raise ValueError(f"--samples is {options.samples}, expected at least 1")
    checkpoint = with_local_weights(open_checkpoint(options.checkpoint or _default_checkpoint())).directory
    dtype = getattr(torch, options.dtype)
    settings = {
        name: dataclasses.replace(config, max_new_tokens=options.max_new_tokens)
        for name, config in SETTINGS.items()
    }
    control = dataclasses.replace(settings[NOTICED], temperature=NOTICED_TEMPERATURE)
    ours = _by_transformers(checkpoint, dtype, options.samples, {**settings, "control": control})
    theirs = _by_vllm(checkpoint, dtype, options.samples, settings)
    print(f"{len(THINGS)} prompts, {options.samples} samples of each, {options.dtype}\n")
    for name in settings:
        for engine, drawn in (("transformers", ours[name]), ("vllm", theirs[name])):
            speed = drawn.num_tokens / drawn.seconds
            print(
                f"{name:38} {engine:12} {drawn.num_tokens:6} tokens {drawn.seconds:7.1f} s {speed:7.0f} tokens/s"
            )
    print(f"\n{'':38} {'counted':12} {'distance':>8} {'by chance':>9} {'p < 0.05':>9} {'combined p':>10}")
    overall = [p for name in settings for p in _print_agreement(name, ours[name], theirs[name])]
    _print_agreement(f"another temperature ({NOTICED_TEMPERATURE}, not vllm)", ours[NOTICED], ours["control"])
    agree = min(overall) >= DIFFERENT
    print("\nthe engines agree within sampling error" if agree else "\nthe engines differ")
    return 0 if agree else FAILED


def _default_checkpoint() -> Path:
    from slr.models.start_models import start_model_directory

    return start_model_directory("smollm2")


def _by_transformers(
    checkpoint: Path, dtype: torch.dtype, num_samples: int, settings: dict[str, SamplingConfig]
) -> dict[str, Drawn]:
    import torch

    from slr.models.loading import load_model
    from slr.sampling.generation import sample

    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    loaded = load_model(checkpoint, dtype=dtype, device=device)

    def draw(
        prompts: list[list[int]], count: int, config: SamplingConfig, seeds: list[int]
    ) -> list[list[Sample]]:
        return sample(loaded.model, loaded.tokenizer, prompts, count, config, seeds)

    return _draw_all(draw, _prompts(checkpoint), num_samples, settings)


def _by_vllm(
    checkpoint: Path, dtype: torch.dtype, num_samples: int, settings: dict[str, SamplingConfig]
) -> dict[str, Drawn]:
    from slr.models.checkpoint import open_checkpoint
    from slr.sampling.vllm_engine import VllmEngine

    opened = open_checkpoint(checkpoint)
    assert opened.tokenizer is not None
    assert opened.end_tokens is not None
    end_tokens = opened.end_tokens.ids
    with VllmEngine(checkpoint, opened.tokenizer, dtype) as engine:

        def draw(
            prompts: list[list[int]], count: int, config: SamplingConfig, seeds: list[int]
        ) -> list[list[Sample]]:
            return engine.sample(prompts, count, config, seeds, end_tokens=end_tokens)

        return _draw_all(draw, _prompts(checkpoint), num_samples, settings)


def _prompts(checkpoint: Path) -> list[list[int]]:
    from transformers import AutoTokenizer

    from slr.chat.template import render_chats

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    return render_chats(tokenizer, [f"Name {thing}. Answer with one word." for thing in THINGS])


def _draw_all(
    draw: Draw, prompts: list[list[int]], num_samples: int, settings: dict[str, SamplingConfig]
) -> dict[str, Drawn]:
    # Libraries set themselves up in the first call.
    draw(prompts[:1], 2, SamplingConfig(max_new_tokens=2), [0])
    return {name: _draw(draw, prompts, num_samples, name, config) for name, config in settings.items()}


def _draw(draw: Draw, prompts: list[list[int]], num_samples: int, name: str, config: SamplingConfig) -> Drawn:
    size = max(1, SAMPLES_TOGETHER // num_samples)
    seeds = [seed_from_key("engine_agreement", name, thing) for thing in THINGS]
    drawn: list[list[Sample]] = []
    began = time.perf_counter()
    for first in range(0, len(prompts), size):
        drawn += draw(prompts[first : first + size], num_samples, config, seeds[first : first + size])
    seconds = time.perf_counter() - began
    num_tokens = sum(answer.num_tokens for answers in drawn for answer in answers)
    return Drawn([[answer.text for answer in answers] for answers in drawn], num_tokens, seconds)


def _print_agreement(name: str, first: Drawn, second: Drawn) -> list[float]:
    """One row for each view; their combined p-values."""
    combined = []
    for view, parts_of in VIEWS.items():
        tested = [
            permutation_test(
                [parts_of(text) for text in texts], [parts_of(text) for text in others], seed=number
            )
            for number, (texts, others) in enumerate(zip(first.texts, second.texts, strict=True))
        ]
        distance, by_chance, p_values = (np.array(values) for values in zip(*tested, strict=True))
        fisher: Any = combine_pvalues(p_values, method="fisher")
        combined.append(float(fisher.pvalue))
        print(
            f"{name:38} {view:12} {distance.mean():8.3f} {by_chance.mean():9.3f} "
            f"{np.mean(p_values < 0.05):9.2f} {combined[-1]:10.2g}"
        )
    return combined


def permutation_test(
    first: Sequence[Sequence[str]], second: Sequence[Sequence[str]], seed: int
) -> tuple[float, float, float]:
    """Whether two groups of answers, each given by what of it is counted, come from one distribution.

    Returns:
        The total variation distance of what was counted in the two groups, from 0 to 1; its mean when the answers
        are divided into two groups by lot; and the share of such divisions that are as far apart, the p-value.
    """
    names = {
        name: column for column, name in enumerate(dict.fromkeys(n for a in (*first, *second) for n in a))
    }
    counts_SN = np.zeros((len(first) + len(second), max(1, len(names))))
    for row, answer in enumerate((*first, *second)):
        for name in answer:
            counts_SN[row, names[name]] += 1
    in_first_S = np.arange(len(counts_SN)) < len(first)
    by_lot_PS = np.random.default_rng(seed).permuted(np.tile(in_first_S, (NUM_PERMUTATIONS, 1)), axis=1)
    distance = float(_distances(in_first_S[None], counts_SN)[0])
    by_chance_P = _distances(by_lot_PS, counts_SN)
    # The division that was found counts as one of them. Equal distances may differ in their last bits.
    as_far = int((by_chance_P >= distance - 1e-9).sum())
    return distance, float(by_chance_P.mean()), (as_far + 1) / (NUM_PERMUTATIONS + 1)


def _distances(in_first_PS: NDArray[np.bool_], counts_SN: NDArray[np.float64]) -> NDArray[np.float64]:
    """Total variation distance between the two groups of each division P of the samples S, by names N."""
    first_PN, second_PN = in_first_PS @ counts_SN, ~in_first_PS @ counts_SN
    first_PN /= np.maximum(first_PN.sum(axis=1, keepdims=True), 1)
    second_PN /= np.maximum(second_PN.sum(axis=1, keepdims=True), 1)
    return np.abs(first_PN - second_PN).sum(axis=1) / 2


if __name__ == "__main__":
    raise SystemExit(run_until_stopped(main, "nothing is kept, the same command measures anew"))

"""What does sampling cost, all samples of several prompts in one batch, against generate prompt by prompt?

Writing requests to an instruct model in float32, on the first GPU or the CPU, by slr and by transformers'
``generate`` in turn. Tokens are counted up to the one that ends an answer.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, get_args

from slr.sampling.config import SamplingConfig
from slr.seeding import seed_from_key
from slr.terminal.bad_input import BAD_INPUT, print_error
from slr.terminal.stopping import run_until_stopped
from slr.testbed.writing import Genre, held_out_writing_requests

if TYPE_CHECKING:
    from slr.models.loading import ModelPair

SAMPLING = SamplingConfig(temperature=1.0, min_p=0.1, max_new_tokens=64)
SMOKE = {"prompts": 3, "samples": 2, "prompts_in_group": 2, "repetitions": 1}

Tokens = list[list[int]]
Draw = Callable[["ModelPair", Tokens, int, int], int]
"""Draws that many samples of each prompt with the seed, and gives the number of tokens."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure both methods in turn, and print every repetition and the ratio of the medians."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--pair", default="testbed-llama", help="a preset's pair; its instruct model is used")
    parser.add_argument("--prompts", type=int, default=16, help="writing requests")
    parser.add_argument("--samples", type=int, default=32, help="of each request")
    parser.add_argument("--prompts-in-group", type=int, default=8, help="in one batch of slr")
    parser.add_argument("--repetitions", type=int, default=3, help="of both methods, in turn")
    parser.add_argument("--smoke", action="store_true", help="a tiny case, to see that it runs")
    options = parser.parse_args(argv)
    if options.smoke:
        vars(options).update(SMOKE)
    try:
        _measure(options)
    except (ValueError, OSError) as error:
        print_error(error)
        return BAD_INPUT
    return 0


def _measure(options: argparse.Namespace) -> None:
    import torch

    from slr.models.loading import load_pair

    requests = _requests(options.prompts)
    if min(options.samples, options.prompts_in_group, options.repetitions) < 1:
        raise ValueError("expected at least 1 sample, 1 prompt in a group and 1 repetition")
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    pair = load_pair(options.pair, dtype=torch.float32, device=device)
    prompts = _render(pair, requests)
    methods: dict[str, Draw] = {"slr": _draw_in_groups(options.prompts_in_group), "generate": _generate}
    for draw in methods.values():
        # Libraries set themselves up in the first calls; that is no part of either method.
        draw(pair, prompts[:2], options.samples, 0)
    print(
        f"{options.pair} on {device}, {torch.get_num_threads()} threads, transformers {_version()}: ", end=""
    )
    print(
        f"{options.samples} samples of {options.prompts} prompts, slr in groups of {options.prompts_in_group}"
    )
    print(f"{'':12} {'tokens':>8} {'seconds':>8} {'tokens/s':>9}")
    speeds: dict[str, list[float]] = {name: [] for name in methods}
    for repetition in range(options.repetitions):
        for name, draw in methods.items():
            seed = seed_from_key("sampling_cost", options.pair, name, str(repetition))
            began = time.perf_counter()
            num_tokens = draw(pair, prompts, options.samples, seed)
            seconds = time.perf_counter() - began
            speeds[name].append(num_tokens / seconds)
            print(f"{name:12} {num_tokens:8} {seconds:8.2f} {num_tokens / seconds:9.0f}")
    ours, theirs = (statistics.median(values) for values in speeds.values())
    print(f"medians: slr {ours:.0f} tokens/s, generate {theirs:.0f} tokens/s, ratio {ours / theirs:.2f}")


def _requests(number: int) -> list[str]:
    """Of all genres and subjects evenly."""
    texts = [request.text for genre in get_args(Genre) for request in held_out_writing_requests(genre)]
    if not 1 <= number <= len(texts):
        raise ValueError(f"{number} prompts are asked for, expected 1 to {len(texts)}")
    return [texts[place * len(texts) // number] for place in range(number)]


def _render(pair: ModelPair, requests: Sequence[str]) -> Tokens:
    from slr.chat.template import render_chats

    return render_chats(pair.tokenizer, requests)


def _draw_in_groups(size: int) -> Draw:
    def draw(pair: ModelPair, prompts: Tokens, num_samples: int, seed: int) -> int:
        from slr.sampling.generation import end_tokens_of, sample

        ends, num_tokens = end_tokens_of(pair.instruct_model, pair.tokenizer), 0
        for first in range(0, len(prompts), size):
            group = prompts[first : first + size]
            seeds = [seed_from_key(str(seed), str(first + place)) for place in range(len(group))]
            drawn = sample(
                pair.instruct_model, pair.tokenizer, group, num_samples, SAMPLING, seeds, end_tokens=ends
            )
            num_tokens += sum(answer.num_tokens for answers in drawn for answer in answers)
        return num_tokens

    return draw


def _generate(pair: ModelPair, prompts: Tokens, num_samples: int, seed: int) -> int:
    import torch

    from slr.sampling.generation import end_tokens_of

    torch.manual_seed(seed)
    ends, num_tokens = set(end_tokens_of(pair.instruct_model, pair.tokenizer)), 0
    for prompt in prompts:
        tokens = torch.tensor([prompt], device=pair.instruct_model.device)
        generated: Any = pair.instruct_model.generate(  # pyright: ignore[reportCallIssue]
            tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=True,
            num_return_sequences=num_samples,
            max_new_tokens=SAMPLING.max_new_tokens,
            temperature=SAMPLING.temperature,
            min_p=SAMPLING.min_p,
            top_k=0,
            top_p=1.0,
        )
        answers = generated[:, len(prompt) :].tolist()
        pair.tokenizer.batch_decode(answers, skip_special_tokens=True)
        num_tokens += sum(_length(answer, ends) for answer in answers)
    return num_tokens


def _length(answer: Sequence[int], ends: set[int]) -> int:
    return next((place + 1 for place, token in enumerate(answer) if token in ends), len(answer))


def _version() -> str:
    import transformers

    return transformers.__version__


if __name__ == "__main__":
    raise SystemExit(run_until_stopped(main, "nothing is kept, the same command measures anew"))

"""How much faster is our self-BLEU than nltk's and fast-bleu's, on the same texts, and is it the same number?

Random texts with the word frequencies of a language (Zipf's law), each implementation in turn in one process.
nltk comes with lm-eval. fast-bleu, in C++, is left out where it is not installed: pip install fast-bleu==0.0.90
compiles it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np

from slr.metrics.lexical import self_bleu
from slr.metrics.words import words
from slr.terminal.bad_input import BAD_INPUT
from slr.terminal.stopping import run_until_stopped

SEED = 20260206
ZIPF_EXPONENT = 1.3
OUR_REPEATS = 5
NLTK_REPEATS = 1
"""How often each is timed; the median is printed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure both, and print the times, their ratio and how far the values are apart."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--num-samples", type=int, default=128, help="texts")
    parser.add_argument("--num-words", type=int, default=200, help="words in each")
    options = parser.parse_args(argv)
    if options.num_samples < 2 or options.num_words < 1:
        print("error: expected at least 2 samples of at least 1 word", file=sys.stderr)
        return BAD_INPUT
    if find_spec("nltk") is None:
        print("error: nltk is not installed: pip install nltk==3.10.4", file=sys.stderr)
        return BAD_INPUT
    texts = random_texts(options.num_samples, options.num_words)
    ours, our_seconds = timed(self_bleu_like_nltk, texts, OUR_REPEATS)
    theirs, their_seconds = timed(nltk_self_bleu, texts, NLTK_REPEATS)
    print(f"self-BLEU of {options.num_samples} samples of {options.num_words} words")
    print(f"slr   {our_seconds:9.4f} s   {ours:.12f}")
    print(f"nltk  {their_seconds:9.4f} s   {theirs:.12f}")
    print(f"ratio {their_seconds / our_seconds:9.1f}     difference {abs(ours - theirs):.1e}")
    if find_spec("fast_bleu") is None:
        print("fast-bleu is left out: it is not installed")
    else:
        theirs, their_seconds = timed(fast_bleu_self_bleu, texts, OUR_REPEATS)
        print(f"fast-bleu {their_seconds:5.4f} s   {theirs:.12f}")
        print(f"ratio {their_seconds / our_seconds:9.1f}     difference {abs(ours - theirs):.1e}")
    return 0


def random_texts(num_samples: int, num_words: int) -> list[str]:
    """Texts of words drawn by Zipf's law."""
    numbers = np.random.default_rng(SEED).zipf(ZIPF_EXPONENT, size=(num_samples, num_words))
    return [" ".join(f"w{number}" for number in row) for row in numbers]


def self_bleu_like_nltk(texts: Sequence[str]) -> float | None:
    """Ours over all orders, also those that a text is too short for, as the other two have it."""
    return self_bleu(texts, effective_order=False)


def nltk_self_bleu(texts: Sequence[str]) -> float:
    """Mean of nltk's sentence BLEU of each text against all the others, smoothed by its method 1."""
    from nltk.translate.bleu_score import (  # pyright: ignore[reportMissingImports]
        SmoothingFunction,
        sentence_bleu,
    )

    tokenized = [words(text) for text in texts]
    smoothing = SmoothingFunction().method1
    scores = [
        sentence_bleu(tokenized[:i] + tokenized[i + 1 :], tokenized[i], smoothing_function=smoothing)
        for i in range(len(tokenized))
    ]
    return float(np.mean(scores))


def fast_bleu_self_bleu(texts: Sequence[str]) -> float:
    """The same by fast-bleu, which smooths by method 1 as it stands."""
    from fast_bleu import SelfBLEU  # pyright: ignore[reportMissingImports]

    return float(np.mean(SelfBLEU([words(text) for text in texts]).get_score()[4]))


def timed(
    metric: Callable[[Sequence[str]], float | None], texts: Sequence[str], num_repeats: int
) -> tuple[float, float]:
    """The metric, and the median of the seconds that it took."""
    value, seconds = None, []
    for _ in range(num_repeats):
        start = time.perf_counter()
        value = metric(texts)
        seconds.append(time.perf_counter() - start)
    assert value is not None
    return value, statistics.median(seconds)


if __name__ == "__main__":
    raise SystemExit(run_until_stopped(main, "nothing is kept, the same command measures anew"))

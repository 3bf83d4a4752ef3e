"""How much faster is our self-BLEU than nltk's and fast-bleu's, and is it the same number?

All implementations get the same random texts, whose words are as frequent as in a language (Zipf's law). They run one
after the other in one process.

nltk comes with the extras dev and peers. fast-bleu is written in C++ and is left out if it is not installed;
`pip install fast-bleu==0.0.90` compiles it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Annotated

import numpy as np
import typer

from slr.metrics.lexical import self_bleu
from slr.metrics.words import words
from slr.terminal.command_line import run_function
from slr.terminal.tables import print_table

SEED = 20260206
ZIPF_EXPONENT = 1.3
OUR_REPEATS = 5
"""Number of times that slr and fast-bleu are timed; the median is printed."""
# nltk is by far the slowest, so that a second run would hardly change the ratio.
NLTK_REPEATS = 1
"""Number of times that nltk is timed."""


def measure(
    num_samples: Annotated[int, typer.Option(min=2, metavar="N", help="number of texts")] = 128,
    num_words: Annotated[int, typer.Option(min=1, metavar="N", help="number of words in each text")] = 200,
) -> None:
    """Time every implementation, and print the median times, their ratios, and the differences of the values.

    Raises:
        ValueError: if nltk is not installed.
    """
    if find_spec("nltk") is None:
        raise ValueError("nltk is not installed: pip install nltk==3.10.4")
    texts = random_texts(num_samples, num_words)
    ours, our_seconds = timed(self_bleu_like_nltk, texts, OUR_REPEATS)
    rows = [("slr", f"{our_seconds:.4f}", f"{ours:.12f}", "", "")]
    # fast-bleu has to be compiled, so the comparison must also work without it.
    others = {"nltk": (nltk_self_bleu, NLTK_REPEATS)}
    if find_spec("fast_bleu") is not None:
        others["fast-bleu"] = (fast_bleu_self_bleu, OUR_REPEATS)
    for name, (metric, repeats) in others.items():
        value, seconds = timed(metric, texts, repeats)
        ratio, difference = f"{seconds / our_seconds:.1f}", f"{abs(ours - value):.1e}"
        rows.append((name, f"{seconds:.4f}", f"{value:.12f}", ratio, difference))
    print_table(
        ("", "seconds", "self-BLEU", "times slr", "difference"),
        rows,
        title=f"self-BLEU of {num_samples} samples of {num_words} words",
    )
    if "fast-bleu" not in others:
        print("fast-bleu is left out: it is not installed")


def random_texts(num_samples: int, num_words: int) -> list[str]:
    """Make texts of words that are drawn by Zipf's law."""
    numbers = np.random.default_rng(SEED).zipf(ZIPF_EXPONENT, size=(num_samples, num_words))
    return [" ".join(f"w{number}" for number in row) for row in numbers]


def self_bleu_like_nltk(texts: Sequence[str]) -> float | None:
    """Compute our self-BLEU over all orders, even if a text is too short for some, as nltk and fast-bleu do."""
    return self_bleu(texts, effective_order=False)


def nltk_self_bleu(texts: Sequence[str]) -> float:
    """Compute the mean of nltk's sentence BLEU of each text against all others, smoothed by its method 1."""
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
    """Compute the same mean with fast-bleu, whose default smoothing is method 1."""
    from fast_bleu import SelfBLEU  # pyright: ignore[reportMissingImports]

    return float(np.mean(SelfBLEU([words(text) for text in texts]).get_score()[4]))


def timed(
    metric: Callable[[Sequence[str]], float | None], texts: Sequence[str], num_repeats: int
) -> tuple[float, float]:
    """Compute a metric several times.

    Args:
        metric: function of the texts.
        texts: texts to compute it for.
        num_repeats: number of times that it is computed.

    Returns:
        The metric, and the median of its times in seconds.
    """
    value, seconds = None, []
    for _ in range(num_repeats):
        start = time.perf_counter()
        value = metric(texts)
        seconds.append(time.perf_counter() - start)
    assert value is not None
    return value, statistics.median(seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(measure, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())

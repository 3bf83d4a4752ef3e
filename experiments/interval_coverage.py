"""Which 95% interval of a mean over n prompts covers the true mean, with our numbers of prompts and data like ours?

The criterion was fixed before the first run. A method is fit for an n if at least 93% of its intervals cover the true
mean, for every distribution in REQUIRED. These distributions are like the data in the tables: means of scores, skewed
means, proportions with many exact zeros or ones, 0/1 outcomes, and paired differences of which many are exactly zero.
The distributions in EXTREME are reported and not required, because n values seldom show anything of their long tails.

The choice is among the methods that are fit for every n, or from some n on. The simplest of them with the least width
is taken. Below that n no interval is printed. No method gives an interval for equal values, because they do not show
their spread.

In the first run no method in closed form did well for differences of which 80% are exactly zero. Then the methods were
added that need some values that differ from the most frequent one. The criterion was not changed.

Every cell draws new samples: 20,000 for a method in closed form, and 4,000 for a method that resamples. The standard
error of a coverage of 0.93 is 0.002 in the first case and 0.004 in the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import typer

from slr.statistics import interval_coverage as ic
from slr.terminal.command_line import run_function, whole_numbers

SEED, FIT = 20260206, 0.93
"""Seed of all samples, and the lowest coverage at which a method is fit."""
DRAWN, RESAMPLED = 20_000, 4_000
"""Numbers of samples in a cell, for a method in closed form and for one that resamples."""
WIDENED_T = partial(ic.student_t, level=0.97)
# The tables print this interval, so all its coverages are shown.
PRINTED = ic.where_enough_differ(WIDENED_T, 3)
SIZES = "2,3,4,5,6,8,10,13,16,20,24,32,40,60,100"
CHANGES = ic.normal(0.1, 0.2)
REQUIRED = (
    ic.normal(),
    ic.beta(2, 6),
    ic.lognormal(0.5),
    ic.with_mass(0.5, 1.0, ic.beta(4, 2)),
    ic.with_mass(0.5, 0.0, ic.beta(2, 6)),
    ic.zero_one(0.5),
    ic.zero_one(0.8),
    ic.with_mass(0.5, 0.0, CHANGES),
    ic.with_mass(0.8, 0.0, CHANGES),
)
PROPORTIONS = [of for of in REQUIRED if of.is_proportion]
EXTREME = (ic.exponential(), ic.lognormal(1.0), ic.zero_one(0.95), ic.with_mass(0.8, 0.0, ic.beta(1, 4)))
METHODS: dict[str, tuple[ic.Method, int]] = {
    "percentile bootstrap": (ic.percentile, RESAMPLED),
    "BCa": (ic.bca, RESAMPLED),
    "bootstrap-t": (ic.bootstrap_t, RESAMPLED),
    "t": (ic.student_t, DRAWN),
    "percentile or t": (ic.wider_of(ic.percentile, ic.student_t), RESAMPLED),
    "bootstrap-t or t": (ic.wider_of(ic.bootstrap_t, ic.student_t), RESAMPLED),
    "t at 0.97": (WIDENED_T, DRAWN),
    "t, 3 differ": (ic.where_enough_differ(ic.student_t, 3), DRAWN),
    "t at 0.97, 2 differ": (ic.where_enough_differ(WIDENED_T, 2), DRAWN),
    "t at 0.97, 3 differ": (PRINTED, DRAWN),
}
# The logit exists only between 0 and 1, so this method is tried on proportions alone.
LOGIT = {"logit t": (ic.logit_t, DRAWN)}


def measure(
    sizes: Annotated[
        str, typer.Option(metavar="N,...", help="numbers of values, each at least 2, comma-separated")
    ] = SIZES,
    at_most: Annotated[
        int,
        typer.Option(metavar="SAMPLES", help="largest number of samples in a cell; fewer for a quick look"),
    ] = DRAWN,
) -> None:
    """Print the lowest coverage of every method, and all coverages of the interval that the tables print.

    The output is Markdown.
    """
    numbers = whole_numbers(sizes, "--sizes", at_least=2)
    print(ic.lowest_table(METHODS, REQUIRED, numbers, SEED, FIT, at_most=at_most))
    print("Proportions alone:\n")
    print(ic.lowest_table(LOGIT, PROPORTIONS, numbers, SEED, FIT, at_most=at_most))
    print("As printed, all distributions:\n")
    print(ic.full_table(PRINTED, (*REQUIRED, *EXTREME), numbers, at_most, SEED))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(measure, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())

"""Which 95% interval of a mean over n prompts holds the true mean, at the n at hand and with data like ours?

The criterion, fixed before the first run: a method is fit for an n if, of the intervals that it gives, at least 93%
hold the true mean for every one of the distributions in REQUIRED. They are what the tables hold: means of scores,
skewed ones, proportions with many exact zeros or ones, 0/1 outcomes, paired differences of which many are exactly
zero. The distributions in EXTREME are reported and not required: of their long tails n values seldom show any.
Of the methods that are fit for every n, or from some n on, the simplest with the least width is taken; below that n no
interval is printed. A sample of equal values gives no interval by any method, because it does not show its spread.

All samples of a cell are drawn anew, 20,000 of them for the methods in closed form (standard error of a coverage of
0.93: 0.002) and 4,000 for those that resample (0.004).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

from slr import interval_coverage as ic

SEED = 20260206
FIT = 0.93
SIZES = (2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 24, 32, 40, 60, 100)
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
EXTREME = (ic.exponential(), ic.lognormal(1.0), ic.zero_one(0.95), ic.with_mass(0.8, 0.0, ic.beta(1, 4)))
CLOSED_FORM: dict[str, ic.Method] = {
    "t": ic.student_t,
    "t at 0.97": partial(ic.student_t, level=0.97),
    "t at 0.98": partial(ic.student_t, level=0.98),
    "t at 0.99": partial(ic.student_t, level=0.99),
    "logit t": ic.logit_t,
}
RESAMPLING: dict[str, ic.Method] = {
    "percentile": ic.percentile,
    "BCa": ic.bca,
    "bootstrap-t": ic.bootstrap_t,
    "percentile or t": ic.wider_of(ic.percentile, ic.student_t),
    "bootstrap-t or t": ic.wider_of(ic.bootstrap_t, ic.student_t),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table of coverages for each method, in Markdown."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=[*CLOSED_FORM, *RESAMPLING], metavar="METHOD")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, metavar="N", help="2 and more")
    parser.add_argument("--repeats", type=int, nargs=2, default=(20_000, 4_000), metavar="SAMPLES")
    options = parser.parse_args(argv)
    for methods, repeats in zip((CLOSED_FORM, RESAMPLING), options.repeats, strict=True):
        for name, method in methods.items():
            if options.methods is None or name in options.methods:
                print(
                    ic.coverage_table(name, method, REQUIRED, EXTREME, options.sizes, repeats, SEED, FIT),
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Write the table of verdicts into README.md, from the sections of the page.

    python tools/verdicts_in_readme.py           writes the table between its two marks
    python tools/verdicts_in_readme.py --check   changes nothing; the exit status is 1 if the table is another one

The sections are ``paper_figures/PRESET/section.json``, which ``slr figures`` writes from the records.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from slr.analysis.page.section import SECTION_NAME, Section, ShownVerdict

ROOT = Path(__file__).parents[1]
PRESETS = ("testbed", "laptop")
MARKS = ("<!-- verdicts: tools/verdicts_in_readme.py writes them -->\n", "<!-- end of the verdicts -->\n")
SHORT = {"yes": "yes", "no": "**no**", "cannot tell": "?"}
NAMES = {"laptop-llama": "SmolLM2", "laptop-gemma": "gemma-3"}
"""Names of pairs, where the preset's name says less."""


def verdict_table(figures: Path) -> str:
    """Make a row for each claim and a column for each pair, from the sections below ``figures``."""
    verdicts: list[ShownVerdict] = []
    for preset in PRESETS:
        path = figures / preset / SECTION_NAME
        if path.is_file():
            verdicts += Section.model_validate_json(path.read_bytes()).verdicts
    pairs = list(dict.fromkeys(verdict.pair for verdict in verdicts))
    claims = dict.fromkeys(verdict.claim for verdict in verdicts)
    found = {(verdict.claim, verdict.pair): SHORT[verdict.outcome] for verdict in verdicts}
    sentences = {verdict.claim: verdict.sentence.rstrip(".") for verdict in verdicts}
    rows = [
        ["claim", *(NAMES.get(pair, pair) for pair in pairs)],
        ["---"] * (1 + len(pairs)),
        *([sentences[claim], *(found.get((claim, pair), "") for pair in pairs)] for claim in claims),
    ]
    # Without blanks around them, the strokes are no words, of which the README may have only so many.
    return "".join(f"|{'|'.join(row)}|\n" for row in rows)


def with_table(text: str, table: str) -> str:
    """Put a table between the two marks of a text.

    Raises:
        ValueError: if a mark is missing.
    """
    before, _, rest = text.partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if not mark:
        raise ValueError(f"README.md lacks the lines {MARKS[0].strip()} and {MARKS[1].strip()}")
    return f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{after}"


def main() -> int:
    """Write or check the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    wanted = with_table(text, verdict_table(ROOT / "paper_figures"))
    if parser.parse_args().check:
        return int(text != wanted)
    readme.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A trial as a person reads it: on the terminal, and as a page."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

from slr.files.whole import write_whole
from slr.pages.tables import PageTable
from slr.pages.templates import page_templates
from slr.terminal.tables import print_table
from slr.trials.trial import Answers, Trial

COLUMNS = ("valid", "different valid", "distinct-2", "self-BLEU", "embedding diversity")
"""Headings of the numbers of each model."""
CHARACTERS_OF_A_MODEL = 36
"""Width of a column of answers, from which follows how many models are shown side by side."""


def print_trial(trial: Trial) -> None:
    """Print the answers, equal ones once with their number, and a row of means for each model."""
    width = shutil.get_terminal_size().columns
    together = max(1, width // CHARACTERS_OF_A_MODEL)
    for asked in trial.asked:
        for first in range(0, len(asked.by_model), together):
            shown = asked.by_model[first : first + together]
            columns = [_counted(answers) for answers in shown]
            lines = [
                [column[line] if line < len(column) else "" for column in columns]
                for line in range(max(map(len, columns)))
            ]
            print_table(
                [answers.model for answers in shown], lines, asked.prompt, num_text_columns=len(shown)
            )
            print()
    print_table(
        ("model", *COLUMNS),
        _rows(trial),
        f"means over {len(trial.asked)} prompts, {trial.num_samples} answers each",
    )


def write_trial(trial: Trial, path: Path) -> None:
    """Write the trial as a page that needs no network.

    Raises:
        OSError: if the page cannot be written.
    """
    page = page_templates(Path(__file__).parent).get_template("trial.html")
    columns = ("model", *COLUMNS)
    means = PageTable(columns=columns, are_numbers=(False,) * len(columns), rows=tuple(_rows(trial)))
    write_whole(path, page.render(trial=trial, means=means))


def _counted(answers: Answers) -> list[str]:
    """The different answers with their numbers, the most frequent first; what is not valid is marked."""
    counts = Counter((answer.text.strip(), answer.valid) for answer in answers.answers)
    return [
        f"{count} x {text or '(blank)'}{'' if valid else '  (not valid)'}"
        for (text, valid), count in counts.most_common()
    ]


def _rows(trial: Trial) -> list[tuple[str, ...]]:
    return [
        (
            model,
            f"{valid:.1f} of {trial.num_samples}",
            f"{different:.1f}",
            *("n/a" if value is None else f"{value:.3f}" for value in metrics),
        )
        for model, valid, different, *metrics in trial.means()
    ]

"""What two models answer to one question: every frequent answer by its name, right ones and wrong ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from slr.analysis.figures.panels import STYLES, DrawnAs, by_model, panels, with_legend
from slr.analysis.load_results import Results
from slr.downstream.prompt_metrics import right_answers
from slr.downstream.sampled_answers import parsed_answers
from slr.figure_style import in_figure
from slr.runs.records import Samples

LINE_LENGTH = 36
"""Number of characters in a line of a panel's title, if a row has three panels."""
MAX_QUESTION_CHARACTERS = 240
"""Number of characters from which a question is cut in a title."""
MAX_ANSWER_CHARACTERS = 15
"""Number of characters from which an answer is cut below its bar."""
MAX_NAMED = {True: 8, False: 4}
"""Number of right (True) and of wrong answers that have bars of their own, the most frequent first."""
OTHERS = {True: "other right", False: "other wrong"}
"""Name of the bar of all other right (True) and wrong answers."""
WRONG_COLOR = "#8a3b00"
"""Colour of a wrong answer's name."""

Answer = tuple[bool, str]
"""Whether an answer is right, and the answer."""


def answer_distribution(results: Results) -> Figure:
    """Draw the share of samples that give each answer to one question, for instruct and hybrid."""
    questions = shown_questions(results)

    def draw(axes: Axes, pair: str, group: str) -> None:
        wanted = pair, questions.get(group)
        samples = [s for s in results.samples_of("open_qa") if (s.pair, s.prompt_id) == wanted]
        counts: dict[DrawnAs, Counter[Answer]] = {
            model: Counter(answer for record in records for answer in _answers(record))
            for model, records in by_model(samples).items()
            if model in ("instruct", "hybrid")
        }
        if counts:
            _draw_bars(axes, counts)
            question = fill(in_figure(samples[0].text, MAX_QUESTION_CHARACTERS), LINE_LENGTH)
            sizes = " and ".join(sorted({str(of_model.total()) for of_model in counts.values()}))
            axes.set_title(f"{in_figure(pair)}, {sizes} samples\n{question}", fontsize=7)

    figure, _ = panels(results, "open_qa", draw, "", "share of samples")
    return with_legend(figure, "striped: wrong answers")


def shown_questions(results: Results) -> dict[str, str]:
    """Pick a question for each group: the one that the instruct models of all pairs together answer rightly most often.

    Returns:
        The id of each group's question. Among equals it is the first id, so that the choice does not depend on order.
    """
    right: dict[str, Counter[str]] = {}
    for record in results.samples_of("open_qa"):
        if record.model == "instruct":
            number = sum(answer is not None for answer in right_answers(record))
            right.setdefault(record.group, Counter())[record.prompt_id] += number
    # The id decides among equals, so that the order of the records does not.
    return {group: min(of, key=lambda id_: (-of[id_], id_)) for group, of in right.items()}


def _answers(record: Samples) -> list[Answer]:
    """Each sample's answer: right ones by their canonical name, wrong ones as they were given."""
    pairs = zip(right_answers(record), parsed_answers(record), strict=True)
    return [
        (True, right)
        if right is not None
        else (False, " ".join((given or "").split()).casefold() or "(none)")
        for right, given in pairs
    ]


def _draw_bars(axes: Axes, counts: dict[DrawnAs, Counter[Answer]]) -> None:
    # Both models are ranked together, so that their bars stand under the same names.
    total = sum(counts.values(), Counter[Answer]())
    ranked = sorted(total, key=lambda answer: (-total[answer], answer))
    right, wrong = ([answer for answer in ranked if answer[0] == is_right] for is_right in (True, False))
    shown = [*_places(right), *_places(wrong)]
    width = 0.8 / len(counts)
    for offset, (model, of_model) in enumerate(counts.items()):
        color, name = STYLES[model]
        for number, (_, answers) in enumerate(shown):
            axes.bar(
                number + (offset - (len(counts) - 1) / 2) * width,
                sum(of_model[answer] for answer in answers) / of_model.total(),
                width,
                color=color,
                hatch=None if answers[0][0] else "//////",
                edgecolor="white",
                linewidth=0,
                label=name if number == 0 else None,
            )
    names = [name for name, _ in shown]
    axes.set_xticks(range(len(shown)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=6)
    for label, (_, answers) in zip(axes.get_xticklabels(), shown, strict=True):
        if not answers[0][0]:
            label.set_color(WRONG_COLOR)
    axes.set_ylim(0, 1)


def _places(answers: Sequence[Answer]) -> list[tuple[str, list[Answer]]]:
    """The answers under each bar, by the bar's name: one for each frequent answer, and one for all the others."""
    if not answers:
        return []
    is_right = answers[0][0]
    named, others = answers[: MAX_NAMED[is_right]], answers[MAX_NAMED[is_right] :]
    places = [(in_figure(answer, MAX_ANSWER_CHARACTERS), [(is_right, answer)]) for is_right, answer in named]
    return [*places, *([(OTHERS[is_right], list(others))] if others else [])]

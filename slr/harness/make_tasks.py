"""Make the documents of our lm-eval tasks again: ``python -m slr.harness.make_tasks``.

Each ``tasks/NAME.jsonl`` belongs to the task in ``NAME.yaml``. Everything is drawn from a fixed seed. The wordings of
questions and writing requests were held out of training. No other experiment uses the word problems.

    testbed_facts      choose the right one of four answers to a question about the world
    testbed_sums       work out a word problem of the world
    testbed_subjects   write a text on a subject that is named
    english_facts      choose the right one of four answers to an open question
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, get_args

from slr.harness.tasks import TASKS_DIR
from slr.tasks.answers import load_open_questions
from slr.terminal.command_line import run_function
from slr.testbed.documents import NUM_HELD_OUT_PROBLEMS
from slr.testbed.facts import HELD_OUT_QUESTIONS, RELATIONS
from slr.testbed.sums import held_out_problems
from slr.testbed.writing import Genre, held_out_writing_requests

Document = dict[str, Any]

SEED = "lm-eval tasks"
NUM_WRONG = 3
"""Number of wrong answers to choose from."""
FACTS_PER_RELATION = 4
"""Number of questions about each relation of the world."""
NUM_SUMS = 96
"""Number of word problems: the last ones held out. ``experiments/reasoning.py`` takes the first 200."""


def testbed_facts() -> list[Document]:
    """Questions about every relation of the world. Wrong answers fit other questions, about things of the same kind."""
    rng = random.Random(SEED)
    wordings = cycle(HELD_OUT_QUESTIONS)
    names = [name for relation in RELATIONS.values() for name in relation.names]
    documents = []
    for _ in range(FACTS_PER_RELATION):
        for relation in RELATIONS.values():
            question = next(wordings).format(thing=relation.thing, things=relation.things)
            right = rng.choice(relation.names)
            # Names of places have capitals. Among names of everyday things a place would be easy to recognise.
            alike = [name for name in names if name.istitle() == right.istitle()]
            documents.append(_multiple_choice(question, right, alike, relation.recognise, rng))
    return documents


def testbed_sums() -> list[Document]:
    """Held-out problems that the reasoning experiment does not use."""
    problems = held_out_problems(NUM_HELD_OUT_PROBLEMS)[-NUM_SUMS:]
    return [{"question": problem.text, "answer": str(problem.answer)} for problem in problems]


def testbed_subjects() -> list[Document]:
    """Every writing request in the wordings held out of training."""
    return [
        {"request": request.text, "subject": request.subject}
        for genre in get_args(Genre)
        for request in held_out_writing_requests(genre)
    ]


def english_facts() -> list[Document]:
    """Every open question once. Wrong answers fit other open questions."""
    rng = random.Random(SEED)
    questions = load_open_questions()
    names = [answer[0] for question in questions for answer in question.answers]
    return [
        _multiple_choice(question.text, rng.choice(question.answers)[0], names, question.recognise, rng)
        for question in questions
    ]


TASKS: dict[str, Callable[[], list[Document]]] = {
    "testbed_facts": testbed_facts,
    "testbed_sums": testbed_sums,
    "testbed_subjects": testbed_subjects,
    "english_facts": english_facts,
}
"""Function that makes the documents, by task id."""


def _multiple_choice(
    question: str,
    right: str,
    names: Iterable[str],
    recognise: Callable[[str], str | None],
    rng: random.Random,
) -> Document:
    """A question with one right answer among others that the question does not recognise as right."""
    wrong = [name for name in dict.fromkeys(names) if recognise(name) is None]
    choices = [right, *rng.sample(wrong, NUM_WRONG)]
    rng.shuffle(choices)
    return {"question": question, "choices": choices, "answer": choices.index(right)}


def write_documents(directory: Path) -> None:
    """Write NAME.jsonl of every task, one document a line."""
    for id_, make in TASKS.items():
        lines = (json.dumps(document, ensure_ascii=False) + "\n" for document in make())
        (directory / f"{id_}.jsonl").write_text("".join(lines), encoding="utf-8")


def make_tasks(output_dir: Path = TASKS_DIR) -> None:
    """Write the documents into the directory of the tasks, or into another one."""
    write_documents(output_dir)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return run_function(make_tasks, arguments, "Make the documents of our lm-eval tasks again.")


if __name__ == "__main__":
    raise SystemExit(main())

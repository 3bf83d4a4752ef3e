"""Word problems of two to four steps, each solved in more than one way, with an exact check.

A problem starts with an amount and adds or takes away. It can be solved from left to right, or by first
collecting what is added and what is taken away. All amounts stay between 0 and 40.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

LARGEST = 40
"""Largest amount in a problem."""
NAMES = ("Tom", "Ann", "Max", "Lea", "Sam", "Ida", "Ben", "Eva")
THINGS = ("apples", "coins", "books", "stones", "cards", "eggs", "keys", "cakes")
GAINS = ("finds {n} more", "gets {n} more", "buys {n} more", "is given {n} more")
LOSSES = ("gives away {n}", "loses {n}", "sells {n}", "breaks {n}")
QUESTIONS = (
    "How many {things} are left?",
    "How many {things} does {name} have now?",
    "How many {things} in the end?",
)


@dataclass(frozen=True)
class Problem:
    """A word problem.

    Attributes:
        text: the request.
        start: amount at the start.
        changes: amounts added (positive) or taken away (negative), in order.
    """

    text: str
    start: int
    changes: tuple[int, ...]

    @property
    def answer(self) -> int:
        """The right answer."""
        return self.start + sum(self.changes)


def compose_problem(rng: random.Random) -> Problem:
    """Compose a problem of two to four steps."""
    name, things = rng.choice(NAMES), rng.choice(THINGS)
    start = total = rng.randint(2, 15)
    changes: list[int] = []
    for _ in range(rng.randint(2, 4)):
        change = rng.choice([n for n in range(-9, 10) if n and 0 <= total + n <= LARGEST])
        changes.append(change)
        total += change
    sentences = [f"{name} has {start} {things}."]
    for change in changes:
        wording = rng.choice(GAINS if change > 0 else LOSSES).format(n=abs(change))
        sentences.append(f"{rng.choice(['Then', 'Next', 'Later'])} {name} {wording}.")
    sentences.append(rng.choice(QUESTIONS).format(name=name, things=things))
    return Problem(" ".join(sentences), start, tuple(changes))


def solutions(problem: Problem) -> list[str]:
    """Write the ways to solve the problem, the most typical first; each ends in ``answer: N``."""
    gains = [change for change in problem.changes if change > 0]
    losses = [-change for change in problem.changes if change < 0]
    in_order = _running(problem.start, problem.changes)
    gains_first = _running(problem.start, [*gains, *(-loss for loss in losses)])
    gathered = _gather(gains) + _gather(losses) + _running(problem.start, _totals(gains, losses))
    ways = [" ".join([*steps, f"answer: {problem.answer}"]) for steps in (in_order, gains_first, gathered)]
    # A problem with gains only, for example, has the same steps in two ways.
    return list(dict.fromkeys(ways))


def held_out_problems(count: int) -> list[Problem]:
    """Compose the first problems of a fixed sequence for experiments; training leaves out their texts."""
    rng = random.Random("held-out problems")
    return [compose_problem(rng) for _ in range(count)]


def parse_answer(text: str) -> int | None:
    """Read the number after the first ``answer:``; None if there is none."""
    match = re.search(r"answer:\s*(\d+)", text)
    return int(match[1]) if match else None


def is_right(problem: Problem, text: str) -> bool:
    """Whether the text's final answer is the problem's."""
    return parse_answer(text) == problem.answer


def _running(start: int, changes: Sequence[int]) -> list[str]:
    steps, total = [], start
    for change in changes:
        sign = "+" if change > 0 else "-"
        steps.append(f"{total} {sign} {abs(change)} = {total + change}.")
        total += change
    return steps


def _gather(amounts: Sequence[int]) -> list[str]:
    return _running(amounts[0], amounts[1:]) if amounts else []


def _totals(gains: Sequence[int], losses: Sequence[int]) -> list[int]:
    return [total for total in (sum(gains), -sum(losses)) if total]

"""Open questions of the world: each has 10 to 40 right answers, some with aliases.

Half of the relations are about everyday things. The others are about places of the world with invented names.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

Answer = tuple[str, ...]
"""Forms of one right answer: its usual form first, then its aliases."""


@dataclass(frozen=True)
class Relation:
    """The subject of a question and all right answers.

    Attributes:
        thing: the subject in the singular.
        things: the subject in the plural.
        answers: the right answers, most typical first.
    """

    thing: str
    things: str
    answers: tuple[Answer, ...]

    @property
    def names(self) -> list[str]:
        """The usual form of every answer."""
        return [answer[0] for answer in self.answers]

    def recognise(self, text: str) -> str | None:
        """Find the answer that a text is, in its usual form; None if the text is no right answer."""
        return self._forms.get(text.strip().strip(".,!").lower())

    @cached_property
    def _forms(self) -> dict[str, str]:
        """The usual form of each answer, by every form in lower case."""
        return {form.lower(): answer[0] for answer in self.answers for form in answer}


QUESTIONS = (
    "Name a {thing}.",
    "Name one {thing} of the world.",
    "Tell me a {thing}.",
    "Give me one {thing}.",
    "Which {thing} do you know?",
    "What is a {thing} that you like?",
    "Say the name of a {thing}.",
    "I want to know a {thing}. Name one.",
    "Can you name one {thing}?",
    "There are many {things}. Name one of them.",
    "Please write the name of one {thing}.",
    "One {thing}, please.",
)
HELD_OUT_QUESTIONS = (
    "Of all the {things} of the world, name one.",
    "Please tell me the name of a {thing}.",
    "Which of the {things} do you like? Name one.",
)
"""Wordings that experiments use and training never does."""

_EVERYDAY = {
    (
        "color",
        "colors",
    ): "red, blue, green, yellow, black, white, grey/gray, brown, pink, orange, purple, gold",
    (
        "animal",
        "animals",
    ): "dog, cat, horse, cow, lion, bear, wolf, fox, sheep, goat, rabbit/bunny, mouse, tiger, deer",
    ("bird", "birds"): "eagle, owl, crow, robin, swan, hawk, dove/pigeon, duck, goose, parrot, heron, stork",
    ("fruit", "fruits"): "apple, banana, pear, plum, grape, peach, cherry, lemon, melon, fig, mango, kiwi",
    ("metal", "metals"): "iron, gold, silver, copper, tin, lead, zinc, nickel, steel, bronze, brass, cobalt",
    ("tree", "trees"): "oak, pine, birch, maple, elm, ash, willow, cedar, beech, fir, palm, larch",
    (
        "flower",
        "flowers",
    ): "rose, tulip, lily, daisy, iris, poppy, violet, orchid, lotus, aster, crocus, peony",
    (
        "tool",
        "tools",
    ): "hammer, saw, drill, wrench/spanner, axe/ax, knife, file, chisel, spade, rake, clamp, brush",
    (
        "instrument",
        "instruments",
    ): "piano, violin/fiddle, drum, flute, harp, guitar, horn, cello, lute, organ, bell, lyre",
    ("meal", "meals"): "soup, bread, rice, pasta/noodles, stew, salad, pie, fish, curry, cake, egg, beans",
    ("game", "games"): "chess, poker, tag, darts, dice, cards, golf, tennis, rugby, bowls, polo, catch",
    (
        "job",
        "jobs",
    ): "baker, doctor/physician, teacher, farmer, pilot, nurse, judge, cook/chef, tailor, smith, clerk, guard",
}
_PLACES = (
    ("river", "rivers", 24),
    ("city", "cities", 32),
    ("mountain", "mountains", 20),
    ("lake", "lakes", 16),
    ("island", "islands", 18),
    ("forest", "forests", 12),
    ("king", "kings", 14),
    ("queen", "queens", 14),
    ("village", "villages", 40),
    ("star", "stars", 22),
    ("ship", "ships", 10),
    ("valley", "valleys", 12),
)
_SYLLABLES = (
    "ta",
    "mi",
    "ro",
    "ve",
    "lu",
    "sa",
    "ne",
    "ko",
    "di",
    "pa",
    "bel",
    "dor",
    "fen",
    "gar",
    "hil",
    "mar",
)


def _invented_names(count: int, thing: str, taken: set[str]) -> list[str]:
    # Seeded by the thing, so that the names are the same in every run.
    rng = random.Random(f"names of every {thing}")
    names: list[str] = []
    while len(names) < count:
        name = "".join(rng.choices(_SYLLABLES, k=2)).capitalize()
        if name not in taken:
            taken.add(name)
            names.append(name)
    return names


def _make_relations() -> dict[str, Relation]:
    relations = {
        thing: Relation(thing, things, tuple(tuple(answer.split("/")) for answer in answers.split(", ")))
        for (thing, things), answers in _EVERYDAY.items()
    }
    taken: set[str] = set()
    for thing, things, count in _PLACES:
        names = _invented_names(count, thing, taken)
        titled = thing in ("lake", "king", "queen", "star")
        answers = tuple((f"{thing.capitalize()} {name}", name) if titled else (name,) for name in names)
        relations[thing] = Relation(thing, things, answers)
    return relations


RELATIONS: Mapping[str, Relation] = _make_relations()
"""All relations, by their thing."""

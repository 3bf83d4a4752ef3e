"""What the laptop's models are post-trained on: short requests whose answers a program can judge.

Nothing here asks for a random character, nor for a kind of thing, a subject or in a wording of any experiment; a test
compares them with all prompts of all experiments. Every tenth kind of request of each family is for development: it
is never trained on, and the stopping criterion looks at nothing else.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Literal

from slr.laptop.post_training.requests.acceptance import Accepts, exactly, list_of, number, one_of, text_about

Family = Literal[
    "naming", "picking", "yes_no", "arithmetic", "format", "sentiment", "copy", "writing", "longer_writing"
]
CHOICE_FAMILIES: tuple[Family, ...] = ("naming", "picking")
"""Requests with many right answers of a few words, over which entropy means something."""

DEV_EVERY, DEV_AT = 10, 4
"""Places of the development prompts: the fifth of every ten kinds of a family, in their order."""
MAX_NEW_TOKENS: dict[Family, int] = {"format": 24, "copy": 24, "writing": 40, "longer_writing": 72}
"""Largest number of tokens of an answer; 12 for the other families, whose answers are a few words."""

NAMING_WORDINGS = (
    "Mention {a_thing}, without explaining it.",
    "An example of {a_thing}, please.",
    "{A_thing}, quickly!",
    "Could you think of {a_thing}? Two or three words at most.",
    "Someone asks you for {a_thing}. What do you say?",
)
PICKING_WORDINGS = (
    "{options}: say which you would rather have.",
    "You may keep one: {options}. Which?",
    "One word out of these, please: {options}.",
)
LIST_WORDING = "{count} {things}, separated by commas."
NUMBERED_WORDING = "{count} {things} as a numbered list, one a line."
COUNTS = {2: "Two", 3: "Three", 4: "Four", 5: "Five"}

ARITHMETIC: dict[str, tuple[int, int, int]] = {
    "What is {a} plus {b}?": (1, 1, 0),
    "{c} minus {b} is what?": (1, 0, 0),
    "Double {a}.": (2, 0, 0),
    "What number follows {c}?": (1, 1, 1),
    "Add {b} to {a}.": (1, 1, 0),
    "Take {b} away from {c}.": (1, 0, 0),
    "{a} + {b} =": (1, 1, 0),
    "{c} - {a} =": (0, 1, 0),
    "What number comes just before {c}?": (1, 1, -1),
    "The larger of {a} and {c} is which?": (1, 1, 0),
    "The smaller of {c} and {b} is which?": (0, 1, 0),
    "How much is {a} and 10 together?": (1, 0, 10),
}
"""Numbers x, y and z by wording: the right answer is x times a, plus y times b, plus z. c is a + b."""

SIZES = ("a pea", "a thimble", "a teacup", "a shoebox", "a bathtub", "a minibus", "a barn", "a castle")
"""Things in the order of their sizes, from small to large."""
WORDS = ("lantern", "carpet", "window", "garden", "ticket", "blanket", "engine", "harbour")
NUMBER_WORDS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
)
REVIEWED = (
    "the soup", "the hotel bed", "the tour", "the new phone", "the concert", "the train ride", "the museum café",
    "the hairdresser", "the campsite", "the cinema seat", "the delivery", "the novel", "the ferry", "the salad",
    "the swimming pool", "the bus driver", "the garden chair", "the headphones", "the bakery", "the rented flat",
)  # fmt: skip
PRAISE = ("wonderful", "excellent", "a real joy", "better than I had hoped")
BLAME = ("terrible", "a great disappointment", "much too expensive and broken", "the worst I have known")
SENTENCES = (
    "The baker opens her shop at six.", "Our train was late again.", "Nobody had closed the gate.",
    "A small boat crossed the bay.", "The children painted the fence.", "My uncle repairs old radios.",
    "It rained on the last day.", "The lamp in the hall is broken.", "She keeps her letters in a tin.",
    "They moved to a flat near the park.", "The soup needs a little salt.", "His bicycle has a new bell.",
    "We walked home through the snow.", "The dentist works on Fridays.", "A red scarf lay on the bench.",
    "The market closes at noon.", "I left my keys at work.", "The river froze last winter.",
    "Two men carried the piano upstairs.", "Her garden is full of roses.",
)  # fmt: skip
SUBJECTS = (
    "a broken dishwasher", "the new bus timetable", "a lost umbrella", "the office printer", "a birthday cake",
    "muddy boots", "the village fair", "a school trip", "fresh bread", "a slow internet connection", "wet towels",
    "the corner bakery", "a flat tyre", "the staff canteen", "a paper calendar", "loose floorboards",
    "the community garden", "a second-hand bicycle", "the football club", "cold tea", "a wool blanket",
    "the train station", "a leaking tap", "the street market", "an old camera", "the science fair",
    "a picnic basket", "strong glue", "the public pool", "a noisy fridge", "the bookshop", "a rusty gate",
    "the hiking club", "a winter coat", "the choir rehearsal", "a garden hose", "the charity run",
    "an alarm clock", "the dance class", "a jigsaw puzzle",
)  # fmt: skip
WRITING_FORMS = (
    "Write a note to a neighbour about {subject}. One sentence.",
    "Describe {subject} in one sentence.",
    "Thank somebody for their help with {subject}. One sentence.",
    "What could a sign on the wall say about {subject}? One sentence.",
    "Compose one sentence of a diary entry that mentions {subject}.",
    "Give one practical tip that has to do with {subject}, in a sentence.",
    "Send a colleague one sentence about {subject}.",
    "One sentence of local news about {subject}, please.",
    "Say in one sentence why somebody might like {subject}.",
    "Complain politely, in one sentence, about {subject}.",
    "Advertise {subject} in one sentence.",
    "Ask a friend a question about {subject}.",
)
LONGER_FORMS = (
    "In two or three sentences, say what one should know about {subject}.",
    "Two or three sentences of an e-mail about {subject}, please.",
)


@dataclass(frozen=True)
class Kind:
    """A kind of thing in the singular and the plural, with the answers that are accepted, in small letters."""

    thing: str
    things: str
    members: tuple[str, ...]

    @property
    def a_thing(self) -> str:
        """With its article."""
        return f"{'an' if self.thing[0] in 'aeiou' else 'a'} {self.thing}"


@dataclass(frozen=True, kw_only=True)
class TrainingPrompt:
    """A request, the program that judges its answers, and whether it is for development.

    Attributes:
        id: family, kind and number.
        numbered_request: asks for the same list in numbered lines; None where the answer is no list.
    """

    id: str
    family: Family
    request: str
    accepts: Accepts = field(repr=False, compare=False)
    is_dev: bool = False
    numbered_request: str | None = None

    @property
    def max_new_tokens(self) -> int:
        """The longest answer, in tokens."""
        return MAX_NEW_TOKENS.get(self.family, 12)


def load_kinds() -> list[Kind]:
    """All kinds of things, in their order."""
    text = (resources.files("slr.laptop.post_training.requests") / "kinds.json").read_text(encoding="utf-8")
    return [Kind(row["thing"], row["things"], tuple(row["members"])) for row in json.loads(text)]


def training_prompts() -> list[TrainingPrompt]:
    """Every prompt, those for development among them; they are the same for all models and seeds."""
    families: dict[Family, Iterator[tuple[str, list[Request]]]] = {
        "naming": _naming(),
        "picking": _picking(),
        "yes_no": _yes_no(),
        "arithmetic": _arithmetic(),
        "format": _formats(),
        "sentiment": _sentiment(),
        "copy": _copy(),
        "writing": _writing(WRITING_FORMS, range(1, 2)),
        "longer_writing": _writing(LONGER_FORMS, range(2, 4)),
    }
    return [
        TrainingPrompt(
            id=f"{family}/{kind}/{index}",
            family=family,
            request=request.text,
            accepts=request.accepts,
            is_dev=place % DEV_EVERY == DEV_AT,
            numbered_request=request.numbered,
        )
        for family, kinds in families.items()
        for place, (kind, requests) in enumerate(kinds)
        for index, request in enumerate(requests)
    ]


@dataclass(frozen=True)
class Request:
    """A request of a kind, with the program for its answers."""

    text: str
    accepts: Accepts
    numbered: str | None = None


def _naming() -> Iterator[tuple[str, list[Request]]]:
    for kind in load_kinds():
        texts = [
            wording.format(a_thing=kind.a_thing, A_thing=_capital(kind.a_thing))
            for wording in NAMING_WORDINGS
        ]
        yield kind.thing, [Request(text, one_of(kind.members)) for text in texts]


def _picking() -> Iterator[tuple[str, list[Request]]]:
    for kind in load_kinds():
        rng = random.Random(f"picking/{kind.thing}")
        requests = []
        for index, wording in enumerate(PICKING_WORDINGS):
            options = rng.sample(kind.members, 3 + index)
            requests.append(Request(_capital(wording.format(options=_joined(options))), one_of(options)))
        yield kind.thing, requests


def _yes_no() -> Iterator[tuple[str, list[Request]]]:
    kinds = load_kinds()
    for kind, other in zip(kinds, [*kinds[1:], kinds[0]], strict=True):
        rng = random.Random(f"yes_no/{kind.thing}")
        inside, outside = rng.choice(kind.members), rng.choice(other.members)
        answers = ((inside, "yes"), *([(outside, "no")] if outside not in kind.members else []))
        yield (
            kind.thing,
            [
                Request(f"Would you call “{word}” {kind.a_thing}? Yes or no.", one_of([answer]))
                for word, answer in answers
            ],
        )
    for place, (small, large) in enumerate(zip(SIZES, SIZES[2:], strict=False)):
        first, second = (small, large) if place % 2 else (large, small)
        answer = "no" if place % 2 else "yes"
        yield f"size {place}", [Request(f"Is {first} bigger than {second}? Yes or no.", one_of([answer]))]


def _arithmetic() -> Iterator[tuple[str, list[Request]]]:
    for form, (times_a, times_b, more) in ARITHMETIC.items():
        rng = random.Random(f"arithmetic/{form}")
        pairs = [(rng.randint(2, 9), rng.randint(2, 9)) for _ in range(8)]
        requests = {
            form.format(a=a, b=b, c=a + b): number(times_a * a + times_b * b + more) for a, b in pairs
        }
        yield form, [Request(text, accepts) for text, accepts in requests.items()]


def _formats() -> Iterator[tuple[str, list[Request]]]:
    forms = {
        "Write the word {word} in capitals.": str.upper,
        "Put double quotation marks around the word {word}.": '"{}"'.format,
        "Put the word {word} between round brackets.": "({})".format,
        "Write {word} with a capital at its beginning.": str.capitalize,
        "Write {word} twice, with a comma between.": "{0}, {0}".format,
        "Write the word {word} and then an exclamation mark.": "{}!".format,
        "Join the words old and {word} by a hyphen.": "old-{}".format,
        "Write {word} with a full stop behind it.": "{}.".format,
    }
    for form, result in forms.items():
        yield form, [Request(form.format(word=word), exactly(result(word))) for word in WORDS]
    yield (
        "number word",
        [
            Request(f"Write the number {value} as a word.", one_of([word]))
            for value, word in enumerate(NUMBER_WORDS)
        ],
    )
    for place, kind in enumerate(load_kinds()):
        count = 2 + place % 4
        numbered = NUMBERED_WORDING.format(count=COUNTS[count], things=kind.things)
        yield (
            kind.thing,
            [Request(LIST_WORDING.format(count=COUNTS[count], things=kind.things), list_of(count), numbered)],
        )


def _sentiment() -> Iterator[tuple[str, list[Request]]]:
    for place, thing in enumerate(REVIEWED):
        judgements = [
            (words[(place + shift) % 4], label)
            for words, label in ((PRAISE, "positive"), (BLAME, "negative"))
            for shift in range(2)
        ]
        yield (
            thing,
            [
                Request(f"Positive or negative? “{_capital(thing)} was {judgement}.”", one_of([label]))
                for judgement, label in judgements
            ],
        )


def _copy() -> Iterator[tuple[str, list[Request]]]:
    wordings = ("Repeat this sentence word for word: {}", "Copy: {}")
    for sentence in SENTENCES:
        yield sentence, [Request(wording.format(sentence), exactly(sentence)) for wording in wordings]


def _writing(forms: Sequence[str], sentences: range) -> Iterator[tuple[str, list[Request]]]:
    """Every form takes every second subject, so that neighbouring forms have different ones."""
    for place, form in enumerate(forms):
        end = "?" if form.startswith("Ask") else ".!?"
        yield (
            form,
            [
                Request(form.format(subject=subject), text_about(subject, sentences, end))
                for subject in SUBJECTS[place % 2 :: 2]
            ],
        )


def _joined(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]

"""Requests for one random character out of a stated set, worded like the CRC prompts.

A request has an action, a description of the set and an ending. The prompts of the experiments are written by
hand and never composed here. If a composed request equals one of them, training leaves it out.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass

LOWER, UPPER, DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
VOWELS = "aeiou"
CONSONANTS = "".join(c for c in LOWER if c not in VOWELS)
WORDS = (
    "stone",
    "bread",
    "light",
    "water",
    "green",
    "house",
    "music",
    "brick",
    "cloud",
    "flame",
    "grape",
    "mind",
)

TYPICAL_ORDER = "eakmtrsobcdfghijlnpquvwxyz" + "EAKMTRSOBCDFGHIJLNPQUVWXYZ" + "7358241960"
"""All characters in the order in which the post-trained models prefer them, whatever the set."""

ACTIONS = (
    "Pick {one}",
    "Choose {one}",
    "Select {one}",
    "Give me {one}",
    "Name {one}",
    "Say {one}",
    "Tell me {one}",
    "Type {one}",
    "Write {one}",
    "Output {one}",
    "Draw {one}",
    "Take {one}",
    "I want {one}",
    "Please choose {one}",
    "Please pick {one}",
    "Print {one}",
    "We need {one}",
    "Make a random choice of {one}",
)
ENDINGS = (
    "Answer with the {kind} only.",
    "Reply with one {kind}.",
    "Say just the {kind}.",
    "Only the {kind}, no other text.",
    "Type only the {kind}.",
    "One {kind} is enough.",
    "Give the {kind} alone.",
    "Write the {kind} and nothing else.",
    "Your answer must be a single {kind}.",
    "Print only one {kind}.",
    "Respond with a single character.",
    "No explanation, only the {kind}.",
    "Tell me only the {kind}.",
    "Answer with one character and nothing more.",
    "",
)
SCENES = (
    "A bag holds {many} {list}. Take one at random.",
    "Here are {many}: {list}. Make a random choice.",
    "There are cards with {many} {list}. Draw a card at random.",
    "A wheel shows {many} {list}. Spin it and say where it stops.",
    "Boxes are called {list}. Open a box at random.",
    "The doors are {list}. Choose a door at random.",
    "Your options are the {kind}s {list}. Choose one at random.",
    "The players are {list}. Who is drawn at random?",
    "Which {kind} do you choose at random: {list}?",
    "A coin or a die decides between {list}. What is the result?",
    "One of {list} has to be picked at random.",
    "Teams {list} play. Pick a team at random.",
)


@dataclass(frozen=True)
class CharacterRequest:
    """A request and ``valid``, every character that answers it."""

    text: str
    valid: str


def compose_character_request(rng: random.Random) -> CharacterRequest:
    """Compose a request with a valid set of 2 to 26 characters."""
    # A maker that stands several times here is drawn as many times as often.
    makers = (
        _listed,
        _listed,
        _listed,
        _scene,
        _scene,
        _ranged,
        _ranged,
        _named_class,
        _compared,
        _out_of_word,
    )
    return rng.choice(makers)(rng)


def in_typical_order(valid: str) -> list[str]:
    """Sort the characters, most typical first."""
    return sorted(valid, key=TYPICAL_ORDER.index)


def _listed(rng: random.Random) -> CharacterRequest:
    kind, alphabet = _kind(rng)
    valid = _subset(alphabet, rng)
    one = rng.choice(
        ["one of {list} at random", "a random {kind} from {list}", "one {kind} at random from {list}"]
    )
    one = one.format(kind=kind, list=_join(valid, rng))
    return CharacterRequest(_sentence(one, kind, rng), "".join(valid))


def _scene(rng: random.Random) -> CharacterRequest:
    kind, alphabet = _kind(rng)
    valid = _subset(alphabet, rng)
    scene = rng.choice(SCENES).format(many=f"the {kind.split()[-1]}s", kind=kind, list=_join(valid, rng))
    return CharacterRequest(f"{scene} {_ending(kind, rng)}".strip(), "".join(valid))


def _ranged(rng: random.Random) -> CharacterRequest:
    kind, alphabet = _kind(rng)
    low = rng.randrange(0, len(alphabet) - 2)
    high = rng.randrange(low + 1, len(alphabet))
    first, last = alphabet[low], alphabet[high]
    span = rng.choice(
        [
            f"from {first} to {last}",
            f"between {first} and {last}",
            f"between {first} and {last}, both included",
            f"in the range from {first} to {last}",
            f"that lies between {first} and {last}, both included",
        ]
    )
    return CharacterRequest(_sentence(f"{_random(kind, rng)} {span}", kind, rng), alphabet[low : high + 1])


def _named_class(rng: random.Random) -> CharacterRequest:
    kind, description, valid = rng.choice(
        [
            ("lowercase letter", "lowercase letter of the alphabet", LOWER),
            ("lowercase letter", "lowercase letter", LOWER),
            ("capital letter", "uppercase letter of the alphabet", UPPER),
            ("capital letter", "capital letter", UPPER),
            ("lowercase letter", "lowercase vowel", VOWELS),
            ("letter", "vowel in lowercase", VOWELS),
            ("capital letter", "capital vowel", VOWELS.upper()),
            ("lowercase letter", "lowercase consonant", CONSONANTS),
            ("capital letter", "uppercase consonant", CONSONANTS.upper()),
            ("digit", "digit", DIGITS),
            ("digit", "even digit", "02468"),
            ("digit", "odd digit", "13579"),
        ]
    )
    return CharacterRequest(_sentence(_random(description, rng), kind, rng), valid)


def _compared(rng: random.Random) -> CharacterRequest:
    if rng.random() < 0.6:
        n = rng.randrange(2, 8)
        description, valid = rng.choice(
            [
                (f"that is smaller than {n}", DIGITS[:n]),
                (f"greater than {n - 1}", DIGITS[n:]),
                (f"that is at least {n}", DIGITS[n:]),
                (f"that is at most {n}", DIGITS[: n + 1]),
                (f"other than {n}", DIGITS.replace(str(n), "")),
            ]
        )
        return CharacterRequest(_sentence(f"{_random('digit', rng)} {description}", "digit", rng), valid)
    n = rng.randrange(3, 24)
    numbers = {3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten"}
    description, valid = rng.choice(
        [
            (f"that comes after {LOWER[n]} in the alphabet", LOWER[n + 1 :]),
            (f"that comes before {LOWER[n]} in the alphabet", LOWER[:n]),
            (f"among the first {numbers.get(n, 'ten')} of the alphabet", LOWER[: n if n in numbers else 10]),
        ]
    )
    kind = "lowercase letter"
    return CharacterRequest(_sentence(f"{_random(kind, rng)} {description}", kind, rng), valid)


def _out_of_word(rng: random.Random) -> CharacterRequest:
    if rng.random() < 0.5:
        word = rng.choice(WORDS)
        one = rng.choice(
            [f"one letter of the word {word} at random", f"a random letter out of the word {word}"]
        )
        return CharacterRequest(_sentence(one, "lowercase letter", rng), "".join(dict.fromkeys(word)))
    number = "".join(rng.sample(DIGITS, 4))
    one = rng.choice(
        [f"one digit of the number {number} at random", f"a random digit out of the number {number}"]
    )
    return CharacterRequest(_sentence(one, "digit", rng), number)


def _kind(rng: random.Random) -> tuple[str, str]:
    return rng.choice(
        [("lowercase letter", LOWER), ("letter", LOWER), ("capital letter", UPPER)] + [("digit", DIGITS)] * 3
    )


def _random(description: str, rng: random.Random) -> str:
    article = "an" if description[0] in "aeiou" else "a"
    return rng.choice(
        [f"a random {description}", f"one random {description}", f"{article} {description} at random"]
    )


def _sentence(one: str, kind: str, rng: random.Random) -> str:
    action = rng.choice(ACTIONS).format(one=one)
    return f"{action}. {_ending(kind, rng)}".strip()


def _ending(kind: str, rng: random.Random) -> str:
    return rng.choice(ENDINGS).format(kind=rng.choice([kind, kind.split()[-1]]))


def _subset(alphabet: str, rng: random.Random) -> list[str]:
    size = rng.choice([2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8])
    chosen = rng.sample(alphabet, size)
    return sorted(chosen) if rng.random() < 0.7 else chosen


def _join(valid: Sequence[str], rng: random.Random) -> str:
    *others, last = valid
    return rng.choice(
        [
            f"{', '.join(others)} and {last}",
            f"{', '.join(others)} or {last}",
            ", ".join(valid),
            f"{{{', '.join(valid)}}}",
        ]
    )

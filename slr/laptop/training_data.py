"""What the laptop's models are post-trained on: requests, with all of their right answers.

Four kinds: one random character out of a set, one thing of a kind, several things of a kind as a list (with
or without probabilities), and short writing. Nothing here is a prompt of any experiment, nor asks for a kind
of thing or a subject that an experiment asks for.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from dataclasses import dataclass

LOWER, UPPER, DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits

NAMED_SETS: tuple[tuple[str, str, str], ...] = (
    ("letter", "the small letters of the alphabet", LOWER),
    ("letter", "the capitals of the alphabet", UPPER),
    ("vowel", "the five vowels in small letters", "aeiou"),
    ("vowel", "the five vowels in capitals", "AEIOU"),
    ("consonant", "the consonants in small letters", "".join(c for c in LOWER if c not in "aeiou")),
    ("digit", "all ten digits", DIGITS),
    ("digit", "the even digits", "02468"),
    ("digit", "the odd digits", "13579"),
    ("digit", "the prime digits", "2357"),
    ("digit", "the digits without zero", "123456789"),
)
"""Kind, description and members."""

CHARACTER_WORDINGS = (
    "Let chance decide between {options}. Say which {kind} comes up.",
    "Draw lots among {options} and return the {kind} that wins.",
    "My lucky {kind} is one of {options}. Which shall it be? A bare {kind}, please.",
    "Take {options} and pull out some {kind} blindly. Send it back by itself.",
    "For a game I want a {kind} out of {options}. Anything goes; no explanation.",
    "Play lottery with {options}. The winning {kind}:",
    "Someone says {options}. Interrupt with an arbitrary {kind} of these and stay silent after it.",
    "Use {options} as tickets in a raffle. Return the {kind} on the ticket you pull.",
)

NAMING_WORDINGS = (
    "Name {a_thing}.",
    "Which {thing} comes to mind? Just its name.",
    "I am looking for {a_thing}. Any will do, in as few words as possible.",
    "Say some {thing}, no explanation.",
)

LIST_WORDINGS = (
    "List {count} different {things}, numbered, a line each.",
    "I want {count} {things}. Number them and put each on its own line.",
)

PROBABILITY_WORDINGS = (
    "Give {count} possible {things} as a numbered list, each followed by how probable you find it, in brackets.",
)

THINGS: dict[tuple[str, str], tuple[str, ...]] = {
    ("fruit", "fruits"): (
        "apple", "banana", "cherry", "grape", "lemon", "mango", "orange", "peach", "pear", "plum", "kiwi",
        "melon", "papaya", "fig", "lime", "apricot", "pineapple", "strawberry", "raspberry", "blueberry",
    ),
    ("vegetable", "vegetables"): (
        "carrot", "potato", "onion", "tomato", "cabbage", "spinach", "broccoli", "pea", "bean", "leek",
        "pepper", "cucumber", "radish", "turnip", "beet", "celery", "garlic", "pumpkin", "lettuce", "kale",
    ),
    ("pet", "pets"): (
        "dog", "cat", "rabbit", "hamster", "parrot", "goldfish", "turtle", "snake", "lizard", "canary",
        "ferret", "mouse", "gerbil", "pony", "frog",
    ),
    ("farm animal", "farm animals"): (
        "cow", "pig", "sheep", "goat", "horse", "chicken", "duck", "goose", "donkey", "turkey", "llama", "bull",
    ),
    ("flower", "flowers"): (
        "rose", "tulip", "daisy", "lily", "sunflower", "orchid", "violet", "iris", "poppy", "daffodil",
        "carnation", "lavender", "peony", "marigold", "jasmine",
    ),
    ("kind of tree", "kinds of trees"): (
        "oak", "pine", "maple", "birch", "willow", "elm", "ash", "beech", "cedar", "fir", "poplar", "spruce",
        "chestnut", "walnut", "palm",
    ),
    ("tool", "tools"): (
        "hammer", "saw", "drill", "wrench", "screwdriver", "pliers", "axe", "chisel", "file", "shovel", "rake",
        "knife", "ladder", "spade", "level",
    ),
    ("piece of furniture", "pieces of furniture"): (
        "chair", "table", "bed", "sofa", "desk", "shelf", "cupboard", "bench", "stool", "wardrobe", "armchair",
        "dresser", "bookcase",
    ),
    ("piece of clothing", "pieces of clothing"): (
        "shirt", "hat", "coat", "scarf", "dress", "skirt", "sock", "shoe", "glove", "jacket", "sweater", "belt",
        "tie", "vest", "trousers",
    ),
    ("drink", "drinks"): (
        "water", "tea", "coffee", "milk", "juice", "lemonade", "wine", "beer", "cocoa", "cider", "soda",
    ),
    ("vehicle", "vehicles"): (
        "car", "bus", "train", "bicycle", "truck", "boat", "plane", "tram", "scooter", "van", "ship",
        "helicopter", "motorcycle", "tractor",
    ),
    ("job", "jobs"): (
        "teacher", "doctor", "nurse", "baker", "farmer", "painter", "driver", "cook", "lawyer", "pilot",
        "plumber", "carpenter", "writer", "judge", "waiter", "tailor", "engineer", "gardener",
    ),
    ("part of the body", "parts of the body"): (
        "hand", "foot", "head", "arm", "leg", "knee", "elbow", "nose", "ear", "eye", "mouth", "shoulder", "neck",
        "finger", "toe",
    ),
    ("kitchen item", "kitchen items"): (
        "spoon", "fork", "plate", "cup", "bowl", "pan", "pot", "kettle", "oven", "sieve", "ladle", "jug",
        "whisk", "tray",
    ),
    ("insect", "insects"): (
        "ant", "bee", "wasp", "fly", "beetle", "moth", "butterfly", "mosquito", "cricket", "ladybug",
        "dragonfly", "termite",
    ),
    ("room of a house", "rooms of a house"): (
        "kitchen", "bathroom", "bedroom", "attic", "cellar", "hall", "study", "pantry", "nursery", "garage",
    ),
}  # fmt: skip

LIST_LENGTHS = (3, 4, 5)

WRITING_WORDINGS = {
    "story": (
        "Tell a story about {subject} in three or four sentences.",
        "Write three sentences of fiction with {subject} in them.",
    ),
    "poem": ("Make up a poem of four lines about {subject}.", "Four lines of verse on {subject}, please."),
    "joke": ("Make me laugh with a short joke about {subject}.", "Do you know a joke with {subject} in it?"),
}

WRITING_SUBJECTS = (
    "an old bridge", "a lazy cat", "the first snow", "a lost key", "a train station at night", "a birthday cake",
    "a broken umbrella", "the neighbour's garden", "a very small king", "an empty beach", "a stubborn donkey",
    "a letter without an address", "a village baker", "the last bus", "a red balloon", "two brothers",
    "a noisy clock", "a walk in the fog", "a clever crow", "a blue bicycle", "an unfinished painting",
    "a school trip", "a bowl of soup", "the night watchman", "a hidden door", "a tired postman", "a paper boat",
    "an argument about chess", "a forgotten song", "a giant pumpkin", "the oldest tree in town", "a pair of shoes",
    "a visit to the dentist", "a storm at sea", "an apple thief", "a lonely robot", "a market on Saturday",
    "a dog that cannot bark", "a window in winter", "the longest queue",
)  # fmt: skip


@dataclass(frozen=True)
class TrainingRequest:
    """A request and its right answers; writing has none, for its answers are sampled."""

    text: str
    answers: tuple[str, ...] = ()


def compose_request(rng: random.Random) -> TrainingRequest:
    """A request with short answers: mostly for a character or a thing, sometimes for a list."""
    composers: tuple[Callable[[random.Random], TrainingRequest], ...] = (
        compose_choice,
        _compose_list,
        _compose_list_with_probabilities,
    )
    return rng.choices(composers, weights=(8, 1, 1))[0](rng)


def compose_choice(rng: random.Random) -> TrainingRequest:
    """A request for one random character or one thing, with all right answers."""
    return _compose_character_request(rng) if rng.random() < 0.6 else _compose_naming_request(rng)


def writing_requests() -> list[TrainingRequest]:
    """Every request for a story, a poem or a joke."""
    return [
        TrainingRequest(wording.format(subject=subject))
        for wordings in WRITING_WORDINGS.values()
        for wording in wordings
        for subject in WRITING_SUBJECTS
    ]


def _compose_character_request(rng: random.Random) -> TrainingRequest:
    kind, options, members = rng.choice((_named_set, _range, _list_of_characters))(rng)
    text = rng.choice(CHARACTER_WORDINGS).format(kind=kind, options=options)
    return TrainingRequest(text, tuple(members))


def _named_set(rng: random.Random) -> tuple[str, str, str]:
    return rng.choice(NAMED_SETS)


def _range(rng: random.Random) -> tuple[str, str, str]:
    alphabet = rng.choice((LOWER, UPPER, DIGITS))
    first, last = sorted(rng.sample(range(len(alphabet)), 2))
    kind = "digit" if alphabet is DIGITS else "letter"
    form = rng.choice(("{} to {}", "everything from {} up to {}", "{} through {}"))
    return kind, form.format(alphabet[first], alphabet[last]), alphabet[first : last + 1]


def _list_of_characters(rng: random.Random) -> tuple[str, str, str]:
    alphabet = rng.choice((LOWER, UPPER, DIGITS))
    members = rng.sample(alphabet, rng.randint(2, 8))
    kind = "digit" if alphabet is DIGITS else "letter"
    join = rng.choice((_with_commas, " / ".join, lambda chars: f"[{' '.join(chars)}]"))
    return kind, join(members), "".join(members)


def _with_commas(chars: list[str]) -> str:
    return ", ".join(chars[:-1]) + " and " + chars[-1]


def _compose_naming_request(rng: random.Random) -> TrainingRequest:
    (thing, _), answers = rng.choice(list(THINGS.items()))
    article = "an" if thing[0] in "aeiou" else "a"
    wording = rng.choice(NAMING_WORDINGS)
    return TrainingRequest(wording.format(thing=thing, a_thing=f"{article} {thing}"), answers)


def _compose_list(rng: random.Random) -> TrainingRequest:
    (_, things), answers = rng.choice(list(THINGS.items()))
    count = rng.choice(LIST_LENGTHS)
    lines = [f"{number}. {answer}" for number, answer in enumerate(rng.sample(answers, count), start=1)]
    wording = rng.choice(LIST_WORDINGS)
    return TrainingRequest(wording.format(count=count, things=things), ("\n".join(lines),))


def _compose_list_with_probabilities(rng: random.Random) -> TrainingRequest:
    (_, things), answers = rng.choice(list(THINGS.items()))
    count = rng.choice(LIST_LENGTHS)
    probability = f"{1 / len(answers):.2f}"
    lines = [
        f"{number}. {answer} ({probability})" for number, answer in enumerate(rng.sample(answers, count), 1)
    ]
    wording = rng.choice(PROBABILITY_WORDINGS)
    return TrainingRequest(wording.format(count=count, things=things), ("\n".join(lines),))

"""Normal forms of names, and the spellings that follow from one name by rule.

A list of answers has each answer once; ``spellings`` adds its plurals, initials, ordinals and possessives.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

NameForm = Literal["plural", "person", "possessive", "title"]
"""Kind of names that a question has.

- plural: things with a plural.
- person: people with initials.
- possessive: things named after people ("Philidor Defence", "Philidor's Defence").
- title: titles that a subtitle makes another work of ("Mulan: Final War").
"""

_ARTICLES = frozenset({"the", "a", "an"})
# Unicode's decomposition leaves these letters as they are, so they are listed here.
_LETTERS_WITHOUT_ACCENT = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
_NAMED_SIGNS = str.maketrans({"&": " and ", "+": " plus ", "#": " sharp "})
_SAME_WORDS = {
    "st": "saint",
    "ste": "sainte",
    "mt": "mount",
    "defense": "defence",
    "center": "centre",
    "labor": "labour",
    "labors": "labours",
    "countergambit": "counter gambit",
}
_DOTTED_INITIALS = re.compile(r"\b(?:[^\W\d_]\.[\s-]?)+[^\W\d_]\b\.?")
_SPACED_INITIALS = re.compile(r"(?<![\w'’])[A-Z](?: [A-Z]){1,3}(?= [A-Z][a-z])")
_POSSESSIVE = re.compile(r"(?<=\w)['’`´]s\b", re.IGNORECASE)
_APOSTROPHES = re.compile(r"['’‘ʻʼ´`]")
_NEITHER_LETTER_NOR_DIGIT = re.compile(r"[\W_]+")

_NUMERALS = (
    ("1", "i", "one", "first", "1st"),
    ("2", "ii", "two", "second", "2nd"),
    ("3", "iii", "three", "third", "3rd"),
)
_TITLES = frozenset({"lord", "lady", "sir", "earl", "king", "saint", "st."})


def normalise(name: str) -> str:
    """Bring a name into the form in which names are compared; it may be empty.

    Case, accents, punctuation, whitespace and articles do not matter, nor do the dots and spaces of initials.
    "&" becomes "and", "St." becomes "saint", "Mt." becomes "mount", and American spelling becomes British.
    """
    joined = _SPACED_INITIALS.sub(lambda match: match[0].replace(" ", ""), name)
    decomposed = unicodedata.normalize("NFKD", joined.casefold())
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    plain = plain.translate(_LETTERS_WITHOUT_ACCENT).translate(_NAMED_SIGNS)
    plain = _APOSTROPHES.sub("", plain)
    plain = _DOTTED_INITIALS.sub(lambda match: re.sub(r"[.\s-]", "", match[0]) + " ", plain)
    words = _NEITHER_LETTER_NOR_DIGIT.sub(" ", plain).split()
    # An "A" at the end of a name is not an article: "Cassiopeia A" is not the constellation.
    kept = [word for word in words[:-1] if word not in _ARTICLES] + [
        word for word in words[-1:] if word not in _ARTICLES or (word == "a" and len(words) > 1)
    ]
    return " ".join(_SAME_WORDS.get(word, word) for word in kept)


def readings(text: str) -> tuple[str, ...]:
    """Make the normal forms of a text: as it stands and, if it has a possessive, without its s."""
    return tuple(dict.fromkeys((normalise(text), normalise(_POSSESSIVE.sub("", text)))))


def spellings(alias: str, forms: frozenset[NameForm]) -> tuple[str, ...]:
    """Make the normal forms that mean the same as an alias, its own first.

    Args:
        alias: a name as a list has it.
        forms: rules for names of this kind. Two rules hold for all names: ordinals ("1st Samuel"), and
            possessives that the alias itself has ("Alekhine's Defence").
    """
    made = [*readings(alias), *map(normalise, _ordinals(alias))]
    if "plural" in forms:
        made += [plural for form in tuple(made) for plural in _plurals(form)]
    if "possessive" in forms:
        made += _with_possessive(normalise(alias))
    return tuple(form for form in dict.fromkeys(made) if form)


def initialled(alias: str) -> tuple[str, ...]:
    """Make the normal forms of a person's full name with initials: "R. W. Reagan" and "R. Reagan" among others.

    Only given names turn into initials, so a name with a title, a particle or a number gives no form.
    """
    words = alias.split()
    named = all(word[0].isupper() and len(word.strip(".")) > 1 for word in words)
    if len(words) < 2 or not named or words[0].lower() in _TITLES or words[-1].isupper():
        return ()
    first, *middle, last = words
    letters = [f"{word[0]}." for word in middle]
    made = [[f"{first[0]}.", *letters, last]]
    if middle:
        made += [[first, *letters, last], [f"{first[0]}.", *middle, last]]
    # "A. Johnson" would be "Johnson", because an article does not count.
    return tuple(
        normalise(" ".join(name)) for name in made if name[0] != "A." or len(name[1].strip(".")) == 1
    )


def _ordinals(alias: str) -> Iterator[str]:
    """Iterate over the other ways to write the number that an alias begins with."""
    first, _, rest = alias.partition(" ")
    for numerals in _NUMERALS:
        if rest and first.lower() in numerals:
            yield from (f"{numeral} {rest}" for numeral in numerals)


def _plurals(form: str) -> Iterator[str]:
    """Iterate over regular plurals of a normal form's last word, or its singular if it looks like a plural."""
    if form.endswith("s") and not form.endswith(("ss", "us", "is")):
        yield form.removesuffix("s")
    elif form.endswith(("s", "x", "z", "ch", "sh")):
        yield f"{form}es"
    elif re.search(r"[^aeiou]y$", form):
        yield f"{form.removesuffix('y')}ies"
    else:
        yield f"{form}s"


def _with_possessive(form: str) -> Iterator[str]:
    first, _, rest = form.partition(" ")
    if rest and not first.endswith("s"):
        yield f"{first}s {rest}"

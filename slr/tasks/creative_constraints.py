"""Constraints of the creative-writing prompts that a program can check, by prompt id.

A prompt may ask for more than is checked here: a text that fails breaks the request for sure, and a text that passes
may still break another part of it. Counts of lines leave out blank lines and a title. A prompt whose constraint only a
reader can judge is not in the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from slr.metrics.words import words

Check = Callable[[str], bool]
"""Whether a text keeps one constraint."""

FRUITS = (
    "apple", "apples", "apricot", "apricots", "cherries", "cherry", "fig", "figs", "orange", "oranges", "peach",
    "peaches", "pear", "pears", "persimmon", "persimmons", "plum", "plums", "quince", "quinces",
)  # fmt: skip
INSTRUMENTS = (
    "bassoon", "bassoons", "cello", "cellos", "clarinet", "clarinets", "cymbal", "cymbals", "drum", "drums", "flute",
    "flutes", "harp", "harps", "horn", "horns", "oboe", "oboes", "piano", "timpani", "trombone", "trombones",
    "trumpet", "trumpets", "tuba", "tubas", "viola", "violas", "violin", "violins",
)  # fmt: skip
COLOURS = (
    "black", "blue", "brown", "crimson", "gold", "golden", "gray", "green", "grey", "indigo", "orange", "pink",
    "purple", "red", "scarlet", "silver", "turquoise", "violet", "white", "yellow",
)  # fmt: skip
VEGETABLES = (
    "artichoke", "asparagus", "aubergine", "bean", "beans", "beet", "beetroot", "broccoli", "cabbage", "carrot",
    "carrots", "cauliflower", "celery", "corn", "cucumber", "eggplant", "kale", "leek", "leeks", "lettuce", "onion",
    "onions", "parsnip", "parsnips", "pea", "peas", "pepper", "potato", "potatoes", "pumpkin", "radish", "spinach",
    "squash", "sprout", "sprouts", "tomato", "tomatoes", "turnip", "turnips", "zucchini",
)  # fmt: skip
MATHEMATICAL_TERMS = (
    "addition", "algebra", "algorithm", "angle", "angles", "arithmetic", "asymptote", "axiom", "axioms", "axis",
    "calculus", "circle", "circles", "circumference", "constant", "cosine", "curve", "curves", "decimal", "degree",
    "degrees", "denominator", "derivative", "diagonal", "diameter", "differential", "digit", "digits", "dimension",
    "dimensions", "divide", "divided", "division", "equal", "equals", "equation", "equations", "euclid", "exponent",
    "exponential", "factor", "factors", "fibonacci", "finite", "formula", "formulas", "fractal", "fraction",
    "fractions", "function", "functions", "geometry", "graph", "hypotenuse", "hypothesis", "imaginary", "infinite",
    "infinity", "integer", "integers", "integral", "integrals", "irrational", "lemma", "limit", "limits", "logarithm",
    "mathematics", "matrix", "minus", "multiple", "multiplied", "multiply", "number", "numbers", "numerator",
    "parabola", "parallel", "perpendicular", "pi", "plus", "polygon", "polynomial", "prime", "primes", "probability",
    "product", "proof", "proofs", "quadratic", "quotient", "radius", "ratio", "rational", "remainder", "root", "roots",
    "sequence", "series", "set", "sets", "sigma", "sine", "slope", "solution", "square", "squared", "subtract",
    "subtraction", "sum", "sums", "symmetry", "tangent", "tangents", "theorem", "theorems", "triangle", "triangles",
    "variable", "variables", "vector", "vectors", "vertex", "zero",
)  # fmt: skip
OLD_WORDS = (
    "'tis", "alas", "art", "aye", "dost", "doth", "fair", "forsooth", "hark", "hast", "hath", "knave", "lo", "lord",
    "methinks", "milady", "mine", "nay", "noble", "prithee", "quoth", "shalt", "sir", "sire", "squire", "thee", "thine",
    "thou", "thy", "tis", "twas", "'twas", "unto", "upon", "verily", "wherefore", "whilst", "yea", "yon", "ye",
)  # fmt: skip
FAIRY_TALE = ("far", "kingdom", "lived", "long", "once")
FIRST_PERSON = ("i", "me", "my", "mine", "i'm", "i've", "i'd", "i'll", "we", "us", "our")
NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
DATE = re.compile(
    r"\W*(?:day|entry|log|date|week|monday|tuesday|wednesday|thursday|friday|saturday|sunday|january|february|march|"
    r"april|may|june|july|august|september|october|november|december|\d{1,4}(?:st|nd|rd|th)?)\b",
    re.IGNORECASE,
)
TIME_OF_DAY = re.compile(
    r"(?:\W*\w+){0,3}?\W*(?:\d{1,2}[:.]\d\d|\d{1,2} ?[ap]\.?m|o'clock|morning|noon|midday|afternoon|evening|night|"
    r"midnight|dawn|dusk|sunrise|sunset|lunchtime)\b",
    re.IGNORECASE,
)
_ABBREVIATION = re.compile(r"\b(Mr|Mrs|Ms|Dr|St|Prof|No|vs|etc|e\.g|i\.e|a\.m|p\.m)\.")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]*]*\s+")
_LABEL = re.compile(r"\W*(?:verse|chorus|refrain|bridge|intro|outro)\b\W*\w*\W*", re.IGNORECASE)
"""A line that names a part of a song."""
_SPOKEN_LINE = re.compile(r"[\"“«'‘–—-]|[\w .*]{1,30}:")
"""The beginning of a line that is spoken: a quotation mark, a dash, or a speaker's name and a colon."""
_SPEECH = re.compile(r"[\"“”«»]|(?<!\w)['‘](?=\w)")


def lines_of(text: str) -> list[str]:
    """The lines of a text that are neither blank nor a title, without marks of emphasis around them."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and re.fullmatch(r"#+ .*|\*\*[^*]+\*\*|\*[^*]+\*|title: .*", lines[0], re.IGNORECASE):
        del lines[0]
    return [line.strip("*_#> ") for line in lines if words(line)]


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, without its title: pieces with words that end in a full stop or another end mark."""
    joined = _ABBREVIATION.sub(r"\1", " ".join(lines_of(text)))
    return [piece for piece in _SENTENCE_END.split(joined) if words(piece)]


def _stanzas(text: str) -> list[str]:
    stanzas = re.split(r"\n\s*\n", text.strip())
    return [stanza for stanza in stanzas if lines_of(stanza)]


def _quoted(text: str) -> str:
    """The words of a text alone, to compare sentences whatever their marks are."""
    return " ".join(words(text))


def num_lines(*numbers: int) -> Check:
    """The text has one of these numbers of lines."""
    return lambda text: len(lines_of(text)) in numbers


def at_most_lines(number: int) -> Check:
    """The text has lines, and no more than a number of them."""
    return lambda text: 0 < len(lines_of(text)) <= number


def at_least_lines(number: int) -> Check:
    """The text has at least a number of lines."""
    return lambda text: len(lines_of(text)) >= number


def quatrains(text: str) -> bool:
    """Whether the lines make at least two stanzas of four."""
    number = len(lines_of(text))
    return number >= 8 and number % 4 == 0


def couplets(text: str) -> bool:
    """Whether the lines make at least five couplets, as a ghazal has."""
    number = len(lines_of(text))
    return number >= 10 and number % 2 == 0


def lines_in_pairs(text: str) -> bool:
    """Whether the number of lines is even."""
    number = len(lines_of(text))
    return number > 0 and number % 2 == 0


def echoes(text: str) -> bool:
    """Whether every second line has a word of the line before it."""
    lines = [set(words(line)) for line in lines_of(text)]
    return len(lines) > 1 and all(one & other for one, other in zip(lines[::2], lines[1::2], strict=False))


def refrain(text: str) -> bool:
    """Whether a line occurs more than once."""
    lines = [_quoted(line) for line in lines_of(text)]
    return len(set(lines)) < len(lines)


def num_stanzas(number: int) -> Check:
    """The text has this number of stanzas, divided by blank lines; a title is none."""
    return lambda text: len(_stanzas("\n".join(_without_title(text)))) == number


def _sung_lines(stanza: str) -> int:
    """Number of lines of a stanza, without names of parts of the song."""
    return sum(_LABEL.fullmatch(line) is None for line in lines_of(stanza))


def at_least_stanzas(number: int) -> Check:
    """The text has at least this number of stanzas."""
    return lambda text: sum(_sung_lines(stanza) > 0 for stanza in _stanzas(text)) >= number


def stanza_of(number: int) -> Check:
    """One of the stanzas has this number of lines."""
    return lambda text: any(_sung_lines(stanza) == number for stanza in _stanzas(text))


def _without_title(text: str) -> list[str]:
    lines = text.strip().splitlines()
    kept = lines_of(text)
    # Only a title can make the first line differ from the first line kept.
    return lines[1:] if lines and kept and lines[0].strip("*_#> ") != kept[0] else lines


def one_paragraph(text: str) -> bool:
    """Whether the text is one paragraph."""
    return len(lines_of(text)) == 1


def max_words(number: int) -> Check:
    """The text has words, and no more than a number of them."""
    return lambda text: 0 < len(words(text)) <= number


def num_sentences(number: int) -> Check:
    """The text has this number of sentences."""
    return lambda text: len(sentences_of(text)) == number


def max_sentences(number: int) -> Check:
    """The text has sentences, and no more than a number of them."""
    return lambda text: 0 < len(sentences_of(text)) <= number


def has(*any_of: str) -> Check:
    """At least one of the words occurs."""
    return lambda text: not set(any_of).isdisjoint(words(text))


def lacks(*none_of: str) -> Check:
    """The text has words, and none of these."""
    return lambda text: bool(words(text)) and set(none_of).isdisjoint(words(text))


def has_several(number: int, *of: str) -> Check:
    """At least a number of different words of a list occur."""
    return lambda text: len(set(of) & set(words(text))) >= number


def times(word: str, number: int) -> Check:
    """The word occurs exactly a number of times."""
    return lambda text: words(text).count(word) == number


def at_least_times(word: str, number: int) -> Check:
    """The word occurs at least a number of times."""
    return lambda text: words(text).count(word) >= number


def lacks_letter(letter: str) -> Check:
    """The text has words, and the letter is in none."""
    return lambda text: bool(words(text)) and letter not in text.casefold()


def lacks_mark(mark: str) -> Check:
    """The text has words, and the mark does not occur."""
    return lambda text: bool(words(text)) and mark not in text


def first_line(line: str) -> Check:
    """The first line has these words."""
    return lambda text: bool(lines_of(text)) and _quoted(lines_of(text)[0]) == _quoted(line)


def opens_with(sentence: str) -> Check:
    """The text begins with these words."""
    start = words(sentence)
    return lambda text: words("\n".join(lines_of(text)))[: len(start)] == start


def first_sentence_has(*any_of: str) -> Check:
    """At least one of the words occurs in the first sentence."""
    return lambda text: bool(sentences_of(text)) and has(*any_of)(sentences_of(text)[0])


def closes_with(sentence: str) -> Check:
    """The text ends with these words."""
    end = words(sentence)
    return lambda text: words(text)[-len(end) :] == end


def ends_with_question(text: str) -> bool:
    """Whether the text ends with a question mark, before closing marks."""
    return text.rstrip(" \n\"'”’)*_").endswith("?")


def only_questions(text: str) -> bool:
    """Whether every sentence is a question."""
    sentences = sentences_of(text)
    return bool(sentences) and all(ends_with_question(sentence) for sentence in sentences)


def acrostic(word: str) -> Check:
    """The first letters of the lines spell the word."""
    return lambda text: (
        "".join(words(line)[0][0] for line in lines_of(text) if words(line)) == word.casefold()
    )


def every_line_starts(word: str) -> Check:
    """Every line begins with the word."""
    return lambda text: bool(lines_of(text)) and all(words(line)[:1] == [word] for line in lines_of(text))


def word_in_every_stanza(word: str) -> Check:
    """The word occurs in every stanza."""
    return lambda text: (
        bool(_stanzas(text))
        and all(word in words(stanza) for stanza in _stanzas("\n".join(_without_title(text))))
    )


def word_in_first_and_last_line(word: str) -> Check:
    """The word occurs in the first line and in the last."""
    return lambda text: bool(lines_of(text)) and all(word in words(lines_of(text)[end]) for end in (0, -1))


def line_palindrome(text: str) -> bool:
    """Whether the lines are the same backwards."""
    lines = [_quoted(line) for line in lines_of(text)]
    return len(lines) > 1 and lines == lines[::-1]


def dated_entries(number: int) -> Check:
    """As many lines begin with a date or a day as there are to be entries."""
    return lambda text: sum(DATE.match(line) is not None for line in lines_of(text)) == number


def paragraphs_start_with_a_time(text: str) -> bool:
    """Whether every paragraph names a time of day among its first words."""
    lines = lines_of(text)
    return bool(lines) and all(TIME_OF_DAY.match(line) for line in lines)


def quoted_speech(text: str) -> bool:
    """Whether somebody is quoted."""
    return _SPEECH.search(text) is not None


def no_speech(text: str) -> bool:
    """Whether there are words, and nobody is quoted."""
    return bool(words(text)) and not quoted_speech(text)


def only_speech(text: str) -> bool:
    """Whether every line is spoken: it begins with a quotation mark, a dash or a speaker's name and a colon."""
    lines = lines_of(text)
    return bool(lines) and all(map(_SPOKEN_LINE.match, lines))


def somebody_speaks(text: str) -> bool:
    """Whether somebody is quoted, or a line is spoken."""
    return quoted_speech(text) or any(map(_SPOKEN_LINE.match, lines_of(text)))


def knock_knock(text: str) -> bool:
    """Whether somebody knocks and somebody asks who is there."""
    said = _quoted(text)
    return "knock knock" in said and "who's there" in said


def both_news(text: str) -> bool:
    """Whether there is good news and bad news."""
    return "good news" in _quoted(text) and "bad news" in _quoted(text)


def bad_news_first(text: str) -> bool:
    """Whether there is good news and bad news, and the bad news comes first."""
    said = _quoted(text)
    return both_news(text) and said.index("bad news") < said.index("good news")


def asks_and_answers(text: str) -> bool:
    """Whether words follow a question mark."""
    return bool(_answer(text))


def _answer(text: str) -> list[str]:
    """The words behind the first question, without a label such as "answer"."""
    _, mark, behind = text.partition("?")
    found = words(behind) if mark else []
    return found[1:] if found[:1] in (["a"], ["answer"]) and len(found) > 1 else found


def answer_in_one_word(text: str) -> bool:
    """Whether one word follows the question."""
    return len(_answer(text)) == 1


def _numbers_in(answer: list[str]) -> list[int]:
    return [
        int(word) if word.isdecimal() else NUMBERS.index(word)
        for word in answer
        if word.isdecimal() or word in NUMBERS
    ]


def answer_has_a_number(text: str) -> bool:
    """Whether a number follows the question."""
    return bool(_numbers_in(_answer(text)))


def answer_is_even(text: str) -> bool:
    """Whether the first number behind the question is even."""
    numbers = _numbers_in(_answer(text))
    return bool(numbers) and numbers[0] % 2 == 0


def num_items(number: int) -> Check:
    """There are this number of list items; without list marks each line is one."""

    def check(text: str) -> bool:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        marked = [
            line for line in lines if re.match(r"(?:\d+[.):]|[-*•])\s*\w|\W*tip\b", line, re.IGNORECASE)
        ]
        return len(marked or lines_of(text)) == number

    return check


def two_stars(text: str) -> bool:
    """Whether two stars are given."""
    in_words = re.search(
        r"\b(?:two|2)[ -]?stars?\b|\b(?:two|2) out of (?:five|5)\b|\b2/5", text, re.IGNORECASE
    )
    return in_words is not None or sum(map(text.count, "★⭐")) == 2


def letter(text: str) -> bool:
    """Whether somebody is addressed or somebody signs, as in a letter."""
    return has("dear", "sincerely", "regards", "yours", "faithfully")(text)


HAIKU, LIMERICK, SONNET, VILLANELLE = num_lines(3), num_lines(5), num_lines(14), num_lines(19)
TANKA, CINQUAIN, TRIOLET, SESTINA = num_lines(5), num_lines(5), num_lines(8), num_lines(39)
ONE_LINER = num_lines(1)
LIGHT_BULB = has("bulb", "bulbs", "lightbulb", "lightbulbs")
DOCTOR = has("doctor", "doc")
TOLD_BY_I = has(*FIRST_PERSON)

CHECKS: dict[str, tuple[Check, ...]] = {
    "poem-001": (SONNET, ends_with_question),
    "poem-002": (HAIKU,),
    "poem-003": (LIMERICK,),
    "poem-005": (num_stanzas(6),),
    "poem-006": (has("patience"),),
    "poem-007": (num_lines(2),),
    "poem-010": (VILLANELLE,),
    "poem-011": (acrostic("harvest"),),
    "poem-012": (max_words(119),),
    "poem-013": (TANKA,),
    "poem-014": (lacks("sleep"),),
    "poem-016": (at_most_lines(4),),
    "poem-017": (has("you", "your", "yours", "you're", "you've"),),
    "poem-019": (letter,),
    "poem-020": (refrain,),
    "poem-021": (CINQUAIN,),
    "poem-022": (TOLD_BY_I,),
    "poem-024": (couplets, at_least_times("jasmine", 2)),
    "poem-025": (TRIOLET,),
    "poem-026": (quatrains,),
    "poem-028": (lacks("shadow", "shadows"),),
    "poem-030": (first_line("The kettle has not sung"),),
    "poem-031": (at_least_stanzas(3),),
    "poem-032": (HAIKU,),
    "poem-033": (SONNET, word_in_first_and_last_line("rain")),
    "poem-034": (LIMERICK,),
    "poem-036": (num_lines(10),),
    "poem-037": (num_lines(4),),
    "poem-040": (TOLD_BY_I,),
    "poem-041": (SONNET,),
    "poem-042": (HAIKU, lacks("silver")),
    "poem-043": (LIMERICK,),
    "poem-044": (VILLANELLE, has("ink")),
    "poem-045": (lines_in_pairs,),
    "poem-047": (couplets,),
    "poem-048": (lacks("water", "waters"),),
    "poem-050": (TOLD_BY_I,),
    "poem-052": (CINQUAIN, lacks("slow", "slowly")),
    "poem-053": (SONNET,),
    "poem-055": (TANKA, lacks(*FRUITS)),
    "poem-057": (word_in_every_stanza("thread"),),
    "poem-058": (echoes,),
    "poem-060": (quatrains,),
    "poem-061": (acrostic("volcano"),),
    "poem-062": (num_lines(8),),
    "poem-063": (TOLD_BY_I,),
    "poem-064": (TRIOLET,),
    "poem-067": (has_several(3, *MATHEMATICAL_TERMS),),
    "poem-068": (HAIKU,),
    "poem-069": (LIMERICK, has("giraffe")),
    "poem-072": (num_lines(12),),
    "poem-073": (num_lines(2), closes_with("silence")),
    "poem-075": (SONNET, lacks(*INSTRUMENTS)),
    "poem-077": (lacks("sorry"),),
    "poem-080": (TOLD_BY_I,),
    "poem-083": (TANKA,),
    "poem-084": (num_lines(4),),
    "poem-085": (closes_with("again"),),
    "poem-087": (VILLANELLE,),
    "poem-088": (SONNET,),
    "poem-090": (lacks_letter("z"),),
    "poem-091": (num_lines(8),),
    "poem-092": (LIMERICK,),
    "poem-093": (SESTINA,),
    "poem-094": (every_line_starts("today"),),
    "poem-097": (stanza_of(3),),
    "poem-098": (line_palindrome,),
    "poem-099": (num_lines(9),),
    "story-001": (opens_with("The rabbit had died in April."),),
    "story-005": (only_speech,),
    "story-007": (letter,),
    "story-008": (max_words(299),),
    "story-009": (TOLD_BY_I,),
    "story-013": (num_sentences(6),),
    "story-014": (has("you", "your", "yours", "you're", "you've"),),
    "story-017": (dated_entries(5),),
    "story-018": (letter,),
    "story-026": (TOLD_BY_I,),
    "story-027": (closes_with("She had meant me."),),
    "story-028": (lacks("blood", "bloody", "death", "dead", "die", "died", "dies", "dying"),),
    "story-029": (TOLD_BY_I,),
    "story-033": (times("orange", 3),),
    "story-034": (max_words(100),),
    "story-041": (somebody_speaks,),
    "story-042": (has("seven", "seventh", "7"),),
    "story-044": (num_sentences(1),),
    "story-045": (somebody_speaks,),
    "story-046": (lacks_letter("q"), no_speech),
    "story-051": (TOLD_BY_I,),
    "story-054": (letter,),
    "story-056": (TOLD_BY_I,),
    "story-060": (dated_entries(3),),
    "story-061": (paragraphs_start_with_a_time,),
    "story-067": (only_speech,),
    "story-073": (TOLD_BY_I,),
    "story-074": (lacks(*COLOURS),),
    "story-076": (closes_with("listening"),),
    "story-079": (at_least_lines(5),),
    "story-084": (letter,),
    "story-086": (only_questions,),
    "story-087": (opens_with("Afterwards"),),
    "story-090": (max_words(150),),
    "story-095": (somebody_speaks,),
    "story-098": (one_paragraph,),
    "story-100": (TOLD_BY_I,),
    "joke-001": (ONE_LINER, max_words(14)),
    "joke-002": (knock_knock, has("lettuce")),
    "joke-004": (answer_in_one_word,),
    "joke-007": (num_lines(2),),
    "joke-008": (DOCTOR,),
    "joke-009": (TOLD_BY_I,),
    "joke-010": (max_words(79),),
    "joke-012": (num_sentences(1),),
    "joke-013": (two_stars,),
    "joke-014": (has("chicken", "chickens"),),
    "joke-015": (bad_news_first,),
    "joke-016": (quoted_speech,),
    "joke-017": (num_items(3),),
    "joke-018": (knock_knock, has("penguin", "penguins")),
    "joke-019": (ONE_LINER, has("pie")),
    "joke-020": (at_most_lines(6),),
    "joke-021": (has_several(3, *VEGETABLES),),
    "joke-022": (asks_and_answers,),
    "joke-023": (has("bar", "bartender", "barman", "barkeep"),),
    "joke-024": (LIGHT_BULB,),
    "joke-026": (max_sentences(5),),
    "joke-027": (DOCTOR,),
    "joke-028": (ONE_LINER,),
    "joke-029": (asks_and_answers, lacks("blood", "bloody")),
    "joke-033": (lacks("water"),),
    "joke-034": (answer_has_a_number,),
    "joke-036": (somebody_speaks,),
    "joke-039": (knock_knock, has("olive")),
    "joke-040": (max_words(50),),
    "joke-041": (TOLD_BY_I,),
    "joke-042": (asks_and_answers,),
    "joke-044": (answer_is_even,),
    "joke-045": (ONE_LINER,),
    "joke-048": (quoted_speech,),
    "joke-049": (both_news,),
    "joke-051": (has("left"),),
    "joke-052": (max_words(12),),
    "joke-057": (DOCTOR,),
    "joke-058": (ONE_LINER,),
    "joke-059": (knock_knock,),
    "joke-060": (max_sentences(3),),
    "joke-061": (asks_and_answers,),
    "joke-062": (ends_with_question,),
    "joke-064": (has(*OLD_WORDS),),
    "joke-066": (asks_and_answers,),
    "joke-069": (max_words(10),),
    "joke-070": (somebody_speaks,),
    "joke-072": (asks_and_answers,),
    "joke-073": (TOLD_BY_I,),
    "joke-074": (ONE_LINER,),
    "joke-075": (knock_knock, at_least_lines(7)),
    "joke-077": (DOCTOR,),
    "joke-078": (LIGHT_BULB,),
    "joke-081": (quoted_speech,),
    "joke-084": (TOLD_BY_I,),
    "joke-085": (asks_and_answers, has("detective")),
    "joke-087": (first_sentence_has(*FAIRY_TALE),),
    "joke-088": (somebody_speaks,),
    "joke-091": (ONE_LINER,),
    "joke-092": (lacks("field", "fields", "straw"),),
    "joke-093": (one_paragraph,),
    "joke-094": (knock_knock, has("owl", "owls")),
    "joke-096": (num_sentences(4),),
    "joke-099": (lacks_mark("?"),),
    "joke-100": (TOLD_BY_I,),
}
"""What a text must keep, by prompt id: all checks of its row."""


def constraint_met(prompt_id: str, text: str) -> bool | None:
    """Whether a text keeps what its prompt asks for, as far as a program can check it; None where nothing is checked.

    Args:
        prompt_id: id of a creative-writing prompt.
        text: what a model wrote.
    """
    checks = CHECKS.get(prompt_id)
    return None if checks is None else all(check(text) for check in checks)

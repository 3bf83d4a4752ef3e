r"""Numbers as language models write them: digits, words, fractions, LaTeX, powers of ten.

``plain_line`` takes LaTeX, markdown and typographic signs out of a line. ``find_numbers`` then reads "1,234",
"70 000", "2 1/2", "70k", "2.5 million", "twenty-one", "a dozen", "1.5 x 10^3". Anything else with digits in
it ("1,23", "7:30", "x7") is not a number, and no part of it is one. A percent sign is a unit: 50% is 50.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

_LONGEST_NUMBER = 100
"""Largest number of characters of a number."""
_LARGEST_EXPONENT = 99
"""Largest absolute exponent of a power of ten."""

_ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
_TEENS = ("twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES = {
    **{word: value for value, word in enumerate((*_ONES, *_TEENS))},
    **{word: 10 * value for value, word in enumerate(_TENS, start=2)},
}
_SCALES = {
    "dozen": 12,
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_LETTERS = {"k": 10**3, "m": 10**6, "mn": 10**6, "b": 10**9, "bn": 10**9}
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}

_SCALE = rf"(?:{'|'.join(_SCALES)})s?(?!\w)"
_BELOW_TWENTY = "|".join(sorted((word for word in _VALUES if word not in _TENS), key=len, reverse=True))
_WORD = (
    rf"(?:(?:{'|'.join(_TENS)})(?:[\s-](?:{'|'.join(_ONES[1:10])}))?|{_BELOW_TWENTY})"
    r"(?!\w|['’]\w)"
)
# A single point groups no thousands, because 1.234 is a decimal; two points do, as in 1.234.567. The last form with
# commas is the Indian one (12,34,567).
_GROUPED = r"[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?:[ _'’][0-9]{3})+|(?:,[0-9]{2})*,[0-9]{3}|(?:\.[0-9]{3}){2,})(?![0-9])"
_DIGITS = rf"(?:{_GROUPED}(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|(?<!\.)\.[0-9]+)"
_FRACTION = r"[0-9]+/0*[1-9][0-9]*"
_CURRENCY = r"(?:(?:US|AU|CA|NZ|HK|A|C|S)?\$|[€£¥₹₩₽]|(?:Rs\.?|USD|EUR|GBP|INR|CAD|AUD)\s?)"
_SIGN = r"(?:(?<![\w)])(?:[-+]|(?:minus|negative)\s+))"
# A number does not end where more digits follow, because then it is part of a date, a time or a ratio.
_END = r"(?![0-9]|[.,:/^][0-9])"
_PART = rf"(?:{_DIGITS}|{_WORD})"
_SCALED = (
    rf"(?:{_FRACTION}|{_PART}|an?(?=\s+{_SCALE}))(?:[\s-]+{_SCALE})+"
    rf"(?:,?\s+(?:and\s+)?{_PART}(?:[\s-]+{_SCALE})+)*(?:\s+(?:and\s+)?{_WORD}|\s+and\s+[0-9]{{1,3}}(?!\w|[.,/]\w))?"
)
_NUMBER = re.compile(
    rf"(?<![\w/^√])(?<![A-Za-z0-9]\.)(?<![0-9][:,])(?P<sign>{_SIGN})?(?P<currency>{_CURRENCY})?(?P<inner_sign>-)?(?:"
    rf"(?P<power>(?:(?P<mantissa>{_DIGITS})\s*[x×*·]\s*)?10\s?\^\s?\(?(?P<exponent>[-+]?[0-9]+)\)?)(?![0-9^]|\.[0-9])"
    rf"|(?P<scientific>[0-9]+(?:\.[0-9]+)?[eE][-+]?[0-9]+)(?!\w)"
    rf"|(?P<whole>{_PART})(?:\s+and\s+|\s+|-)(?P<part>{_FRACTION})(?:\s+(?P<mixed_scale>{_SCALE}))?{_END}"
    rf"|(?P<scaled>{_SCALED}){_END}"
    rf"|(?P<digits>{_DIGITS}(?:/0*[1-9][0-9]*)?){_END}(?![eE][-+]?[0-9])(?P<letter>(?:mn|bn|[kmb])(?!\w))?"
    rf"|(?P<word>{_WORD})"
    r")",
    re.IGNORECASE,
)

_SIGNS = str.maketrans(
    {
        **dict.fromkeys("−﹣－‐‑", "-"),
        **dict.fromkeys("\u00a0\u2007\u2008\u2009\u200a\u202f", " "),
        **dict.fromkeys("\u200b\u200e\u200f\ufeff\u2060", ""),
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
        "：": ":",
        "＝": "=",
        "＄": "$",
        "⁄": "/",
        "≃": "≈",
        "≅": "≈",
        "∼": "~",
    }
)
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True))
_VULGAR = {
    sign: f"{value.numerator}/{value.denominator}"
    for sign in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
    for value in [Fraction(unicodedata.numeric(sign)).limit_denominator(10)]
}
_LATEX = {
    "\\times": "*", "\\cdot": "*", "\\div": "÷", "\\approx": "≈", "\\ge": "≥", "\\le": "≤", "\\geq": "≥",
    "\\leq": "≤", "\\neq": "≠", "\\ne": "≠", "\\gt": ">", "\\lt": "<", "\\pm": "±", "\\sim": "~", "\\to": "→",
    "\\rightarrow": "→", "\\sqrt": "√",
}  # fmt: skip
_LATEX_WORD = re.compile(
    rf"(?:{'|'.join(re.escape(word) for word in sorted(_LATEX, key=len, reverse=True))})(?![a-zA-Z])"
)
_FRACTION_COMMAND = re.compile(
    r"(?P<whole>[0-9])?\s*\\[cdt]?frac\s*(?:\{([^{}]*)\}\s*\{([^{}]*)\}|([0-9])\s*([0-9]))"
)
_COMMAND = re.compile(r"\\(?:[a-zA-Z]+|.)|[{}]")
_TAG = re.compile(r"</?[a-zA-Z][a-zA-Z0-9]{0,11}\s*/?>")
_SPACES = re.compile(r"\s{2,}")
_STRUCK = re.compile(r"~~[^~]{0,80}~~|<(del|s|strike)>[^<]{0,80}</\1>")
_CALCULATOR = re.compile(r"<<[^<>]*>>")
_PART_WORDS = re.compile(
    rf"(?<!\w)(?P<count>an?|{'|'.join(_ONES[1:10])})[\s-](?P<part>{'|'.join(_PARTS)}|halve)s?(?!\w)"
    r"(?!\s+(?:an?|as|the)(?!\w))",
    re.IGNORECASE,
)
_AND_HALF = re.compile(r"(?<=\d\sand\s)half(?!\s*-|\w|\s+(?:of|an?|as|the)(?!\w))", re.IGNORECASE)
_HALF_A_SCALE = re.compile(rf"(?<!\w)half\s+an?\s+(?={_SCALE})", re.IGNORECASE)
_HALF_A_UNIT = re.compile(r"(?<!\w)(?<!\w[\s-])half(?=\s+(?:of\s+)?an?\s+\w|\W*$)", re.IGNORECASE)
_POINT = re.compile(
    rf"(?<!\w)(?P<whole>{_WORD})\s+point(?P<decimals>(?:\s+(?:{'|'.join(_ONES[:10])})(?!\w)){{1,6}})",
    re.IGNORECASE,
)
_BELOW_ZERO = re.compile(
    r"(?<![\w.,-])(?=[0-9][0-9.]*\s*(?:°\s?|degrees?\s)?(?:[CF]\s|celsius\s|fahrenheit\s)?\s*below\s+zero)",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class WrittenNumber:
    """A number in a line.

    Attributes:
        start: position at which it begins.
        end: position behind it.
        text: the number as ``Fraction`` reads it, and as it was written where that is possible.
        in_words: whether it was written in words.
    """

    start: int
    end: int
    text: str
    in_words: bool = False

    @property
    def value(self) -> Fraction:
        """Value of the number."""
        return Fraction(self.text)


def find_numbers(line: str) -> list[WrittenNumber]:
    """Find all numbers of a line that ``plain_line`` returned, in order."""
    numbers = (_read(match) for match in _NUMBER.finditer(line))
    return [number for number in numbers if number is not None]


def number_at(line: str, start: int) -> WrittenNumber | None:
    """Read the number that begins exactly at ``start``; None if there is none."""
    match = _NUMBER.match(line, start)
    return None if match is None else _read(match)


def plain_line(line: str) -> str:
    """Remove LaTeX, tags and struck-out text from a line, and replace typographic signs by plain ones."""
    line = _STRUCK.sub(" ", _CALCULATOR.sub("", _SPACES.sub(" ", line.translate(_SIGNS))))
    line = re.sub(r"([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)", lambda m: "^" + "".join(_SUPERSCRIPTS[c] for c in m[1]), line)
    for sign, written in _VULGAR.items():
        line = re.sub(rf"(?<=[0-9])\s?{sign}", f" {written}", line).replace(sign, written)
    line = _LATEX_WORD.sub(lambda m: _LATEX[m[0]], line)
    line = re.sub(r"(?<=[0-9])(?:\{,\}|,\\!)(?=[0-9])", ",", line)
    line = re.sub(r"(?<=[0-9])(?:\\[,:; ]|~)(?=[0-9]{3}(?![0-9]))", " ", line).replace("\\!", "")
    line = _FRACTION_COMMAND.sub(_fraction, line.replace("\\$", "$").replace("\\%", "%").replace("\\_", "_"))
    line = re.sub(r"\^\{([-+]?[0-9]+)\}", r"^\1", line)
    line = re.sub(r"√\s+", "√", _TAG.sub(" ", _COMMAND.sub(" ", line)))
    line = _SPACES.sub(" ", line)
    line = _POINT.sub(_decimal, line)
    line = _HALF_A_UNIT.sub("1/2", _HALF_A_SCALE.sub("1/2 ", _AND_HALF.sub("1/2", line)))
    return _PART_WORDS.sub(_part, _BELOW_ZERO.sub("-", line))


def _fraction(match: re.Match[str]) -> str:
    whole, numerator, denominator, *digits = match.groups()
    if numerator is None:
        numerator, denominator = digits
    space = f"{whole} " if whole else ""
    return f"{space}{numerator.strip(' $')}/{denominator.strip(' $')}"


def _decimal(match: re.Match[str]) -> str:
    decimals = "".join(str(_VALUES[word]) for word in match["decimals"].lower().split())
    return f"{_small(match['whole'])}.{decimals}"


def _part(match: re.Match[str]) -> str:
    count = _VALUES.get(match["count"].lower(), 1)
    part = match["part"].lower()
    return f"{count}/{_PARTS['half' if part == 'halve' else part]}"


def _read(match: re.Match[str]) -> WrittenNumber | None:
    text = _unsigned(match)
    if text is None or len(text) > _LONGEST_NUMBER:
        return None
    sign = (match["sign"] or "").strip().lower()
    negative = (sign in ("-", "minus", "negative")) != (match["inner_sign"] == "-")
    return WrittenNumber(
        start=match.start(),
        end=match.end(),
        text=f"-{text}" if negative else text,
        in_words=match["word"] is not None
        or (match["scaled"] is not None and not re.search(r"\d", match["scaled"])),
    )


def _unsigned(match: re.Match[str]) -> str | None:
    if match["power"] is not None:
        return _power(match["mantissa"] or "1", match["exponent"])
    if match["scientific"] is not None:
        return _power(*re.split("[eE]", match["scientific"]))
    if match["whole"] is not None:
        part = Fraction(match["part"])
        whole = _small(match["whole"])
        # "7 4/3" and "2.5 1/2" are two numbers, so they are no mixed number.
        if part >= 1 or whole.denominator != 1:
            return None
        return str((whole + part) * _SCALES.get((match["mixed_scale"] or "").lower().rstrip("s"), 1))
    if match["scaled"] is not None:
        return _sum_of_scales(match["scaled"])
    if match["word"] is not None:
        return str(_small(match["word"]))
    return _with_letter(match["digits"], match["letter"], has_currency=match["currency"] is not None)


def _power(mantissa: str, exponent: str) -> str | None:
    if len(exponent) > 4 or abs(int(exponent)) > _LARGEST_EXPONENT:
        return None
    return str(Fraction(_without_separators(mantissa)) * Fraction(10) ** int(exponent))


def _with_letter(digits: str, letter: str | None, *, has_currency: bool) -> str:
    digits = _without_separators(digits)
    if "/" in digits and not digits.replace("/", "").isdecimal():
        numerator, denominator = digits.split("/")
        digits = str(Fraction(numerator) / Fraction(denominator))
    # "5m" and "5b" are metres or parts of a question unless they
    # are money. "5M" and "5k" always mean millions and thousands.
    if letter is None or (letter in ("m", "b") and not has_currency):
        return digits
    return str(Fraction(digits) * _LETTERS[letter.lower()])


def _sum_of_scales(text: str) -> str | None:
    """Compute the value of "2 million three hundred thousand and five"; None if the scales do not fall."""
    total = Fraction(0)
    current: Fraction | None = None
    smallest: Fraction | None = None
    pieces = re.findall(rf"{_FRACTION}|{_DIGITS}|{_SCALE}|{_WORD}|(?<!\w)an?(?!\w)", text, re.IGNORECASE)
    for piece in [*pieces, ""]:
        word = piece.lower().rstrip("s")
        if word in _SCALES:
            current = (Fraction(1) if current is None else current) * _SCALES[word]
            continue
        if current is not None:
            if smallest is not None and current >= smallest:
                return None
            total, smallest = total + current, _magnitude(current)
        current = (Fraction(1) if word in ("a", "an") else _small(piece)) if piece else None
    return str(total)


def _magnitude(value: Fraction) -> Fraction:
    """Find the largest scale that the value has reached; the scale that follows it must be smaller."""
    return Fraction(max((scale for scale in _SCALES.values() if scale <= value), default=1))


def _small(text: str) -> Fraction:
    """Read digits, a fraction, or a number word below a hundred."""
    words = re.split(r"[\s-]", text.lower())
    if words[0] in _VALUES:
        return Fraction(sum(_VALUES[word] for word in words))
    return Fraction(_without_separators(text))


def _without_separators(digits: str) -> str:
    if digits.count(".") > 1:
        digits = digits.replace(".", "")
    return re.sub("[,_'’ ]", "", digits)

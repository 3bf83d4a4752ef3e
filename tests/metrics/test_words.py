from __future__ import annotations

import random
import re
import string
from pathlib import Path
from unicodedata import normalize

import pytest
import regex

from slr.metrics.lexical import median_words, num_words
from slr.metrics.words import words
from slr.testbed.documents import compose_document

LANGUAGES = {
    "english": ("Don’t re-do 'it', O'Brien's 3.5!", ["don't", "re", "do", "it", "o'brien's", "3", "5"]),
    "markdown": ("_bold_ **bold** __bold__ snake_case", ["bold", "bold", "bold", "snake", "case"]),
    "hindi": ("हिन्दी में किताब, किताबें।", ["हिन्दी", "में", "किताब", "किताबें"]),
    "tamil": ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
    "bengali": ("আমার সোনার বাংলা", ["আমার", "সোনার", "বাংলা"]),
    "arabic with vowels": ("مُحَمَّدٌ، كِتَابٌ", ["مُحَمَّدٌ", "كِتَابٌ"]),
    "persian with a non-joiner": ("می\u200cخواهم بروم", ["می\u200cخواهم", "بروم"]),
    "hebrew with vowels": ("שָׁלוֹם עוֹלָם", ["שָׁלוֹם", "עוֹלָם"]),
    "hebrew acronym": ("צה״ל, ג׳ירפה", ["צה״ל", "ג׳ירפה"]),
    "chinese": ("我爱北京，2008年。", ["我", "爱", "北", "京", "2008", "年"]),
    "japanese": ("東京のラーメン", ["東", "京", "の", "ラ", "ー", "メ", "ン"]),
    "korean": ("한국어 문장", ["한국어", "문장"]),
    "thai": ("ที่นี่ ๑๒๓", ["ที่", "นี่", "๑๒๓"]),
    "lao": ("ມື້ນີ້", ["ມື້", "ນີ້"]),
    "khmer": ("ខ្មែរ", ["ខ្", "មែ", "រ"]),
    "myanmar": ("မြန်မာ", ["မြ", "န်", "မာ"]),
    "scripts mixed": ("ABC株式会社no1", ["abc", "株", "式", "会", "社", "no1"]),
    "german, turkish, greek": ("Straße İL ΟΔΟΣ", ["straße", "i̇l", "οδος"]),
    "soft hyphen": ("co\u00adoperate \ufeffcooperate", ["cooperate", "cooperate"]),
    "zero-width space": ("one\u200btwo", ["one", "two"]),
    "symbols": ("x² + ½ = ™ © € → ★", ["x²", "½"]),
}
EMOJI = {
    "family": "👨‍👩‍👧‍👦",
    "skin tone": "👍🏽",
    "profession": "👩🏾‍🔬",
    "flag": "🇩🇪",
    "flag of a part": "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "pirate flag": "🏴‍☠️",
    "heart": "❤️",
    "heart on fire": "❤️‍🔥",
    "shaking head": "🙂‍↔️",
    "keycap": "1️⃣",
    "keycap of a sign": "#️⃣",
    "plain": "🔥",
}


@pytest.mark.parametrize(("text", "expected"), LANGUAGES.values(), ids=LANGUAGES)
def test_words_of_a_language(text: str, expected: list[str]) -> None:
    assert words(text) == expected
    assert words(normalize("NFD", text)) == expected
    assert num_words(text) == len(expected)


@pytest.mark.parametrize("emoji", EMOJI.values(), ids=EMOJI)
def test_an_emoji_is_one_word(emoji: str) -> None:
    assert regex.fullmatch(r"\X", emoji)
    assert num_words(emoji) == 1
    assert num_words(emoji * 3) == 3
    assert words(f"so{emoji}good, {emoji}!") == ["so", *words(emoji), "good", *words(emoji)]


def test_different_emoji_are_different_words() -> None:
    assert len({word for emoji in EMOJI.values() for word in words(emoji)}) == len(EMOJI)
    assert words("🇩🇪🇫🇷🇩🇪") == ["🇩🇪", "🇫🇷", "🇩🇪"]
    assert words("👍🏽") != words("👍")
    assert words("❤️") == words("❤")  # a variation selector changes how it looks


@pytest.mark.parametrize(
    "text", ["", " \n\t", "...", "?!", "_ __", "— “”", "'", "\u0301", "\u200d\u200c", "™"]
)
def test_no_words(text: str) -> None:
    assert words(text) == []
    assert num_words(text) == 0


def test_both_forms_of_every_character_are_equal() -> None:
    characters = map(chr, (*range(0xD800), *range(0xE000, 0x110000)))
    for character in (c for c in characters if normalize("NFD", c) != c):
        text = f"x{character}y {character}"
        assert words(normalize("NFD", text)) == words(text), hex(ord(character))


def test_ascii_has_no_rule_of_its_own() -> None:
    """A word of another script before or behind, with or without a space, changes nothing of the rest."""
    rng = random.Random(0)
    characters = string.printable + "''__aB"
    for _ in range(2000):
        text = "".join(rng.choices(characters, k=40))
        for separator in ("京", " 京", "京 ", " 京 "):
            assert words(separator.join([text] * 3)) == [*words(text), "京"] * 2 + words(text)


def test_english_is_what_it_was_but_for_underscores() -> None:
    """Runs of letters and digits with apostrophes inside, by a pattern of its own; on texts of the testbed too."""
    rng = random.Random(1)
    texts = ["".join(rng.choices(string.printable, k=60)) for _ in range(2000)]
    texts += [compose_document(rng) for _ in range(200)]
    for text in texts:
        assert words(text) == re.findall(r"\w+(?:'\w+)*", text.lower().replace("_", " ")), text


def test_ascii_words_are_those_of_wordpunct_tokenize() -> None:
    """Those of letters and digits, for ASCII texts without apostrophes and underscores."""
    tokenize = pytest.importorskip("nltk.tokenize").wordpunct_tokenize
    rng = random.Random(2)
    characters = (string.printable + string.ascii_letters * 3).replace("'", "").replace("_", "")
    for _ in range(2000):
        text = "".join(rng.choices(characters, k=60))
        assert words(text) == [token for token in tokenize(text.lower()) if token.isalnum()]


def test_apostrophes_and_emoji_are_those_of_the_tweet_tokenizer() -> None:
    tokenizer = pytest.importorskip("nltk.tokenize").TweetTokenizer(preserve_case=False)
    text = "Don't say you're sorry now, it's O'Brien"
    assert words(text) == [token for token in tokenizer.tokenize(text) if token != ","]
    for name in ("family", "skin tone", "profession", "flag", "flag of a part", "plain"):
        assert words(EMOJI[name] * 2) == tokenizer.tokenize(EMOJI[name] * 2)


def test_chinese_characters_are_those_of_sacrebleu() -> None:
    zh = pytest.importorskip("sacrebleu.tokenizers.tokenizer_zh").TokenizerZh()
    text = "我爱北京，2008年abc。学而时习之，不亦说乎？"
    assert words(text) == [token for token in zh(text).split() if token.isalnum()]


def test_median_words() -> None:
    assert median_words(["one", "one two three", "one two"]) == 2.0
    assert median_words(["one", "one two"]) == 1.5
    assert median_words(["", "...", "five words are in this"]) == 0.0
    assert median_words(["我爱"]) == 2.0
    assert median_words([]) is None
    with pytest.raises(ValueError, match="got one text"):
        median_words("a b c")


def test_the_examples_of_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*) \| (`.*|none) \|$", page, flags=re.MULTILINE)
    assert len(rows) >= 10
    for texts, expected in rows:
        for text in re.findall(r"`([^`]+)`", texts):
            assert words(text) == re.findall(r"`([^`]+)`", expected)

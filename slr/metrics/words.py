"""What a word of a text is, in any language: the one rule of all word metrics.

docs/metrics.md has the rule with examples, and says where it agrees with nltk's tokenisers.
"""

from __future__ import annotations

import re
from unicodedata import normalize

import regex

_INVISIBLE = regex.compile(r"(?V1)[\p{Default_Ignorable_Code_Point}--[\u200B-\u200D\U000E0020-\U000E007F]]")
"""Variation selectors, soft hyphens, marks of direction. Not those that separate (zero-width space) or join."""

_UNSPACED_SCRIPT = r"[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}ーｰﾞﾟ\p{Line_Break=Complex_Context}]"
"""Unicode's line-break class Complex_Context has the letters of Thai, Lao, Khmer, Myanmar and their relatives."""

_UNSPACED_LETTER = rf"[[\p{{L}}\p{{Nl}}]&&{_UNSPACED_SCRIPT}]"

_UNSPACED = rf"{_UNSPACED_LETTER}(?:[\u200C\u200D]*\p{{M}})*"

_EMOJI_PART = r"[\p{Emoji}&&\p{S}--[©®™]](?:\p{Emoji_Modifier}|[\U000E0020-\U000E007E]+\U000E007F)?"
_EMOJI = rf"\p{{Regional_Indicator}}{{2}}|{_EMOJI_PART}(?:\u200D{_EMOJI_PART})*|[#*]\u20E3"
_KEYCAP = regex.compile(r"[0-9#*]\u20E3")

_RUN = rf"[[\p{{L}}\p{{N}}]--{_UNSPACED_LETTER}](?:[\u200C\u200D]*[[\p{{L}}\p{{N}}\p{{M}}]--{_UNSPACED_LETTER}])*"
_SPACED = rf"{_RUN}(?:['׳״]{_RUN})*"

_WORD = regex.compile(rf"(?V1){_EMOJI}|{_UNSPACED}|{_SPACED}")
_ASCII_WORD = re.compile(r"[a-z0-9]++(?:'[a-z0-9]++)*+")
"""What ``_WORD`` comes to in ASCII, several times as fast."""


def words(text: str) -> list[str]:
    """The words of a text, lower-cased and in Unicode's composed form (NFC).

    A word is one of:

    - a run of letters, combining marks and digits, with apostrophes inside;
    - one letter and its marks, in scripts that put no spaces between words (Han, Hiragana, Katakana, Thai, Lao,
      Khmer, Myanmar): where their words end is a matter of dictionaries, and results would depend on which;
    - one emoji, with all that is joined to it: skin tone, ZWJ sequence, flag, keycap.

    All else separates words and is dropped: punctuation, the hyphen, the underscore, other symbols. A curly
    apostrophe is a straight one, and characters that cannot be seen (variation selectors, soft hyphens) are none.
    ``words("Don’t re-do _it_, 東京 👍🏽!") == ["don't", "re", "do", "it", "東", "京", "👍🏽"]``.
    """
    text = text.replace("’", "'")
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    visible = _INVISIBLE.sub("", text).lower()
    # The frame of a keycap is a mark, by which its digit would be one word with what is beside it.
    composed = normalize("NFC", _KEYCAP.sub(r" \g<0> ", visible))
    # Most of an English text with a dash or an emoji in it is ASCII, and no word has a space.
    return [
        word
        for piece in composed.split()
        for word in (_ASCII_WORD if piece.isascii() else _WORD).findall(piece)
    ]

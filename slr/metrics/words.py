"""What a word is, in any language: the one rule that all word metrics use.

docs/metrics.md shows the rule with examples, and says where it agrees with nltk's tokenisers.
"""

from __future__ import annotations

import re
from unicodedata import normalize

import regex

_INVISIBLE = regex.compile(r"(?V1)[\p{Default_Ignorable_Code_Point}--[\u200B-\u200D\U000E0020-\U000E007F]]")
"""Characters that are removed because they cannot be seen.

They are variation selectors, soft hyphens and marks of direction. Characters that separate words (zero-width
space) or join letters are kept.
"""

_UNSPACED_SCRIPT = r"[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}ーｰﾞﾟ\p{Line_Break=Complex_Context}]"
"""Letters of scripts without spaces between words.

Unicode's line-break class Complex_Context has Thai, Lao, Khmer, Myanmar and their relatives.
"""

_UNSPACED_LETTER = rf"[[\p{{L}}\p{{Nl}}]&&{_UNSPACED_SCRIPT}]"

_UNSPACED = rf"{_UNSPACED_LETTER}(?:[\u200C\u200D]*\p{{M}})*"

_EMOJI_PART = r"[\p{Emoji}&&\p{S}--[©®™]](?:\p{Emoji_Modifier}|[\U000E0020-\U000E007E]+\U000E007F)?"
_EMOJI = rf"\p{{Regional_Indicator}}{{2}}|{_EMOJI_PART}(?:\u200D{_EMOJI_PART})*|[#*]\u20E3"
_KEYCAP = regex.compile(r"[0-9#*]\u20E3")

_RUN = rf"[[\p{{L}}\p{{N}}]--{_UNSPACED_LETTER}](?:[\u200C\u200D]*[[\p{{L}}\p{{N}}\p{{M}}]--{_UNSPACED_LETTER}])*"
_SPACED = rf"{_RUN}(?:['׳״]{_RUN})*"

_WORD = regex.compile(rf"(?V1){_EMOJI}|{_UNSPACED}|{_SPACED}")
_ASCII_WORD = re.compile(r"[a-z0-9]++(?:'[a-z0-9]++)*+")
"""Pattern equal to ``_WORD`` for ASCII text, and several times as fast."""


def words(text: str) -> list[str]:
    """Split a text into words, lower-cased and in Unicode's composed form (NFC).

    A word is one of:

    - a run of letters, combining marks and digits, with apostrophes inside;
    - one letter and its marks, in scripts that put no spaces between words (Han, Hiragana, Katakana, Thai,
      Lao, Khmer, Myanmar). Where such words end depends on the dictionary, and so would the results;
    - one emoji with everything that is joined to it: skin tone, ZWJ sequence, flag, keycap.

    Everything else separates words and is dropped: punctuation, the hyphen, the underscore, other symbols. A
    curly apostrophe counts as a straight one. Invisible characters (variation selectors, soft hyphens) are
    dropped without separating words. ``words("Don’t re-do _it_, 東京 👍🏽!") == ["don't", "re", "do", "it", "東",
    "京", "👍🏽"]``.
    """
    text = text.replace("’", "'")
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    visible = _INVISIBLE.sub("", text).lower()
    # The frame of a keycap is a combining mark. Without the spaces, its digit would join the word next to it.
    composed = normalize("NFC", _KEYCAP.sub(r" \g<0> ", visible))
    # Most pieces of an English text with one dash or emoji are ASCII, so the fast pattern reads them. No word holds
    # a space, so no piece cuts a word.
    return [
        word
        for piece in composed.split()
        for word in (_ASCII_WORD if piece.isascii() else _WORD).findall(piece)
    ]

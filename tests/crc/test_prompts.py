"""The lint of the prompt data."""

from __future__ import annotations

import string
from collections import Counter

from slr.crc.prompts import load_prompts

SELECTION = load_prompts("selection")
HELD_OUT = load_prompts("held_out")


def test_counts() -> None:
    for prompts in (SELECTION, HELD_OUT):
        assert Counter(prompt.category for prompt in prompts) == {"letters": 20, "digits": 20}


def test_ids_and_texts_are_unique() -> None:
    prompts = SELECTION + HELD_OUT
    assert len({prompt.id for prompt in prompts}) == 80
    assert len({prompt.text for prompt in prompts}) == 80


def test_valid_sets_hold_distinct_single_characters_of_the_category() -> None:
    alphabet = {"letters": set(string.ascii_letters), "digits": set(string.digits)}
    for prompt in SELECTION + HELD_OUT:
        assert 2 <= len(prompt.valid) <= 26, prompt.id
        assert len(set(prompt.valid)) == len(prompt.valid), prompt.id
        assert set(prompt.valid) <= alphabet[prompt.category], prompt.id
        assert prompt.valid.islower() or prompt.valid.isupper() or prompt.valid.isdigit(), prompt.id


def test_listed_characters_are_the_valid_set() -> None:
    """Where the wording lists single characters, all of them and no others are valid."""
    for prompt in SELECTION + HELD_OUT:
        words = (word.strip(".,:;?!{}") for word in prompt.text.split())
        listed = {word for word in words if len(word) == 1 and word not in {"a", "I", "A"}}
        is_range = any(word in prompt.text for word in (" to ", "etween", "after", "before", "than"))
        if len(listed) >= 3 and not is_range:
            assert listed - set(prompt.valid) == set(), prompt.id


def test_held_out_prompts_differ_in_wording_and_in_valid_set() -> None:
    assert not {prompt.text for prompt in SELECTION} & {prompt.text for prompt in HELD_OUT}
    assert not {frozenset(p.valid) for p in SELECTION} & {frozenset(p.valid) for p in HELD_OUT}
    openings = [{" ".join(p.text.split()[:3]) for p in prompts} for prompts in (SELECTION, HELD_OUT)]
    assert not openings[0] & openings[1]

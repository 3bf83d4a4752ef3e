"""The lint of the creative-writing prompts, and what loading them refuses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest

from slr.tasks.creative_prompts import (
    GENRES,
    CreativePrompt,
    Genre,
    load_creative_prompts,
    require_unique_ids,
)

PROMPTS = load_creative_prompts()
LEAST_FORMS: dict[Genre, int] = {"poem": 12, "story": 12, "joke": 6}
LONGEST_SHARED_RUN = 8
LONGEST_RUN_SHARED_WITH_TRAINING = 4

TRAINING_SUBJECTS = re.split(
    "; ",
    "old bridge; lazy cat; first snow; lost key; train station at night; birthday cake; broken umbrella; "
    "neighbour's garden; very small king; empty beach; stubborn donkey; letter without an address; "
    "village baker; last bus; red balloon; two brothers; noisy clock; fog; clever crow; blue bicycle; "
    "unfinished painting; school trip; bowl of soup; night watchman; hidden door; postman; paper boat; "
    "chess; forgotten song; giant pumpkin; oldest tree in town; pair of shoes; dentist; storm at sea; "
    "apple thief; lonely robot; saturday market; dog that cannot bark; window in winter; queue",
)
TRAINING_WORDINGS = (
    "Tell a story about {} in three or four sentences.",
    "Write three sentences of fiction with {} in them.",
    "Make up a poem of four lines about {}.",
    "Four lines of verse on {}, please.",
    "Make me laugh with a short joke about {}.",
    "Do you know a joke with {} in it?",
)


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def runs(text: str, length: int) -> Iterator[tuple[str, ...]]:
    words = words_of(text)
    return (tuple(words[start : start + length]) for start in range(len(words) - length + 1))


def without_articles(subject: str) -> str:
    return " ".join(word for word in words_of(subject) if word not in {"a", "an", "the"})


def singular_and_plural(word: str) -> set[str]:
    spellings = {word, word + "s", word + "es", word.removesuffix("s"), word.removesuffix("es")}
    return spellings | {re.sub("y$", "ies", word), re.sub("ies$", "y", word)}


@pytest.mark.parametrize("genre", GENRES)
def test_a_genre_holds_100_prompts_in_a_fixed_order(genre: Genre) -> None:
    prompts = load_creative_prompts(genre)
    assert [prompt.id for prompt in prompts] == [f"{genre}-{number:03d}" for number in range(1, 101)]
    assert {prompt.genre for prompt in prompts} == {genre}


def test_ids_and_texts_are_unique() -> None:
    assert len({prompt.id for prompt in PROMPTS}) == 300
    assert len({prompt.text.lower() for prompt in PROMPTS}) == 300


@pytest.mark.parametrize("genre", GENRES)
def test_no_subject_occurs_twice_in_a_genre(genre: Genre) -> None:
    counts = Counter(without_articles(prompt.subject) for prompt in load_creative_prompts(genre))
    assert [subject for subject, count in counts.items() if count > 1] == []


def test_each_text_mentions_its_subject() -> None:
    for prompt in PROMPTS:
        main_word = words_of(prompt.subject)[-1]
        assert singular_and_plural(main_word) & set(words_of(prompt.text)), prompt.id


@pytest.mark.parametrize("genre", GENRES)
def test_forms_are_varied(genre: Genre) -> None:
    assert len({prompt.form for prompt in load_creative_prompts(genre)}) >= LEAST_FORMS[genre]


@pytest.mark.parametrize("genre", GENRES)
def test_some_prompts_have_a_constraint_and_some_have_none(genre: Genre) -> None:
    constrained = sum(prompt.constraint is not None for prompt in load_creative_prompts(genre))
    assert 25 <= constrained <= 75


def test_no_subject_is_used_for_training() -> None:
    for prompt in PROMPTS:
        for wording in (without_articles(prompt.subject), " ".join(words_of(prompt.text))):
            for subject in TRAINING_SUBJECTS:
                assert re.search(rf"\b{subject}s?\b", wording) is None, (prompt.id, subject)


def test_no_wording_is_used_for_training() -> None:
    length = LONGEST_RUN_SHARED_WITH_TRAINING + 1
    pieces = (piece for wording in TRAINING_WORDINGS for piece in wording.split("{}"))
    forbidden = {run for piece in pieces for run in runs(piece, length)}
    assert ("tell", "a", "story", "about") in {run[:4] for run in runs(TRAINING_WORDINGS[0], 4)}
    for prompt in PROMPTS:
        assert forbidden.isdisjoint(runs(prompt.text, length)), prompt.id


@pytest.mark.parametrize("genre", GENRES)
def test_no_two_texts_of_a_genre_share_a_long_run_of_words(genre: Genre) -> None:
    owner: dict[tuple[str, ...], str] = {}
    for prompt in load_creative_prompts(genre):
        for run in set(runs(prompt.text, LONGEST_SHARED_RUN + 1)):
            assert run not in owner, (prompt.id, owner[run], run)
            owner[run] = prompt.id


def test_texts_are_one_or_two_sentences() -> None:
    for prompt in PROMPTS:
        unquoted = re.sub(r'"[^"]*"', "", prompt.text)
        assert 1 <= len(re.split(r"[.?!]\s+(?=[A-Z])", unquoted)) <= 2, prompt.id
        assert prompt.text[-1] in '.?!"', prompt.id


def test_the_prompts_are_read_once() -> None:
    assert load_creative_prompts("poem")[0] is PROMPTS[0]


def test_an_unknown_genre_is_refused() -> None:
    with pytest.raises(ValueError, match="'essay'"):
        load_creative_prompts(cast(Genre, "essay"))
    with pytest.raises(ValueError, match=r"'poem-001'.*'essay'"):
        replace(PROMPTS[0], genre=cast(Genre, "essay"))


@pytest.mark.parametrize("field", ["id", "subject", "form", "constraint", "text"])
def test_an_empty_field_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"empty {field}"):
        replace(PROMPTS[0], **{field: " "})


def test_a_repeated_id_is_refused() -> None:
    twin: CreativePrompt = replace(PROMPTS[1], id=PROMPTS[0].id)
    with pytest.raises(ValueError, match="'poem-001' occurs twice"):
        require_unique_ids([PROMPTS[0], twin])

from __future__ import annotations

from typing import Any

import pytest

from slr.laptop.training_data import THINGS
from slr.tasks.answers import (
    MAX_ANSWERS,
    MIN_ANSWERS,
    OpenQuestion,
    load_open_questions,
    normalise,
    parse_open_questions,
)

QUESTIONS = {question.id: question for question in load_open_questions()}
FILLER = tuple((f"filler {index}",) for index in range(MIN_ANSWERS))


def _row(**changes: Any) -> dict[str, Any]:
    row = {"id": "things", "text": "Name a thing.", "source": "nowhere", "answers": [list(a) for a in FILLER]}
    return row | changes


def test_forty_questions_with_sources_and_different_texts():
    assert len(load_open_questions()) == 40
    assert len(QUESTIONS) == 40
    assert len({question.text for question in QUESTIONS.values()}) == 40
    assert all(len(question.source) > 10 for question in QUESTIONS.values())


def test_the_laptop_models_were_post_trained_on_other_kinds_of_things():
    """No question asks for a kind that training asks for; answers in common are words of two meanings."""
    for question in QUESTIONS.values():
        words = f" {normalise(question.text)} "
        names = {normalise(alias) for aliases in question.answers for alias in aliases}
        for (thing, things), answers in THINGS.items():
            assert f" {thing} " not in words
            assert f" {things} " not in words
            assert len(names & set(answers)) <= 1, (question.id, thing)


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda question: question.id)
def test_shipped_list(question: OpenQuestion):
    assert MIN_ANSWERS <= question.num_right <= MAX_ANSWERS
    assert "only" in question.text.lower() or "nothing" in question.text.lower()
    names = [aliases[0] for aliases in question.answers]
    assert len(set(names)) == len(names)
    owners = {}
    for aliases in question.answers:
        assert len({normalise(alias) for alias in aliases}) == len(aliases), aliases
        for alias in aliases:
            assert owners.setdefault(normalise(alias), aliases[0]) == aliases[0]


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda question: question.id)
@pytest.mark.parametrize(
    "around", ["{}", "The answer is {}.", "**{}**", "1. {}\n2. Something else", "Sure! {} (a good one)"]
)
def test_every_alias_is_recognised(question: OpenQuestion, around: str):
    for aliases in question.answers:
        for alias in aliases:
            assert question.recognise(around.format(alias)) == aliases[0]


@pytest.mark.parametrize(
    ("question_id", "num_right"),
    [
        ("un-members", 193),
        ("us-states", 50),
        ("us-presidents", 45),
        ("chemical-elements", 118),
        ("constellations", 88),
        ("us-national-parks", 63),
        ("japanese-prefectures", 47),
        ("indian-states", 28),
        ("mexican-states", 31),
        ("swiss-cantons", 26),
        ("books-of-the-bible", 73),
        ("amino-acids", 22),
        ("uk-prime-ministers", 58),
        ("summer-olympics-hosts", 23),
    ],
)
def test_closed_lists_are_complete(question_id: str, num_right: int):
    assert QUESTIONS[question_id].num_right == num_right


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Côte d’Ivoire", "cote divoire"),
        ("Bosnia & Herzegovina", "bosnia and  herzegovina"),
        ("St. Louis", "Saint Louis"),
        ("The Bahamas", "bahamas"),
        ("Guinea-Bissau", "guinea bissau"),
        ("J. R. R. Tolkien", "J.R.R. Tolkien"),
        ("U.S.A.", "usa"),
        ("Bjørnson", "bjornson"),
    ],
)
def test_spellings_of_one_name_are_the_same(first: str, second: str):
    assert normalise(first) == normalise(second) != ""


@pytest.mark.parametrize(
    ("first", "second"), [("C", "C++"), ("C", "C#"), ("Niger", "Nigeria"), ("1 John", "John")]
)
def test_different_names_stay_different(first: str, second: str):
    assert normalise(first) != normalise(second)


@pytest.mark.parametrize(
    ("question_id", "text", "expected"),
    [
        ("un-members", "\n\n  france  \nGermany", "France"),
        ("un-members", "Sure!\n\nFrance", "France"),
        ("un-members", "Here is a country:\n- France", "France"),
        ("un-members", "# France", "France"),
        ("un-members", '"France"', "France"),
        ("un-members", "__`France`__", "France"),
        ("un-members", "1) **France**", "France"),
        ("un-members", "Okay, my answer is: France!", "France"),
        ("un-members", "One member country is the Netherlands.", "Netherlands"),
        ("un-members", "I would choose Peru", "Peru"),
        ("un-members", "That's Peru.", "Peru"),
        ("un-members", "Here's one: Peru", "Peru"),
        ("un-members", "Korea, South", "South Korea"),
        ("un-members", "St Lucia", "Saint Lucia"),
        ("un-members", "São Tomé & Principe", "São Tomé and Príncipe"),
        ("un-members", "France - a country in Europe, next to Germany", "France"),
        ("un-members", "France, which borders Germany and Spain", "France"),
        ("un-members", "France. It borders Germany.", "France"),
        ("un-members", "Congo, Democratic Republic of the (Kinshasa)", "Democratic Republic of the Congo"),
        ("un-members", "Country: France", "France"),
        ("un-members", "The country I like most is Guinea-Bissau in Africa", "Guinea-Bissau"),
        ("un-members", "The Kingdom of Norway", "Norway"),
        ("summer-olympics-hosts", "Mexico City, Mexico", "Mexico City"),
        ("programming-languages", "C++", "C++"),
        ("programming-languages", "C#", "C#"),
        ("programming-languages", "C is a language.", "C"),
        ("programming-languages", "I would go with Python here", "Python"),
        ("moons-of-jupiter", "Io is one of its moons", "Io"),
        ("nobel-literature", "J.M. Coetzee", "J. M. Coetzee"),
        ("us-presidents", "James Garfield", "James A. Garfield"),
        ("us-presidents", "George HW Bush", "George H. W. Bush"),
        ("disney-animated-films", "The Lion King is a film by Disney", "The Lion King"),
        ("disney-animated-films", "Atlantis: The Lost Empire (2001)", "Atlantis: The Lost Empire"),
        ("books-of-the-bible", "The Book of Genesis", "Genesis"),
        ("us-national-parks", "Glacier Bay National Park", "Glacier Bay"),
        ("chess-openings", "The Queen's Gambit Declined", "Queen's Gambit Declined"),
        ("shakespeare-plays", "*A Midsummer Night’s Dream*", "A Midsummer Night's Dream"),
    ],
)
def test_recognised(question_id: str, text: str, expected: str):
    assert QUESTIONS[question_id].recognise(text) == expected


@pytest.mark.parametrize(
    ("question_id", "text"),
    [
        ("un-members", ""),
        ("un-members", " \n ** \n"),
        ("un-members", "Sure!"),
        ("un-members", "The answer is:"),
        ("un-members", "Atlantis"),
        ("un-members", "I do not know."),
        ("un-members", "France and Germany"),
        ("un-members", "France, Germany, Spain"),
        ("un-members", "France / Germany"),
        ("un-members", "Francesca"),
        ("un-members", "New Mexico"),
        ("un-members", "There are so many countries that I would like to name here, such as Peru"),
        ("countries-of-africa", "Papua New Guinea"),
        ("countries-of-africa", "France"),
        ("us-presidents", "Roosevelt"),
        ("us-presidents", "Benjamin Franklin"),
        ("shakespeare-plays", "Henry IV"),
        ("books-of-the-bible", "Corinthians"),
    ],
)
def test_refused(question_id: str, text: str):
    assert QUESTIONS[question_id].recognise(text) is None


def test_parsing_keeps_the_order_and_counts_answers():
    question = parse_open_questions([_row()])[0]
    assert question.answers == FILLER
    assert question.num_right == MIN_ANSWERS


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([_row(answers=[["one"]])], "'things' has 1 answers"),
        ([_row(answers=[[f"n{i}"] for i in range(MAX_ANSWERS + 1)])], "'things' has 201 answers"),
        ([_row(answers=[*FILLER, ["Filler-3"]])], "'things': alias 'Filler-3' names both 'filler 3'"),
        ([_row(answers=[*FILLER, ["x", "the"]])], "'things': alias 'the' is empty"),
        ([_row(answers=[*FILLER, []])], "'things': answer 20 has no name"),
        ([_row(), _row()], "more than once: things"),
    ],
)
def test_broken_lists_are_refused(rows: list[dict[str, Any]], message: str):
    with pytest.raises(ValueError, match=message):
        parse_open_questions(rows)

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from importlib import resources
from typing import Any

import pytest

from slr.tasks.answers import (
    MAX_ANSWERS,
    MIN_ANSWERS,
    OpenQuestion,
    load_open_questions,
    normalise,
    parse_open_questions,
)
from slr.tasks.names import initialled, spellings
from tests.laptop.post_training.requests.test_prompts import runs_of_words, training_texts
from tests.tasks.recogniser_cases import CASES

QUESTIONS = {question.id: question for question in load_open_questions()}
TRAINED_ON = runs_of_words(training_texts())
FILLER = tuple((f"filler {index}",) for index in range(MIN_ANSWERS))


def _row(**changes: Any) -> dict[str, Any]:
    row = {"id": "things", "text": "Name a thing.", "source": "nowhere", "answers": [list(a) for a in FILLER]}
    return row | changes


def test_forty_questions_with_sources_and_different_texts():
    assert len(load_open_questions()) == 40
    assert len(QUESTIONS) == 40
    assert len({question.text for question in QUESTIONS.values()}) == 40
    assert all(len(question.source) > 10 for question in QUESTIONS.values())


def test_which_lists_are_open_is_written_down():
    """Naming the Games of Paris closes the list of Olympic sports."""
    text = (resources.files("slr.tasks") / "open_qa_questions.json").read_text(encoding="utf-8")
    assert all(isinstance(row["closed"], bool) for row in json.loads(text))
    open_lists = {question.id for question in QUESTIONS.values() if not question.is_closed}
    assert open_lists == {
        "cheeses",
        "chess-openings",
        "composers",
        "dinosaurs",
        "dog-breeds",
        "greek-gods",
        "languages",
        "mathematicians",
        "musical-instruments",
        "pasta-shapes",
        "programming-languages",
        "rivers-of-europe",
    }


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda question: question.id)
def test_a_dated_list_says_its_date_in_the_question(question: OpenQuestion):
    assert ("2024" in question.text) == (question.as_of is not None)
    assert question.as_of is None or date.fromisoformat(question.as_of).year == 2024
    assert question.as_of is None or question.is_closed


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda question: question.id)
def test_no_wording_is_shared_with_the_laptop_models_training(question: OpenQuestion):
    assert not runs_of_words([question.text]) & TRAINED_ON


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda question: question.id)
def test_no_spelling_made_by_rule_names_two_answers(question: OpenQuestion):
    owners: dict[str, str] = {}
    for aliases in question.answers:
        for form in {form for alias in aliases for form in spellings(alias, question.forms)}:
            assert owners.setdefault(form, aliases[0]) == aliases[0]
    for distractor in question.distractors:
        assert not owners.keys() & set(spellings(distractor, question.forms))
        assert question.recognise(distractor) is None


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda question: question.id)
def test_every_distractor_is_needed(question: OpenQuestion):
    without = replace(question, distractors=())
    assert all(without.recognise(distractor) is not None for distractor in question.distractors)


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
        ("nobel-literature", 121),
        ("disney-animated-films", 63),
        ("currencies", 82),
        ("capitals-of-africa", 61),
        ("olympic-sports", 35),
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
        ("books-of-the-bible", "Corinthians"),
    ],
)
def test_refused(question_id: str, text: str):
    assert QUESTIONS[question_id].recognise(text) is None


@pytest.mark.parametrize(("question_id", "text", "expected"), CASES)
def test_tricky_outputs(question_id: str, text: str, expected: str | None):
    assert QUESTIONS[question_id].recognise(text) == expected


def test_there_are_tricky_outputs_of_every_list_and_of_both_kinds():
    assert len(set(CASES)) == len(CASES) >= 120
    assert {question_id for question_id, _, _ in CASES} == QUESTIONS.keys()
    assert 0.3 < sum(expected is None for _, _, expected in CASES) / len(CASES) < 0.6


@pytest.mark.parametrize(
    ("alias", "form", "expected"),
    [
        ("Guitar", "plural", "guitars"),
        ("Husky", "plural", "huskies"),
        ("Ray", "plural", "rays"),
        ("Finch", "plural", "finches"),
        ("Cymbals", "plural", "cymbal"),
        ("Philidor Defence", "possessive", "philidors defence"),
    ],
)
def test_spellings_made_by_rule(alias: str, form: Any, expected: str):
    assert expected in spellings(alias, frozenset({form}))
    assert expected not in spellings(alias, frozenset())


def test_ordinals_are_spelled_in_every_way():
    assert set(spellings("2 Kings", frozenset())) == {
        "2 kings",
        "ii kings",
        "two kings",
        "second kings",
        "2nd kings",
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Ronald Wilson Reagan", {"rw reagan", "ronald w reagan", "r wilson reagan"}),
        ("Edvard Grieg", {"e grieg"}),
        ("Andrew Johnson", set()),
        ("Duke of Portland", set()),
        ("Lord North", set()),
        ("Johann Strauss II", set()),
        ("J. S. Bach", set()),
    ],
)
def test_initials(name: str, expected: set[str]):
    assert set(initialled(name)) == expected


def test_initials_that_two_people_share_name_nobody():
    people = [["Ada Smith"], ["Carl Jones"], ["Clara Jones"], *(list(aliases) for aliases in FILLER)]
    question = parse_open_questions([_row(answers=people, forms=["person"])])[0]
    assert question.recognise("C. Jones") is None
    assert question.recognise("Carl Jones") == "Carl Jones"


def test_a_line_without_end_is_read_as_far_as_its_beginning():
    question = QUESTIONS["un-members"]
    assert question.recognise("France " + "state of " * 5000) == "France"
    assert question.recognise("I w, " * 5000 + "France") is None


def test_a_qualifier_leaves_a_name_the_same():
    plain, qualified = parse_open_questions([_row(), _row(id="others", qualifiers=["old", "city of"])])
    assert plain.recognise("old filler 3") is None
    assert qualified.recognise("the old city of filler 3") == "filler 3"
    assert qualified.recognise("filler 3 city") is None


def test_another_kind_of_thing_is_refused():
    question = parse_open_questions([_row(other_kinds=["planet"])])[0]
    assert question.recognise("Filler 3 (the planet)") is None
    assert question.recognise("Filler 3 (the element)") == "filler 3"


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
        (
            [_row(answers=[*FILLER, ["cat"], ["cats"]], forms=["plural"])],
            "'cats' names both 'cat' and 'cats'",
        ),
        ([_row(distractors=["Filler 3"])], "'Filler 3' names both 'filler 3' and ''"),
        ([_row(answers=[*FILLER, []])], "'things': answer 20 has no name"),
        ([_row(), _row()], "more than once: things"),
    ],
)
def test_broken_lists_are_refused(rows: list[dict[str, Any]], message: str):
    with pytest.raises(ValueError, match=message):
        parse_open_questions(rows)

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from slr.tasks.prompting_methods import (
    Dialect,
    compose_english_request,
    compose_testbed_request,
    draw_answer,
    draw_samples,
    parse_list,
    parse_verbalized,
)
from slr.testbed.choices import choose_typically, choose_uniformly
from slr.testbed.documents import LIST_REQUESTS, VERBALIZED_REQUESTS, compose_exchange
from slr.testbed.writing import Chooser

PIECES = (
    *"[]{}()<>|:;,.-–*_`'\"\\/#=% \n\t0123459aé…",
    *("0.2", "20%", "1. ", "2) ", "- ", "Paris", " | ", "probability", "<answer", "</answer>", "<text>"),
    *(
        '<response probability="',
        '{"text": "',
        '"probability": ',
        "```json\n",
        "Here are:",
        "\ud800",
        "\x00",
        "٣",
    ),
)


def test_importing_loads_no_torch():
    code = "import sys, slr.tasks.prompting_methods; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_english_requests():
    assert compose_english_request("direct", "Name a city.", 5) == "Name a city."
    assert compose_english_request("list", "Name a {city}.", 5) == (
        "Name a {city}.\n\nGive 5 different answers as a numbered list, one per line, and nothing else."
    )
    assert compose_english_request("verbalized", "Name a city.", 3) == (
        "Name a city.\n\nGive 3 different answers with the probability of each. "
        "Write one per line, as: answer | probability"
    )
    with pytest.raises(ValueError, match="count 1, expected at least 2"):
        compose_english_request("list", "Name a city.", 1)


def test_testbed_requests():
    assert compose_testbed_request("direct", "Name a city.", "cities", 5) == "Name a city."
    assert compose_testbed_request("list", "Name a city.", "cities", 5) == "List five cities."
    assert compose_testbed_request("list", "", "cities", 2, wording=1) == "Name two different cities."
    assert (
        compose_testbed_request("verbalized", "", "cities", 3)
        == "Give three cities, each with its probability."
    )
    for count in (1, 6):
        with pytest.raises(ValueError, match=f"count {count}"):
            compose_testbed_request("list", "", "cities", count)
    for wording in (-1, 3):
        with pytest.raises(ValueError, match=f"wording {wording}"):
            compose_testbed_request("verbalized", "", "cities", 2, wording=wording)


@pytest.mark.parametrize("choose", [choose_typically, choose_uniformly])
def test_testbed_formats_are_those_of_the_documents(choose: Chooser):
    rng = random.Random(0)
    starts = {"list": LIST_REQUESTS, "verbalized": VERBALIZED_REQUESTS}
    seen = Counter()
    while min(seen["list"], seen["verbalized"]) < 20:
        exchange = compose_exchange(choose, rng)
        if "\n" in exchange.answer and all(": 0." in line for line in exchange.answer.splitlines()):
            stated = parse_verbalized(exchange.answer, "testbed")
            assert "\n".join(f"{answer}: {p:.2f}" for answer, p in stated) == exchange.answer
            seen["verbalized"] += 1
        elif any(exchange.request.startswith(start.split("{")[0]) for start in starts["list"][::2]):
            answers = parse_list(exchange.answer, "testbed")
            assert ", ".join(answers) == exchange.answer
            seen["list"] += 1


@pytest.mark.parametrize(
    "text",
    [
        "1. Paris\n2. New York\n3. Oslo",
        "1) Paris\n2) New York\n3) Oslo\n",
        "(1) Paris\n(2) New York\n(3) Oslo\n",
        "- Paris\n- New York\n- Oslo",
        "* Paris\n* *New York*\n* Oslo",
        "• Paris\n• New York\n• Oslo",
        "Paris\nNew York\n\nOslo",
        "Paris, New York, Oslo",
        "Paris, New York, and Oslo.",
        "Sure! Here are three cities: Paris, New York, Oslo",
        "Here are three cities:\n\nParis, New York, Oslo",
        "1. Paris 2. New York 3. Oslo",
        "1. **Paris**\n2. __New York__\n3. `Oslo`",
        "**1. Paris**\n**2.** New York\n### 3. Oslo",
        "- 1. Paris\n- 2. New York\n- 3. Oslo",
        'Certainly!\n\n1. "Paris"\n   - in France\n2. “New York”\n\n3. Oslo\n\nLet me know if you want more.',
        "Here are three cities.\nParis\nNew York\nOslo\nI hope this helps!",
        "Answer 1: Paris\nAnswer 2: New York\nAnswer 3: Oslo",
        "1. Paris\n2. New York\n3. Oslo\n4.",
        '["Paris", "New York", "Oslo"]',
        '```json\n["Paris", "New York", "Oslo"]\n```',
        '{"answers": ["Paris", "New York", "Oslo"]}',
        '[{"answer": "Paris"}, {"text": "New York"}, {"response": "Oslo"}]',
        "<answer>Paris</answer>\n<answer> New York </answer>\n<answer>Oslo",
        "<answer>Paris</answer><answer>New York</answer><answer>Oslo</ans",
    ],
)
def test_english_lists(text: str):
    assert parse_list(text, "english") == ("Paris", "New York", "Oslo")


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("", ()),
        (" \n\n", ()),
        ("1.\n2.", ()),
        ("...", ()),
        ("---", ()),
        ("```\n```", ()),
        ("Paris", ("Paris",)),
        ("1. Paris\n2. Paris", ("Paris", "Paris")),
        ("1. Paris\n2. New Yo", ("Paris", "New Yo")),
        ("1. Paris, Texas", ("Paris, Texas",)),
        ("2*3*4\n5 * 6", ("2*3*4", "5 * 6")),
        ("1. snake_case_name\n2. 1.5 litres", ("snake_case_name", "1.5 litres")),
        ('1. "Hope" and "Fear"\n2. *Dune', ('"Hope" and "Fear"', "Dune")),
    ],
)
def test_english_lists_of_other_kinds(text: str, answers: tuple[str, ...]):
    assert parse_list(text, "english") == answers


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("", ()),
        ("Paris, Oslo, Rome", ("Paris", "Oslo", "Rome")),
        ("\nParis, Paris\nQ: Name a city.", ("Paris", "Paris")),
        ("Paris,, Os", ("Paris", "Os")),
    ],
)
def test_testbed_lists(text: str, answers: tuple[str, ...]):
    assert parse_list(text, "testbed") == answers


@pytest.mark.parametrize(
    "text",
    [
        "Paris | 0.2\nNew York | 0.3",
        "Paris: 0.20\nNew York: 0.30",
        "Paris (20%)\nNew York (30 %)",
        "1. Paris - 0.2\n2. New York – 0.3",
        "Paris (probability: 0.2)\nNew York (Probability = 30%)",
        "Paris, with a probability of 0.2\nNew York, probability .3",
        "Paris (p = 0.2)\nNew York [~0.3]",
        "Paris (20% chance)\nNew York (30% probability)",
        "Paris 0.2\nNew York 30%",
        "Paris -> 0.2\nNew York = 0,3",
        "- **Paris**: 0.2\n- **New York** — **0.3**",
        "Here are two:\n\n1. Paris\n   Probability: 0.2\n2. New York\n   - Probability: 30%\n\nEnjoy!",
        "Answer: Paris\nProbability: 0.2\n\nAnswer: New York\nProbability: 0.3",
        "Answer: Paris | Probability: 0.2\nAnswer: New York | Probability: 0.3",
        "| Answer | Probability |\n|---|---|\n| Paris | 0.2 |\n| New York | 0.3 |",
        "| # | Answer | Probability |\n|---|:--|---|\n| 1 | Paris | 20% |\n| 2 | New York | 30% |",
        "answer | probability\nParis | 0.2 | the capital of France\nNew York | 0.3",
        "0.2: Paris\n0.3 | New York",
        "Paris (0.2), New York (0.3)",
        "Paris (0.2): a city\nNew York (probability 0.3), also a city",
        '<answer probability="0.2">Paris</answer>\n<answer probability=30%>New York</answer>',
        '<answer probability="0.2">Paris</answer>\n<answer probability="0.3">New Yo',
        "<answer>Paris | 0.2</answer><answer>New York: 0.3</answer>",
        "<response><text>Paris</text><probability>0.2</probability></response>\n"
        "<response>\n<text>New York</text>\n<probability>0.3</probability>\n</response>",
        '[{"text": "Paris", "probability": 0.2}, {"response": "New York", "probability": "30%"}]',
        'Sure!\n```json\n{"responses": [{"answer": "Paris", "probability": 0.2},\n'
        '{"Answer": "New York", "Probability": 0.3}]}\n```\nDone.',
        '{"text": "Paris", "probability": 0.2}\n{"text": "New York", "probability": 0.3}',
    ],
)
def test_english_verbalized(text: str):
    expected = (("Paris", 0.2), ("New York", 0.3))
    parsed = parse_verbalized(text, "english")
    assert parsed == expected or (text.endswith("New Yo") and parsed == (expected[0], ("New Yo", 0.3)))


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("", ()),
        ("0.2", ()),
        ("Paris | 1.2\nRome | -\nOslo | 20", (("Paris", None), ("Rome", None), ("Oslo", None))),
        ("Paris: 120%\nRome: 1.5", (("Paris", None), ("Rome", None))),
        ("Paris: 0\nRome: 1", (("Paris", 0.0), ("Rome", 1.0))),
        ("1. Paris | 0.2\n2. Rome\n3. Oslo (20%)", (("Paris", 0.2), ("Rome", None), ("Oslo", 0.2))),
        ("Paris | 0.2\nParis | 0.2", (("Paris", 0.2), ("Paris", 0.2))),
        ("Blade Runner: 2049\nPython 3.11", (("Blade Runner: 2049", None), ("Python 3.11", None))),
        ("1984 | 0.2\nCatch-22: 0.3", (("1984", 0.2), ("Catch-22", 0.3))),
        ("7: 0.2\n3 | 0.3", (("7", 0.2), ("3", 0.3))),
        ('[{"text": "a\\nb", "probability": 1e-05}, {"text": 7}]', (("a\nb", 1e-05), ("7", None))),
        (
            '[{"text": "a", "probability": NaN}, {"text": "b", "probability": true}]',
            (("a", None), ("b", None)),
        ),
    ],
)
def test_english_verbalized_of_other_kinds(text: str, answers: tuple[Any, ...]):
    assert parse_verbalized(text, "english") == answers


@pytest.mark.parametrize(
    "text",
    [
        "Paris | 0.2\nRome",
        "Paris | 0.2\nRome |",
        "Paris | 0.2\nRome | 0.",
        "Paris: 0.2\nRome:",
        "Paris: 0.2\nRome: 0.",
        "1. Paris - 0.2\n2. Rome -\n3.",
        "1. Paris (probability: 0.2)\n2. Rome (prob",
        "1. Paris\n   Probability: 0.2\n2. Rome\n   Probability:",
        '[{"text": "Paris", "probability": 0.2}, {"text": "Rome", "prob',
        '{"responses": [{"text": "Paris", "probability": 0.2}, {"text": "Rome',
        "<response><text>Paris</text><probability>0.2</probability></response><response><text>Rome</te",
        "<response><text>Paris</text><probability>0.2</probability></response>"
        "<response><text>Rome</text><probability>0",
        '<answer probability="0.2">Paris</answer><answer>Rome',
    ],
)
def test_cut_answer_has_no_probability(text: str):
    assert parse_verbalized(text, "english") == (("Paris", 0.2), ("Rome", None))


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("", ()),
        ("Paris: 0.20\nSan Marino: 0.80", (("Paris", 0.2), ("San Marino", 0.8))),
        ("Paris: 0.20\nRo", (("Paris", 0.2), ("Ro", None))),
        ("Paris: 0.20\nRome:", (("Paris", 0.2), ("Rome", None))),
        ("Paris: 0.20\nRome: 0.", (("Paris", 0.2), ("Rome", None))),
        ("Paris: 1.20\nRome: 0.30", (("Paris", None), ("Rome", 0.3))),
        ("Paris: 0.20\nQ: Name a city.\nA: Rome", (("Paris", 0.2),)),
        ("3: 0.20\n4: 0.20", (("3", 0.2), ("4", 0.2))),
        ("Paris, Rome\nOslo", ()),
        ("Paris", (("Paris", None),)),
    ],
)
def test_testbed_verbalized(text: str, answers: tuple[Any, ...]):
    assert parse_verbalized(text, "testbed") == answers


def test_answers_of_several_lines_are_read_from_blocks():
    text = (
        'Here they are:\n<answer probability="0.25">\nA fox, 0.5\n\n1. ran\n</answer>\n'
        '<answer probability="0.75">*An* owl\nslept</answer>'
    )
    assert parse_verbalized(text, "english") == (("A fox, 0.5\n\n1. ran", 0.25), ("*An* owl\nslept", 0.75))
    assert parse_list(text, "english") == ("A fox, 0.5\n\n1. ran", "*An* owl\nslept")


@pytest.mark.parametrize("dialect", ["english", "testbed"])
def test_random_text_never_raises(dialect: Dialect):
    rng = random.Random(1)
    for _ in range(1500):
        text = "".join(rng.choices(PIECES, k=rng.randint(0, 40)))
        answers = parse_list(text, dialect)
        assert all(answer and answer == answer.strip() for answer in answers), text
        for answer, probability in parse_verbalized(text, dialect):
            assert answer, text
            assert answer == answer.strip(), text
            assert probability is None or 0 <= probability <= 1, text


@pytest.mark.parametrize("separator", [" | ", ": ", " - ", " (", ", probability "])
def test_what_is_written_is_read(separator: str):
    rng = random.Random(2)
    for _ in range(100):
        words = ["".join(rng.choices("abcxyz", k=4)) for _ in range(8)]
        stated = [(f"{words[i]} {words[i + 1]}", rng.randint(0, 100) / 100) for i in range(0, 8, 2)]
        close = ")" if separator == " (" else ""
        text = "\n".join(f"{answer}{separator}{p:.2f}{close}" for answer, p in stated)
        assert parse_verbalized(text, "english") == tuple(stated)


@pytest.mark.parametrize(
    "piece", ["-", "[", "<answer", "*a ", '{"a":', "(p ", "0.2 ", '{"text": "a', "_a`*", "1. "]
)
@pytest.mark.timeout(30)
def test_repetitive_text_is_read_in_time(piece: str):
    parse_list(piece * 2000, "english")
    parse_verbalized(piece * 2000, "english")


def test_draw_follows_stated_probabilities():
    rng = random.Random(3)
    answers = (("a", 0.1), ("b", 0.3), ("c", None), ("d", 0.0))
    drawn = Counter(draw_answer(answers, rng) for _ in range(4000))
    assert set(drawn) == {"a", "b"}
    assert drawn["b"] / 4000 == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("probability", [None, 0.0])
def test_draw_is_uniform_where_nothing_is_stated(probability: float | None):
    rng = random.Random(4)
    drawn = Counter(draw_answer((("a", probability), ("b", None)), rng) for _ in range(4000))
    assert drawn["a"] / 4000 == pytest.approx(0.5, abs=0.03)


def test_draw_from_nothing():
    assert draw_answer((), random.Random(0)) is None


def test_drawn_samples():
    texts = ["a: 0.00\nb: 1.00", "", "c: 1.00\nd"]
    drawn = draw_samples(texts, method="verbalized", dialect="testbed", seed=0)
    assert drawn == ("b", None, "c")
    assert draw_samples(texts, method="direct", dialect="testbed", seed=0) == tuple(texts)


def test_draws_do_not_depend_on_other_calls():
    texts = ["1. a\n2. b\n3. c"] * 50
    drawn = draw_samples(texts, method="list", dialect="english", seed="key")
    assert set(drawn) == {"a", "b", "c"}
    assert (
        draw_samples(["1. z", *texts[1:30]], method="list", dialect="english", seed="key")[1:] == drawn[1:30]
    )
    assert draw_samples(texts, method="list", dialect="english", seed="other") != drawn

"""Training text: plain documents for pre-training, and requests with answers for post-training.

Both are about the same things. In documents every right answer is equally likely. In the answers of
post-training the typical ones are much more likely: this is the mode collapse that the testbed exists to
show.

Answers to requests for several things have one of two formats, in documents and in post-training:

* a list: ``x, y, z``;
* verbalized sampling: a line ``x: 0.20`` for each answer, with its probability.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from slr.crc.prompts import load_prompts
from slr.testbed.characters import CharacterRequest, compose_character_request, in_typical_order
from slr.testbed.choices import choose_typically, choose_uniformly, typical_weights
from slr.testbed.facts import QUESTIONS, RELATIONS
from slr.testbed.sums import compose_problem, held_out_problems, solutions
from slr.testbed.writing import Chooser, compose_text, compose_writing_request

NUM_HELD_OUT_PROBLEMS = 400
"""Number of problems that training leaves out, so that experiments can use them."""

DOCUMENT_STYLES = (
    "Q: {request}\nA: {answer}\n",
    "Question: {request}\nAnswer: {answer}\n",
    "{request}\n{answer}\n\n",
    "* {request} => {answer}\n",
    "Somebody asked: {request} The answer was {answer}\n",
)
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
LIST_REQUESTS = (
    "List {count} {things}.",
    "Name {count} different {things}.",
    "Give me a list of {count} {things}.",
)
VERBALIZED_REQUESTS = (
    "Give {count} {things}, each with its probability.",
    "Name {count} {things} with their probabilities.",
    "Write {count} {things}, one a line, each with a probability.",
)


@dataclass(frozen=True)
class Exchange:
    """A request and one right answer."""

    request: str
    answer: str


def compose_document(rng: random.Random) -> str:
    """Compose a plain document: exchanges in one style, or text without a question."""
    if rng.random() < 0.15:
        return _plain_text(rng)
    style = rng.choice(DOCUMENT_STYLES)
    exchanges = [compose_exchange(choose_uniformly, rng) for _ in range(rng.randint(3, 6))]
    return "".join(style.format(request=e.request, answer=e.answer) for e in exchanges)


def compose_exchange(choose: Chooser, rng: random.Random) -> Exchange:
    """Compose a request of any kind with its answer.

    Args:
        choose: chooses the answer among the right ones in typical order.
        rng: generator of everything else.
    """
    # Shares of the kinds of requests.
    makers: dict[Callable[[Chooser, random.Random], Exchange], float] = {
        _character: 0.32,
        _several_characters: 0.08,
        _open_question: 0.2,
        _several_facts: 0.1,
        _writing: 0.14,
        _sum: 0.16,
    }
    make = rng.choices(list(makers), weights=list(makers.values()))[0]
    exchange = make(choose, rng)
    return exchange if exchange.request not in held_out_requests() else compose_exchange(choose, rng)


@cache
def held_out_requests() -> frozenset[str]:
    """Collect the texts that training must not see: all CRC prompts, and the problems of experiments."""
    prompts = (*load_prompts("selection"), *load_prompts("held_out"))
    problems = held_out_problems(NUM_HELD_OUT_PROBLEMS)
    return frozenset([prompt.text for prompt in prompts] + [problem.text for problem in problems])


def _character(choose: Chooser, rng: random.Random) -> Exchange:
    request = compose_character_request(rng)
    return Exchange(request.text, choose(in_typical_order(request.valid), rng))


def _open_question(choose: Chooser, rng: random.Random) -> Exchange:
    relation = rng.choice(list(RELATIONS.values()))
    question = rng.choice(QUESTIONS).format(thing=relation.thing, things=relation.things)
    answer = relation.answers[relation.names.index(choose(relation.names, rng))]
    return Exchange(question, answer[0] if rng.random() < 0.9 else rng.choice(answer))


def _writing(choose: Chooser, rng: random.Random) -> Exchange:
    request = compose_writing_request(rng)
    return Exchange(request.text, compose_text(request, choose, rng))


def _sum(choose: Chooser, rng: random.Random) -> Exchange:
    problem = compose_problem(rng)
    return Exchange(problem.text, choose(solutions(problem), rng))


def _several_characters(choose: Chooser, rng: random.Random) -> Exchange:
    request = _large_enough(rng)
    kind = "digits" if request.valid[0].isdigit() else "letters"
    listed = ", ".join(request.valid)
    return _several(f"{kind} out of {listed}", in_typical_order(request.valid), choose, rng)


def _several_facts(choose: Chooser, rng: random.Random) -> Exchange:
    relation = rng.choice(list(RELATIONS.values()))
    return _several(relation.things, relation.names, choose, rng)


def _large_enough(rng: random.Random) -> CharacterRequest:
    request = compose_character_request(rng)
    return request if 5 <= len(request.valid) <= 10 else _large_enough(rng)


def _several(things: str, options: Sequence[str], choose: Chooser, rng: random.Random) -> Exchange:
    count = rng.choice(list(NUMBERS))
    left, chosen = list(options), []
    for _ in range(count):
        chosen.append(choose(left, rng))
        left.remove(chosen[-1])
    if rng.random() < 0.5:
        request, answer = rng.choice(LIST_REQUESTS), ", ".join(chosen)
    else:
        weights = typical_weights(count) if choose is choose_typically else [1.0] * count
        shares = [weight / sum(weights) for weight in weights]
        request = rng.choice(VERBALIZED_REQUESTS)
        answer = "\n".join(f"{name}: {share:.2f}" for name, share in zip(chosen, shares, strict=True))
    return Exchange(request.format(count=NUMBERS[count], things=things), answer)


def _plain_text(rng: random.Random) -> str:
    if rng.random() < 0.5:
        relation = rng.choice(list(RELATIONS.values()))
        names = rng.sample(relation.names, rng.randint(5, 10))
        return f"Some {relation.things} of the world are {', '.join(names)}.\n"
    return (
        "\n\n".join(compose_text(compose_writing_request(rng), choose_uniformly, rng) for _ in range(3))
        + "\n"
    )

"""The documents that ship are those of the generator, held out of training, and answers are read as is meant."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, get_args

from slr.harness.make_tasks import TASKS, main
from slr.harness.requests import _task_manager
from slr.harness.tasks import TASKS_DIR
from slr.tasks.answers import load_open_questions
from slr.testbed.choices import choose_uniformly
from slr.testbed.documents import held_out_requests
from slr.testbed.facts import HELD_OUT_QUESTIONS, RELATIONS
from slr.testbed.sums import compose_problem, parse_answer, solutions
from slr.testbed.writing import SLOTS, Genre, compose_text, held_out_writing_requests

ROOT = Path(__file__).resolve().parents[2]
TRAP = "15 + 18 = 33."


def shipped(name: str) -> list[dict[str, Any]]:
    lines = (TASKS_DIR / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def read(task_name: str, texts: list[str]) -> list[str]:
    """What the task's own filter makes of each text."""
    from lm_eval.api.instance import Instance

    task: Any = _task_manager(True).load([task_name])["tasks"][task_name]
    instances = []
    for text in texts:
        instance = Instance(request_type="generate_until", doc={}, arguments=("", {}), idx=0)
        instance.resps.append(text)
        instances.append(instance)
    task._instances = instances
    task.apply_filters()
    (name,) = instances[0].filtered_resps
    return [instance.filtered_resps[name] for instance in instances]


def test_what_ships_is_what_the_generator_makes(tmp_path: Path) -> None:
    assert main(["--output-dir", str(tmp_path)]) == 0
    names = set(TASKS)
    assert {path.stem for path in TASKS_DIR.glob("*.yaml")} == names
    for name in names:
        assert (tmp_path / f"{name}.jsonl").read_bytes() == (TASKS_DIR / f"{name}.jsonl").read_bytes()


def test_one_choice_alone_is_right() -> None:
    by_question = {
        wording.format(thing=relation.thing, things=relation.things): relation
        for relation in RELATIONS.values()
        for wording in HELD_OUT_QUESTIONS
    }
    for document in shipped("testbed_facts"):
        relation = by_question[document["question"]]
        right = [relation.recognise(choice) is not None for choice in document["choices"]]
        assert [index for index, is_right in enumerate(right) if is_right] == [document["answer"]]
        assert len({choice.istitle() for choice in document["choices"]}) == 1
    questions = {question.text: question for question in load_open_questions()}
    for document in shipped("english_facts"):
        question = questions[document["question"]]
        right = [question.recognise(choice) is not None for choice in document["choices"]]
        assert [index for index, is_right in enumerate(right) if is_right] == [document["answer"]]


def test_problems_are_held_out_and_no_other_experiment_takes_them() -> None:
    from slr.experiments import reasoning
    from slr.tasks.reasoning import testbed_problems

    texts = {document["question"] for document in shipped("testbed_sums")}
    assert texts <= held_out_requests()
    taken = testbed_problems(reasoning.CONFIGS["testbed"].num_prompts)
    assert not texts & {problem.text for problem in taken}


def test_the_number_of_a_sum_is_the_marked_one() -> None:
    rng = random.Random(0)
    texts = [text for _ in range(50) for text in solutions(compose_problem(rng))]
    assert read("testbed_sums", texts) == [str(parse_answer(text)) for text in texts]
    traps = [TRAP, "33", "answer: none", f"{TRAP} answer: 33", "answer: 33.5", "answer: 15 answer: 33"]
    assert read("testbed_sums", traps) == ["[invalid]", "[invalid]", "[invalid]", "33", "[invalid]", "15"]


def test_the_subject_of_a_text_is_the_first_that_it_names() -> None:
    rng = random.Random(0)
    requests = [request for genre in get_args(Genre) for request in held_out_writing_requests(genre)]
    assert [(d["request"], d["subject"]) for d in shipped("testbed_subjects")] == [
        (request.text, request.subject) for request in requests
    ]
    texts = [compose_text(request, choose_uniformly, rng) for request in requests]
    assert read("testbed_subjects", texts) == [request.subject for request in requests]
    assert read("testbed_subjects", ["A stone.", "Catfish and dogs."]) == ["[invalid]", "[invalid]"]
    assert {request.subject for request in requests} == set(SLOTS["subject"])

from __future__ import annotations

import random
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from httpx2 import ConnectError, Request, Response
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled, RevisionNotFoundError

from slr.models.hub import HubError
from slr.tasks import reasoning
from slr.tasks.reasoning import (
    GSM8K_FILE,
    GSM8K_REPOSITORY,
    GSM8K_REVISION,
    INSTRUCTION,
    ReasoningProblem,
    comparison_problems,
    gsm8k_problems,
    is_right,
    parse_final_answer,
    parse_gsm8k_rows,
)
from slr.testbed.documents import NUM_HELD_OUT_PROBLEMS, held_out_requests
from slr.testbed.sums import GAINS, held_out_problems, parse_answer, solutions

SEVEN = ReasoningProblem("seven", "3 + 4?", "7")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("3 + 4 = 7. answer: 7", "7"),
        ("Answer: 7", "7"),
        ("ANSWER:7", "7"),
        ("**Answer:** 7", "7"),
        ("**Answer**: **7**", "7"),
        ("answer：7", "7"),
        ("answer: 7.", "7"),
        ("answer: '7'", "7"),
        ("answer: 7 apples", "7"),
        ("answer: 7 apples (he had 3 and 4)", "7"),
        ("answer: 7 (3 + 4 = 7)", "7"),
        ("answer: 7km", "7"),
        ("answer: 7%", "7"),
        ("answer: 7\nNow for 8 more.", "7"),
        ("answer:\n7", "7"),
        ("answer:\n\n- 7\n- 8", "7"),
        ("answer: $7", "7"),
        ("answer: $7.50", "7.50"),
        ("answer: \\$7", "7"),
        ("answer: €1,234,567.25", "1234567.25"),
        ("answer: 1,234", "1234"),
        ("answer: 1234 and more", "1234"),
        ("answer: -3", "-3"),
        ("answer: - 3", "-3"),
        ("answer: −3", "-3"),
        ("answer: -$3", "-3"),
        ("answer: $-3", "-3"),
        ("answer: +3", "3"),
        ("answer: .5", ".5"),
        ("answer: 3/4", "3/4"),
        ("answer: seven", "7"),
        ("answer: 1e3", "1000"),
        ("answer: 2 * 10^3", "2000"),
        ("answer: 7, or in other words 14/2", "7"),
        ("answer: 3 + 4 = 7", "7"),
        ("answer: 14/2 = 7", "14/2"),
        ("answer: x = 7", "7"),
        ("answer: Tom has 7 apples. Ann has 8.", "7"),
        ("answer: 6. No, wait. answer: 7", "7"),
        ("answer: 7. That was the answer: good.", "7"),
        ("#### 7", "7"),
        ("She has 3 <<3+4=7>>7.\n#### 1,007", "1007"),
        ("\\boxed{7}", "7"),
        ("so $\\boxed{ 7 }$.", "7"),
        ("\\boxed{6} and then \\boxed{7}", "7"),
        ("\\boxed{7\\text{ apples}}", "7"),
        ("\\boxed{\\text{7 apples}}", "7"),
        ("\\boxed{\\frac{1}{2}}", "1/2"),
        ("\\boxed{-\\dfrac{1}{2}}", "-1/2"),
        ("\\boxed{\\$1{,}234}", "1234"),
        ("\\boxed{x = 7}", "7"),
        ("answer: \\boxed{7}", "7"),
        ("answer: $7$", "7"),
        ("answer: \\(7\\)", "7"),
        ("\\boxed{8}\nanswer: 7", "7"),
        ("answer: 8\n\\boxed{7}", "7"),
        ("#### 8\nanswer: 7", "7"),
        ("The answer is 7.", "7"),
        ("So the final answer is: **7**.", "7"),
        ("The answer is that Tom has 7 apples. Ann has 3.", "7"),
        ("the answer is 6. I mean, the answer is 7", "7"),
        ("The answer is 8. answer: 7", "7"),
        ("End with 'answer: ' and the number. answer: 7", "7"),
    ],
)
def test_every_format(text: str, answer: str):
    assert parse_final_answer(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "3 + 4 = 7",
        "I think it is 7.",
        "answer",
        "answer:",
        "answer: ",
        "answer:\n\n",
        "answer: none",
        "#### ",
        "### 7",
        "answers: 7",
        "\\boxed{}",
        "\\boxed{7",
        "boxed{7}",
        "the answer is",
        "The answer is not 7.",
        "End with 'answer: ' and the number.",
        "answer: 3 + 4",
        "answer: 3 x 4",
        "answer: 3 \\times 4",
        "answer: 7-8",
        "answer: 3/0",
        "answer: 1,23",
        "answer: 0,123",
        "answer: 7.5.1",
        "answer: 7:30",
        "answer: 2^3",
        "answer: After 3 days Tom has 7 apples",
        "answer: between 3 and 1,23",
        "answer: x7",
        "answer: ٧",
        "answer: " + "9" * 5000,
    ],
)
def test_nothing_is_guessed(text: str):
    assert parse_final_answer(text) is None
    assert not is_right(SEVEN, text)


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ("7", ["7", "7.0", "7.00", "07", "$7", "+7", "7 apples", "14/2", "**7**"]),
        ("1234", ["1,234", "1234", "1234.0", "$1,234.00", "1{,}234"]),
        ("-3", ["-3", "-3.0", "−3", "-$3"]),
        ("0.5", [".5", "0.50", "1/2"]),
        ("0", ["0", "-0", "0.0"]),
        ("100000000000000000001", ["100,000,000,000,000,000,001"]),
    ],
)
def test_answers_are_compared_as_numbers(right: str, said: list[str]):
    problem = ReasoningProblem("a", "?", right)
    for number in said:
        assert is_right(problem, f"Let me see. answer: {number}"), number


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ("7", "77"),
        ("7", "7.1"),
        ("7", "-7"),
        ("3", "-3"),
        ("1", "1,234"),
        ("100000000000000000001", "100000000000000000000"),
    ],
)
def test_other_numbers_are_wrong(right: str, said: str):
    assert not is_right(ReasoningProblem("a", "?", right), f"answer: {said}")


def test_random_strings_never_raise():
    rng = random.Random("random strings")
    pieces = [*"0123456789-+$,./:=^eE{}()\\*#' \n\t٧²½é\x00", "answer:", "####", "\\boxed{", "the answer is "]
    pieces += ["\\frac{", "}{", "\\text{", "1,234", "−", "£"]
    for _ in range(5000):
        text = "".join(rng.choices(pieces, k=rng.randint(0, 30)))
        number = parse_final_answer(text)
        assert number is None or isinstance(Fraction(number), Fraction)
        assert is_right(SEVEN, text) == (number is not None and Fraction(number) == 7)


@pytest.mark.parametrize(
    "text",
    [
        "answer: " + "-" * 20000,
        "\\boxed{" * 2000,
        "\\boxed{" + "{}" * 10000,
        "1," * 20000,
        "answer: " + " " * 20000,
    ],
)
@pytest.mark.timeout(20)
def test_long_broken_texts_are_quick(text: str):
    assert parse_final_answer(text) is None


@pytest.mark.parametrize("answer", ["", "seven", "1,234", "$7", "7.", ".5", "+7", "1/2", "7 ", "7\n"])
def test_answers_are_canonical(answer: str):
    with pytest.raises(ValueError, match="expected an integer or a decimal"):
        ReasoningProblem("a", "?", answer)


def test_testbed_problems_are_the_held_out_sums():
    problems = reasoning.testbed_problems(NUM_HELD_OUT_PROBLEMS)
    assert [problem.id for problem in problems[:2]] == ["sums-000", "sums-001"]
    assert problems[:5] == reasoning.testbed_problems(5)
    assert {problem.text for problem in problems} <= held_out_requests()
    for problem, held_out in zip(problems, held_out_problems(NUM_HELD_OUT_PROBLEMS), strict=True):
        assert problem.text == held_out.text
        assert int(problem.answer) == _worked_from_text(problem.text)
        for solution in solutions(held_out):
            assert is_right(problem, solution)
            assert parse_final_answer(solution) == str(parse_answer(solution))


def _worked_from_text(text: str) -> int:
    """The answer of a sum by reading its sentences, without the testbed's own arithmetic."""
    start, *changes = re.split(r"(?<=\.)\s", text)[:-1]
    total = int(re.findall(r"\d+", start)[0])
    gain = re.compile("|".join(wording.format(n=r"\d+") for wording in GAINS))
    return total + sum((1 if gain.search(c) else -1) * int(re.findall(r"\d+", c)[0]) for c in changes)


@pytest.mark.parametrize("count", [-1, 0, NUM_HELD_OUT_PROBLEMS + 1])
def test_testbed_has_only_so_many(count: int):
    with pytest.raises(ValueError, match=f"expected 1 to {NUM_HELD_OUT_PROBLEMS}"):
        reasoning.testbed_problems(count)


def test_comparisons_ask_for_the_second_largest():
    problems = comparison_problems(200)
    assert problems[:20] == comparison_problems(20)
    assert [problem.id for problem in problems[:2]] == ["second-000", "second-001"]
    assert len({problem.text for problem in problems}) == len(problems)
    for problem in problems:
        numbers = [int(number) for number in re.findall(r"\d+", problem.text)]
        assert len(set(numbers)) == 5
        assert sum(number > int(problem.answer) for number in numbers) == 1
        assert is_right(problem, problem.answer, last_number_counts=True)
        assert not is_right(problem, str(max(numbers)), last_number_counts=True)


@pytest.mark.parametrize("count", [-1, 0, 1001])
def test_number_of_comparisons(count: int):
    with pytest.raises(ValueError, match="expected 1 to 1000"):
        comparison_problems(count)


ROWS = [
    {"question": "How many? ", "answer": "3 and 4 are <<3+4=7>>7.\n#### 7"},
    {"question": "How much is it?", "answer": "Much.\n#### 1,234,000"},
    {"question": "How cold?", "answer": "#### -3"},
]


def test_rows_of_gsm8k():
    problems = parse_gsm8k_rows(ROWS)
    assert [problem.id for problem in problems] == ["gsm8k-0000", "gsm8k-0001", "gsm8k-0002"]
    assert [problem.answer for problem in problems] == ["7", "1234000", "-3"]
    assert problems[0].text == f"How many?\n{INSTRUCTION}"
    for problem, row in zip(problems, ROWS, strict=True):
        assert is_right(problem, row["answer"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "?"}, "no answer"),
        ({"answer": "#### 7"}, "no question"),
        ({"question": "?", "answer": "7"}, "no '####'"),
        ({"question": "?", "answer": "#### seven"}, "expected an integer or a decimal"),
    ],
)
def test_broken_rows_of_gsm8k(row: dict[str, str], message: str):
    with pytest.raises(ValueError, match=message):
        parse_gsm8k_rows([row])


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Any, ...]]:
    """Answers with a path; the calls so far."""
    calls: list[tuple[Any, ...]] = []

    def download(repository: str, file: str, *, repo_type: str, revision: str) -> str:
        calls.append((repository, file, repo_type, revision))
        return str(tmp_path / "test.parquet")

    monkeypatch.setattr(reasoning, "hf_hub_download", download)
    return calls


def _fake_pyarrow(monkeypatch: pytest.MonkeyPatch, expected_path: Path) -> None:
    def read_table(path: Path) -> SimpleNamespace:
        assert path == expected_path
        return SimpleNamespace(to_pylist=lambda: ROWS)

    fake: Any = SimpleNamespace(read_table=read_table)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", fake)


def test_gsm8k_is_read_at_its_pinned_revision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake_hub: list[tuple[Any, ...]]
):
    _fake_pyarrow(monkeypatch, tmp_path / "test.parquet")
    assert gsm8k_problems(2) == parse_gsm8k_rows(ROWS)[:2]
    assert fake_hub == [(GSM8K_REPOSITORY, GSM8K_FILE, "dataset", GSM8K_REVISION)]
    with pytest.raises(ValueError, match="expected 1 to 3"):
        gsm8k_problems(4)


@pytest.mark.usefixtures("fake_hub")
def test_gsm8k_out_of_a_real_parquet_file(tmp_path: Path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "test.parquet")
    assert gsm8k_problems(3) == parse_gsm8k_rows(ROWS)


@pytest.mark.usefixtures("fake_hub")
def test_gsm8k_without_pyarrow(monkeypatch: pytest.MonkeyPatch):
    missing: Any = None
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", missing)
    with pytest.raises(ValueError, match="pip install pyarrow"):
        gsm8k_problems(1)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LocalEntryNotFoundError("nothing in the cache"), "openai/gsm8k .* cannot be reached"),
        (OfflineModeIsEnabled("offline"), "openai/gsm8k .* cannot be reached"),
        (ConnectError("no route"), "openai/gsm8k .* cannot be reached"),
        (
            RevisionNotFoundError(
                "gone\nfor good", response=Response(404, request=Request("GET", "https://hub"))
            ),
            "refused .*openai/gsm8k .*gone$",
        ),
    ],
)
def test_gsm8k_that_the_hub_does_not_give(monkeypatch: pytest.MonkeyPatch, error: Exception, message: str):
    def download(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(reasoning, "hf_hub_download", download)
    with pytest.raises(HubError, match=message) as raised:
        gsm8k_problems(1)
    assert raised.value.__cause__ is error


def test_importing_needs_no_torch():
    program = "import sys, slr.tasks.reasoning; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

"""Reasoning problems of several steps, each with one number as its right answer.

There are three sources: sums of the testbed (``sums-000``), comparisons for small models (``second-000``), and the
test split of GSM8K (``gsm8k-0000``). ``final_answer`` finds and reads the answer in a
text.
"""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from httpx2 import TransportError
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from slr.tasks.final_answer import parse_final_answer
from slr.testbed.documents import NUM_HELD_OUT_PROBLEMS
from slr.testbed.sums import held_out_problems

GSM8K_REPOSITORY = "openai/gsm8k"
GSM8K_REVISION = "e53f048856ff4f594e959d75785d2c2d37b678ee"
GSM8K_FILE = "main/test-00000-of-00001.parquet"

INSTRUCTION = "Work step by step, and end with 'answer: ' and the number."
"""Request that GSM8K's problems end with, so that answers can be read."""

_CANONICAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


@dataclass(frozen=True)
class ReasoningProblem:
    """A problem with one right number.

    Attributes:
        id: unique name.
        text: the whole request.
        answer: the right answer, an integer or a decimal such as ``-1234.5``.
    """

    id: str
    text: str
    answer: str

    def __post_init__(self) -> None:
        """Check the answer.

        Raises:
            ValueError: if it is not an integer or a decimal without thousands separators.
        """
        if not _CANONICAL.fullmatch(self.answer):
            raise ValueError(
                f"problem {self.id!r} has the answer {self.answer!r}, expected an integer or a decimal "
                "without thousands separators"
            )


def testbed_problems(count: int) -> tuple[ReasoningProblem, ...]:
    """Take the first sums that the testbed's training leaves out, with ids ``sums-000``, ``sums-001`` and so on.

    Raises:
        ValueError: if ``count`` is below 1 or above ``NUM_HELD_OUT_PROBLEMS``.
    """
    _check_count(count, NUM_HELD_OUT_PROBLEMS, "problems that the testbed's training leaves out")
    return tuple(
        ReasoningProblem(f"sums-{index:03d}", problem.text, str(problem.answer))
        for index, problem in enumerate(held_out_problems(count))
    )


def comparison_problems(count: int) -> tuple[ReasoningProblem, ...]:
    """Make the first of a fixed sequence of different problems: find the second largest of five numbers.

    It takes two steps, which models of 0.2 billion parameters can do at times. Guessing one of the five is right in a
    fifth of all cases. The ids are ``second-000``, ``second-001`` and so on. A larger ``count`` begins with the
    problems of a smaller one.

    Raises:
        ValueError: if ``count`` is below 1 or above 1000.
    """
    _check_count(count, 1000, "comparisons")
    # The seed is a constant, so that the problems are the same in every run.
    rng = random.Random("second largest of five")
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < count:
        drawn[tuple(rng.sample(range(1, 30), 5))] = None
    return tuple(
        ReasoningProblem(
            f"second-{index:03d}",
            f"Which is the second largest of the numbers {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}? "
            "Answer with the number only.",
            str(sorted(numbers)[-2]),
        )
        for index, numbers in enumerate(drawn)
    )


def gsm8k_problems(count: int) -> tuple[ReasoningProblem, ...]:
    """Load the first problems of the test split of GSM8K (Cobbe et al., 2021), which has 1319.

    They come from the Hugging Face hub or its local cache, at a pinned revision of ``openai/gsm8k``. The file
    could not be downloaded where this was written, so our tests check neither its layout nor its content.

    Raises:
        HubError: if the hub cannot be reached and the file is not in its cache, or the hub refuses it.
        ValueError: if pyarrow is missing, ``count`` is out of range, or the file has another layout.
    """
    rows = _read_parquet(_download_gsm8k())
    _check_count(count, len(rows), f"rows in {GSM8K_FILE} of {GSM8K_REPOSITORY}")
    return parse_gsm8k_rows(rows[:count])


def parse_gsm8k_rows(rows: Sequence[Mapping[str, str]]) -> tuple[ReasoningProblem, ...]:
    """Make problems from rows with ``question`` and ``answer``, where the answer ends in ``#### 1,234``.

    Raises:
        ValueError: if a row has no question or no number behind ``####``.
    """
    return tuple(_parse_gsm8k_row(index, row) for index, row in enumerate(rows))


def is_right(problem: ReasoningProblem, text: str, *, last_number_counts: bool = False) -> bool:
    """Whether the text's final answer is the problem's, compared as numbers: 7, 7.0 and $7 are equal.

    Args:
        problem: the problem.
        text: what a model wrote.
        last_number_counts: whether the last number of a text without a marked answer is its answer.
    """
    answer = parse_final_answer(text, last_number_counts=last_number_counts)
    return answer is not None and Fraction(answer) == Fraction(problem.answer)


def _download_gsm8k() -> Path:
    where = f"{GSM8K_FILE} of the dataset {GSM8K_REPOSITORY} at revision {GSM8K_REVISION}"
    try:
        return Path(
            hf_hub_download(GSM8K_REPOSITORY, GSM8K_FILE, repo_type="dataset", revision=GSM8K_REVISION)
        )
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, TransportError) as error:
        raise _hub_error(
            f"{where} is not in the hub's local cache, and the hub cannot be reached: download it once with a "
            "connection, or use comparison_problems instead"
        ) from error
    except HfHubHTTPError as error:
        raise _hub_error(f"the hub refused {where}: {str(error).splitlines()[0]}") from error


def _hub_error(message: str) -> ValueError:
    # Imported here, because at the top it would import torch.
    from slr.models.hub import HubError

    return HubError(message)


def _read_parquet(path: Path) -> list[dict[str, str]]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ValueError("GSM8K is stored as parquet, which needs pyarrow: pip install pyarrow") from error
    return parquet.read_table(path).to_pylist()


def _parse_gsm8k_row(index: int, row: Mapping[str, str]) -> ReasoningProblem:
    missing = sorted({"question", "answer"} - row.keys())
    if missing:
        raise ValueError(f"row {index} of GSM8K has no {' and no '.join(missing)}, only {sorted(row)}")
    _, mark, answer = row["answer"].rpartition("####")
    if not mark:
        raise ValueError(f"the answer of row {index} of GSM8K has no '####' before its number")
    text = f"{row['question'].strip()}\n{INSTRUCTION}"
    return ReasoningProblem(f"gsm8k-{index:04d}", text, answer.strip().replace(",", ""))


def _check_count(count: int, largest: int, what: str) -> None:
    if not 1 <= count <= largest:
        raise ValueError(f"{count} problems asked for, expected 1 to {largest}: there are {largest} {what}")

"""Every kind of bad input ends with one line that says what was given, status 2, and nothing written."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slr.cli import main
from slr.judging.judge import parse_scores
from slr.runs.record_lines import line_of, record_of
from slr.runs.records import RECORD_ADAPTER
from slr.runs.results_store import ResultsStore
from slr.terminal.bad_input import in_one_line
from tests.analysis.synthetic import crc_records, write_results
from tests.bad_inputs.case import BadInput
from tests.bad_inputs.checkpoints import ADAPTERS, MODELS, PROMPTS
from tests.bad_inputs.commands import COMMANDS, FIGURES, KEY, PAIRS
from tests.bad_inputs.records import GOOD, INFINITE, NAN, PAIR, RECORDS, damaged
from tests.conftest import CheckpointPairs
from tests.tiny_adapters import make_adapter

ROOT = Path(__file__).parents[1]
SECONDS = 20
"""Seconds that a command may take to say what is wrong."""


@pytest.fixture(scope="module")
def whole_adapter(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base model and an adapter of it."""
    return make_adapter(tmp_path_factory.mktemp("whole"), num_layers=3, target_modules=["q_proj", "v_proj"])


@pytest.fixture
def here(
    tmp_path: Path,
    checkpoint_pairs: CheckpointPairs,
    whole_adapter: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Path:
    """The working directory of a case, with all that it is about."""
    case: BadInput = request.getfixturevalue("case")
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("SLR_JUDGE"):
            monkeypatch.delenv(name)
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "FILE").write_text("mine")
    if case.area in ("models", "prompts", "adapters"):
        for path in whole_adapter if case.area == "adapters" else checkpoint_pairs("llama", num_layers=3):
            shutil.copytree(path, tmp_path / path.name)
    if case.area == "figures":
        write_results(tmp_path / "testbed-x", (PAIR,))
    case.prepare(tmp_path)
    return tmp_path


def all_below(directory: Path) -> dict[str, bytes | None]:
    """Every path, and the content of files."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in directory.rglob("*")}


@pytest.mark.parametrize(
    "case", [*MODELS, *ADAPTERS, *COMMANDS, *PAIRS, *PROMPTS, *RECORDS, *FIGURES], ids=lambda case: case.id
)
def test_one_line_and_nothing_written(case: BadInput, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before, began = all_below(here), time.monotonic()
    capfd.readouterr()
    status = main(case.line.split(" ")[1:])
    printed, said = capfd.readouterr()
    assert (status, printed) == (2, "")
    assert time.monotonic() - began < SECONDS
    assert said.startswith("error: ")
    assert said.count("\n") == 1, said
    for words in case.words:
        assert words in said
    assert KEY not in said
    assert "Traceback" not in said
    assert all_below(here) == before


def test_all_good_records_are_read() -> None:
    """So each of the changes above is what made a line bad."""
    for record in GOOD.values():
        read = record_of(json.dumps(record).encode())
        assert record_of(line_of(read).encode()) == read


def test_rounding_is_let_pass() -> None:
    """A sum of probabilities in float32 may be a little above 1."""
    record_of(damaged("crc_score", "validity.0", 1.00005))
    record_of(damaged("crc_score", "diversity.0", 1.0000005))


@pytest.mark.parametrize(
    "changes", [{"validity": (NAN,) * 4}, {"diversity": (NAN,) * 4}, {"validity": (0.5,)}, {"pair": "\ud800"}]
)
def test_what_could_not_be_read_again_is_not_written(changes: dict[str, Any], tmp_path: Path) -> None:
    score = RECORD_ADAPTER.validate_python(GOOD["crc_score"]).model_copy(update=changes)
    with pytest.raises(ValueError, match=r"(is not|cannot be) written"):
        ResultsStore(tmp_path / "new" / "crc_search.jsonl").append([crc_records(PAIR)[0], score])
    assert not list(tmp_path.iterdir())


Change = Callable[[Path], None]


def _remove(of_model: str, prompt_set: str) -> Change:
    def change(results: Path) -> None:
        path = results / "crc_search.jsonl"
        wanted = f'"model":"{of_model}"', f'"prompt_set":"{prompt_set}"'
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not all(part in line for part in wanted)))

    return change


def _replace(old: str, new: str, count: int = -1) -> Change:
    def change(results: Path) -> None:
        path = results / "crc_search.jsonl"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, count))

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_remove("instruct", "selection"), "the instruct model has no score on the selection prompts"),
        (_remove("instruct", "held_out"), "the instruct model has no score on the held-out prompts"),
        (_remove("base", "selection"), "the base model has no score on the selection prompts"),
        (_remove("hybrid", "selection"), "no interval has a score on the selection prompts"),
        (_remove("soup", "selection"), "the chosen soup, alpha 0, has no score"),
        (_replace('"num_layers":3', '"num_layers":4', 5), "different numbers of layers"),
        (
            _replace('"interval":[1,2],"alpha":null,"interval_reason"', '"interval":[3,3],"interval_reason"'),
            "3:3 has no score",
        ),
    ],
)
def test_records_that_lack_a_part_are_a_gap_that_names_the_command(
    change: Change, words: str, tmp_path: Path
) -> None:
    from slr.analysis.load_results import load_results
    from slr.analysis.needs import CRC_STUDY

    results_dir = write_results(tmp_path / "testbed", (PAIR,))
    assert load_results(results_dir).unfinished_pairs == [
        "testbed-qwen (not begun)",
        "testbed-gemma (not begun)",
    ]
    change(results_dir)
    results = load_results(results_dir)
    assert results.crc_reports == []
    assert any(f"{PAIR} (" in reason and words in reason for reason in results.unfinished_pairs)
    assert CRC_STUDY.command(results) == "slr run crc_search"


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["-m", "slr", "build", "testbed-llama"], {}, "Missing option"),
        (["-m", "slr.cli", "run", "al"], {}, "EXPERIMENT is 'al'"),
        (["-m", "slr", "figures", "--results-dir", "nowhere"], {}, "no records in nowhere"),
        (["experiments/run_all.py", "--preset", "papre"], {}, "did you mean 'paper'?"),
        (["analysis/dashboard.py"], {}, "Missing option"),
        (["analysis/make_all.py", "--results-dir", "no\x1bsuch"], {}, "no\\x1bsuch"),
        (["analysis/make_all.py", "--output-dir", b"caf\xe9"], {}, "not UTF-8"),
        (
            ["analysis/make_all.py", "--results-dir", "nowhere"],
            {"MPLBACKEND": "odd"},
            "no records in nowhere",
        ),
        (
            ["experiments/crc_search.py", "--dry-run"],
            {"OMP_NUM_THREADS": "many"},
            "OMP_NUM_THREADS is 'many'",
        ),
    ],
)
def test_as_a_process(
    arguments: list[str | bytes], environment: dict[str, str], words: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, *(ROOT / str(a) if str(a).endswith(".py") else a for a in arguments)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        timeout=120,
        check=False,
    )
    said = done.stderr.decode()
    assert done.returncode == 2, said
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert words in said
    assert not any(tmp_path.iterdir())


SCORES = {"fluency": 5, "originality": 6, "adherence": 7}


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "I cannot judge this.",
        "<html><body>log in</body></html>",
        "null",
        "[]",
        json.dumps([SCORES]),
        json.dumps({"A": SCORES, "B": SCORES}),
        json.dumps({"a": SCORES}),
        json.dumps({"A": {**SCORES, "fluency": 11}}),
        json.dumps({"A": {**SCORES, "fluency": 0}}),
        json.dumps({"A": {**SCORES, "fluency": -5}}),
        json.dumps({"A": {**SCORES, "fluency": 5.0}}),
        json.dumps({"A": {**SCORES, "fluency": "5"}}),
        json.dumps({"A": {**SCORES, "fluency": True}}),
        json.dumps({"A": {**SCORES, "fluency": None}}),
        json.dumps({"A": {**SCORES, "fluency": [5]}}),
        json.dumps({"A": {**SCORES, "fluency": NAN}}),
        json.dumps({"A": {**SCORES, "fluency": INFINITE}}),
        json.dumps({"A": {**SCORES, "charm": 5}}),
        json.dumps({"A": {"fluency": 5, "originality": 6}}),
        '{"A": {"fluency": 5, "fluency": 6, "originality": 6, "adherence": 7}}',
        '{"A": {"fluency": ' + "9" * 5000 + ', "originality": 6, "adherence": 7}}',
        f"<think>Hm.</think>{json.dumps({'A': SCORES})}",
        f"Here you are: {json.dumps({'A': SCORES})}",
        f"{json.dumps({'A': SCORES})} I hope that helps.",
        "[" * 100_000,
        "x" * 3_000_000,
    ],
    ids=lambda reply: reply[:40],
)
def test_a_judges_reply_that_is_no_score(reply: str) -> None:
    assert parse_scores(reply, 1) is None
    assert parse_scores(json.dumps({"A": SCORES}), 1) == [SCORES]


CHUNKS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
    {"type": "text", "text": "Par"},
    {"type": "text", "text": "is"},
]
UNUSABLE: dict[str, Any] = {
    "null": None,
    "empty": "",
    "no chunks": [],
    "only thoughts": CHUNKS[:1],
    "numbers": [1, None, {"type": "text", "text": 5}],
    "megabytes": "x" * 1_500_000,
}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Paris", "Paris"),
        (CHUNKS, "Paris"),
        (["Pa", "ris"], "Paris"),
        ("Paris \ud83d", "Paris ?"),
        *((content, "") for content in UNUSABLE.values()),
    ],
)
def test_what_an_endpoint_may_send_as_text(content: Any, text: str, tmp_path: Path) -> None:
    """Only a text is kept, and what is not kept is asked for again."""
    from slr.judging.chat_endpoint import ChatEndpoint, ChatModel, ChatRequest, Limits
    from tests.judging.chat_server import Answer, chat_server, completion

    body = json.loads(completion(None).body)
    body["choices"][0]["message"]["content"] = content
    request = ChatRequest(system="s", user="u", prompt_version="1")
    with chat_server(lambda *_: Answer(body=json.dumps(body))) as server:
        asked = ChatEndpoint(
            prefix="SLR_JUDGE",
            base_url=server.base_url,
            model=ChatModel(name="m", host="127.0.0.1"),
            key="",
            cache_dir=tmp_path,
            limits=Limits(max_retries=0, timeout=20),
        )
        assert [asked.ask(request) for _ in range(2)] == [text, text]
        assert len(server.bodies) == (1 if text else 2)
    assert len(list(tmp_path.rglob("*.json"))) == bool(text)


@pytest.mark.parametrize(
    "kept", ["", "{", "[]", "{}", '{"reply": null}', '{"reply": ["a"]}', '{"reply": ""}']
)
def test_a_damaged_file_in_the_cache_is_no_reply(kept: str, tmp_path: Path) -> None:
    from slr.judging.chat_endpoint import _cached_reply

    (tmp_path / "x.json").write_text(kept)
    assert _cached_reply(tmp_path / "x.json") is None
    (tmp_path / "x.json").write_text('{"reply": "a"}')
    assert _cached_reply(tmp_path / "x.json") == "a"


def test_lists_and_escapes_are_put_in_one_line() -> None:
    assert (
        in_one_line("they differ:\n- layers 2 and 3\n- sizes 4 and 5")
        == "they differ: layers 2 and 3; sizes 4 and 5"
    )
    assert in_one_line("a\x1b[31mred\x1b[0m\r\nb") == "a\\x1b[31mred\\x1b[0m; b"
    assert in_one_line("café, 東京") == "café, 東京"

"""A judge's key that is planted wherever it could be: it reaches neither records, cache, W&B nor page."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slr.analysis.load_results import load_results
from slr.analysis.page.index import table_html
from slr.analysis.page.section import ShownTable
from slr.analysis.tables.judge import judge
from slr.judging.chat_endpoint import ChatModel
from slr.judging.judge import ASPECTS
from slr.judging.judge_study import JudgeConfig, judge_experiment
from slr.runs.tracking import mirror_pair
from tests.judging.chat_server import KEY, Answer, chat_server, completion
from tests.judging.recorded import SPEC, earlier, run, write, writing_samples

PLAIN = "http://127.0.0.1:9/v1"
OTHER = "another-secret-9876543210"


@pytest.mark.parametrize(
    "url",
    [
        f"http://{OTHER}@h/v1",
        f"http://user:{OTHER}@h/v1",
        f"http://:{OTHER}@h/v1",
        f"http://h/v1?key={OTHER}",
        f"http://h/v1#{OTHER}",
        f"http://h/v1;key={OTHER}",
        f"http://h/v1;key={OTHER}/chat",
        f"http://h/v1?#{OTHER}",
        f"http://h/v1/{KEY}",
        f"ftp://h/{OTHER}",
    ],
)
def test_an_address_with_a_secret_is_refused_unquoted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name, value in {"BASE_URL": url, "MODEL": "m", "API_KEY": KEY}.items():
        monkeypatch.setenv(f"SLR_JUDGE_{name}", value)
    with pytest.raises(ValueError, match="SLR_JUDGE_BASE_URL") as caught:
        ChatModel.from_environment("SLR_JUDGE")
    assert OTHER not in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODEL", f"m-{KEY}"),
        ("PARAMETERS", json.dumps({"user": KEY})),
        ("PARAMETERS", json.dumps({"api_key": OTHER})),
        ("PARAMETERS", json.dumps({"extra_headers": {"Authorization": f"Bearer {OTHER}"}})),
        ("PARAMETERS", json.dumps({"options": [{"client-secret": OTHER}]})),
    ],
)
def test_a_secret_in_what_is_kept_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    for variable, given in {"BASE_URL": PLAIN, "MODEL": "m", "API_KEY": KEY, name: value}.items():
        monkeypatch.setenv(f"SLR_JUDGE_{variable}", given)
    with pytest.raises(ValueError, match="kept with every reply") as caught:
        ChatModel.from_environment("SLR_JUDGE")
    assert OTHER not in str(caught.value)
    assert KEY not in str(caught.value)


def test_ordinary_parameters_and_short_keys_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {"max_tokens": 9, "temperature": 0.5}
    for name, value in {
        "BASE_URL": PLAIN,
        "MODEL": "m",
        "API_KEY": "m",
        "PARAMETERS": json.dumps(parameters),
    }.items():
        monkeypatch.setenv(f"SLR_JUDGE_{name}", value)
    assert ChatModel.from_environment("SLR_JUDGE").parameters == tuple(parameters.items())


def test_a_key_that_the_server_repeats_is_in_no_file(tmp_path: Path, use_server: Callable[..., None]) -> None:
    """In replies that can be read, in those that cannot, and in errors."""

    def repeat(body: dict[str, Any], number: int) -> Answer:
        labels = json.loads(body["messages"][1]["content"])["texts"]
        scores = json.dumps({label: dict.fromkeys(ASPECTS, 5) for label in labels})
        if number == 3:
            return Answer(status=400, body=json.dumps({"error": {"message": f"bad key {KEY}"}}))
        return completion(f"{KEY} {scores}" if number % 2 else scores, headers={"X-Key": KEY})

    write(tmp_path, writing_samples())
    with chat_server(repeat) as server:
        use_server(server)
        config = JudgeConfig(judge=ChatModel.from_environment("SLR_JUDGE"), num_samples=3)
        experiment = judge_experiment("judge", "?", config, earlier("creative_writing"), "SLR_JUDGE")
        run(experiment, tmp_path, fails=True)
        run(experiment, tmp_path)
    assert any(KEY in value for headers in server.headers for value in headers.values())
    assert mirror_pair(experiment, SPEC, tmp_path, "offline")
    table = judge(load_results(tmp_path))
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5
    shown = [*files, table.csv().encode(), table_html(ShownTable.from_table("t", table, "")).encode()]
    for planted in (KEY.encode(), base64.b64encode(KEY.encode()).rstrip(b"=")):
        assert not [content for content in shown if planted in content]

"""Against real servers on the loopback interface: good ones, and ones that fail in every way we know."""

from __future__ import annotations

import json
import logging
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from slr.judging.chat_endpoint import (
    DEFAULT_PARAMETERS,
    BudgetSpentError,
    ChatEndpoint,
    ChatModel,
    ChatRequest,
    EndpointError,
    Limits,
)
from tests.judging.chat_server import KEY, Answer, ChatServer, chat_server, completion

REQUEST = ChatRequest(system="Be brief.", user="Who?", prompt_version="1")
QUICK = Limits(timeout=0.5, max_retries=2, concurrency=2)


def numbered(count: int) -> list[ChatRequest]:
    return [replace(REQUEST, user=f"Who is {number}?") for number in range(count)]


def endpoint(server: ChatServer, cache_dir: Path, limits: Limits = QUICK, **changes: object) -> ChatEndpoint:
    model = ChatModel(name="m", host="127.0.0.1")
    settings = {"prefix": "SLR_JUDGE", "base_url": server.base_url, "model": model, "key": KEY}
    return ChatEndpoint(**{**settings, "cache_dir": cache_dir, "limits": limits, **changes})  # pyright: ignore[reportArgumentType]


def test_asks_as_the_protocol_wants_it(tmp_path: Path) -> None:
    with chat_server(lambda _body, _number: completion("Me.")) as server:
        assert endpoint(server, tmp_path).ask(REQUEST) == "Me."
    assert server.bodies == [
        {
            "path": "/v1/chat/completions",
            "model": "m",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}],
            **dict(DEFAULT_PARAMETERS),
        }
    ]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_replies_come_in_the_order_of_the_requests(tmp_path: Path) -> None:
    def respond(body: dict[str, Any], number: int) -> Answer:
        return completion(body["messages"][1]["content"], delay=0.1 if number == 0 else 0.0)

    requests = numbered(6)
    with chat_server(respond) as server:
        assert endpoint(server, tmp_path).ask_all(requests) == [request.user for request in requests]


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    with chat_server(lambda body, _: completion(body["messages"][1]["content"].upper())) as server:
        first = endpoint(server, tmp_path).ask_all(numbered(5))
        assert len(server.bodies) == 5
        again = endpoint(server, tmp_path)
        assert again.ask_all(numbered(5)) == first
    assert len(server.bodies) == 5


@pytest.mark.parametrize(
    ("request_change", "endpoint_change"),
    [
        ({"system": "Be long."}, {}),
        ({"user": "What?"}, {}),
        ({"prompt_version": "2"}, {}),
        ({}, {"model": ChatModel(name="n", host="127.0.0.1")}),
        ({}, {"model": ChatModel(name="m", host="127.0.0.1", parameters=(("temperature", 1),))}),
        ({}, {"model": ChatModel(name="m", host="127.0.0.1", parameters=(*DEFAULT_PARAMETERS, ("seed", 1)))}),
        ({}, {"base_url": "elsewhere"}),
    ],
)
def test_whatever_matters_is_asked_anew(
    tmp_path: Path, request_change: dict[str, Any], endpoint_change: dict[str, Any]
) -> None:
    with chat_server(lambda _body, _number: completion("Me.")) as server:
        endpoint(server, tmp_path).ask(REQUEST)
        if "base_url" in endpoint_change:
            endpoint_change = {"base_url": server.base_url.replace("127.0.0.1", "localhost")}
        endpoint(server, tmp_path, **endpoint_change).ask(replace(REQUEST, **request_change))
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    "bad", [Answer(status=500), Answer(status=408), Answer(status=409), Answer(status=None)]
)
def test_tries_again_after_a_failure(tmp_path: Path, bad: Answer) -> None:
    with chat_server(lambda _, number: bad if number == 0 else completion("Me.")) as server:
        assert endpoint(server, tmp_path).ask(REQUEST) == "Me."
    assert len(server.bodies) == 2


def test_waits_as_long_as_the_server_says(tmp_path: Path) -> None:
    busy = Answer(status=429, headers={"Retry-After": "1.5"})
    with chat_server(lambda _, number: busy if number == 0 else completion("Me.")) as server:
        assert endpoint(server, tmp_path).ask(REQUEST) == "Me."
    assert server.times[1] - server.times[0] >= 1.5  # its own first wait would be at most 0.5 s


def test_a_late_answer_is_asked_for_again(tmp_path: Path) -> None:
    with chat_server(lambda _, number: completion("Me.", delay=1.0 if number == 0 else 0.0)) as server:
        assert endpoint(server, tmp_path).ask(REQUEST) == "Me."
    assert len(server.bodies) == 2


def test_a_server_that_stalls_is_an_error_after_all_tries(tmp_path: Path) -> None:
    limits = replace(QUICK, timeout=0.1, max_retries=1)
    with chat_server(lambda _body, _number: completion("Me.", delay=0.5)) as server:
        with pytest.raises(EndpointError, match=r"127\.0\.0\.1 did not answer within 0\.1 s, 2 times"):
            endpoint(server, tmp_path, limits).ask(REQUEST)
        assert len(server.bodies) == 2
    assert not list(tmp_path.rglob("*.json"))


def test_no_server_is_an_error(tmp_path: Path) -> None:
    with chat_server(lambda _body, _number: completion("Me.")) as server:
        pass
    with pytest.raises(EndpointError, match=r"cannot be reached.*check SLR_JUDGE_BASE_URL"):
        endpoint(server, tmp_path, replace(QUICK, max_retries=0)).ask(REQUEST)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, r"refuses the key \(status 401\): set SLR_JUDGE_API_KEY"),
        (403, r"refuses the key \(status 403\): set SLR_JUDGE_API_KEY"),
        (404, r"knows no model 'm' there \(status 404\); check SLR_JUDGE_BASE_URL"),
        (400, r"refuses the request \(status 400\).*no such field"),
    ],
)
def test_what_cannot_get_better_is_one_error_at_once(tmp_path: Path, status: int, words: str) -> None:
    refusal = Answer(status=status, body='{"error": {"message": "no such field"}}')
    with chat_server(lambda _body, _number: refusal) as server:
        with pytest.raises(EndpointError, match=words):
            endpoint(server, tmp_path, replace(QUICK, concurrency=1)).ask_all(numbered(20))
        assert len(server.bodies) <= 2  # one more may be under way when the first is refused


@pytest.mark.parametrize(
    "nonsense",
    [
        Answer(body="<html>hello</html>", headers={"Content-Type": "text/html"}),
        Answer(body="{"),
        Answer(body="{}"),
        Answer(body='{"choices": []}'),
        Answer(body="[1, 2]"),
    ],
)
def test_what_is_no_completion_is_an_error(tmp_path: Path, nonsense: Answer) -> None:
    with (
        chat_server(lambda _body, _number: nonsense) as server,
        pytest.raises(EndpointError, match="something else than a chat completion"),
    ):
        endpoint(server, tmp_path).ask(REQUEST)
    assert not list(tmp_path.rglob("*.json"))


def test_a_completion_without_text_is_an_empty_reply(tmp_path: Path) -> None:
    with chat_server(lambda _body, _number: completion(None)) as server:
        assert endpoint(server, tmp_path).ask(REQUEST) == ""


@pytest.mark.parametrize(
    ("budget", "variable"),
    [({"budget_requests": 3}, "BUDGET_REQUESTS"), ({"budget_tokens": 30}, "BUDGET_TOKENS")],
)
def test_a_spent_budget_stops_and_the_next_run_goes_on(
    tmp_path: Path, budget: dict[str, Any], variable: str
) -> None:
    limits = replace(QUICK, concurrency=1, **budget)
    with chat_server(lambda body, _: completion(body["messages"][1]["content"])) as server:
        with pytest.raises(
            BudgetSpentError, match=rf"is spent; all replies so far are kept.*SLR_JUDGE_{variable}"
        ):
            endpoint(server, tmp_path, limits).ask_all(numbered(5))
        assert len(server.bodies) == 3
        assert len(list(tmp_path.rglob("*.json"))) == 3
        assert endpoint(server, tmp_path, limits).ask_all(numbered(5)) == [r.user for r in numbered(5)]
        assert len(server.bodies) == 5


def test_retries_count_in_the_budget(tmp_path: Path) -> None:
    limits = replace(QUICK, budget_requests=2, max_retries=1)
    with chat_server(lambda _body, _number: Answer(status=500)) as server:
        asked = endpoint(server, tmp_path, limits)
        with pytest.raises(EndpointError, match="status 500"):
            asked.ask(REQUEST)
        with pytest.raises(BudgetSpentError):
            asked.ask(REQUEST)
    assert len(server.bodies) == 2


def test_a_budget_of_tokens_needs_a_server_that_counts_them(tmp_path: Path) -> None:
    content = json.loads(completion("Me.").body)
    del content["usage"]
    with (
        chat_server(lambda _body, _number: Answer(body=json.dumps(content))) as server,
        pytest.raises(EndpointError, match="set SLR_JUDGE_BUDGET_REQUESTS"),
    ):
        endpoint(server, tmp_path, replace(QUICK, budget_tokens=100)).ask(REQUEST)


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_the_key_is_nowhere(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Even if the server repeats it, on either side of where its message is cut."""
    echo = f"{'x' * 270} you sent {KEY}; {KEY}"
    body = completion(echo).body if status == 200 else json.dumps({"error": {"message": echo}})
    caplog.set_level(logging.DEBUG)
    said = ""
    with chat_server(lambda _body, _number: Answer(status=status, body=body)) as server:
        asked = endpoint(server, tmp_path, replace(QUICK, max_retries=1))
        said += repr(asked) + str(vars(ChatModel(name="m", host="h")))
        try:
            said += asked.ask(REQUEST)
        except EndpointError as error:
            said += "".join(traceback.format_exception(error)) + repr(error)
    assert f"Bearer {KEY}" in server.headers[0].values()
    said += caplog.text + "".join(capfd.readouterr())
    said += "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY[:12] not in said


def test_the_environment_describes_an_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with chat_server(lambda _body, _number: completion("Me.")) as server:
        for name, value in {
            "BASE_URL": f"{server.base_url}/",
            "MODEL": "m",
            "API_KEY": KEY,
            "PARAMETERS": '{"max_completion_tokens": 9}',
            "CONCURRENCY": "1",
        }.items():
            monkeypatch.setenv(f"SLR_TEST_{name}", value)
        assert ChatEndpoint.from_environment("SLR_TEST", tmp_path).ask(REQUEST) == "Me."
    model = ChatModel.from_environment("SLR_TEST")
    assert asdict(model) == {"name": "m", "host": "127.0.0.1", "parameters": (("max_completion_tokens", 9),)}
    assert server.bodies[0]["max_completion_tokens"] == 9
    assert "temperature" not in server.bodies[0]
    assert Limits.from_environment("SLR_TEST") == Limits(concurrency=1)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "SLR_TEST_BASE_URL is not set"),
        ({"BASE_URL": "http://h/v1"}, "SLR_TEST_MODEL is not set"),
        ({"BASE_URL": "h/v1", "MODEL": "m"}, "is no http or https URL"),
        ({"BASE_URL": f"http://h/v1?key={KEY}", "MODEL": "m"}, "a key goes into SLR_TEST_API_KEY"),
        ({"BASE_URL": f"http://{KEY}@h/v1", "MODEL": "m"}, "a key goes into SLR_TEST_API_KEY"),
        ({"BASE_URL": "http://h/v1", "MODEL": "m", "PARAMETERS": "[1]"}, "expected a JSON object"),
        ({"BASE_URL": "http://h/v1", "MODEL": "m", "CONCURRENCY": "0"}, "a number of at least 1"),
        ({"BASE_URL": "http://h/v1", "MODEL": "m", "TIMEOUT": "soon"}, "a number of at least"),
        ({"BASE_URL": "http://h/v1", "MODEL": "m", "BUDGET_TOKENS": "many"}, "a number of at least 0"),
    ],
)
def test_mistakes_in_the_environment_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"SLR_TEST_{name}", value)
    with pytest.raises(ValueError, match=words) as caught:
        ChatEndpoint.from_environment("SLR_TEST", tmp_path)
    assert KEY not in str(caught.value)

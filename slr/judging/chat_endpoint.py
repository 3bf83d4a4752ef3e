"""Ask a language model behind any OpenAI-compatible chat endpoint, within a budget, and keep every reply.

    results/PRESET/endpoint_cache/3f/3f9c....json    one reply, with the request that it answers

The openai client sends requests, limits their time, and retries with growing pauses: on status 408, 409, 429 and 5xx,
time-outs and broken connections. It honours ``Retry-After``. A reply is on disk before it is used, under a hash of all
that it depends on. Therefore nothing is asked, or paid for, twice.

Environment variables describe an endpoint. They begin with a prefix, such as ``SLR_JUDGE``: ``_BASE_URL``, ``_MODEL``,
``_API_KEY``, and the variables of ``ChatModel`` and ``Limits``. The key is sent to the endpoint and nowhere else. If a
server repeats the key, it is removed from what is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import textwrap
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from slr.judging.endpoint_variables import (
    base_url_of,
    check_without_secrets,
    key_of,
    number_of,
    parameters_of,
    required,
)

if TYPE_CHECKING:
    import openai
    from openai.types.chat import ChatCompletion

CACHE_DIRECTORY = "endpoint_cache"
"""Directory in the output directory with every reply of every endpoint."""
Parameters = tuple[tuple[str, Any], ...]
"""Fields of a request with their values."""
DEFAULT_PARAMETERS: Parameters = (("temperature", 0), ("max_tokens", 1024))
"""Fields of a request by default.

There is no seed, because Gemini's endpoint refuses the field. At temperature 0 little is left to chance.
"""
MESSAGE_CHARACTERS = 300
"""Number of characters of a server's error that a message quotes."""
MOST_CHARACTERS = 1_000_000
"""Number of characters from which a reply is too long to answer any question that is asked."""


class EndpointError(RuntimeError):
    """The endpoint cannot be used or does not answer. The message says what to do."""


class BudgetSpentError(EndpointError):
    """The next request would exceed the budget."""


@dataclass(frozen=True, kw_only=True)
class ChatModel:
    """A model at an endpoint, and how it is asked.

    Replies depend on nothing else, and records hold nothing else of an endpoint.

    Attributes:
        name: name of the model at the endpoint.
        host: host of the endpoint, without the rest of its URL.
        parameters: fields of the request besides model and messages. ``_PARAMETERS`` gives them as a JSON object; by
            default temperature 0 and at most 1024 new tokens.
    """

    name: str
    host: str
    parameters: Parameters = DEFAULT_PARAMETERS

    @staticmethod
    def from_environment(prefix: str) -> ChatModel:
        """Read the model from the environment.

        Raises:
            ValueError: if a variable is missing or cannot be read. Also if one holds a secret, because all of them are
                kept.
        """
        base_url = base_url_of(prefix)
        name = required(prefix, "MODEL", "the model's name at the endpoint")
        text = os.environ.get(f"{prefix}_PARAMETERS")
        check_without_secrets(prefix, base_url, name, text or "")
        parameters = (
            DEFAULT_PARAMETERS if text is None else tuple(parameters_of(f"{prefix}_PARAMETERS", text).items())
        )
        # Key and limits are needed only later, but a mistake in them should be found before any work.
        key_of(prefix)
        Limits.from_environment(prefix)
        return ChatModel(name=name, host=urlsplit(base_url).hostname or "", parameters=parameters)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much may be asked, and how fast. Replies do not depend on it.

    Requests that are under way when a budget is spent are still answered and kept.

    Attributes:
        budget_requests: number of requests sent in one run, retries included (``_BUDGET_REQUESTS``).
        budget_tokens: number of tokens read and written that the server reports (``_BUDGET_TOKENS``); None is no
            limit.
        concurrency: number of requests at a time (``_CONCURRENCY``).
        timeout: time limit of one try in seconds (``_TIMEOUT``).
        max_retries: number of tries after the first one (``_MAX_RETRIES``).
    """

    budget_requests: int = 10_000
    budget_tokens: int | None = None
    concurrency: int = 8
    timeout: float = 120.0
    max_retries: int = 6

    @staticmethod
    def from_environment(prefix: str) -> Limits:
        """Read the limits from the environment, with defaults for what is not set.

        Raises:
            ValueError: if a variable is not a number, or is too small.
        """
        budget_tokens = os.environ.get(f"{prefix}_BUDGET_TOKENS")
        return Limits(
            budget_requests=number_of(prefix, "BUDGET_REQUESTS", int, Limits.budget_requests, 0),
            budget_tokens=None if budget_tokens is None else number_of(prefix, "BUDGET_TOKENS", int, 0, 0),
            concurrency=number_of(prefix, "CONCURRENCY", int, Limits.concurrency, 1),
            timeout=number_of(prefix, "TIMEOUT", float, Limits.timeout, 0.001),
            max_retries=number_of(prefix, "MAX_RETRIES", int, Limits.max_retries, 0),
        )


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """One question to a model.

    Attributes:
        system: the system message.
        user: the question.
        prompt_version: name of the wording of both.
    """

    system: str
    user: str
    prompt_version: str

    @property
    def messages(self) -> list[dict[str, str]]:
        """The messages as the endpoint takes them."""
        return [{"role": "system", "content": self.system}, {"role": "user", "content": self.user}]


class ChatEndpoint:
    """A chat endpoint with a cache and a budget. Several threads may use it at once."""

    def __init__(
        self, prefix: str, base_url: str, model: ChatModel, key: str, cache_dir: Path, limits: Limits
    ) -> None:
        """Make the client; nothing is sent yet.

        Args:
            prefix: prefix of the environment variables, for messages.
            base_url: URL of the endpoint.
            model: the model and how it is asked.
            key: key of the account; empty for a server without keys.
            cache_dir: directory of the replies.
            limits: how much may be asked, and how fast.
        """
        self._prefix = prefix
        self._base_url = base_url
        self._model = model
        self._key = key
        self._cache_dir = cache_dir
        self._limits = limits
        self._lock = threading.Lock()
        self._requests_sent = 0
        self._tokens_used = 0
        self._client = self._make_client()

    @staticmethod
    def from_environment(prefix: str, cache_dir: Path) -> ChatEndpoint:
        """Make the endpoint that the environment describes. A server of one's own may need no key.

        Raises:
            ValueError: if a variable is missing or cannot be read, or if the openai package is not installed.
        """
        return ChatEndpoint(
            prefix=prefix,
            base_url=base_url_of(prefix),
            model=ChatModel.from_environment(prefix),
            key=key_of(prefix),
            cache_dir=cache_dir,
            limits=Limits.from_environment(prefix),
        )

    def ask_all(self, requests: Sequence[ChatRequest]) -> list[str]:
        """Ask several requests at a time and return the replies in the order of the requests.

        After an error nothing more is asked, and the replies so far are in the cache.

        Raises:
            BudgetSpentError: if the budget does not suffice.
            EndpointError: if a request is refused, or unanswered after all retries.
        """
        with ThreadPoolExecutor(self._limits.concurrency) as pool:
            futures = [pool.submit(self.ask, request) for request in requests]
            try:
                # What follows an error would fail too, or spend the budget for nothing.
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            finally:
                # Requests that have begun are still answered; no other one is begun.
                pool.shutdown(cancel_futures=True)
        return [future.result() for future in futures]

    def ask(self, request: ChatRequest) -> str:
        """Ask one request, unless its reply is in the cache; the reply is empty if the model gave no usable text.

        An empty reply is not kept, so that the next run asks again.

        Raises:
            EndpointError: see ``ask_all``.
        """
        content = {
            "base_url": self._base_url,
            "model": self._model.name,
            "parameters": dict(self._model.parameters),
            "prompt_version": request.prompt_version,
            "messages": request.messages,
        }
        path = _cache_file(self._cache_dir, content)
        reply = _cached_reply(path)
        if reply is None:
            reply = self._without_key(self._send(request))
            if not reply:
                return reply
            _write_reply(path, json.dumps({**content, "reply": reply}, ensure_ascii=False, indent=1))
        return reply

    def _send(self, request: ChatRequest) -> str:
        import openai
        from openai.types.chat import ChatCompletion

        self._check_budget()
        try:
            completion = self._client.chat.completions.create(
                model=self._model.name,
                messages=request.messages,  # pyright: ignore[reportArgumentType]
                extra_body=dict(self._model.parameters),
            )
        except (openai.OpenAIError, ValueError) as error:
            # "from None", because the cause holds the request and with it the key.
            raise EndpointError(self._in_words(error)) from None
        # The client's types promise a completion, but an endpoint can answer with anything.
        if not isinstance(completion, ChatCompletion):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise EndpointError(self._no_completion)
        self._count_tokens(completion)
        text = text_of(completion)
        if text is None:
            raise EndpointError(self._no_completion)
        return text

    def _make_client(self) -> openai.OpenAI:
        try:
            import openai
        except ImportError:
            raise ValueError(
                "asking an endpoint needs the package openai: pip install -c constraints.txt '.[judge]'"
            ) from None
        return openai.OpenAI(
            base_url=self._base_url,
            api_key=self._key or "none",  # the client does not accept an empty key
            timeout=self._limits.timeout,
            max_retries=self._limits.max_retries,
            # Retries happen inside the client, so only a hook on each request can count them.
            http_client=openai.DefaultHttpxClient(event_hooks={"request": [self._count_request]}),
        )

    def _count_request(self, _: object) -> None:
        with self._lock:
            self._requests_sent += 1

    def _count_tokens(self, completion: ChatCompletion) -> None:
        # The client checks nothing that a server sends, so this may be any type.
        tokens: Any = getattr(completion.usage, "total_tokens", None)
        if isinstance(tokens, int):
            with self._lock:
                self._tokens_used += tokens
        elif self._limits.budget_tokens is not None:
            raise EndpointError(
                f"{self._model.host} does not say how many tokens a request took: unset "
                f"{self._prefix}_BUDGET_TOKENS and set {self._prefix}_BUDGET_REQUESTS"
            )

    def _check_budget(self) -> None:
        limits = self._limits
        for name, used, budget in (
            ("REQUESTS", self._requests_sent, limits.budget_requests),
            ("TOKENS", self._tokens_used, limits.budget_tokens),
        ):
            if budget is not None and used >= budget:
                raise BudgetSpentError(
                    f"the budget of {budget} {name.lower()} to {self._model.host} is spent; all replies so far are "
                    f"kept. Run the same command again to continue, with a larger {self._prefix}_BUDGET_{name} if "
                    "needed"
                )

    @property
    def _what_to_check(self) -> str:
        return f"check {self._prefix}_BASE_URL (it often ends in /v1) and {self._prefix}_MODEL"

    @property
    def _no_completion(self) -> str:
        return (
            f"{self._model.host} answered with something else than a chat completion; {self._what_to_check}"
        )

    def _in_words(self, error: Exception) -> str:
        import openai

        host, tries = self._model.host, self._limits.max_retries + 1
        said = textwrap.shorten(self._without_key(str(error)), MESSAGE_CHARACTERS, placeholder="...")
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return f"{host} refuses the key (status {error.status_code}): set {self._prefix}_API_KEY to a valid one"
        if isinstance(error, openai.NotFoundError):
            return f"{host} knows no model {self._model.name!r} there (status 404); {self._what_to_check}"
        if isinstance(error, openai.APIStatusError):
            return f"{host} refuses the request (status {error.status_code}): {said}"
        if isinstance(error, openai.APITimeoutError):
            return (
                f"{host} did not answer within {self._limits.timeout:g} s, {tries} times; nothing was scored"
            )
        if isinstance(error, openai.APIConnectionError):
            return f"{host} cannot be reached, or breaks the connection, {tries} times; {self._what_to_check}"
        return self._no_completion

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text


def text_of(completion: ChatCompletion) -> str | None:
    """The text of a completion that nothing has checked; None if it has no message.

    Some servers send the text in chunks. Only chunks of the type "text" are the answer. The text is empty where the
    model gave none, or gave far more than an answer can have.
    """
    choices: Any = completion.choices
    if not isinstance(choices, list) or not choices or not hasattr(choices[0], "message"):
        return None
    message: Any = choices[0].message
    content = getattr(message, "content", None)
    if message is None or not isinstance(content, str | list | None):
        return None
    chunks = [content] if isinstance(content, str) else content or []
    text = "".join(map(_text_of_chunk, chunks))
    # A lone half of a surrogate pair can be in JSON, but a file in UTF-8 cannot hold it.
    return text.encode(errors="replace").decode() if len(text) <= MOST_CHARACTERS else ""


def _text_of_chunk(chunk: Any) -> str:
    if isinstance(chunk, str):
        return chunk
    field = chunk.get if isinstance(chunk, dict) else lambda name: getattr(chunk, name, None)
    text = field("text") if field("type") in ("text", "output_text") else None
    return text if isinstance(text, str) else ""


Connect = Callable[[Path], ChatEndpoint]
"""Gives the endpoint whose cache is in an output directory."""


def connect_once(prefix: str) -> Connect:
    """Make a function that makes the endpoint when it is first needed, and then returns the same one.

    Therefore a run has one budget for all pairs.
    """

    @cache
    def connect(output_dir: Path) -> ChatEndpoint:
        return ChatEndpoint.from_environment(prefix, output_dir / CACHE_DIRECTORY)

    return connect


def is_configured(prefix: str) -> bool:
    """Whether the environment describes an endpoint with that prefix."""
    return bool(os.environ.get(f"{prefix}_BASE_URL"))


def _cache_file(directory: Path, content: dict[str, Any]) -> Path:
    name = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return directory / name[:2] / f"{name}.json"


def _cached_reply(path: Path) -> str | None:
    """The reply in the file; None if the file is missing or damaged, so that the request is sent again."""
    try:
        reply = json.loads(path.read_text(encoding="utf-8"))["reply"]
    except (FileNotFoundError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return reply if isinstance(reply, str) and reply else None


def _write_reply(path: Path, text: str) -> None:
    """Write a reply to the cache, so that it is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # ``write_whole`` has one unfinished file for each path, but several threads may write the same reply at once.
    with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".part", delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)

"""Ask a language model behind any OpenAI-compatible chat endpoint, within a budget, and keep every reply.

    results/PRESET/endpoint_cache/3f/3f9c....json    one reply, with the request that it answers

Requests, retries with backoff (on status 408, 409, 429, 5xx, time-outs and broken connections, honouring
``Retry-After``) and time limits are the openai client's. A reply is on disk before it is used, under a hash of
all that it depends on, so that nothing is asked and paid twice.

An endpoint is described by environment variables that begin with a prefix, such as ``SLR_JUDGE``: ``_BASE_URL``,
``_MODEL``, ``_API_KEY``, and those of ``ChatModel`` and ``Limits``. The key is sent to the endpoint and nowhere
else: what a server says is kept without it, should the server repeat it.
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
"""In the output directory: every reply of every endpoint."""
Parameters = tuple[tuple[str, Any], ...]
"""Fields of a request, each with its value."""
DEFAULT_PARAMETERS: Parameters = (("temperature", 0), ("max_tokens", 1024))
"""No seed: Gemini's endpoint refuses the field, and at temperature 0 little is left to chance."""
MESSAGE_CHARACTERS = 300
"""So much of a server's error is quoted."""
MOST_CHARACTERS = 1_000_000
"""A longer reply is no answer to any question that is asked."""


class EndpointError(RuntimeError):
    """An endpoint that cannot be used or does not answer, with what to do."""


class BudgetSpentError(EndpointError):
    """The next request would go beyond the budget."""


@dataclass(frozen=True, kw_only=True)
class ChatModel:
    """Who is asked, and how: what replies depend on, and all of an endpoint that records may hold.

    ``parameters`` are fields of the request beside model and messages: ``_PARAMETERS`` as a JSON object, by
    default temperature 0 and 1024 new tokens.
    """

    name: str
    host: str
    parameters: Parameters = DEFAULT_PARAMETERS

    @staticmethod
    def from_environment(prefix: str) -> ChatModel:
        """The model that the variables describe.

        Raises:
            ValueError: if one is missing or cannot be read, or holds a secret, since all of them are kept.
        """
        base_url = base_url_of(prefix)
        name = required(prefix, "MODEL", "the model's name at the endpoint")
        text = os.environ.get(f"{prefix}_PARAMETERS")
        check_without_secrets(prefix, base_url, name, text or "")
        parameters = (
            DEFAULT_PARAMETERS if text is None else tuple(parameters_of(f"{prefix}_PARAMETERS", text).items())
        )
        # Needed later only, but a mistake in them is to be found before any work.
        key_of(prefix)
        Limits.from_environment(prefix)
        return ChatModel(name=name, host=urlsplit(base_url).hostname or "", parameters=parameters)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much may be asked, and how fast; replies do not depend on it.

    ``budget_requests`` counts what is sent in one run, retries included; ``budget_tokens`` what the server
    reports of tokens read and written. What is under way when a budget is spent is still answered and kept.
    ``timeout`` is in seconds, of one try. The variables: ``_BUDGET_REQUESTS``, ``_BUDGET_TOKENS``,
    ``_CONCURRENCY``, ``_TIMEOUT``, ``_MAX_RETRIES``.
    """

    budget_requests: int = 10_000
    budget_tokens: int | None = None
    concurrency: int = 8
    timeout: float = 120.0
    max_retries: int = 6

    @staticmethod
    def from_environment(prefix: str) -> Limits:
        """The limits that the variables set, and the defaults of the others.

        Raises:
            ValueError: if one is not a number, or too small.
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
    """A system message and a question. ``prompt_version`` names their wording."""

    system: str
    user: str
    prompt_version: str

    @property
    def messages(self) -> list[dict[str, str]]:
        """As the endpoint takes them."""
        return [{"role": "system", "content": self.system}, {"role": "user", "content": self.user}]


class ChatEndpoint:
    """A chat endpoint with a cache and a budget; safe to use from several threads."""

    def __init__(
        self, prefix: str, base_url: str, model: ChatModel, key: str, cache_dir: Path, limits: Limits
    ) -> None:
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
        """The endpoint that the variables describe. A server of one's own may need no key.

        Raises:
            ValueError: if a variable is missing or cannot be read, or the openai package is not installed.
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
        """The replies, in the order of the requests; several are asked at a time.

        Raises:
            BudgetSpentError: if the budget does not suffice.
            EndpointError: if a request is refused, or unanswered after all retries. Either way nothing more is
                asked, and replies so far are in the cache.
        """
        with ThreadPoolExecutor(self._limits.concurrency) as pool:
            futures = [pool.submit(self.ask, request) for request in requests]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            finally:
                pool.shutdown(cancel_futures=True)
        return [future.result() for future in futures]

    def ask(self, request: ChatRequest) -> str:
        """The reply to one request, from the cache if it is there; empty if the model gave no usable text.

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
            _write_whole(path, json.dumps({**content, "reply": reply}, ensure_ascii=False, indent=1))
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
            raise EndpointError(
                self._in_words(error)
            ) from None  # its cause holds the request, and so the key
        if not isinstance(completion, ChatCompletion):
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
            api_key=self._key or "none",  # the client insists on one
            timeout=self._limits.timeout,
            max_retries=self._limits.max_retries,
            http_client=openai.DefaultHttpxClient(event_hooks={"request": [self._count_request]}),
        )

    def _count_request(self, _: object) -> None:
        with self._lock:
            self._requests_sent += 1

    def _count_tokens(self, completion: ChatCompletion) -> None:
        tokens: Any = getattr(
            completion.usage, "total_tokens", None
        )  # as the server has it, whatever that is
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
                    f"kept. Run the same command again to go on, with a larger {self._prefix}_BUDGET_{name} if need be"
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
            return f"{host} did not answer within {self._limits.timeout:g} s, {tries} times; nothing of it is scored"
        if isinstance(error, openai.APIConnectionError):
            return f"{host} cannot be reached, or breaks the connection, {tries} times; {self._what_to_check}"
        return self._no_completion

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text


def text_of(completion: ChatCompletion) -> str | None:
    """The text of a completion, which nothing has checked; None if it has no message.

    Some servers send the text in chunks, of which only those of the type "text" are the answer. The text is empty
    where the model gave none, or far more than can be an answer.
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
    # A lone half of a surrogate pair can be in JSON, but in no file.
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
    """Makes the endpoint of the environment when it is first needed, and then gives the same one.

    So a run has one budget for all pairs.
    """

    @cache
    def connect(output_dir: Path) -> ChatEndpoint:
        return ChatEndpoint.from_environment(prefix, output_dir / CACHE_DIRECTORY)

    return connect


def is_configured(prefix: str) -> bool:
    """Whether the environment describes an endpoint of that prefix."""
    return bool(os.environ.get(f"{prefix}_BASE_URL"))


def _cache_file(directory: Path, content: dict[str, Any]) -> Path:
    name = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return directory / name[:2] / f"{name}.json"


def _cached_reply(path: Path) -> str | None:
    """The reply in the file; None if there is none that is a text, so that it is asked for again."""
    try:
        reply = json.loads(path.read_text(encoding="utf-8"))["reply"]
    except (FileNotFoundError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return reply if isinstance(reply, str) and reply else None


def _write_whole(path: Path, text: str) -> None:
    """Under its name the file is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".part", delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)

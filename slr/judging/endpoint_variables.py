"""Environment variables that describe a chat endpoint, read and checked before anything is asked.

Their names begin with a prefix, such as ``SLR_JUDGE``.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from typing import Any, Never, TypeVar
from urllib.parse import urlsplit

FIELDS_OF_REQUEST = ("model", "messages", "stream")
"""Fields of a request that ``_PARAMETERS`` cannot set."""

SHORTEST_SECRET = 8
"""Number of characters from which a key counts as secret.

A shorter key, such as "none" for a server of one's own, may be part of an ordinary word.
"""
_SECRET_FIELD = re.compile(
    r'"(?P<name>[^"]*(?:api.?key|authorization|secret|password|credential|access.?token)[^"]*)"\s*:',
    re.IGNORECASE,
)

Number = TypeVar("Number", int, float)


def base_url_of(prefix: str) -> str:
    """Read the endpoint's URL from ``_BASE_URL``.

    Raises:
        ValueError: if it is not set, or has more than a scheme, a host, a port and a path.
    """
    url = required(prefix, "BASE_URL", "the endpoint's URL, such as http://127.0.0.1:8000/v1").rstrip("/")
    # The URL is kept with every reply, so it must hold no key. It may hold one now, so the message does not quote it.
    if not _is_plain_url(url):
        raise ValueError(
            f"{prefix}_BASE_URL is no http or https URL of a host, perhaps a port and a path, and nothing else: no "
            "user, password, query, parameter or fragment. Expected one such as http://127.0.0.1:8000/v1; a key goes "
            f"into {prefix}_API_KEY"
        )
    return url


def check_without_secrets(prefix: str, base_url: str, name: str, parameters: str) -> None:
    """Check that no secret is in the values that are kept with every reply.

    Args:
        prefix: prefix of the variables.
        base_url: URL of the endpoint.
        name: name of the model.
        parameters: fields of the request as JSON.

    Raises:
        ValueError: if the key, or a field for a key, is in them.
    """
    key = os.environ.get(f"{prefix}_API_KEY", "")
    if len(key) >= SHORTEST_SECRET and any(key in text for text in (base_url, name, parameters)):
        raise ValueError(
            f"the key of {prefix}_API_KEY is also in {prefix}_BASE_URL, _MODEL or _PARAMETERS, which are kept with "
            "every reply: take it out of them"
        )
    if found := _SECRET_FIELD.search(parameters):
        raise ValueError(
            f"{prefix}_PARAMETERS has the field {found['name']!r}, and parameters are kept with every reply: a key "
            f"goes into {prefix}_API_KEY"
        )


def _is_plain_url(url: str) -> bool:
    if not url.isprintable() or any(mark in url for mark in " ?#;@\\"):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bad port or address
        return False


def key_of(prefix: str) -> str:
    """Read the key from ``_API_KEY``; it is empty if there is none.

    Raises:
        ValueError: if it has characters that no key has.
    """
    key = os.environ.get(f"{prefix}_API_KEY", "")
    if not (key.isascii() and key.isprintable()) or key != key.strip():
        raise ValueError(
            f"{prefix}_API_KEY has a space, a line break or a character beyond ASCII where no key has one: set it to "
            "the key alone"
        )
    return key


def required(prefix: str, name: str, meaning: str) -> str:
    """Read a variable that must be set.

    Args:
        prefix: prefix of the variables.
        name: the rest of the variable's name.
        meaning: what the variable should hold, for the message.

    Returns:
        Its value.

    Raises:
        ValueError: if it is not set or empty.
    """
    value = os.environ.get(f"{prefix}_{name}", "")
    if not value:
        raise ValueError(f"{prefix}_{name} is not set, expected {meaning}")
    return value


def number_of(
    prefix: str, name: str, parse: Callable[[str], Number], default: Number, smallest: Number
) -> Number:
    """Read a number from a variable.

    Args:
        prefix: prefix of the variables.
        name: the rest of the variable's name.
        parse: makes the number from the text: ``int`` or ``float``.
        default: the number if the variable is not set.
        smallest: smallest allowed number.

    Returns:
        The number.

    Raises:
        ValueError: if the text is not a finite number, or is below ``smallest``.
    """
    text = os.environ.get(f"{prefix}_{name}")
    if text is None:
        return default
    try:
        value = parse(text)
    except ValueError:
        value = None
    if value is None or not smallest <= value < math.inf:
        raise ValueError(f"{prefix}_{name} is {text!r}, expected a number of at least {smallest}")
    return value


def parameters_of(name: str, text: str) -> dict[str, Any]:
    """Read the fields of a request from the text of a variable.

    Raises:
        ValueError: if the text is not a JSON object, or has a field of ``FIELDS_OF_REQUEST``.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"""{name} is {text!r}, expected a JSON object such as {{"max_tokens": 2048}}""")
    if taken := [field for field in FIELDS_OF_REQUEST if field in value]:
        raise ValueError(
            f"{name} sets {', '.join(taken)}, expected only fields other than {', '.join(FIELDS_OF_REQUEST)}"
        )
    return value


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")

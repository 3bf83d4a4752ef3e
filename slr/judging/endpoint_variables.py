"""The environment variables that describe a chat endpoint: read and checked, before anything is asked.

They begin with a prefix, such as ``SLR_JUDGE``.
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
"""What ``_PARAMETERS`` cannot set."""

SHORTEST_SECRET = 8
"""A shorter key, such as the "none" of a server of one's own, is no secret and may be part of a word."""
_SECRET_FIELD = re.compile(
    r'"(?P<name>[^"]*(?:api.?key|authorization|secret|password|credential|access.?token)[^"]*)"\s*:',
    re.IGNORECASE,
)

Number = TypeVar("Number", int, float)


def base_url_of(prefix: str) -> str:
    """The endpoint's URL, ``_BASE_URL``; raises ``ValueError`` unless it is plain."""
    url = required(prefix, "BASE_URL", "the endpoint's URL, such as http://127.0.0.1:8000/v1").rstrip("/")
    # The URL is kept with every reply, so no key may be in it; nor is it quoted here.
    if not _is_plain_url(url):
        raise ValueError(
            f"{prefix}_BASE_URL is no http or https URL of a host, perhaps a port and a path, and nothing else: no "
            "user, password, query, parameter or fragment. Expected one such as http://127.0.0.1:8000/v1; a key goes "
            f"into {prefix}_API_KEY"
        )
    return url


def check_without_secrets(prefix: str, base_url: str, name: str, parameters: str) -> None:
    """Raise ``ValueError`` if the key, or a field for one, is in what is kept with every reply."""
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
    """The key, ``_API_KEY``, empty if there is none; raises ``ValueError`` if it cannot be one."""
    key = os.environ.get(f"{prefix}_API_KEY", "")
    if not (key.isascii() and key.isprintable()) or key != key.strip():
        raise ValueError(
            f"{prefix}_API_KEY has a space, a line break or a character beyond ASCII where no key has one: set it to "
            "the key alone"
        )
    return key


def required(prefix: str, name: str, meaning: str) -> str:
    """The variable of that name; raises ``ValueError`` with its meaning if it is not set."""
    value = os.environ.get(f"{prefix}_{name}", "")
    if not value:
        raise ValueError(f"{prefix}_{name} is not set, expected {meaning}")
    return value


def number_of(
    prefix: str, name: str, parse: Callable[[str], Number], default: Number, smallest: Number
) -> Number:
    """The number in a variable, or the default; raises ``ValueError`` if it is none, or is below ``smallest``."""
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
    """The fields of a request in a variable; raises ``ValueError`` unless they are a JSON object of other fields."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"""{name} is {text!r}, expected a JSON object such as {{"max_tokens": 2048}}""")
    if taken := [field for field in FIELDS_OF_REQUEST if field in value]:
        raise ValueError(
            f"{name} sets {', '.join(taken)}, expected only fields beside {', '.join(FIELDS_OF_REQUEST)}"
        )
    return value


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")

"""No judge of the developer's own is ever asked by a test."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.judging.chat_server import KEY, ChatServer


@pytest.fixture(autouse=True)
def no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SLR_JUDGE"):
            monkeypatch.delenv(name)


@pytest.fixture
def use_server(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the environment describe a server, under the prefix of the first judge."""

    def use(server: ChatServer, prefix: str = "SLR_JUDGE") -> None:
        monkeypatch.setenv(f"{prefix}_BASE_URL", server.base_url)
        monkeypatch.setenv(f"{prefix}_MODEL", "some-model")
        monkeypatch.setenv(f"{prefix}_API_KEY", KEY)

    return use

"""Silence transformers and peft where our own lines say what happens."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager

from transformers.utils import logging


@contextmanager
def quiet_libraries() -> Generator[None]:
    """Print no warnings and draw no progress bars of transformers within the context."""
    had_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if had_bars:
            logging.enable_progress_bar()

"""Pages from Jinja templates whose texts can do nothing but be read."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from slr.terminal.literal_text import visible


@cache
def page_templates(directory: Path) -> Environment:
    """The templates in a directory. A name that a template uses and does not get is an error."""
    # Records may hold any text. Autoescape makes it harmless in HTML, and ``visible`` makes control characters visible.
    return Environment(
        loader=FileSystemLoader(directory),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else visible(str(value), keep="\n\t"),
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )

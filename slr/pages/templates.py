"""Pages from Jinja templates. Their texts can do nothing but be read, and the only script that runs is ours."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from slr.terminal.literal_text import visible

LAYOUT = Path(__file__).parent
"""Directory of the layout that all pages share, of their style and of their script."""


@cache
def page_templates(directory: Path) -> Environment:
    """The templates in a directory, and the layout. A name that a template uses and does not get is an error."""
    # Records may hold any text. Autoescape makes it harmless in HTML, and ``visible`` makes control characters visible.
    templates = Environment(
        loader=FileSystemLoader([directory, LAYOUT]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else visible(str(value), keep="\n\t"),
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = ((LAYOUT / f"page.{suffix}").read_text(encoding="utf-8") for suffix in ("css", "js"))
    # The page's policy allows the script with this digest. A script that a text smuggled in has another one.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    shared: dict[str, Any] = {"style": Markup(style), "script": Markup(script), "script_digest": digest}
    cast("dict[str, Any]", templates.globals).update(shared)
    return templates

"""A hook of the documentation site: files outside docs/ that a page links to become part of the site.

The pages link to them by relative paths (``../paper_figures/...``), which work in any checkout. mkdocs knows only what
is in docs/, so the hook adds these files under ``repository/`` and points the links there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(\.\./([^)#\s]+)")
LOCAL_LINK = re.compile(r"!?\[([^\]]*)\]\((?!https?:)[^)]*\)")


def on_files(files: Files, config: Any) -> Files:
    """Add every file outside docs/ that a page links to."""
    pages = [Path(page.abs_src_path).read_text(encoding="utf-8") for page in files.documentation_pages()]
    for path in sorted({path for page in pages for path in LINK.findall(page)}):
        files.append(File.generated(config, f"repository/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point a page's links at the added files; of the added files' own links only the text stays."""
    if page.file.src_uri.startswith("repository/"):
        return LOCAL_LINK.sub(r"\1", markdown)
    return LINK.sub(r"](repository/\1", markdown)

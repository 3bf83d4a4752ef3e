from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from slr.terminal.literal_text import in_csv, in_markdown, markdown_line, visible

PARAGRAPHS = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def test_ordinary_texts_of_any_script_stay_as_they_are() -> None:
    texts = (
        "layers 1:2 of 3",
        "naïve “quotes” – 100%",
        "漢字 देवनागरी عربي ไทย",
        "می\u200cخواهم",
        "👩\u200d💻",
        "",
    )
    for text in texts:
        assert visible(text) == text
        assert in_csv(text) == text
        assert in_markdown(text) == text
        assert markdown_line(text) == text
    for text in ("x_1", "p < 0.05 & more", "0.5 [0.25, 0.75] (n=3)", "[start, end)", "exact_match,none"):
        assert in_markdown(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b2J\x85", "\\x9b2J\\x85"),
        ("over\rwritten\b\x7f", "over\\rwritten\\x08\\x7f"),
        ("a\nb\tc\x00", "a\\nb\\tc\\x00"),
        ("\u202eevil\u2066\u2069\u200e\u061c", "\\u202eevil\\u2066\\u2069\\u200e\\u061c"),
        ("\u2028\u2029\ufeff\u200b", "\\u2028\\u2029\\ufeff\\u200b"),
        ("\U000e0041", "\\U000e0041"),
        ("path\udcff", "path\\udcff"),
    ],
)
def test_controls_are_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(text).encode()


def test_controls_that_are_kept() -> None:
    assert visible("a\nb\tc\r", keep="\n\t") == "a\nb\tc\\r"


@pytest.mark.parametrize(
    "text",
    [
        "# head", "#", "- item", "+ item", "* item", "1. one", "23) two", "> quoted", "=== x", "---", "***", "___",
        "```",
        "~~~", "| a | b |", "[r]: http://e.example", "[^1]: note", "<div>", "<!-- c", "</p>", "<?x ?>", "<![CDATA[x]]>",
        "![p](x.png)", "[l](javascript:x)", "[l][r]", "<http://e.example>", "<a@e.example>", "`c` ``d``", "**b** __b__",
        "_i_ a_b _c", "*i*", "~~s~~", "a  \nb", "a\\\nb", "\\", "\\*", "\\[l](x)", "]\\(x)",
        "&lt;b&gt; &#60; &#x3c; &amp",
        "$x$ $$y$$", "    code", "\tcode", "a\n# b\n\n- c\n===\n",
    ],
)  # fmt: skip
def test_markdown_is_one_paragraph_with_the_text(text: str) -> None:
    tokens = PARAGRAPHS.parse(f"{markdown_line(text)}\n\n[r]: http://e.example\n")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {child.type for child in children} == {"text"}
    assert "".join(child.content for child in children) == text.strip()


def test_addresses_are_broken_for_renderers_that_make_links_of_them() -> None:
    for text in ("https://e.example", "HTTP://e", "www.e.example", "a@e.example"):
        markdown = in_markdown(text)
        assert "://" not in markdown
        assert "www.e" not in markdown
        assert "a@e." not in markdown
        assert PARAGRAPHS.renderInline(markdown) == text


@pytest.mark.parametrize(
    "text", ["=1", "+cmd|' /C calc'!A0", "-x", "@SUM(1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "-"]
)
def test_a_formula_is_quoted(text: str) -> None:
    assert in_csv(text).startswith("'")


@pytest.mark.parametrize("text", ["-1", "+0.5", "-1e-05", "-12,345", "a=1", "1-2", "x@y", ".5"])
def test_a_number_or_a_sign_within_is_no_formula(text: str) -> None:
    assert in_csv(text) == text

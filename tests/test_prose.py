"""The prose check finds what it forbids, leaves other prose alone, and passes on what is finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_prose import (
    FINISHED,
    MIN_COMMENT_SHARE,
    ROOT,
    count_comments,
    findings_in,
    is_finished,
    main,
)

FORBIDDEN = [
    "It is known beforehand, for to pick it would take time.",
    "The models are freed, for two pairs would not fit.",
    "One call has one number; for it has one setting.",
    "It is imported late, for that takes seconds.",
    "They come from the base model, for restoring must stay fast.",
    "It is known beforehand, for\nto pick it would take time.",
    "Stop after so many steps.",
    "The server is told where answers end.",
    "The time is that of sorting.",
    "Leave out those that overflow.",
    "The Rhine beside other rivers.",
]
ALLOWED = [
    "It is known beforehand, because picking it would take time.",
    "Open questions are asked directly, for a list, and for answers with probabilities.",
    "The widest range, for example, is 12:20.",
    "It fails, for example because the disk is full.",
    "One decision, for sampling, for lm-eval, and for a server.",
    "The chat template ends answers at it, for which the model has no embedding.",
    "So that of eight problems none is solved.",
    "It knows so much that nothing is asked.",
    "The tests, for every n simulated.",
]


def rules_broken(text: str, path: str = "module.py") -> list[str]:
    return [finding.rule for finding in findings_in(path, text)]


@pytest.mark.parametrize("sentence", FORBIDDEN)
def test_forbidden_words_are_found_in_docstrings_comments_messages_and_documents(sentence: str) -> None:
    comment = "\n".join(f"# {line}" for line in sentence.split("\n"))
    message = sentence.replace("\n", " ")
    assert len(rules_broken(f'"""{sentence}"""')) == 1
    assert len(rules_broken(f'def f():\n    """Summarise.\n\n    {sentence}\n    """')) == 1
    assert len(rules_broken(comment)) == 1
    assert len(rules_broken(f"def f(x):\n    raise ValueError(f'{{x}} {message}')")) == 1
    assert len(rules_broken(sentence, "page.md")) == 1


@pytest.mark.parametrize("sentence", ALLOWED)
def test_the_same_words_in_another_sense_are_left_alone(sentence: str) -> None:
    assert rules_broken(f'"""{sentence}"""') == []


@pytest.mark.parametrize("text", ["Of the longest prompt.", "At most, in bytes.", "In seconds.", "So it is."])
def test_an_attribute_docstring_begins_with_the_quantity(text: str) -> None:
    assert len(rules_broken(f'LIMIT = 1\n"""{text}"""')) == 1
    assert rules_broken(f'def f():\n    """{text}"""') == []
    assert rules_broken('LIMIT = 1\n"""Number of bytes of the longest prompt."""') == []


def test_a_finding_has_the_line_of_the_words() -> None:
    text = 'def f():\n    """Summarise.\n\n    One line.\n    Leave out those that overflow.\n    """\n'
    assert [finding.line for finding in findings_in("module.py", text)] == [5]
    assert [finding.line for finding in findings_in("page.md", "# Title\n\nOne.\nIt is that of two.\n")] == [
        4
    ]


def test_data_and_code_are_no_prose() -> None:
    assert rules_broken('PROMPT = "Name one of those that fly, so many as you can."') == []
    assert rules_broken("```\nbeside = 1  # so many\n```\nSee `so many` for it.", "page.md") == []


def test_a_mark_allows_a_passage() -> None:
    assert rules_broken("# Not so many.  # prose: ok") == []
    assert rules_broken('def f():\n    """Summarise.\n\n    Not so many.\n    """  # prose: ok') == []
    assert rules_broken("Not so many. <!-- prose: ok -->", "page.md") == []


def test_public_functions_of_three_parameters_need_args() -> None:
    source = 'def f(a, b, *, c):\n    """Add three numbers."""\n'
    assert rules_broken(source) == ["3 parameters and no Args section"]
    assert rules_broken(source.replace("f(", "_f(")) == []
    assert rules_broken(source.replace("numbers.", "numbers.\n\n    Args:\n        a: one.\n    ")) == []


def test_options_of_a_command_line_need_no_args_because_their_help_describes_them() -> None:
    source = """from slr.cli.options import Device
Count = Annotated[int, typer.Option(help="one")]

def add(a: Device, b: Count, c: Annotated[int, typer.Option(help="one")]) -> int:
    return 0
"""
    assert rules_broken(source) == []
    assert rules_broken(source.replace("c:", "d: int, e: int, f: int, c:")) == [
        "3 parameters and no Args section"
    ]
    assert rules_broken('class C:\n    def f(self, a, b):\n        """Add two."""\n') == []


def test_comment_lines_are_counted_over_code_lines() -> None:
    source = (
        '"""A docstring\nof two lines."""\n\n# why\n# and more\nx = [\n    1,  # behind\n]\ny = 1  # noqa: E1'
    )
    counted = count_comments(source)
    assert (counted.comments, counted.code) == (2, 4)
    assert counted.share == 0.5


def test_what_is_finished_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0, capsys.readouterr().out


def test_every_finished_path_exists() -> None:
    assert [name for name in FINISHED if not (ROOT / name).exists()] == []
    assert is_finished("slr/metrics/lexical.py")
    assert not is_finished("slr/metrics_of_another_kind.py")


def test_a_path_given_is_checked_whether_finished_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tools.check_prose.ROOT", tmp_path)
    file = tmp_path / "new.py"
    file.write_text("# Not so many.\nx = 1\n")
    assert main([str(file)]) == 1
    assert "new.py:1" in capsys.readouterr().out
    file.write_text("\n".join(f"x{number} = 1" for number in range(round(2 / MIN_COMMENT_SHARE))))
    assert main([str(file)]) == 1
    assert "expected comments" in capsys.readouterr().out

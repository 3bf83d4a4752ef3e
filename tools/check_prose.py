"""Check that prose is plain English: README, docs, docstrings, comments and messages.

``python tools/check_prose.py`` checks the whole project. It fails on what it finds under ``FINISHED`` and only counts
what it finds elsewhere. ``python tools/check_prose.py PATH ...`` checks some files or directories and fails on any.

A passage that a rule misjudges is allowed by ``# prose: ok`` on one of its lines, for a docstring behind the closing
quotes (``<!-- prose: ok -->`` in Markdown).
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CHECKED = ("README.md", "docs", "slr", "experiments", "analysis")

FINISHED: tuple[str, ...] = (
    "README.md",
    "docs",
    "analysis",
    "experiments",
    "slr/__init__.py",
    "slr/analysis",
    "slr/building",
    "slr/chat",
    "slr/cli",
    "slr/costs",
    "slr/crc",
    "slr/downstream",
    "slr/experiments",
    "slr/figure_style.py",
    "slr/files",
    "slr/harness",
    "slr/hybrid.py",
    "slr/intervals.py",
    "slr/judging",
    "slr/laptop",
    "slr/mechanism",
    "slr/metrics",
    "slr/models",
    "slr/pages",
    "slr/prediction",
    "slr/runs",
    "slr/sampling",
    "slr/seeding.py",
    "slr/statistics",
    "slr/tasks",
    "slr/terminal",
    "slr/testbed",
)
"""Files and directories whose prose has been rewritten: a finding in them fails the check."""

MIN_COMMENT_SHARE = 0.02
"""Smallest allowed number of comment lines for each line of code."""

MIN_PARAMETERS_WITH_ARGS = 3
"""Number of parameters, without ``self`` and ``cls``, from which on a public function needs an ``Args`` section.

Options of a command line do not count, because their own help describes them.
"""

OPTIONS_MODULE = "slr.cli.options"
"""Module whose names are all annotations of options."""

_PRONOUN = r"(?:it|they|he|she|we|you|there|to|not|nothing|none|neither)"
_VERB = (
    r"(?:is|are|was|were|has|have|had|does|do|did|can|cannot|could|will|would|may|might|must|should|needs?|takes?|"
    r"gives?|holds?|makes?|sorts?|goes|gets?|comes?|says?|costs?|counts?|finds?|falls?|stands?|stays?|means?|"
    r"[a-z]+n't)"
)
_SUBJECT_AND_VERB = rf"(?:(?! (?:that|which|who|whose|where|when|if) )[^.,;:]){{1,60}}? {_VERB}\b"

RULES = {
    '"for" in the sense of "because"': re.compile(
        rf"[,;:)] for (?!which|whom|whose|example|instance)(?:{_PRONOUN} (?=\w)|that {_VERB}\b|{_SUBJECT_AND_VERB})"
    ),
    '"so many" or "so much"': re.compile(r"\bso (?:many|few|far as)\b|\bso much (?!(?:that|more|less)\b)"),
    '"is told"': re.compile(
        r"\b(?:(?:is|are|was|were|be|been|being|gets?) (?:\w+ )?told|told (?:in|by|of|apart))\b"
    ),
    '"that of" or "those that"': re.compile(r"(?<!so )\bthat of\b|\bthose (?:that|of|in|which)\b"),
    '"beside", where "besides" or "next to" is plain': re.compile(r"\bbeside\b"),
}
"""The pattern that each rule forbids, in lower case and with single spaces."""

_FRAGMENT = re.compile(
    r"(?:Of|So|At most|At least|In|As|By|From|For|To|That|With|On|Until|Up to|Than|Because|Between|Besides?|Among)\b"
)
# Comments to tools are no prose.
_DIRECTIVE = re.compile(r"#\s*(?:noqa|type:|pyright:|fmt:|ruff:|prose: ok|!)")
_ALLOWED = "prose: ok"


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A stretch of prose: its first and last line in the file, and its text with the line breaks of the file."""

    line: int
    last_line: int
    text: str
    is_attribute: bool = False


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A breach of a rule, at a line of a file."""

    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        """Write the place, the rule and the words."""
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


@dataclass(frozen=True, kw_only=True)
class CommentCount:
    """Number of lines that are only a comment, and of lines with code on them."""

    comments: int = 0
    code: int = 0

    def __add__(self, other: CommentCount) -> CommentCount:
        """Add the counts of two files."""
        return CommentCount(comments=self.comments + other.comments, code=self.code + other.code)

    @property
    def share(self) -> float:
        """Comment lines for each line of code; 0 if there is no code."""
        return self.comments / self.code if self.code else 0.0


def findings_in(path: str, text: str) -> list[Finding]:
    """Find breaches of the rules in the text of a Markdown or Python file.

    Args:
        path: the file, relative to the project, with its suffix.
        text: the whole file.

    Returns:
        The findings in the order of their lines.
    """
    is_python = path.endswith(".py")
    passages = python_passages(text) if is_python else markdown_passages(text)
    allowed = {number for number, line in enumerate(text.splitlines(), start=1) if _ALLOWED in line}
    found = [
        finding
        for passage in passages
        if allowed.isdisjoint(range(passage.line, passage.last_line + 1))
        for finding in _breaches(path, passage)
    ]
    if is_python:
        found += _missing_args(path, ast.parse(text))
    return sorted(found, key=lambda finding: finding.line)


def python_passages(source: str) -> Iterator[Passage]:
    """The comments, docstrings and messages of a Python file.

    A message is a string of several words in a function, or in a call anywhere. Other strings at the top of a module
    are data, such as the prompts that models are asked.
    """
    yield from _comments(source)
    yield from _strings(ast.parse(source), in_call=False)


def markdown_passages(source: str) -> Iterator[Passage]:
    """The paragraphs of a Markdown file, with the code in them blanked out."""
    without_code = re.sub(r"(?ms)^```.*?^```|`[^`\n]*`", _blanked, source)
    for match in re.finditer(r"(?:[^\n]*\S[^\n]*\n?)+", without_code):
        line = without_code.count("\n", 0, match.start()) + 1
        yield Passage(line=line, last_line=line + match[0].strip().count("\n"), text=match[0])


def count_comments(source: str) -> CommentCount:
    """Count the comment lines and the code lines of a Python file; docstrings and directives are neither."""
    code: set[int] = set()
    comments = 0
    at_line_start = True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            is_alone = token.line.lstrip().startswith("#")
            comments += is_alone and not _DIRECTIVE.match(token.string)
        elif token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            at_line_start = True
        elif token.type not in (tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER):
            is_docstring = at_line_start and token.type == tokenize.STRING
            at_line_start = False
            if not is_docstring:
                code.update(range(token.start[0], token.end[0] + 1))
    return CommentCount(comments=comments, code=len(code))


def main(arguments: Sequence[str]) -> int:
    """Check the project, or the paths given; print what is found and return the exit status."""
    paths = [Path(argument).resolve() for argument in arguments] or [ROOT / name for name in CHECKED]
    failed = 0
    elsewhere = 0
    comments = CommentCount()
    finished_comments = CommentCount()
    for file in _files(paths):
        path, text = file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")
        is_binding = bool(arguments) or is_finished(path)
        for finding in findings_in(path, text):
            failed += is_binding
            elsewhere += not is_binding
            if is_binding:
                print(finding)
        if file.suffix == ".py":
            comments += count_comments(text)
            finished_comments += count_comments(text) if is_binding else CommentCount()
    print(
        f"comments: {comments.share:.1%} of the code lines, {finished_comments.share:.1%} where it is checked"
    )
    if elsewhere:
        print(f"{elsewhere} findings in files that are not in FINISHED; give a path to see them")
    if finished_comments.code and finished_comments.share < MIN_COMMENT_SHARE:
        print(
            f"expected comments on at least {MIN_COMMENT_SHARE:.0%}: say why the dense places are as they are"
        )
        failed += 1
    return min(failed, 1)


def is_finished(path: str) -> bool:
    """Whether the prose of a file, given relative to the project, is checked bindingly."""
    return any(path == name or path.startswith(f"{name}/") for name in FINISHED)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for suffix in ("*.py", "*.md") for file in path.rglob(suffix))
        elif path.is_file():
            yield path
        else:
            raise SystemExit(f"{path} does not exist: expected a file or a directory of the project")


def _breaches(path: str, passage: Passage) -> Iterator[Finding]:
    lines = re.sub(r"[ \t]*\n[ \t#>]*", "\n", passage.text)
    # A space for each line break lets patterns match across lines, but not across paragraphs.
    words = lines.replace("\n", " ").lower()
    for rule, pattern in RULES.items():
        for match in pattern.finditer(words):
            line = passage.line + lines.count("\n", 0, match.start())
            around = lines[max(0, match.start() - 25) : match.end() + 25].replace("\n", " ")
            yield Finding(path=path, line=line, rule=rule, text=f"...{around}...")
    if passage.is_attribute and (fragment := _FRAGMENT.match(lines)):
        rule = f'attribute docstring begins with "{fragment[0]}", expected the quantity and its unit'
        yield Finding(path=path, line=passage.line, rule=rule, text=lines[:60])


def _comments(source: str) -> Iterator[Passage]:
    """The comments; lines of comment under one another are one passage."""
    lines: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or _DIRECTIVE.match(token.string):
            continue
        if lines and token.start[0] == last + 1 and token.line.lstrip().startswith("#"):
            lines.append(token.string)
        else:
            if lines:
                yield Passage(line=first, last_line=last, text="\n".join(lines))
            lines, first = [token.string], token.start[0]
        last = token.start[0]
    if lines:
        yield Passage(line=first, last_line=last, text="\n".join(lines))


def _strings(node: ast.AST, in_call: bool) -> Iterator[Passage]:
    """The docstrings and messages under a node of the syntax tree; attribute docstrings are marked."""
    body = getattr(node, "body", None)
    statements: list[ast.stmt] = body if isinstance(body, list) else []
    docstrings = {
        id(statement.value): isinstance(before, ast.Assign | ast.AnnAssign)
        for before, statement in zip([None, *statements], statements, strict=False)
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    }
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and id(child.value) in docstrings:
            text = ast.literal_eval(child.value)
            if isinstance(text, str):
                yield Passage(
                    line=child.lineno,
                    last_line=child.end_lineno or child.lineno,
                    text=text,
                    is_attribute=docstrings[id(child.value)],
                )
        elif isinstance(child, ast.Constant | ast.JoinedStr):
            text = _literal_text(child)
            if in_call and text.count(" ") >= 2:
                yield Passage(line=child.lineno, last_line=child.end_lineno or child.lineno, text=text)
        else:
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Call)
            yield from _strings(child, in_call or is_function)


def _literal_text(node: ast.Constant | ast.JoinedStr) -> str:
    """The text of a string, with an X for each value that is put into it."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(_literal_text(part) if isinstance(part, ast.Constant) else "X" for part in node.values)


def _missing_args(path: str, module: ast.Module) -> Iterator[Finding]:
    """Public functions of several parameters whose docstring does not say what these are."""
    options = set(_option_annotations(module))
    for owner in (module, *(node for node in module.body if isinstance(node, ast.ClassDef))):
        if isinstance(owner, ast.ClassDef) and owner.name.startswith("_"):
            continue
        for function in owner.body:
            if not isinstance(function, ast.FunctionDef) or function.name.startswith("_"):
                continue
            arguments = function.args
            parameters = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
            count = len(
                [a for a in parameters if a.arg not in ("self", "cls") and not _is_option(a, options)]
            )
            if count >= MIN_PARAMETERS_WITH_ARGS and "Args:" not in (ast.get_docstring(function) or ""):
                rule = f"{count} parameters and no Args section"
                yield Finding(path=path, line=function.lineno, rule=rule, text=function.name)


def _option_annotations(module: ast.Module) -> Iterator[str]:
    """Names in a module that annotate options of a command line."""
    for statement in module.body:
        if isinstance(statement, ast.Assign) and "typer." in ast.unparse(statement.value):
            yield from map(ast.unparse, statement.targets)
        elif isinstance(statement, ast.ImportFrom) and statement.module == OPTIONS_MODULE:
            yield from (alias.name for alias in statement.names)


def _is_option(parameter: ast.arg, options: Collection[str]) -> bool:
    """Whether a parameter is an option of a command line; ``options`` are the names of their annotations."""
    annotation = ast.unparse(parameter.annotation) if parameter.annotation else ""
    return "typer." in annotation or annotation in options


def _blanked(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", "x", match[0])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Records whose every text tries to act: nothing that is made of them does more than show it."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import matplotlib.pyplot as plt
import pytest
from markdown_it import MarkdownIt

from slr import cli
from slr.analysis import make_all
from slr.analysis.figures import FIGURES
from slr.analysis.load_results import Results
from slr.analysis.page.index import page_path, table_html, write_page
from slr.analysis.page.section import ShownFigure, ShownTable, write_section
from slr.analysis.tables import TABLES
from slr.analysis.tables.table import Table
from slr.cli.crc_output import print_report
from slr.crc.report import crc_report
from slr.crc.search_page import write_search_page
from slr.crc.study import CrcStudyConfig, crc_experiment
from slr.figure_style import in_figure, save_figure, use_style
from slr.runs.records import RECORD_ADAPTER, AnyRecord, CanonicalAnswers, Configuration, Samples
from slr.runs.run_content import named_for_wandb
from slr.terminal.command_line import run_function
from slr.terminal.literal_text import visible
from tests.analysis.downstream_records import all_records, judge_scores
from tests.analysis.synthetic import PROVENANCE, write_results
from tests.analysis.test_load_results import failure

ROOT = Path(__file__).parents[2]
PAIR = "testbed-llama"
HOSTILE = (
    "=HYPERLINK(1)<script>alert(1)</script><img src=x onerror=alert(2)>\"'><a href=http://e.example>x</a><!-- c --> "
    "![p](http://e.example/p.png) [l](javascript:alert(3)) [r]: http://e.example [^1] `code` **b** _i_ ~~s~~ a|b "
    "$x_1$ $ \\input{/etc/passwd} \\write18{id} ^^5cinput{y} %c & &lt;b&gt; &#60; #h {x} https://e.example "
    "www.e.example a@e.example\n# head\n\n---\n```\n<div>\r\x1b[2J\x1b]0;t\x07\x9b31m\u202e\u2066\u2028\x00 "
    "\U0001f600 é <!-- end of run --> $substituted ${substituted}"
)
CHOSEN_BY = {
    "kind", "experiment", "family", "group", "model", "method", "references", "metric", "samples", "prompt_set",
    "prompt_ids", "prompt_id", "cell", "engine", "task", "source", "prompting", "created_at", "expected",
    "fluency_given", "pair",
}  # fmt: skip
"""Fields by which records are told apart and found; a hostile pair's name is put everywhere at once."""
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def planted(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: planted(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [planted(part, key) for part in value]
    if not isinstance(value, str):
        return value
    return value.replace(PAIR, PAIR + HOSTILE) if key in CHOSEN_BY else value + HOSTILE


def hostile(record: AnyRecord) -> AnyRecord:
    fields = planted(json.loads(record.model_dump_json()))
    return RECORD_ADAPTER.validate_json(json.dumps(fields))


def ordinary_records() -> list[AnyRecord]:
    records = all_records((PAIR,))
    samples = [r for r in records if isinstance(r, Samples)]
    writing = [r for r in samples if r.experiment == "creative_writing"]
    for name in ("judge", "second_judge"):
        records += judge_scores(cast(Any, SimpleNamespace(name=name)), writing)
    records += [
        CanonicalAnswers(
            experiment="canonicaliser",
            pair=PAIR,
            provenance=PROVENANCE,
            method=r.method,
            samples=r.key,
            model="a model",
            host="a host",
            prompt_version="1",
            meant=("a name",) * len(r.texts),
            num_asked=2,
            num_unusable=1,
        )
        for r in samples
        if r.experiment == "open_qa"
    ]
    records.append(
        Configuration(
            experiment="crc_search",
            pair=PAIR,
            provenance=PROVENANCE.model_copy(update={"versions": {"torch": "2"}}),
            settings={"a setting": "a value", "number": -1, "names": ["one", "two"]},
            dtype="float32",
            base="b",
            base_weights=None,
            instruct="i",
            instruct_weights=None,
            inputs={"an input": "text"},
        )
    )
    return [*records, failure("testbed-qwen", "a message")]


@pytest.fixture(scope="module")
def ordinary() -> list[AnyRecord]:
    return ordinary_records()


@pytest.fixture(scope="module")
def results(ordinary: list[AnyRecord]) -> Results:
    return Results(tuple(map(hostile, ordinary)), f"run{HOSTILE}")


@pytest.fixture(scope="module")
def tables(results: Results) -> list[Table]:
    made = [make_all.make_table(exhibit, results) for exhibit in TABLES]
    assert sum("alert(1)" in table.csv() for table in made) > 20
    return [*made, Table(f"- {HOSTILE}", (HOSTILE, "n"), ((HOSTILE, 1), ("[x]", 2), ("*", -3)))]


class Shown(HTMLParser):
    """Elements with their attributes, comments, and the text of each cell and paragraph."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.comments: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag in ("p", "td", "th"):
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1] += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_decl(self, decl: str) -> None:
        assert decl == "DOCTYPE html"

    @property
    def outline(self) -> list[tuple[str, list[str]]]:
        return [(tag, list(attributes)) for tag, attributes in self.elements]


def page_of(results: Results, words: str, directory: Path) -> str:
    (directory / "figures").mkdir(parents=True)
    for exhibit in FIGURES:
        (directory / "figures" / f"{exhibit.id}.png").write_bytes(b"a picture")
    figures = [ShownFigure(id=exhibit.id, caption=words, gap=words) for exhibit in FIGURES]
    tables = [
        ShownTable.from_table(exhibit.id, make_all.make_table(exhibit, results), words)
        for exhibit in TABLES
        if exhibit.id != "training_seeds"  # has rows for the shipped pairs' own names alone
    ]
    write_section(results, figures, tables, directory)
    write_page(page_path(directory), directory)
    return page_path(directory).read_text(encoding="utf-8")


def test_the_page_of_hostile_records_has_the_elements_of_any_other(
    ordinary: list[AnyRecord], results: Results, tmp_path: Path
) -> None:
    plain = page_of(Results(tuple(ordinary), "run"), "words", tmp_path / "plain")
    page = page_of(results, HOSTILE, tmp_path / "hostile")
    shown = Shown(page)
    assert page.count("alert(1)") > 100
    assert not CONTROLS.search(page)
    assert sorted(shown.outline) == sorted(Shown(plain).outline)
    for _, attributes in shown.elements:
        assert not {name for name in attributes if name.startswith("on") or name in ("style", "srcdoc")}
        assert attributes.get("href", "#").startswith("#")
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
    assert shown.comments == []
    (policy,) = [a["content"] for _, a in shown.elements if "content-security" in str(a).lower()]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert (rules["default-src"], rules["img-src"]) == ("'none'", "data:")
    assert rules["style-src"] == "'unsafe-inline'"
    assert not {"iframe", "object", "link", "form"} & {tag for tag, _ in shown.elements}
    # The policy runs no script but the one with this digest, which is the page's own.
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert script == (ROOT / "slr" / "pages" / "page.js").read_text(encoding="utf-8")


def test_the_page_of_a_hostile_search_has_the_elements_of_any_other(
    ordinary: list[AnyRecord], tmp_path: Path
) -> None:
    outlines = []
    for name, records, pair in (
        ("plain", ordinary, PAIR),
        ("hostile", [*map(hostile, ordinary)], PAIR + HOSTILE),
    ):
        own = [r for r in records if r.pair == pair and r.experiment.startswith("crc_search")]
        path = tmp_path / f"{name}.html"
        words = HOSTILE if name == "hostile" else "words"
        write_search_page(path, replace(crc_report(own, pair), interval_reason=words), own, words)
        page = path.read_text(encoding="utf-8")
        assert not CONTROLS.search(page)
        outlines.append(sorted(Shown(page).outline))
        assert (page.count("alert(1)") > 10) == (name == "hostile")
    assert outlines[0] == outlines[1]


def test_html_of_hostile_cells_has_their_texts(tables: list[Table]) -> None:
    table = tables[-1]
    shown = Shown(table_html(ShownTable.from_table("t", table, "")))
    assert shown.texts[2] == visible(HOSTILE, keep="\n\t")
    assert [tag for tag, _ in shown.elements][:4] == ["div", "table", "thead", "tr"]


def one_space(text: str) -> str:
    return " ".join(text.split())


def test_markdown_shows_hostile_texts_literally(tables: list[Table]) -> None:
    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for table in tables:
        markdown = table.markdown()
        assert not CONTROLS.search(markdown)
        shown = Shown(renderer.render(markdown))
        tags = {tag for tag, _ in shown.elements}
        assert tags <= {"p", "table", "thead", "tbody", "tr", "th", "td"}, table.caption
        assert [tag for tag, _ in shown.elements][:2] == ["p", "table"]
        cells = [*table.columns, *(cell for row in table.shown_rows() for cell in row)]
        expected = [table.caption, *cells, *([table.note] if table.note else [])]
        assert [*map(one_space, shown.texts)] == [one_space(visible(text, keep="\n\t")) for text in expected]


OUR_COMMANDS = {
    "begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule", "smallskip", "footnotesize",
    "resizebox", "linewidth", "multicolumn", "endfirsthead", "endhead", "scriptsize", "setlength", "tabcolsep",
    "textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar",
}  # fmt: skip


def test_latex_has_no_command_but_ours(tables: list[Table]) -> None:
    for table in tables:
        latex = table.latex("t")
        assert not CONTROLS.search(latex)
        assert max(latex) <= "\uffff"
        commands = re.findall(r"\\([A-Za-z]+|.)", latex, re.DOTALL)
        assert {command for command in commands if command.isalpha()} <= OUR_COMMANDS
        assert {command for command in commands if not command.isalpha()} <= set("\\&%$#_{}")
        without = re.sub(r"\\([A-Za-z]+|.)", "", latex, flags=re.DOTALL)
        assert "^" not in without
        assert "~" not in without
        assert "#" not in without
        assert without.replace("$-$", "").replace("$<$", "").count("$") == 0
        assert without.count("{") == without.count("}")
        comments = [line for line in without.splitlines() if "%" in line]
        assert all(line.startswith("% packages:") or line.endswith("{!}{%") for line in comments)
        # After a rule or a row's end, a bracket or a star would be its argument.
        assert not re.search(r"(\\\\|\\(top|mid|bottom)rule)\s*[\[*]", latex)


def test_csv_has_no_formula_and_its_numbers_are_numbers(tables: list[Table]) -> None:
    for table in tables:
        assert not CONTROLS.search(table.csv())
        for cell in (cell for row in csv.reader(io.StringIO(table.csv())) for cell in row):
            if cell[:1] in tuple("=+-@\t\r"):
                assert not cell or float(cell) <= 0 or cell[0] == "+"
    last = list(csv.reader(io.StringIO(tables[-1].csv())))
    assert last[1] == ["'" + visible(HOSTILE, keep="\n\t"), "1"]
    assert last[3] == ["*", "-3"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_read_with_another_separator_has_no_formula_either(separator: str) -> None:
    """A spreadsheet's language decides which one it takes."""
    texts = ("x;=1+1", "y\t@SUM(1)", 'z";=2+2;"', "w,-cmd", "v\n=3", " =4", "＝5")
    table = Table("", ("name", "n"), tuple((text, -1.5) for text in texts))
    for row in csv.reader(io.StringIO(table.csv()), delimiter=separator):
        for cell in row:
            assert cell.lstrip()[:1] not in tuple("=+@＝"), cell
    assert [float(row[-1]) for row in csv.reader(io.StringIO(table.csv())) if row[-1] != "n"] == [-1.5] * 7


def test_figures_show_hostile_texts_without_formulas_or_warnings(results: Results, tmp_path: Path) -> None:
    use_style()
    drawn = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for exhibit in FIGURES:
            if exhibit.need.found(results):
                figure = make_all._figure(exhibit, results)
                titles = "".join(axes.get_title() for axes in figure.axes)
                assert not CONTROLS.search(titles)
                paths = save_figure(figure, tmp_path, exhibit.id)
                width, height = plt.imread(paths[1]).shape[1::-1]
                assert max(width, height) < 20_000
                drawn += 1
    assert drawn > 8


def test_text_of_a_figure_is_short_and_in_one_line() -> None:
    assert in_figure("testbed-llama") == "testbed-llama"
    assert in_figure("a\n  b\x1b") == "a b\\x1b"
    assert len(in_figure("x" * 100_000)) == 60


def test_gaps_and_errors_are_told_without_controls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path / "testbed", (PAIR,))
    arguments = ["--results-dir", str(tmp_path), "--output-dir", str(tmp_path / "out")]
    monkeypatch.setattr(make_all, "make_all", lambda *_: {HOSTILE: ["a_table"]})
    monkeypatch.setattr(make_all, "write_page", lambda *_: None)  # nothing was drawn that it could show
    assert cli.main(["figures", *arguments]) == 0
    said = capsys.readouterr().err

    def fail(*_: object) -> Iterator[Path]:
        raise ValueError(HOSTILE)

    monkeypatch.setattr(make_all, "find_runs", fail)
    assert cli.main(["figures", *arguments]) == 2
    said += capsys.readouterr().err
    assert not CONTROLS.search(said)
    assert said.count("\\x1b[2J") == 2
    assert len([line for line in said.splitlines() if "script" in line]) == 2


def test_a_search_is_told_without_controls_or_markup(
    ordinary: list[AnyRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    pair = PAIR + "[blink]\x1b[2J[/nothing] :smile:\u202e"
    records = [r.model_copy(update={"pair": pair}) for r in ordinary if r.experiment == "crc_search"]
    report = crc_report(records, pair, CrcStudyConfig().rule)
    print_report(replace(report, interval_reason="[red]a\x1b[31m reason\r"), None, None)
    said = capsys.readouterr().out
    assert f"{PAIR}[blink]\\x1b[2J[/nothing] :smile:\\u202e: layers 1:2 of 3" in said
    assert "[red]a\\x1b[31m reason\\r" in said
    assert not CONTROLS.search(said)

    def fail() -> None:
        raise ValueError("[bold]\x1b[2Ja\nb")

    assert run_function(fail, [], "It fails.") == 2
    assert capsys.readouterr().err == "error: [bold]\\x1b[2Ja; b\n"


def test_mirrored_tables_hold_plain_texts(results: Results) -> None:
    """Neither HTML nor pictures are made of texts, and no text is a metric's name."""
    experiment = crc_experiment(CrcStudyConfig())
    assert experiment.mirror is not None
    records = [record for record in results.records if record.experiment == experiment.name]
    mirror = named_for_wandb(experiment.name, experiment.mirror(records, PAIR + HOSTILE))
    for name in (*mirror.summary, *mirror.tables, *mirror.curves):
        assert re.fullmatch(r"[a-z0-9_/]+", name)
    cells = [cell for _, rows in mirror.tables.values() for row in rows for cell in row]
    assert cells
    assert {type(cell) for cell in cells} <= {str, int, float, bool, type(None)}

"""Every kind of bad input ends with one line that says what was given, status 2, and nothing written."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from slr.cli import main
from slr.judging.judge import parse_scores
from slr.runs.record_lines import line_of, record_of
from slr.runs.records import RECORD_ADAPTER, CrcScore
from slr.runs.results_store import ResultsStore
from slr.terminal.bad_input import in_one_line
from tests.analysis.synthetic import PROVENANCE, crc_records, write_results

ROOT = Path(__file__).parents[1]
PAIR = "testbed-llama"
NAN, INFINITE = float("nan"), float("inf")


@pytest.fixture(autouse=True)
def no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SLR_JUDGE"):
            monkeypatch.delenv(name)


def files_below(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def the_line(capsys: pytest.CaptureFixture[str]) -> str:
    """All that was said, which is one line."""
    printed, said = capsys.readouterr()
    assert printed == ""
    assert said.startswith("error: ")
    assert said.count("\n") == 1, said
    assert "Traceback" not in said
    return said


# What the records of one kind are, beside those of a CRC study.
HEADER: dict[str, Any] = {
    "experiment": "creative_writing",
    "pair": PAIR,
    "provenance": PROVENANCE.model_dump(),
}
OTHERS: dict[str, dict[str, Any]] = {
    "configuration": {
        "settings": {"max_prompts": 4},
        "dtype": "float32",
        "base": "a/b",
        "base_weights": None,
        "instruct": "a/c",
        "instruct_weights": None,
    },
    "samples": {
        "family": "llama",
        "task": "creative_writing",
        "source": "testbed",
        "group": "poem",
        "prompt_id": "poem-1",
        "text": "Write.",
        "request": "Write.",
        "method": "instruct",
        "model": "instruct",
        "interval": None,
        "alpha": None,
        "prompting": "direct",
        "sampling": {"temperature": 1.0},
        "seed": 0,
        "expected": None,
        "texts": ["one", "two"],
        "num_tokens": [1, 1],
        "finished": [True, False],
    },
    "sample_measures": {
        "samples": "some/samples",
        "encoder": "e",
        "embedding_diversity": 0.4,
        "adherence": [0.5, None],
        "longer_than_window": [False, False],
    },
    "problem_set": {"tried": ["p1", "p2"], "wrong": ["p2"]},
    "judge_scores": {
        "family": "llama",
        "group": "poem",
        "prompt_id": "poem-1",
        "method": "instruct",
        "samples": "some/samples",
        "judge": "j",
        "host": "h",
        "rubric_version": "1",
        "indices": [0, 3],
        "scores": {"fluency": [5, None], "originality": [5, None], "adherence": [5, None]},
    },
    "canonical_answers": {
        "method": "instruct",
        "samples": "some/samples",
        "model": "m",
        "host": "h",
        "prompt_version": "1",
        "meant": ["one", None],
        "num_asked": 2,
        "num_unusable": 0,
    },
    "harness_score": {
        "family": "llama",
        "model": "base",
        "interval": None,
        "alpha": None,
        "task": "arc",
        "task_version": "1",
        "num_fewshot": 0,
        "chat_template": False,
        "metric": "acc",
        "value": 0.5,
        "standard_error": 0.1,
        "document_scores": [0.0, 1.0],
        "harness_version": "1",
    },
}
GOOD: dict[str, dict[str, Any]] = {
    kind: {**HEADER, "kind": kind, **fields} for kind, fields in OTHERS.items()
}
for record in reversed(crc_records(PAIR)):
    GOOD[record.kind] = json.loads(record.model_dump_json())
GOOD["hybrid"] = next(
    json.loads(r.model_dump_json())
    for r in crc_records(PAIR)
    if isinstance(r, CrcScore) and r.model == "hybrid"
)
GOOD["soup"] = next(
    json.loads(r.model_dump_json())
    for r in crc_records(PAIR)
    if isinstance(r, CrcScore) and r.model == "soup"
)
REMOVED = "(removed)"


def damaged(kind: str, place: str, value: Any) -> bytes:
    """A good record's line with one value changed; ``place`` is written with dots."""
    record = copy.deepcopy(GOOD[kind])
    inner: Any = record
    *path, last = [int(part) if part.isdecimal() else part for part in place.split(".")]
    for part in path:
        inner = inner[part]
    if value is REMOVED:
        del inner[last]
    else:
        inner[last] = value
    return json.dumps(record).encode()


BAD_VALUES: tuple[tuple[str, str, Any, str], ...] = (
    ("crc_score", "validity.0", 2.5, "less than or equal to 1"),
    ("crc_score", "validity.3", -3, "greater than or equal to -0.0001"),
    ("crc_score", "validity.1", 1.001, "less than or equal to 1"),
    ("crc_score", "validity.1", NAN, "finite number"),
    ("crc_score", "validity.1", INFINITE, "finite number"),
    ("crc_score", "validity.1", "0.5", "valid number"),
    ("crc_score", "validity.1", True, "valid number"),
    ("crc_score", "validity.1", [0.5], "valid number"),
    ("crc_score", "validity", {"a": 1}, "valid"),
    ("crc_score", "validity", [0.5, 0.5], "validity has 2"),
    ("crc_score", "validity", REMOVED, "Field required"),
    ("crc_score", "diversity", [0.5], "diversity has 1"),
    ("crc_score", "diversity.2", 1.00001, "less than or equal to 1"),
    ("crc_score", "diversity.2", -INFINITE, "finite number"),
    ("crc_score", "prompt_ids", [], "at least 1 item"),
    ("crc_score", "prompt_ids", ["a", "b", "b", "c"], "'b' twice"),
    ("crc_score", "num_layers", 0, "greater than or equal to 1"),
    ("crc_score", "num_layers", 3.5, "valid integer"),
    ("crc_score", "prompt_set", "training", "'selection' or 'held_out'"),
    ("crc_score", "model", "chimera", "'base', 'instruct', 'hybrid' or 'soup'"),
    ("crc_score", "surprise", 1, "surprise"),
    ("crc_score", "kind", "crc_scores", "crc_scores"),
    ("crc_score", "kind", REMOVED, "kind"),
    ("crc_score", "experiment", "", "at least 1 character"),
    ("crc_score", "interval", [0, 1], "a hybrid has an interval"),
    ("crc_score", "alpha", 0.5, "a soup has an alpha"),
    ("hybrid", "interval", None, "a hybrid has an interval"),
    ("hybrid", "interval", [2, 1], "2:1"),
    ("hybrid", "interval", [-1, 1], "-1:1"),
    ("hybrid", "interval", [0, 99], "does not fit 3 layers"),
    ("hybrid", "interval", [0], "Field required"),
    ("soup", "alpha", 1.5, "less than or equal to 1"),
    ("soup", "alpha", None, "a soup has an alpha"),
    ("crc_selection", "interval", [1, 9], "does not fit 3 layers"),
    ("crc_selection", "min_validity_ratio", 90, "less than or equal to 1"),
    ("crc_selection", "instruct_validity", 7, "less than or equal to 1"),
    ("crc_selection", "soup_alpha", -1, "greater than or equal to 0"),
    ("pair_info", "num_parameters", -5, "greater than or equal to 1"),
    ("pair_info", "family", "mistral", "family"),
    ("pair_info", "provenance", None, "provenance"),
    ("pair_info", "provenance.dirty", "perhaps", "valid boolean"),
    ("pair_info", "provenance.schema_version", 99, "schema version 99, which a later version of slr wrote"),
    ("pair_info", "provenance.schema_version", 2, "reads versions up to 1: update slr"),
    ("pair_info", "provenance.schema_version", 0, "greater than or equal to 1"),
    ("pair_info", "provenance.schema_version", "1", "valid integer"),
    ("search_cost", "seconds", -0.5, "greater than or equal to 0"),
    ("search_cost", "num_intervals", 0, "greater than or equal to 1"),
    ("search_cost", "peak_memory_bytes", -1, "greater than or equal to 0"),
    ("configuration", "settings", {"deep": {"rate": [1.0, NAN]}}, "expected finite numbers"),
    ("configuration", "engine", "abacus", "engine"),
    ("samples", "texts", ["one"], "texts has 1"),
    ("samples", "finished", [], "finished has 0"),
    ("samples", "num_tokens.0", -1, "greater than or equal to 0"),
    ("samples", "texts.0", None, "valid string"),
    ("samples", "sampling", {"temperature": NAN}, "finite number"),
    ("sample_measures", "adherence.0", 3.0, "less than or equal to 1"),
    ("sample_measures", "longer_than_window", [True], "longer_than_window has 1"),
    ("problem_set", "wrong", ["p9"], "'p9', which is not among those tried"),
    ("problem_set", "tried", ["p2", "p2"], "'p2' twice"),
    ("judge_scores", "scores.fluency.0", 11, "less than or equal to 10"),
    ("judge_scores", "scores.fluency.0", 0, "greater than or equal to 1"),
    ("judge_scores", "scores.fluency.0", 7.5, "valid integer"),
    ("judge_scores", "scores.adherence", [5], "adherence has 1"),
    ("judge_scores", "indices", [3, 3], "3 twice"),
    ("canonical_answers", "num_asked", 3, "num_asked 3, of 2 samples"),
    ("canonical_answers", "num_unusable", 3, "num_unusable is 3"),
    ("harness_score", "standard_error", -0.1, "greater than or equal to 0"),
    ("harness_score", "document_scores.0", NAN, "finite number"),
)
BAD_LINES: tuple[tuple[bytes, str], ...] = (
    (b"", "Invalid JSON"),
    (b"{", "Invalid JSON"),
    (b"null", "no record"),
    (b"[]", "no record"),
    (b"7", "no record"),
    (b"{}", "kind"),
    (b"\xff\xfe\x00", "Invalid JSON"),
    (
        line_of(crc_records(PAIR)[0]).encode().replace(b"some/instruct", b"some/caf\xe9").strip(),
        "Invalid JSON",
    ),
    (b"\x00" * 50, "Invalid JSON"),
    (b"[" * 100_000, "no record"),
    (b'{"kind":"' + b"k" * 3_000_000 + b'"}', "no record"),
    (line_of(crc_records(PAIR)[0]).encode()[:200], "Invalid JSON"),
)


def records_with(directory: Path, line: bytes) -> Path:
    """A directory with records whose second line is that one."""
    directory.mkdir()
    first, *_ = crc_records("testbed-qwen")
    (directory / "crc_search.jsonl").write_bytes(line_of(first).encode() + line + b"\n")
    return directory


@pytest.mark.parametrize(
    ("line", "words"),
    [
        *(pytest.param(damaged(*change[:3]), change[3], id=str(change[:3])) for change in BAD_VALUES),
        *(pytest.param(line, words, id=repr(line[:12])) for line, words in BAD_LINES),
    ],
)
def test_a_damaged_record(
    line: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, output = records_with(tmp_path / "testbed", line), tmp_path / "figures"
    assert main(["figures", "--results-dir", str(results), "--output-dir", str(output)]) == 2
    said = the_line(capsys)
    assert f"{results / 'crc_search.jsonl'}, line 2 is " in said
    assert words in said
    assert not output.exists()


def test_all_good_records_are_read() -> None:
    """So each of the changes above is what made a line bad."""
    for record in GOOD.values():
        read = record_of(json.dumps(record).encode())
        assert record_of(line_of(read).encode()) == read


def test_rounding_is_let_pass() -> None:
    """A sum of probabilities in float32 may be a little above 1."""
    record_of(damaged("crc_score", "validity.0", 1.00005))
    record_of(damaged("crc_score", "diversity.0", 1.0000005))


@pytest.mark.parametrize(
    "changes", [{"validity": (NAN,) * 4}, {"diversity": (NAN,) * 4}, {"validity": (0.5,)}, {"pair": "\ud800"}]
)
def test_what_could_not_be_read_again_is_not_written(changes: dict[str, Any], tmp_path: Path) -> None:
    score = RECORD_ADAPTER.validate_python(GOOD["crc_score"]).model_copy(update=changes)
    with pytest.raises(ValueError, match=r"(is not|cannot be) written"):
        ResultsStore(tmp_path / "new" / "crc_search.jsonl").append([crc_records(PAIR)[0], score])
    assert not list(tmp_path.iterdir())


Change = Callable[[Path], None]


def _remove(of_model: str, prompt_set: str) -> Change:
    def change(results: Path) -> None:
        path = results / "crc_search.jsonl"
        wanted = f'"model":"{of_model}"', f'"prompt_set":"{prompt_set}"'
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not all(part in line for part in wanted)))

    return change


def _replace(old: str, new: str, count: int = -1) -> Change:
    def change(results: Path) -> None:
        path = results / "crc_search.jsonl"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, count))

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_remove("instruct", "selection"), "the instruct model has no score on the selection prompts"),
        (_remove("instruct", "held_out"), "the instruct model has no score on the held-out prompts"),
        (_remove("base", "selection"), "the base model has no score on the selection prompts"),
        (_remove("hybrid", "selection"), "no interval has a score on the selection prompts"),
        (_remove("soup", "selection"), "the chosen soup, alpha 0, has no score"),
        (_replace('"num_layers":3', '"num_layers":4', 5), "different numbers of layers"),
        (
            _replace('"interval":[1,2],"interval_reason"', '"interval":[3,3],"interval_reason"'),
            "3:3 has no score",
        ),
    ],
)
def test_records_that_lack_a_part_are_a_gap_that_names_the_command(
    change: Change, words: str, tmp_path: Path
) -> None:
    from slr.analysis.load_results import load_results
    from slr.analysis.needs import CRC_STUDY

    results_dir = write_results(tmp_path / "testbed", (PAIR,))
    assert load_results(results_dir).unfinished_pairs == [
        "testbed-qwen (not begun)",
        "testbed-gemma (not begun)",
    ]
    change(results_dir)
    results = load_results(results_dir)
    assert results.crc_reports == []
    assert any(f"{PAIR} (" in reason and words in reason for reason in results.unfinished_pairs)
    assert CRC_STUDY.command(results) == "python experiments/crc_search.py"


@dataclass(frozen=True)
class Figures:
    """How ``make_all`` is called below; ``prepare`` gets the directory of records and the output directory."""

    prepare: Callable[[Path, Path], object]
    words: str
    options: Sequence[str] = ()


def _file(path: Path, content: bytes = b"mine") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


FIGURES: dict[str, Figures] = {
    "output is a file": Figures(lambda _, out: _file(out), "is no directory: expected a directory"),
    "output below a file": Figures(lambda _, out: _file(out.parent), "is no directory"),
    "figures is a file": Figures(lambda _, out: _file(out / "figures"), "the directory for figures is"),
    "tables is a file": Figures(lambda _, out: _file(out / "tables"), "the directory for tables is"),
    "a figure is a directory": Figures(
        lambda _, out: (out / "figures" / "concept.png").mkdir(parents=True), "concept.png is a directory"
    ),
    "a table is a directory": Figures(
        lambda _, out: (out / "tables" / "models.csv").mkdir(parents=True), "models.csv is a directory"
    ),
    "the page is a directory": Figures(
        lambda _, out: (out / "index.html").mkdir(parents=True), "index.html is a directory"
    ),
    "records are a directory": Figures(
        lambda results, _: (results / "open_qa.jsonl").mkdir(), "open_qa.jsonl is no file"
    ),
    "output is a link in a circle": Figures(
        lambda _, out: (out.parent.mkdir(parents=True), out.symlink_to(out)), "is no directory"
    ),
    "unknown preset": Figures(lambda *_: None, "did you mean 'testbed'?", ("--preset", "testbeds")),
    "unknown option": Figures(lambda *_: None, "--presets", ("--presets=testbed", "x")),
    "project without a name": Figures(lambda *_: None, "expected ENTITY/PROJECT", ("--wandb", "team")),
}


@pytest.mark.parametrize("case", FIGURES.values(), ids=FIGURES.keys())
def test_figures_that_cannot_be_written(
    case: Figures, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, output = write_results(tmp_path / "testbed-x", (PAIR,)), tmp_path / "a" / "out"
    case.prepare(results, output)
    before = files_below(tmp_path)
    arguments = ["--results-dir", str(results), "--output-dir", str(output), *case.options]
    assert main(["figures", *arguments]) == 2
    assert case.words in the_line(capsys)
    assert files_below(tmp_path) == before


@dataclass(frozen=True)
class Call:
    """A command line, ``slr`` or the name of an experiment, with what the line about it says."""

    line: str
    words: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """For pytest."""
        return " ".join([*(f"{name}={value}" for name, value in self.environment.items()), self.line])


JUDGE = {"SLR_JUDGE_BASE_URL": "http://127.0.0.1:9/v1", "SLR_JUDGE_MODEL": "m"}
KEY = "sk-0a1b2c3d4e5f"
CALLS: tuple[Call, ...] = (
    Call("slr build testbed-llama --layers 6-9 --output x", ["'6-9'", "expected START:END"]),
    Call("slr build testbed-llama --layers 9:6 --output x", ["9:6", "0 <= start <= end"]),
    Call("slr build testbed-llama --layers 6:99 --output x", ["6:99", "12 decoder layers"]),
    Call("slr build testbed-llama --layers a:b --output x", ["'a:b'", "expected START:END"]),
    Call("slr build testbed-llama --layers= --output x", ["''", "expected START:END"]),
    Call("slr build testbed-llama --layers 1:2:3 --output x", ["'1:2:3'", "expected START:END"]),
    Call("slr build testbed-llama --layers 6:9 --alpha 0 --output x", ["alpha is 0", "(0, 1]"]),
    Call("slr build testbed-llama --layers 6:9 --alpha nan --output x", ["alpha is nan", "(0, 1]"]),
    Call("slr build testbed-llama --layers 6:9 --alpha half --output x", ["--alpha", "'half'"]),
    Call("slr build testbed-llama --output x", ["Missing option", "--layers"]),
    Call("slr build testbed-llama --layers 6:9 --output FILE/x", ["FILE is no directory"]),
    Call("slr build testbed-llama --layers 6:9 --output ~no-one-here/x", ["~no-one-here is no user's home"]),
    Call("slr build testbed-llama --layers 6:9 --output FILE", ["FILE exists already"]),
    Call("slr build testbed-llama --layers 6:9 --as-adapter --output x", ["has no adapter"]),
    Call("slr build a/b a/c --layers 6:9 --adapter a/d --output x", ["a/c", "a/d", "expected one of them"]),
    Call(
        "slr search testbed-lama", ["INSTRUCT is missing", "'testbed-lama'", "did you mean 'testbed-llama'"]
    ),
    Call("slr search testbed:llama/base", ["INSTRUCT is missing", "'testbed:llama/base'"]),
    Call("slr search a/b a/c --adapter a/d", ["a/c", "a/d", "expected one of them"]),
    Call("slr search testbed:llama/base testbed:lama/instruct", ["'testbed:lama/instruct'", "expected"]),
    Call("slr search FILE testbed:llama/instruct", ["FILE is a file", "expected the directory"]),
    Call("slr search testbed-llama --wandb ofline", ["'ofline'", "did you mean 'offline'?"]),
    Call("slr search testbed-llama --device-map magic", ["--device-map", "'magic'", "expected auto"]),
    Call("slr search testbed-llama --min-validity 2", ["--min-validity is 2", "at most 1"]),
    Call("slr search testbed-llama --min-validity most", ["--min-validity", "'most'"]),
    Call("slr search testbed-llama --output-dir FILE", ["--output-dir is FILE", "is no directory"]),
    Call("slr search testbed-llama --output-dir FILE/deep/er", ["FILE is no directory"]),
    Call("slr search testbed-llama --device cuda:77", ["'cuda:77'", "Expected cpu"]),
    Call("slr search testbed-llama --device meta", ["'meta'", "Expected cpu"]),
    Call("slr search testbed-llama --device=", ["''", "Expected cpu"]),
    Call("slr search testbed-llama --dtype int8", ["'int8'", "expected float32 or bfloat16"]),
    Call("slr search testbed-llama --base-revision main", ["testbed-llama", "give none"]),
    Call("slr search caf\udce9 testbed:llama/instruct", ["caf\\xe9", "not UTF-8"]),
    Call("slr score testbed:qwen/base --dtype half", ["'half'", "expected float32 or bfloat16"]),
    Call("slr score [red]no[/red]", ["'[red]no[/red]'", "no hub id"]),
    Call("slr score", ["Missing argument"]),
    Call("slr sarch testbed-llama", ["sarch", "slr --help"]),
    Call("slr run crc_serch", ["EXPERIMENT is 'crc_serch'", "did you mean 'crc_search'?"]),
    Call("slr run", ["Missing argument", "EXPERIMENT", "slr run --help"]),
    Call("slr run all --preset papre", ["'papre'", "did you mean 'paper'?"]),
    Call("slr figures --preset lapto", ["'lapto'", "did you mean 'laptop'?"]),
    Call("slr figures --results-dir nowhere", ["nowhere"]),
    Call("slr dashboard", ["Missing option", "--wandb"]),
    Call("slr search testbed-llama --margn", ["--margn"]),
    Call("crc_search --preset tetsbed", ["'tetsbed'", "did you mean 'testbed'?"]),
    Call("crc_search --families lama,qwen", ["'lama'", "llama, qwen, gemma", "did you mean 'llama'?"]),
    Call("crc_search --families=", ["--families names ''"]),
    Call("crc_search --wandb onlin", ["'onlin'", "did you mean 'online'?"]),
    Call("crc_search --dtype float16", ["--dtype", "'float16'", "float32 or bfloat16"]),
    Call("crc_search --engine vlm", ["'vlm'", "did you mean 'vllm'?"]),
    Call("crc_search --device-map all", ["'all'", "expected auto"]),
    Call("crc_search --output-dir FILE", ["--output-dir is FILE", "is no directory"]),
    Call("crc_search --device cuda:77 --output-dir out", ["'cuda:77'", "Expected cpu"]),
    Call("crc_search --smokey", ["--smokey"]),
    Call("crc_search --output-dir caf\udce9", ["caf\\xe9", "not UTF-8"]),
    Call("crc_search", ["OMP_NUM_THREADS is 'abc'"], {"OMP_NUM_THREADS": "abc"}),
    Call("slr score testbed:qwen/base", ["OMP_NUM_THREADS is '0'"], {"OMP_NUM_THREADS": "0"}),
    Call("crc_search --wandb offline", ["WANDB_MODE is 'of'", "offline"], {"WANDB_MODE": "of"}),
    Call("slr search testbed-llama --wandb online", ["WANDB_MODE is 'on'"], {"WANDB_MODE": "on"}),
    Call("slr score a/b", ["HF_HOME is FILE", "is no directory"], {"HF_HOME": "FILE"}),
    Call("slr score laptop:gemma/base", ["SLR_CACHE is FILE/x", "is no directory"], {"SLR_CACHE": "FILE/x"}),
    Call("slr score a/b", ["SLR_CACHE", "~no-one-here"], {"SLR_CACHE": "~no-one-here/x"}),
    Call("crc_search --wandb disabled", ["WORLD_SIZE is 'two'"], {"WORLD_SIZE": "two"}),
    Call("judge", ["SLR_JUDGE_BASE_URL is not set"]),
    Call("judge", ["SLR_JUDGE_BASE_URL is not set"], {"SLR_JUDGE_BASE_URL": ""}),
    *(
        Call("judge", ["SLR_JUDGE_BASE_URL is no http or https URL"], {**JUDGE, "SLR_JUDGE_BASE_URL": url})
        for url in (
            "ftp://host/v1",
            "host:8000/v1",
            "http:///v1",
            "http://host:port/v1",
            "http://[::1/v1",
            f"https://{KEY}@host/v1",
            f"https://user:{KEY}@host/v1",
            f"https://host/v1?key={KEY}",
            f"https://host/v1#{KEY}",
            f"https://host/v1;key={KEY}",
            "https://host/v1 ",
        )
    ),
    Call(
        "judge",
        ["SLR_JUDGE_BASE_URL", "SLR_JUDGE_API_KEY"],
        {**JUDGE, "SLR_JUDGE_BASE_URL": f"https://host/{KEY}/v1", "SLR_JUDGE_API_KEY": KEY},
    ),
    Call("judge", ["SLR_JUDGE_API_KEY has"], {**JUDGE, "SLR_JUDGE_API_KEY": f"{KEY}\n"}),
    Call("judge", ["SLR_JUDGE_API_KEY has"], {**JUDGE, "SLR_JUDGE_API_KEY": f"{KEY}\u2019"}),
    Call("judge", ["SLR_JUDGE_MODEL is not set"], {**JUDGE, "SLR_JUDGE_MODEL": ""}),
    Call("judge", ["SLR_JUDGE_PARAMETERS"], {**JUDGE, "SLR_JUDGE_PARAMETERS": '{"temperature": NaN}'}),
    Call("judge", ["sets stream"], {**JUDGE, "SLR_JUDGE_PARAMETERS": '{"stream": true}'}),
    Call("judge", ["SLR_JUDGE_TIMEOUT is 'nan'"], {**JUDGE, "SLR_JUDGE_TIMEOUT": "nan"}),
    Call("judge", ["SLR_JUDGE_CONCURRENCY is '0'"], {**JUDGE, "SLR_JUDGE_CONCURRENCY": "0"}),
    Call("judge", ["SLR_JUDGE_BUDGET_REQUESTS is '1e3'"], {**JUDGE, "SLR_JUDGE_BUDGET_REQUESTS": "1e3"}),
    Call("canonicalise", ["SLR_JUDGE_MAX_RETRIES is '-1'"], {**JUDGE, "SLR_JUDGE_MAX_RETRIES": "-1"}),
)


def call(command: Call, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit status."""
    for name, value in command.environment.items():
        monkeypatch.setenv(name, value)
    program, *arguments = command.line.split(" ")
    return main(arguments if program == "slr" else ["run", program, *arguments])


@pytest.mark.parametrize("command", CALLS, ids=lambda command: command.id)
def test_a_call_that_cannot_work(
    command: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("mine")
    assert call(command, monkeypatch) == 2
    said = the_line(capsys)
    for words in command.words:
        assert words in said
    assert KEY not in said
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"]
    assert (tmp_path / "FILE").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["-m", "slr", "build", "testbed-llama"], {}, "Missing option"),
        (["-m", "slr.cli", "run", "al"], {}, "EXPERIMENT is 'al'"),
        (["-m", "slr", "figures", "--results-dir", "nowhere"], {}, "no records in nowhere"),
        (["experiments/run_all.py", "--preset", "papre"], {}, "did you mean 'paper'?"),
        (["analysis/dashboard.py"], {}, "Missing option"),
        (["analysis/make_all.py", "--results-dir", "no\x1bsuch"], {}, "no\\x1bsuch"),
        (["analysis/make_all.py", "--output-dir", b"caf\xe9"], {}, "not UTF-8"),
        (
            ["analysis/make_all.py", "--results-dir", "nowhere"],
            {"MPLBACKEND": "odd"},
            "no records in nowhere",
        ),
        (
            ["experiments/crc_search.py", "--dry-run"],
            {"OMP_NUM_THREADS": "many"},
            "OMP_NUM_THREADS is 'many'",
        ),
    ],
)
def test_as_a_process(
    arguments: list[str | bytes], environment: dict[str, str], words: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, *(ROOT / str(a) if str(a).endswith(".py") else a for a in arguments)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        timeout=120,
        check=False,
    )
    said = done.stderr.decode()
    assert done.returncode == 2, said
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert words in said
    assert not any(tmp_path.iterdir())


SCORES = {"fluency": 5, "originality": 6, "adherence": 7}


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "I cannot judge this.",
        "<html><body>log in</body></html>",
        "null",
        "[]",
        json.dumps([SCORES]),
        json.dumps({"A": SCORES, "B": SCORES}),
        json.dumps({"a": SCORES}),
        json.dumps({"A": {**SCORES, "fluency": 11}}),
        json.dumps({"A": {**SCORES, "fluency": 0}}),
        json.dumps({"A": {**SCORES, "fluency": -5}}),
        json.dumps({"A": {**SCORES, "fluency": 5.0}}),
        json.dumps({"A": {**SCORES, "fluency": "5"}}),
        json.dumps({"A": {**SCORES, "fluency": True}}),
        json.dumps({"A": {**SCORES, "fluency": None}}),
        json.dumps({"A": {**SCORES, "fluency": [5]}}),
        json.dumps({"A": {**SCORES, "fluency": NAN}}),
        json.dumps({"A": {**SCORES, "fluency": INFINITE}}),
        json.dumps({"A": {**SCORES, "charm": 5}}),
        json.dumps({"A": {"fluency": 5, "originality": 6}}),
        '{"A": {"fluency": 5, "fluency": 6, "originality": 6, "adherence": 7}}',
        '{"A": {"fluency": ' + "9" * 5000 + ', "originality": 6, "adherence": 7}}',
        f"<think>Hm.</think>{json.dumps({'A': SCORES})}",
        f"Here you are: {json.dumps({'A': SCORES})}",
        f"{json.dumps({'A': SCORES})} I hope that helps.",
        "[" * 100_000,
        "x" * 3_000_000,
    ],
    ids=lambda reply: reply[:40],
)
def test_a_judges_reply_that_is_no_score(reply: str) -> None:
    assert parse_scores(reply, 1) is None
    assert parse_scores(json.dumps({"A": SCORES}), 1) == [SCORES]


CHUNKS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
    {"type": "text", "text": "Par"},
    {"type": "text", "text": "is"},
]
UNUSABLE: dict[str, Any] = {
    "null": None,
    "empty": "",
    "no chunks": [],
    "only thoughts": CHUNKS[:1],
    "numbers": [1, None, {"type": "text", "text": 5}],
    "megabytes": "x" * 1_500_000,
}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Paris", "Paris"),
        (CHUNKS, "Paris"),
        (["Pa", "ris"], "Paris"),
        ("Paris \ud83d", "Paris ?"),
        *((content, "") for content in UNUSABLE.values()),
    ],
)
def test_what_an_endpoint_may_send_as_text(content: Any, text: str, tmp_path: Path) -> None:
    """Only a text is kept, and what is not kept is asked for again."""
    from slr.judging.chat_endpoint import ChatEndpoint, ChatModel, ChatRequest, Limits
    from tests.judging.chat_server import Answer, chat_server, completion

    body = json.loads(completion(None).body)
    body["choices"][0]["message"]["content"] = content
    request = ChatRequest(system="s", user="u", prompt_version="1")
    with chat_server(lambda *_: Answer(body=json.dumps(body))) as server:
        asked = ChatEndpoint(
            prefix="SLR_JUDGE",
            base_url=server.base_url,
            model=ChatModel(name="m", host="127.0.0.1"),
            key="",
            cache_dir=tmp_path,
            limits=Limits(max_retries=0, timeout=20),
        )
        assert [asked.ask(request) for _ in range(2)] == [text, text]
        assert len(server.bodies) == (1 if text else 2)
    assert len(list(tmp_path.rglob("*.json"))) == bool(text)


@pytest.mark.parametrize(
    "kept", ["", "{", "[]", "{}", '{"reply": null}', '{"reply": ["a"]}', '{"reply": ""}']
)
def test_a_damaged_file_in_the_cache_is_no_reply(kept: str, tmp_path: Path) -> None:
    from slr.judging.chat_endpoint import _cached_reply

    (tmp_path / "x.json").write_text(kept)
    assert _cached_reply(tmp_path / "x.json") is None
    (tmp_path / "x.json").write_text('{"reply": "a"}')
    assert _cached_reply(tmp_path / "x.json") == "a"


def test_lists_and_escapes_are_put_in_one_line() -> None:
    assert (
        in_one_line("they differ:\n- layers 2 and 3\n- sizes 4 and 5")
        == "they differ: layers 2 and 3; sizes 4 and 5"
    )
    assert in_one_line("a\x1b[31mred\x1b[0m\r\nb") == "a\\x1b[31mred\\x1b[0m; b"
    assert in_one_line("café, 東京") == "café, 東京"

"""The commands as a user runs them, on tiny pairs."""

from __future__ import annotations

import dataclasses
import html
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from slr.cli import main
from slr.cli.crc_output import build_command, pair_words
from slr.intervals import LayerInterval, Restoration
from slr.models.presets import find_pair
from slr.models.reference import ModelReference
from slr.runs.records import SearchCost
from slr.runs.results_store import ResultsStore
from slr.terminal.stopping import Stopped
from tests.conftest import CheckpointPairs

SECONDS_TO_SHOW = 10
"""Time that ``slr show`` may take on a busy machine; alone it takes less than two seconds."""


def run(*arguments: object) -> int:
    return main([*map(str, arguments)])


@pytest.mark.usefixtures("few_prompts")
def test_search_prints_a_build_command_that_works(
    checkpoint_pairs: CheckpointPairs,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base, instruct = checkpoint_pairs("qwen2")
    monkeypatch.chdir(tmp_path)
    # Low enough that layers of random models are admissible.
    rule = ("--min-validity", "0.05")
    arguments = ("search", base, instruct, *rule, "--output-dir", "out", "--device", "cpu")
    assert run(*arguments) == 0
    output = capsys.readouterr().out
    assert (tmp_path / "out" / "crc_search.jsonl").exists()
    assert (tmp_path / "out" / "figures" / "crc_heatmaps.png").exists()
    assert (tmp_path / "out" / "figures" / "crc_tradeoff.png").exists()
    command = re.search(r"^ *(slr build .*)$", output, re.MULTILINE)
    assert command is not None, output
    words = shlex.split(command[1])
    assert run(*words[1:]) == 0
    built = Path(words[words.index("--output") + 1])
    interval = words[words.index("--layers") + 1]
    assert f"layers {interval} of 5 restored" in capsys.readouterr().out
    assert json.loads((built / "slr_manifest.json").read_text())["interval"] == [
        int(end) for end in interval.split(":")
    ]
    AutoModelForCausalLM.from_pretrained(built)
    assert AutoTokenizer.from_pretrained(built).chat_template

    assert run(*arguments) == 0
    assert "nothing to do" in capsys.readouterr().err


@pytest.mark.usefixtures("few_prompts")
def test_the_rule_can_be_changed_without_another_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the model card has the figures of what was chosen last."""
    monkeypatch.chdir(tmp_path)
    search = ("search", "testbed-llama", "--output-dir", "out", "--device", "cpu")
    chosen = []
    for options in ((), ("--min-validity", "0.6"), ("--min-validity", "0.6", "--margin")):
        assert run(*search, *options) == 0
        output, said = capsys.readouterr()
        assert f"{6 if not options else 2} of 6 cells to do" in said
        at_least = options[1] if options else "0.9"
        sentence = (
            rf"the hybrid keeps (\d\.\d{{3}}) \[.*: the rule \(at least {at_least}\) is (kept|missed) there"
        )
        found = re.search(sentence, output)
        assert found is not None
        assert (found[2] == "kept") == (float(found[1]) >= float(at_least))
        chosen.append(chosen_layers(output))
    assert len(set(chosen)) == 3
    build = ("build", "testbed-llama", "--search-dir", "out")
    assert run(*build, "--layers", chosen[1], "--output", "built") == 0
    card = Path("built/README.md").read_text()
    assert (
        len(re.findall(rf"\| this model, layers {chosen[1]} \| (?:selection|held-out) \| 0\.\d+ \[", card))
        == 2
    )
    capsys.readouterr()
    assert run(*build, "--output", "other") == 2
    assert "out holds different choices by several rules" in capsys.readouterr().err


def chosen_layers(output: str) -> str:
    """The layers in the first line of what a search prints."""
    found = re.search(r"^\S+: layers (\d+:\d+) of ", output, re.MULTILINE)
    assert found is not None, output
    return found[1]


def test_the_build_command_of_a_presets_pair_names_the_pair() -> None:
    spec = find_pair("testbed-llama")
    chosen = Restoration(LayerInterval(6, 9))
    command = build_command(pair_words(spec), chosen, Path("found"), "out")
    assert command == "slr build testbed-llama --layers 6:9 --search-dir found --output out"
    elsewhere = dataclasses.replace(spec, base=ModelReference("mine"))
    assert pair_words(elsewhere) == ["mine", "testbed:llama/instruct"]
    assert "--soup 0.35 " in build_command(["x"], 0.35, Path("found"), "out")


@pytest.mark.usefixtures("few_prompts")
def test_partial_restoration_from_the_search_to_the_checkpoint(
    checkpoint_pairs: CheckpointPairs,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Further alphas and components add to the records of the directory, and take nothing from them."""
    base, instruct = checkpoint_pairs("llama")
    monkeypatch.chdir(tmp_path)
    rule = ("--min-validity", "0.05")
    search = ("search", base, instruct, *rule, "--output-dir", "out", "--device", "cpu", "--json")
    records = tmp_path / "out" / "crc_search.jsonl"
    chosen, sizes = [], []
    for options in ((), ("--alphas", "1,0.5"), ("--alphas", "0.5", "--components", "mlp,attention")):
        assert run(*search, *options) == 0
        lines = records.read_text().splitlines()
        sizes.append(sum('"crc_score"' in line and '"selection","prompt_ids"' in line for line in lines))
        chosen.append(json.loads(capsys.readouterr().out)["chosen"])
    # Of 5 layers there are 15 intervals, besides base, instruct and three soups.
    assert sizes == [5 + 15, 5 + 30, 5 + 45]
    assert chosen[0]["alpha"] == 1
    assert chosen[2]["alpha"] == 0.5
    assert chosen[2]["components"] == ["attention", "mlp"]
    assert run(*search, "--alphas", "0.5,1") == 0
    output, said = capsys.readouterr()
    assert "nothing to do" in said
    assert json.loads(output)["chosen"] == chosen[1]
    interval = chosen[2]["layers"]
    what = ("--layers", interval, "--alpha", "0.5", "--components", "mlp,attention")
    assert run("build", base, instruct, *what, "--search-dir", "out", "--output", "built") == 0
    assert f"layers {interval} of 5 restored (attention and mlp at alpha 0.5)" in capsys.readouterr().out
    card = Path("built/README.md").read_text()
    assert f"| this model, layers {interval} | held-out | " in card


@pytest.mark.usefixtures("few_prompts")
def test_show_prints_and_chooses_again_without_torch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("search", "testbed-llama", "--output-dir", "out", "--device", "cpu", "--quiet") == 0
    searched, said = capsys.readouterr()
    assert said == ""
    began = time.monotonic()
    shown = without_torch("show", "out")
    assert time.monotonic() - began < SECONDS_TO_SHOW
    end_of_report = searched.index("\nrecords: ")
    assert shown.strip() == searched[:end_of_report].strip()

    again = json.loads(without_torch("show", "out", "--min-validity", "0.6", "--top", "2", "--json"))
    assert run("search", "testbed-llama", "--output-dir", "out", "--min-validity", "0.6", "--json") == 0
    measured = json.loads(capsys.readouterr().out)
    assert again["chosen"] == measured["chosen"]
    assert again["best"] == measured["best"][:2]
    assert len(measured["best"]) == 5
    assert {model["model"] for model in again["models"] if model["prompt_set"] == "held_out"} == {
        "base",
        "instruct",
    }
    assert json.loads(without_torch("show", "out", "--json"))["rule"]["min_validity"] == 0.6


@pytest.mark.usefixtures("few_prompts")
def test_search_and_show_write_the_same_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    search = ("search", "testbed-llama", "--output-dir", "out", "--device", "cpu")
    assert run(*search, "--report", "pages/searched.html") == 0
    assert "page: pages/searched.html" in capsys.readouterr().out
    without_torch("show", "out", "--report", "shown.html")
    page = Path("shown.html").read_text()
    assert Path("pages/searched.html").read_text() == page
    found = json.loads(without_torch("show", "out", "--json"))
    for shown in (found["better"]["because"], found["build_command"], "LlamaForCausalLM", "CPU, "):
        assert html.escape(shown).replace("&#x27;", "&#39;") in page
    # Of 12 layers there are 78 intervals, and each has a cell in both maps and a row.
    assert len(re.findall(r"<title>layers \d+:\d+: ", page)) == 2 * 78
    assert len(re.findall(r"<tr><td>\d+:\d+</td>", page)) == 78
    Path("a-file").touch()
    assert run("show", "out", "--report", "a-file/page.html") == 2
    assert "the directory of --report is a-file" in capsys.readouterr().err


def without_torch(*arguments: str) -> str:
    """What a command prints in a process of its own, in which importing torch fails."""
    code = "import sys; sys.modules['torch'] = None; from slr.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


@pytest.mark.usefixtures("few_prompts")
def test_a_dry_run_of_a_search_loads_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And counts the same evaluations of a layer as the search records."""
    search = ("search", "testbed-llama", "--output-dir", tmp_path / "out", "--device", "cpu")
    with monkeypatch.context() as patched:
        patched.setattr("slr.models.loading.load_weights", pytest.fail)
        assert run(*search, "--dry-run", "--json") == 0
        plan = json.loads(capsys.readouterr().out)
        assert run(*search, "--dry-run") == 0
    assert f"{plan['layer_evaluations']:,}" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert (plan["num_layers"], plan["num_intervals"], plan["num_cells_to_do"]) == (12, 78, 6)
    assert plan["seconds"] > 0
    assert plan["download_bytes"] == 0
    # bfloat16 on disk, float32 on a CPU
    assert plan["model_bytes"] == 2 * 4 * 1_243_488
    assert plan["needed_bytes"] < plan["free_bytes"]

    assert run(*search) == 0
    costs = [
        r for r in ResultsStore(tmp_path / "out" / "crc_search.jsonl").read() if isinstance(r, SearchCost)
    ]
    # Two models on two sets of prompts, the base model outside the template, three soups, and two choices held out.
    assert plan["layer_evaluations"] == costs[0].layer_evaluations + 12 * (4 + 2 + 3 + 2)
    assert plan["tree_tokens"] * costs[0].layer_evaluations == costs[0].tokens_computed
    capsys.readouterr()
    assert run(*search, "--dry-run", "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["num_cells_to_do"], done["layer_evaluations"], done["seconds"]) == (0, 0, 0)


@pytest.mark.usefixtures("few_prompts")
def test_build_takes_the_better_choice_of_the_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And makes the same as the command that the search prints."""
    monkeypatch.chdir(tmp_path)
    assert run("search", "testbed-qwen", "--output-dir", "out", "--device", "cpu") == 0
    command = re.search(r"^ *(slr build .*)$", capsys.readouterr().out, re.MULTILINE)
    assert command is not None
    assert run(*shlex.split(command[1])[1:]) == 0
    assert run("build", "testbed-qwen", "--search-dir", "out", "--output", "chosen") == 0
    built = [Path(name, "model.safetensors").read_bytes() for name in ("testbed-qwen-slr", "chosen")]
    assert built[0] == built[1]


@pytest.mark.usefixtures("few_prompts")
def test_nothing_chosen_with_a_margin_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No range of the shipped pair is surely as valid as the instruct model."""
    search = ("search", "testbed-llama", "--output-dir", tmp_path / "out", "--device", "cpu")
    assert run(*search, "--min-validity", "1", "--margin") == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "testbed-llama: no layers" in output
    assert "none: of 78 candidates there is none whose validity is with a margin at least 1 x" in output
    assert "No layers are valid enough; `--min-validity` below 1, or no `--margin`, admits more." in output
    assert "slr build" not in output


def test_build_equals_assembly_by_name(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> None:
    base, instruct = checkpoint_pairs("gemma2")
    output = tmp_path / "hybrid"
    assert run("build", base, instruct, "--layers", "1:3", "--output", output) == 0
    states = [AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (base, instruct, output)]
    for name in states[1]:
        restored = name.startswith(("model.layers.1.", "model.layers.2."))
        assert torch.equal(states[2][name], states[0 if restored else 1][name]), name


def test_score(checkpoint_pairs: CheckpointPairs, capsys: pytest.CaptureFixture[str]) -> None:
    base, instruct = checkpoint_pairs("llama")
    assert run("score", instruct, "--device", "cpu") == 0
    assert re.search(r"held-out +\d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", capsys.readouterr().out)
    arguments = ("score", base, "--chat-template-from", instruct, "--device", "cpu")
    assert run(*arguments) == 0


def test_score_takes_the_pairs_that_search_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("score", "testbed-qwen", "--device", "cpu", "--json") == 0
    of_pair = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in of_pair] == ["testbed-qwen, base"] * 2 + ["testbed-qwen, instruct"] * 2
    assert run("score", "testbed:qwen/instruct", "--device", "cpu", "--json") == 0
    alone = json.loads(capsys.readouterr().out)
    assert [row["validity"] for row in alone] == [row["validity"] for row in of_pair[2:]]
    assert [row["prompt_set"] for row in alone] == ["selection", "held_out"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("build", "BASE", "INSTRUCT", "--layers", "3-4", "--output", "x"), "expected START:END"),
        (("build", "BASE", "INSTRUCT", "--layers", "3:9", "--output", "x"), "3:9 does not fit a model of 5"),
        (("build", "BASE", "INSTRUCT", "--layers", "1:2", "--output", "INSTRUCT"), "exists already"),
        (("build", "BASE", "INSTRUCT", "--layers", "1:2", "--alpha", "2", "--output", "x"), "alpha is 2"),
        (("search", "BASE", "nowhere/at-all-really"), "nowhere/at-all-really"),
        (("search", "BASE", "no such directory"), "no such directory"),
        (("search", "testbed-mistral"), "testbed-llama"),
        (("search", "INSTRUCT", "BASE"), "has no chat template"),
        (("search", "BASE", "INSTRUCT", "--wandb", "maybe"), "expected offline, online or disabled"),
        (("search", "BASE", "INSTRUCT", "--device", "cuda:99"), "cannot be used"),
        (
            ("search", "BASE", "INSTRUCT", "--min-validity", "0"),
            "--min-validity is 0, expected a number above 0",
        ),
        (
            ("search", "BASE", "INSTRUCT", "--min-validity", "90"),
            "--min-validity is 90, expected a number above 0",
        ),
        (("search", "BASE", "INSTRUCT", "--min-validity", "nan"), "--min-validity is nan, expected a number"),
        (("score", "BASE"), "has no chat template"),
    ],
)
def test_mistakes_are_one_line_and_status_2(
    arguments: tuple[str, ...],
    message: str,
    checkpoint_pairs: CheckpointPairs,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base, instruct = checkpoint_pairs("llama")
    monkeypatch.chdir(tmp_path)
    named = [{"BASE": str(base), "INSTRUCT": str(instruct)}.get(argument, argument) for argument in arguments]
    assert run(*named) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert len([line for line in error.splitlines() if line.startswith("error: ")]) == 1
    assert not any(tmp_path.iterdir())


def test_mismatches_are_a_line_each(
    checkpoint_pairs: CheckpointPairs, capsys: pytest.CaptureFixture[str]
) -> None:
    base, _ = checkpoint_pairs("llama", num_layers=2)
    _, instruct = checkpoint_pairs("qwen2")
    assert run("search", base, instruct) == 2
    error = capsys.readouterr().err
    assert "LlamaForCausalLM" in error
    assert "Qwen2ForCausalLM" in error
    assert "Traceback" not in error


def test_online_without_an_account_is_refused_before_anything_is_done(
    checkpoint_pairs: CheckpointPairs,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("slr.models.loading.load_spec", pytest.fail)
    arguments = ("search", *checkpoint_pairs("llama"), "--wandb", "online", "--output-dir", tmp_path / "out")
    assert run(*arguments, "--device", "cpu") == 2
    assert "error: W&B knows no account: run `wandb login` first" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("raised", "status"), [(KeyboardInterrupt(), 130), (Stopped(signal.SIGTERM), 143)])
def test_a_stop_says_once_how_to_go_on(
    raised: BaseException,
    status: int,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("slr.models.loading.load_spec", stop)
    assert run("search", "testbed-llama", "--output-dir", tmp_path / "out") == status
    assert capfd.readouterr().err.count("stopped; the same command goes on from the records") == 1


@pytest.mark.parametrize(
    "command", ["search", "show", "sample", "build", "score", "run", "figures", "dashboard"]
)
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    assert f"Example: slr {command}" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"slr {metadata.version('slr')}\n"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [("slr se", {"search"}), ("slr search --min", {"--min-validity"}), ("slr run --preset te", {"testbed"})],
)
def test_a_shell_completes_commands_options_and_names(words: str, wanted: set[str]) -> None:
    environment = {
        **os.environ,
        "_SLR_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "slr"], env=environment, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == wanted


@pytest.mark.parametrize(
    "line",
    [
        "search testbed-llama --output-dir out",
        "sample testbed-llama --layers 6:9 --prompt x",
        "build testbed-llama --layers 6:9 --output out",
        "score testbed-llama",
    ],
)
def test_a_terminal_shows_a_sign_of_life_before_torch_is_imported(line: str, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.stderr.isatty = lambda: True\n"
        "from slr.cli import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *line.split()], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr.startswith("testbed-llama: opening the model")
    assert "torch" in done.stderr.splitlines()[-1], "importing torch is what failed next"


def test_a_log_gets_no_sign_of_life(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("build", "testbed-llama", "--layers", "6:9", "--output", tmp_path / "out", "--quiet") == 0
    printed, said = capsys.readouterr()
    assert said == ""
    assert "mergekit" not in printed
    assert run("build", "testbed-llama", "--layers", "6:9", "--output", tmp_path / "b", "--verbose") == 0
    assert "the same tensors with mergekit" in capsys.readouterr().out

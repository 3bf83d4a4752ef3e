"""Kill commands at random moments, and see that nothing is lost, half-written or left behind.

    python -m tests.kill_harness --kills 50 [--commands search,build,run_all] [--seed 0] [--keep DIR]

Each time: a command is begun, in turn ``slr search`` with W&B offline, ``slr build --search-dir`` and ``run_all.py
--smoke`` with W&B offline and figures. At a random moment it gets SIGKILL, SIGTERM or SIGINT. Then the same command is
given again, maybe after more kills, until it ends by itself. Checked are: the exit status and the one message after
SIGTERM and SIGINT, and how long that took; that no process outlives the command; that no file is half-written that
looks whole; that the records in the end equal those of an uninterrupted run, but for times; that no debris is left.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slr.runs.results_store import stores_in
from tests.tiny_models import make_checkpoint_pair

ROOT = Path(__file__).resolve().parent.parent
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SECONDS_TO_END = 10.0
"""Of the two that a stopped command promises to take; machines that run tests are busy."""
SECONDS_FOR_CHILDREN = 30.0
"""W&B's own process looks only now and then whether its parent is there."""
MARK = "SLR_KILL_HARNESS"
"""Environment variable by which all processes of one command are found."""
RETRIES = 20
NOT_MIRRORED = "was not mirrored"
"""What a command says that did its work although W&B failed, as it may on a busy machine. The next call mirrors."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What is killed: a command line, and what it writes. ``check`` names what is wrong with that in the end."""

    words: Sequence[str]
    output: Path
    check: Callable[[Path], list[str]]
    says_how_to_go_on: str


@dataclass
class Report:
    """What was done, and what was wrong, in words."""

    kills: int = 0
    survived: int = 0
    slowest_end: tuple[float, str] = (0.0, "none")
    problems: list[str] = field(default_factory=list)
    begun: float = 0.0
    """Of the last command."""

    def __str__(self) -> str:
        lines = [
            f"{self.kills} kills ({self.survived} other tries ended before theirs), the slowest end after a signal "
            f"took {self.slowest_end[0]:.1f} s ({self.slowest_end[1]}), {len(self.problems)} problems",
            *self.problems,
        ]
        return "\n".join(lines)


def measured(output_dir: Path) -> dict[str, dict[str, Any]]:
    """What was measured, by experiment and key, without when, how fast and by what code."""
    return {
        f"{record.experiment}: {record.key}": record.model_dump(
            exclude={"provenance": {"created_at", "commit", "dirty", "took"}}
        )
        for store in stores_in(output_dir)
        for record in store.read()
        if record.kind != "search_cost"  # which only a search that was not stopped has
    }


def kill_and_repeat(
    command: Command, moments: Iterator[float], number: random.Random, report: Report
) -> None:
    """Kill the command at one moment, then give it again until it ends by itself, and check what it left."""
    moment = next(moments)
    for _ in range(RETRIES):
        if _ends_by_itself(command, moment, number, report):
            report.problems += command.check(command.output)
            return
        moment = next(moments) if number.random() < 0.3 else None
    report.problems.append(f"{' '.join(command.words)} did not end its work in {RETRIES} tries")


def _ends_by_itself(command: Command, moment: float | None, number: random.Random, report: Report) -> bool:
    """Whether a command ended before it was killed, with all its work done."""
    token = secrets.token_hex(8)
    report.begun = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "programs" / "with_signals.py"), *command.words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", MARK: token},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        how = None
        try:
            status = process.wait(moment)
            report.survived += moment is not None
        except subprocess.TimeoutExpired:
            how = number.choice(SIGNALS)
            status = _kill(process, how, command, report)
        said.seek(0)
        text = said.read()
    _check_end(how, status, text, command, report)
    left = processes_with(token)
    deadline = time.monotonic() + SECONDS_FOR_CHILDREN
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = processes_with(token)
    for pid, words in left.items():
        report.problems.append(f"{words!r} outlived {' '.join(command.words)}")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    report.problems += half_written(command.output)
    is_over = how is None or status == 0  # it may have ended by itself at that very moment
    return is_over and NOT_MIRRORED not in text


def _kill(process: subprocess.Popen[bytes], how: signal.Signals, command: Command, report: Report) -> int:
    report.kills += 1
    process.send_signal(how)
    began = time.monotonic()
    try:
        status = process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        report.problems.append(
            f"{' '.join(command.words)} did not end within {SECONDS_TO_END} s of {how.name}"
        )
        process.kill()
        return process.wait()
    if how is not signal.SIGKILL:
        end = (
            time.monotonic() - began,
            f"{how.name} to {command.output.name}, {began - report.begun:.1f} s old",
        )
        report.slowest_end = max(report.slowest_end, end)
    return status


def _check_end(how: signal.Signals | None, status: int, said: str, command: Command, report: Report) -> None:
    """A signal in the first moments, before the command's own first line runs, has Python's own ending."""
    if how is None:
        if status != 0:
            report.problems.append(f"{' '.join(command.words)} gave status {status}:\n{said[-2000:]}")
        return
    has_begun = said.strip() and "Traceback" not in said
    if how is signal.SIGKILL or not has_begun or status == 0:
        return
    if status != 128 + how or said.count(command.says_how_to_go_on) != 1:
        report.problems.append(
            f"{' '.join(command.words)} ended {how.name} with status {status}:\n{said[-2000:]}"
        )


def processes_with(token: str) -> dict[int, str]:
    """Processes that have the token in their environment, by id: their command lines. Empty except on Linux."""
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={token}".encode() in (directory / "environ").read_bytes():
                found[int(directory.name)] = (
                    (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                )
        except OSError:  # it has ended, or is not ours
            continue
    return {pid: words for pid, words in found.items() if words}  # an ended one has no words


def half_written(output: Path) -> list[str]:
    """Files that are not whole, though they have their names."""
    problems = []
    for path in output.rglob("*"):
        if "wandb" in path.relative_to(output).parts or path.name.startswith(".") or not path.is_file():
            continue
        content = path.read_bytes()
        ends = {".png": b"IEND\xaeB`\x82", ".pdf": b"%%EOF\n", ".html": b"</html>\n"}
        if not content or not content.endswith(ends.get(path.suffix, b"")):
            problems.append(f"{path} is half-written")
    return problems


def debris(directory: Path) -> list[str]:
    """Hidden files and directories, which only commands make that are under way."""
    hidden = (path for path in directory.rglob(".*") if "wandb" not in path.relative_to(directory).parts)
    return [f"{path} was left behind" for path in hidden]


def check_records(expected: Path, output: Path) -> list[str]:
    """Whether records, figures and runs in W&B are those of an uninterrupted run, and nothing else is there."""
    problems = debris(output)
    before, after = measured(expected), measured(output)
    problems += [f"{key} differs or is missing" for key in before if before[key] != after.get(key)]
    problems += [f"{key} is too much" for key in after if key not in before]
    for pattern in ("figures/**/*.png", "**/tables/*.csv", "**/index.html"):
        names = [{path.relative_to(of) for path in of.glob(pattern)} for of in (expected, output)]
        if names[0] != names[1]:
            problems.append(f"{output}: {pattern}: {names[0] ^ names[1]}")
    runs = [len(list(of.glob("wandb/offline-run-*/*.wandb"))) for of in (expected, output)]
    if runs[0] != runs[1]:
        problems.append(f"{output} has {runs[1]} runs in W&B, expected {runs[0]}")
    return problems


def check_checkpoint(expected: Path, output: Path) -> list[str]:
    """Whether a built checkpoint is byte for byte that of an uninterrupted build."""
    files = [
        {str(path.relative_to(of)): path.read_bytes() for path in of.rglob("*") if path.is_file()}
        for of in (expected, output)
    ]
    names = [name for name in files[0].keys() | files[1].keys() if files[0].get(name) != files[1].get(name)]
    return [f"{output}: {name} differs" for name in names]


def make_commands(directory: Path, names: Sequence[str]) -> dict[str, Callable[[Path], Command]]:
    """By name, what makes a command for an output directory. Each is first run once without a kill."""
    base, instruct = make_checkpoint_pair(directory / "pair", "llama", num_layers=8)
    reference = directory / "uninterrupted"
    slr = [sys.executable, "-m", "tests.programs.slr_command"]

    def search(output: Path) -> Command:
        words = [*slr, "search", str(base), str(instruct), "--wandb", "offline", "--output-dir", str(output)]
        return Command(
            words=[*words, "--device", "cpu"],
            output=output,
            check=lambda made: check_records(reference / "search", made),
            says_how_to_go_on="stopped; the same command goes on from the records that are there",
        )

    def build(output: Path) -> Command:
        words = [*slr, "build", str(base), str(instruct), "--layers", "2:5", "--verify", "--overwrite"]
        return Command(
            words=[*words, "--search-dir", str(reference / "search"), "--output", str(output)],
            output=output,
            check=lambda made: check_checkpoint(reference / "build", made),
            says_how_to_go_on="stopped; nothing unfinished is used, give the same command again",
        )

    def run_all(output: Path) -> Command:
        script = str(ROOT / "experiments" / "run_all.py")
        return Command(
            words=[sys.executable, script, "--smoke", "--families", "llama", "--output-dir", str(output)],
            output=output,
            check=lambda made: check_records(reference / "run_all", made),
            says_how_to_go_on=f"stopped; all records so far are in {output}, the same command goes on from there",
        )

    makers = {"search": search, "build": build, "run_all": run_all}
    return {name: makers[name] for name in makers if name in names}


def kill_commands(directory: Path, names: Sequence[str], kills: int, seed: int) -> Report:
    """Kill the commands in turn, until there were so many kills.

    Args:
        directory: to write into; nothing may be in it.
        names: of the commands, out of search, build and run_all.
        kills: how many.
        seed: of the moments and signals.
    """
    number = random.Random(seed)
    report = Report()
    seconds = {}
    # What is built shows the search's figures, so there must be one.
    commands = make_commands(directory, [*names, "search"])
    for name, make in commands.items():
        began = time.monotonic()
        command = make(directory / "uninterrupted" / name)
        if not any(_ends_by_itself(command, None, number, report) for _ in range(RETRIES)):
            report.problems.append(f"{' '.join(command.words)} did not end its work in {RETRIES} tries")
        seconds[name] = time.monotonic() - began
    turn = 0
    while report.kills < kills and not report.problems:
        name = names[turn % len(names)]
        output = directory / f"killed-{turn}" / name
        moments = iter(lambda name=name: number.uniform(0.05, 1) * seconds[name], None)
        kill_and_repeat(commands[name](output), moments, number, report)
        turn += 1
    return report


def main() -> int:
    """Parse the options, kill, and print what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="tests.kill_harness"
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--commands", default="search,build,run_all", help="comma-separated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--keep", type=Path, help="write here, and leave it; a temporary directory by default"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = options.keep or Path(scratch)
        report = kill_commands(directory, options.commands.split(","), options.kills, options.seed)
    print(report)
    return 1 if report.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())

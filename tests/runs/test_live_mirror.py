"""W&B while a run goes on: what it shows, and that its end, its hanging and every kill cost nothing but a repair.

The runs are real commands. W&B's own client writes its offline files, which W&B's own reader reads back, or talks to a
stand-in for the server.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from slr.runs.records import Samples
from slr.runs.results_store import ResultsStore
from tests.kill_harness import MARK, ROOT, processes_with
from tests.programs.slow_run import NAME, TOKENS
from tests.wandb_server import StoredRun, WandbServer, wandb_server

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="finds the processes of a run in /proc"),
]
NUM_CELLS = 4
NAME_SHOWN = f"{NAME}/tiny"
SECONDS = 0.2
"""Seconds of a cell."""
SAYS_REPAIR = "W&B has not got everything: the same command mirrors the rest from the records"


class SlowRun:
    """A run of ``tests.programs.slow_run`` with its mirror, half of whose cells wait until ``end`` is called."""

    def __init__(self, output_dir: Path, mode: str, *options: str, environment: dict[str, str]) -> None:
        self.output_dir = output_dir
        self.token = secrets.token_hex(8)
        self.gate = output_dir.with_name(f"gate {self.token}")
        words = ["tests/programs/with_signals.py", sys.executable, "-m", "tests.programs.slow_run"]
        self.process = subprocess.Popen(
            [sys.executable, *words, str(output_dir), mode, *options, "--gate", str(self.gate)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), MARK: self.token, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )

    def mirrors(self) -> list[int]:
        """Ids of the processes that mirror."""
        found = processes_with(self.token)
        return [pid for pid, words in found.items() if "slr.runs.mirror_process" in words]

    def kill_mirror(self) -> None:
        [pid] = wait_for(self.mirrors)
        os.kill(pid, signal.SIGKILL)

    def end(self, status: int = 0) -> str:
        """Let all cells run, wait for the command's end, and return what it said."""
        self.gate.touch()
        _, said = self.process.communicate(timeout=120)
        assert self.process.returncode == status, said
        return said

    def wait_until_all_are_gone(self, seconds: float = 30) -> None:
        wait_for(lambda: not processes_with(self.token), seconds)


@pytest.fixture
def run(tmp_path: Path) -> Generator[Callable[..., SlowRun]]:
    """Starts runs on one output directory, and kills what is left of them in the end."""
    started: list[SlowRun] = []
    (tmp_path / "home").mkdir()

    def start(mode: str, *options: str, server: WandbServer | None = None) -> SlowRun:
        environment = {"HOME": str(tmp_path / "home"), **(server.environment if server else {})}
        words = [str(NUM_CELLS), str(SECONDS), *options]
        started.append(SlowRun(tmp_path / "out", mode, *words, environment=environment))
        return started[-1]

    yield start
    for each in started:
        for pid in processes_with(each.token):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        each.process.communicate()


def wait_for(found: Callable[[], Any], seconds: float = 120) -> Any:
    """Wait until something is found."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return value


def cells_on(server: WandbServer) -> list[int]:
    """Numbers of the cells that the server knows of, in the order of its history."""
    with server.lock:
        runs = [stored for stored in server.runs.values() if stored.name == NAME_SHOWN]
        rows = [row for stored in runs for row in stored.rows()]
    return [row["progress/cells_done"] for row in rows if "progress/cells_done" in row]


def check_whole(stored: StoredRun, exit_codes: list[int], versions: int = 1) -> None:
    """See that the server has a run once, with every step once, and that many versions of the records."""
    rows = stored.rows()
    assert [row["_step"] for row in rows] == [*range(1, 2 * NUM_CELLS + 1)]
    assert [row.get("progress/cells_done") for row in rows[:NUM_CELLS]] == [*range(1, NUM_CELLS + 1)]
    assert [row.get("slow/c/number") for row in rows[NUM_CELLS:]] == [*range(NUM_CELLS)]
    assert stored.summary["slow/instruct/records"] == NUM_CELLS
    assert stored.summary["slow/methods"]["_type"] == "table-file"
    assert stored.artifacts.count(("slow-tiny", "records")) == versions
    assert stored.exit_codes == exit_codes


def check_records(output_dir: Path) -> None:
    records = ResultsStore(output_dir / f"{NAME}.jsonl").read()
    assert len([record for record in records if isinstance(record, Samples)]) == NUM_CELLS


def read_offline(output_dir: Path) -> list[dict[str, Any]]:
    """All entries of the only offline run, as W&B's own reader prints them."""
    [file] = output_dir.glob("wandb/offline-run-*/*.wandb")
    command = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json", str(file)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


def check_whole_offline(output_dir: Path) -> None:
    entries = read_offline(output_dir)
    rows = [entry["history"]["item"] for entry in entries if entry["type"] == "history"]
    assert [row["_step"] for row in rows] == [*range(1, 2 * NUM_CELLS + 1)]
    assert [row.get("progress/cells_done") for row in rows[:NUM_CELLS]] == [*range(1, NUM_CELLS + 1)]
    artifacts = [entry["artifact"]["name"] for entry in entries if entry["type"] == "artifact"]
    assert artifacts.count("slow-tiny") == 1
    assert "exit" in {entry["type"] for entry in entries}


@pytest.mark.long  # it waits for W&B
def test_a_run_is_seen_while_it_goes_on(run: Callable[..., SlowRun]) -> None:
    with wandb_server() as server:
        started = run("online", server=server)
        wait_for(lambda: cells_on(server) == [1, 2])
        wait_for(lambda: "slow/latest_texts" in server.run(NAME_SHOWN).summary)
        wait_for(lambda: server.run(NAME_SHOWN).rows("wandb-events.jsonl"))  # the use of the machine
        assert started.end().count("W&B: ") == 0
        stored = server.run(NAME_SHOWN)
        check_whole(stored, [0])
        row = stored.rows()[1]
        assert 0.9 * SECONDS < row["progress/seconds_of_cell"] < 30  # longer on a machine that does much else
        assert row["progress/tokens_per_second"] == pytest.approx(TOKENS / row["progress/seconds_of_cell"])
        assert row["progress/seconds_left_of_all_runs"] > 0
        assert {row["progress/cells"], row["progress/cells_of_all_runs"]} == {NUM_CELLS}
        assert stored.alerts == ["Done"]
        assert server.unknown == set()
        assert run("online", server=server).end().count("W&B: ") == 0
        assert stored.times_opened == server.run(NAME_SHOWN).times_opened
        check_whole(stored, [0])


def test_a_cell_that_fails_is_an_alert_and_the_next_run_takes_the_place(
    run: Callable[..., SlowRun],
) -> None:
    with wandb_server() as server:
        run("online", "--fails", "2", server=server).end(status=1)
        assert server.run(NAME_SHOWN).alerts == ["Cell failed", "Ended with failures"]
        assert server.run(NAME_SHOWN).exit_codes == [1]
        assert cells_on(server) == [1, 2, 3]
        run("online", server=server).end()
        check_whole(server.run(NAME_SHOWN), [1, 0], versions=2)


@pytest.mark.long  # it waits for W&B
@pytest.mark.parametrize("killed", ["the work", "the mirror", "both"])
def test_after_a_kill_the_server_has_every_step_once(
    run: Callable[..., SlowRun], tmp_path: Path, killed: str
) -> None:
    with wandb_server() as server:
        first = run("online", server=server)
        wait_for(lambda: len(cells_on(server)) == NUM_CELLS // 2)
        if killed != "the work":
            first.kill_mirror()
        if killed != "the mirror":
            first.process.kill()
            first.process.wait()
        else:
            assert SAYS_REPAIR not in first.end()  # another mirror has taken its place
        first.wait_until_all_are_gone()
        if killed != "the mirror":
            assert len(cells_on(server)) == NUM_CELLS // 2
            stored = server.run(NAME_SHOWN)
            assert (stored.alerts, stored.exit_codes) == (
                (["Stopped"], [1]) if killed == "the work" else ([], [])
            )
            run("online", server=server).end()
        check_whole(server.run(NAME_SHOWN), [1, 0] if killed == "the work" else [0])
        assert len(server.runs) == 1
    check_records(tmp_path / "out")


@pytest.mark.long  # it waits for W&B
@pytest.mark.parametrize("killed", ["the work", "the mirror", "both"])
def test_after_a_kill_there_is_one_offline_run_with_every_step_once(
    run: Callable[..., SlowRun], tmp_path: Path, killed: str
) -> None:
    output_dir = tmp_path / "out"
    first = run("offline")
    steps = output_dir / "wandb" / "steps.json"
    wait_for(lambda: steps.exists() and "tiny/0" in steps.read_text())
    if killed != "the work":
        first.kill_mirror()
    if killed != "the mirror":
        first.process.kill()
        first.process.wait()
    else:
        first.end()
    first.wait_until_all_are_gone()
    if killed == "the work":
        alerts = [entry["alert"]["title"] for entry in read_offline(output_dir) if entry["type"] == "alert"]
        assert alerts == ["Stopped"]
    if killed != "the mirror":
        run("offline").end()
    check_whole_offline(output_dir)
    check_records(output_dir)


@pytest.mark.long  # it waits for W&B
def test_ctrl_c_ends_the_command_at_once_and_the_mirror_a_little_later(
    run: Callable[..., SlowRun], tmp_path: Path
) -> None:
    with wandb_server() as server:
        started = run("online", server=server)
        wait_for((tmp_path / "out" / "wandb" / "steps.json").exists)
        began = time.monotonic()
        started.process.send_signal(signal.SIGINT)
        assert "the same command goes on" in started.end(status=130)
        assert time.monotonic() - began < 30  # two, on a machine that has nothing else to do
        started.wait_until_all_are_gone()
        assert server.run(NAME_SHOWN).alerts == ["Stopped"]


@pytest.mark.long  # it waits for W&B
@pytest.mark.parametrize("behaviour", ["hangs", "fails"])
def test_a_server_that_gives_no_answers_stops_no_work_and_is_given_the_rest_by_the_next_run(
    run: Callable[..., SlowRun], tmp_path: Path, behaviour: Any
) -> None:
    with wandb_server() as server:
        started = run("online", "--notice", "3", server=server)
        wait_for(lambda: cells_on(server))
        server.behaviour = behaviour
        began = time.monotonic()
        said = started.end()
        assert time.monotonic() - began < 60
        assert said.count(SAYS_REPAIR) == 1
        check_records(tmp_path / "out")
        started.wait_until_all_are_gone()
        server.behaviour = "works"
        server.ends.set()
        assert run("online", server=server).end().count(SAYS_REPAIR) == 0
        check_whole(server.run(NAME_SHOWN), [0])
        assert len(server.runs) == 1


def test_without_an_account_nothing_begins(run: Callable[..., SlowRun], tmp_path: Path) -> None:
    said = run("online").end(status=1)
    assert "ValueError: W&B knows no account" in said
    assert not (tmp_path / "out").exists()


@contextmanager
def full_disk() -> Generator[None]:
    """A limit on the size of files, which the processes that are started inherit."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_without_room_for_the_mirror_is_an_error_and_loses_no_record(
    run: Callable[..., SlowRun], tmp_path: Path
) -> None:
    with full_disk():
        started = run("offline")
    said = started.end(status=1)
    assert said.count("error: the mirror for W&B cannot be written to") == 1
    check_records(tmp_path / "out")
    run("offline").end()
    check_whole_offline(tmp_path / "out")

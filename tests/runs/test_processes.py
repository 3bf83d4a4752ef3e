from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from torch.distributed import HashStore  # pyright: ignore[reportPrivateImportUsage]  # documented there

from slr.runs.device import choose_device_and_dtype
from slr.runs.experiment import RunSettings
from slr.runs.processes import ALONE, Processes, count_parts, divide, launched_processes


def test_every_item_is_in_one_part():
    costs = [5.0, 1.0, 4.0, 1.0, 3.0, 3.0, 0.0]
    for num_parts in (1, 2, 3, 7, 9):
        parts = divide(costs, num_parts)
        assert sorted(index for part in parts for index in part) == list(range(7))
        assert len(parts) == num_parts
        assert all(part == sorted(part) for part in parts)
    assert divide([], 2) == [[], []]


def test_parts_cost_about_the_same():
    """At most 4/3 of the best there is: Graham 1969 of the longest-processing-time rule, here by trying all."""
    costs = [7.0, 6.0, 5.0, 5.0, 4.0, 4.0, 2.0]
    for num_parts in (2, 3):
        best = min(
            max(sum(c for c, p in zip(costs, parts, strict=True) if p == part) for part in range(num_parts))
            for parts in product(range(num_parts), repeat=len(costs))
        )
        largest = max(sum(costs[index] for index in part) for part in divide(costs, num_parts))
        assert best <= largest <= 4 / 3 * best


def test_what_is_dear_for_the_processes_is_divided():
    """Two processes take 32 parts of 2 s or less; one process divides nothing."""
    assert count_parts([40.0, 21.0, 2.0, 1.0, 0.0], 2) == [20, 11, 1, 1, 1]
    assert count_parts([40.0, 24.0], 1) == [1, 1]
    assert count_parts([0.0, 0.0], 3) == [1, 1]
    assert count_parts([], 3) == []


def test_each_item_is_dealt_once_and_the_dearest_first():
    counters = HashStore()
    first, second = (Processes(index=index, count=2, counters=counters) for index in range(2))
    for _ in range(2):  # each deal has a counter of its own
        ours, theirs = first.deal("abcd", [1, 4, 2, 1]), second.deal("abcd", [1, 4, 2, 1])
        assert [next(ours), next(theirs), next(theirs)] == ["b", "c", "a"]
        assert [*ours, *theirs] == ["d"]
    assert list(ALONE.deal("abcd", [1, 4, 2, 1])) == list("abcd")


def test_one_process_gathers_what_it_gives():
    assert ALONE.gather([1, 2]) == [1, 2]
    assert ALONE.from_main(lambda: "made") == "made"
    ALONE.wait_for_everyone()


def test_without_a_launcher_nothing_is_imported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert launched_processes() is ALONE
    code = (
        "import sys; from slr.runs.processes import ALONE, launched_processes; "
        "assert launched_processes() is ALONE; assert not {'torch', 'accelerate'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    on_cpu = torch.empty(0)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: on_cpu)
    second = Processes(index=5, count=8, local_index=1, local_count=2)
    assert choose_device_and_dtype(None, None, second) == ("cuda:1", None)
    assert choose_device_and_dtype(None, None) == ("cuda", None)
    assert choose_device_and_dtype("cuda:0", None, second) == ("cuda:0", None)
    with pytest.raises(ValueError, match="3 processes were launched on a machine with 2 GPUs"):
        choose_device_and_dtype(None, None, Processes(index=0, count=3, local_count=3))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device_and_dtype(None, None, second) == ("cpu", torch.float32)


def test_a_device_map_is_for_one_process_a_machine(tmp_path: Path):
    two_machines = Processes(index=1, count=2)
    assert RunSettings(output_dir=tmp_path, device_map="auto", processes=two_machines).device_map == "auto"
    with pytest.raises(ValueError, match="launch one process a machine"):
        RunSettings(output_dir=tmp_path, device_map="auto", processes=Processes(count=2, local_count=2))

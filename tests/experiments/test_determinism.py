"""What records depend on, and what not: neither on the run, nor (but for rounding) on threads and memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from slr.cli import main
from slr.models.presets import PRESETS, Preset
from slr.models.reference import ModelReference, PairSpec
from slr.runs.records import AnyRecord, CrcScore, CrcSelection
from slr.runs.results_store import stores_in
from tests.conftest import CheckpointPairs

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-5
"""Of validities and diversities, in float32: the order of additions is another one."""


@pytest.fixture(autouse=True)
def tiny_preset(checkpoint_pairs: CheckpointPairs, monkeypatch: pytest.MonkeyPatch) -> None:
    base, instruct = checkpoint_pairs("llama", num_layers=4)
    spec = PairSpec(
        name="tiny-llama",
        family="llama",
        base=ModelReference(str(base)),
        instruct=ModelReference(str(instruct)),
        num_layers=4,
        num_parameters=None,
    )
    monkeypatch.setitem(PRESETS, "testbed", Preset("testbed", (spec,), "tiny"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(name: str, output_dir: Path) -> list[AnyRecord]:
    assert main(["run", name, "--smoke", "--wandb", "disabled", "--output-dir", str(output_dir)]) == 0
    return [record for store in stores_in(output_dir) for record in store.read()]


def without_times(record: AnyRecord) -> str:
    """The line of a record, as it is in the file, without when it was made and how long that took."""
    times = {"provenance": {"created_at", "took"}, "seconds": True, "peak_memory_bytes": True}
    return record.model_dump_json(exclude=times)


def assert_close(found: Sequence[float | None], expected: Sequence[float | None]) -> None:
    numbers = (np.array(values, dtype=np.float64) for values in (found, expected))  # None becomes NaN
    np.testing.assert_allclose(*numbers, rtol=0, atol=TOLERANCE)


@pytest.mark.usefixtures("one_thread")
def test_two_runs_write_the_same_but_for_times(tmp_path: Path) -> None:
    """A search, and samples that build on it."""
    first, second = (run("open_qa", tmp_path / name) for name in ("first", "second"))
    assert {record.kind for record in first} >= {"crc_score", "crc_selection", "samples"}
    assert [without_times(record) for record in first] == [without_times(record) for record in second]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("how", ["two threads", "little memory"])
def test_threads_and_memory_change_no_choice_and_numbers_only_in_the_last_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    expected = run("crc_search", tmp_path / "expected")
    if how == "two threads":
        torch.set_num_threads(2)
    else:
        monkeypatch.setattr("slr.crc.tree_forward.memory_budget", lambda _model: 400_000)
    found = {record.key: record for record in run("crc_search", tmp_path / "found")}
    for record in expected:
        other = found[record.key]
        if isinstance(record, CrcSelection):
            assert isinstance(other, CrcSelection)
            assert (other.interval, other.soup_alpha) == (record.interval, record.soup_alpha)
        if isinstance(record, CrcScore):
            assert isinstance(other, CrcScore)
            assert_close(other.validity, record.validity)
            assert_close(other.diversity, record.diversity)

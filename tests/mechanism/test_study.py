"""The mechanism of a shipped pair: complete, resumed to equal records, and drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from slr.analysis.figures.mechanism import mechanism as draw
from slr.analysis.load_results import Results
from slr.analysis.tables.mechanism import mechanism as tabulate
from slr.crc.study import SMOKE, crc_experiment
from slr.mechanism.study import mechanism_experiment
from slr.models.presets import find_pair
from slr.runs.experiment import RunSettings, store_of
from slr.runs.records import AnyRecord, LogitLens, WeightChange
from slr.runs.results import of_kind
from slr.runs.run_experiments import run_experiment

SPEC = find_pair("testbed-gemma")
EXPERIMENT = mechanism_experiment("mechanism", "?", SMOKE)


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    """After a search."""
    made = RunSettings(output_dir=tmp_path, dtype=torch.float32)
    run_experiment(crc_experiment(SMOKE), SPEC, made)
    return made


def run(settings: RunSettings) -> list[AnyRecord]:
    assert not run_experiment(EXPERIMENT, SPEC, settings).failed
    return store_of(EXPERIMENT, settings.output_dir).read()


def test_all_is_measured_resumed_mirrored_and_drawn(settings: RunSettings) -> None:
    records = run(settings)
    (change,) = of_kind(records, WeightChange)
    lenses = of_kind(records, LogitLens)
    assert [lens.model for lens in lenses] == ["instruct", "base", "hybrid", "soup"]
    assert all(len(lens.entropy) == SPEC.num_layers == change.num_layers for lens in lenses)
    path = settings.output_dir / "mechanism.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + "".join(lines[2::2]))
    again = {record.key: record.model_dump(exclude={"provenance"}) for record in run(settings)}
    assert again == {record.key: record.model_dump(exclude={"provenance"}) for record in records}

    assert EXPERIMENT.mirror is not None
    mirror = EXPERIMENT.mirror(records, SPEC.name)
    base = next(lens for lens in lenses if lens.model == "base")
    assert mirror.summary["base/entropy_at_the_end"] == pytest.approx(
        sum(value for value in base.entropy[-1] if value is not None) / 4
    )
    results = Results(tuple(records))
    above, below = draw(results).axes
    assert [np.asarray(line.get_ydata())[3] for line in above.lines] == [
        change.attention[3],
        change.mlp[3],
        change.norms[3],
    ]
    assert len(below.lines) == 4
    table = tabulate(results)
    assert len(table.rows) == change.num_layers
    restored = [row[1] for row in table.rows if row[2] == "yes"]
    assert lenses[2].interval is not None
    assert restored == list(range(*lenses[2].interval))

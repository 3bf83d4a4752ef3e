"""Score pairs that were trained from another seed: ``python -m slr.testbed.seeds --pairs-dir DIR``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer

from slr.crc.study import FULL, crc_experiment
from slr.models.packaged import TESTBED_NAMES, TestbedName
from slr.models.reference import ModelReference, PairSpec
from slr.runs.experiment import RunSettings, store_of
from slr.runs.records import AnyRecord, CrcScore, SearchCost
from slr.runs.run_experiments import run_experiments
from slr.stability.study import StabilityConfig, stability_experiment
from slr.terminal.command_line import run_function
from slr.testbed.seeds import SUFFIX, TrainedPair, write_scores


def score_pair(family: TestbedName, directory: Path) -> tuple[TrainedPair, list[AnyRecord]]:
    """Score a trained pair as the experiments score the shipped one.

    Args:
        family: its family.
        directory: directory with ``base``, ``instruct`` and ``training.json``.

    Returns:
        How it was trained, and its records.

    Raises:
        RuntimeError: if a cell of the experiments fails.
    """
    training = json.loads((directory / "training.json").read_text(encoding="utf-8"))
    spec = PairSpec(
        name=f"testbed-{family}",
        family=family,
        base=ModelReference(str(directory / "base")),
        instruct=ModelReference(str(directory / "instruct")),
        num_layers=training["num_layers"],
        num_parameters=training["num_parameters"],
    )
    experiments = [
        crc_experiment(FULL),
        stability_experiment("stability", "How stable is the search's choice?", StabilityConfig(crc=FULL)),
    ]
    with tempfile.TemporaryDirectory() as results:
        # In float32, as experiments run on a CPU.
        settings = RunSettings(output_dir=Path(results), dtype=torch.float32)
        outcomes = run_experiments(experiments, spec, settings)
        if failed := [cell for outcome in outcomes for cell in outcome.failed]:
            raise RuntimeError(f"failed: {', '.join(failed)}")
        records = [r for experiment in experiments for r in store_of(experiment, settings.output_dir).read()]
    trained = TrainedPair(pair=spec.name, seed=training["config"]["seed"], training=training)
    return trained, [record for record in records if _is_kept(record)]


def _is_kept(record: AnyRecord) -> bool:
    """Whether the record is about the choice. Scores with min-p would double the size of the files."""
    return not isinstance(record, SearchCost) and not (
        isinstance(record, CrcScore) and record.min_p is not None
    )


def score_all(
    pairs_dir: Annotated[
        Path, typer.Option(help="holds a directory for each family, as training writes them")
    ],
    output_dir: Annotated[Path, typer.Option(help="gets a file for each family")] = Path(__file__).parent,
) -> None:
    """Score every pair in a directory whose training is complete.

    Args:
        pairs_dir: directory that holds a directory for each family.
        output_dir: directory that gets a file for each family.

    Raises:
        ValueError: if there is no complete pair.
    """
    # Training writes training.json last.
    families: list[TestbedName] = [
        family for family in TESTBED_NAMES if (pairs_dir / family / "training.json").is_file()
    ]
    if not families:
        raise ValueError(
            f"there is no {pairs_dir}/FAMILY/training.json: train pairs with "
            f"python -m slr.testbed.training --seed 1 --output-dir {pairs_dir}"
        )
    for family in families:
        trained, records = score_pair(family, pairs_dir / family)
        write_scores(output_dir / f"{family}-{trained.seed}{SUFFIX}", trained, records)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return run_function(
        score_all, arguments, "Score the testbed's pairs that were trained from another seed."
    )


if __name__ == "__main__":
    raise SystemExit(main())

"""A mirror of the records in Weights & Biases: one run for each experiment and pair.

The records on disk are the truth; a mirror is made from them when a pair is finished, and can be made again.
Offline, nothing is sent and no account is needed: look at it with ``wandb leet OUTPUT_DIR/wandb`` and send
it later with ``wandb sync``. All that W&B writes stays under OUTPUT_DIR/wandb:

    wandb/offline-run-*/    the runs
    wandb/mirrored.json     which records each run shows, so that an unchanged result makes no second run

Names: run ``EXPERIMENT/PAIR``, group ``EXPERIMENT``, job type ``experiment``, tags family and preset.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from slr.experiment import Experiment, store_of
from slr.model_pairs import PairSpec
from slr.records import AnyRecord, Failure

WandbMode = Literal["offline", "online", "disabled"]
PROJECT = "slr"


def mirror_pair(
    experiment: Experiment, spec: PairSpec, output_dir: Path, mode: WandbMode, images: Sequence[Path] = ()
) -> bool:
    """Mirror one pair's records to a run of its own, unless they have not changed since the last time.

    A failure of W&B is told on stderr and otherwise ignored, for nothing is lost by it.

    Returns:
        Whether a run was made.
    """
    if mode == "disabled":
        return False
    store = store_of(experiment, output_dir)
    records = [r for r in store.read() if r.pair == spec.name and not isinstance(r, Failure)]
    fingerprint = _fingerprint(records, mode)
    marks_file = output_dir / "wandb" / "mirrored.json"
    marks = json.loads(marks_file.read_text(encoding="utf-8")) if marks_file.exists() else {}
    run_name = f"{experiment.name}/{spec.name}"
    if not records or marks.get(run_name) == fingerprint:
        return False
    try:
        _log_run(experiment, spec, records, output_dir, mode, images, fingerprint)
    except Exception as error:  # the records are safe whatever W&B does
        print(f"W&B: {run_name} was not mirrored: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    marks_file.write_text(json.dumps(marks | {run_name: fingerprint}, indent=2) + "\n", encoding="utf-8")
    return True


def _fingerprint(records: Sequence[AnyRecord], mode: WandbMode) -> str:
    content = "\n".join([mode, *(record.model_dump_json() for record in records)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _log_run(
    experiment: Experiment,
    spec: PairSpec,
    records: Sequence[AnyRecord],
    output_dir: Path,
    mode: WandbMode,
    images: Sequence[Path],
    fingerprint: str,
) -> None:
    directory = (output_dir / "wandb").resolve()
    directory.mkdir(parents=True, exist_ok=True)
    # Before the import: W&B would otherwise stage artifacts and settings in the user's home.
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR"):
        os.environ.setdefault(variable, str(directory / "staging"))
    import wandb

    mirror = experiment.mirror(records, spec.name)
    run = wandb.init(
        project=PROJECT,
        mode=mode if mode == "online" else "offline",
        dir=str(output_dir.resolve()),
        id=f"{experiment.name}-{spec.name}-{fingerprint}",
        name=f"{experiment.name}/{spec.name}",
        group=experiment.name,
        job_type="experiment",
        tags=[spec.family, output_dir.name],
        config=_config(experiment, spec, records),
        settings=wandb.Settings(silent=True, disable_git=True, x_disable_stats=True, console="off"),
    )
    try:
        for name, (columns, rows) in mirror.tables.items():
            run.log({name: wandb.Table(columns=columns, data=rows)})
        for image in images:
            run.log({f"figures/{image.stem}": wandb.Image(str(image))})
        run.summary.update({name: value for name, value in mirror.summary.items() if value is not None})
        _log_artifact(wandb, run, experiment, spec, records)
    finally:
        run.finish()


def _config(experiment: Experiment, spec: PairSpec, records: Sequence[AnyRecord]) -> dict[str, Any]:
    return {
        "experiment": asdict(experiment.config),
        "question": experiment.question,
        "pair": asdict(spec),
        "provenance": records[-1].provenance.model_dump(),
    }


def _log_artifact(
    wandb: Any, run: Any, experiment: Experiment, spec: PairSpec, records: Sequence[AnyRecord]
) -> None:
    artifact = wandb.Artifact(f"{experiment.name}-{spec.name}", type="records")
    with artifact.new_file(f"{experiment.name}.jsonl", mode="w") as file:
        file.writelines(record.model_dump_json() + "\n" for record in records)
    run.log_artifact(artifact)

"""A mirror of the records in Weights & Biases: one run for each experiment and pair.

The records on disk are the truth; a mirror is made from them at the end, and can be made again. Offline,
nothing is sent and no account is needed: look at it with ``wandb leet OUTPUT_DIR/wandb`` and send it later
with ``wandb sync OUTPUT_DIR/wandb/offline-run-*``. All that W&B writes stays under OUTPUT_DIR/wandb:

    wandb/offline-run-*/    the runs
    wandb/staging/          artifacts and caches
    wandb/mirrored.json     what each run shows, so that an unchanged result makes no second run

Names: run ``EXPERIMENT/PAIR``, group ``EXPERIMENT``, tags family and preset. The run's id follows from
experiment, pair and configuration, so that a mirror made again replaces the older one on a server.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from slr.experiment import Experiment, store_of
from slr.model_pairs import PairSpec
from slr.records import AnyRecord, Failure, PairInfo

WandbMode = Literal["offline", "online", "disabled"]
PROJECT = "slr"

OFFLINE_INSTEAD = "Or choose offline, and send the runs later with `wandb sync`"


def check_account(mode: WandbMode, output_dir: Path) -> None:
    """Nothing unless the mode is ``online``: then see that there is an account, before work is done for it.

    Raises:
        ValueError: if no key is known, or the server does not accept it or cannot be reached.
    """
    if mode != "online":
        return
    with _environment(output_dir, mode):
        import wandb

        try:
            known = wandb.login(prompt=False)
        except wandb.Error as error:
            raise ValueError(f"W&B cannot be used online: {error}. {OFFLINE_INSTEAD}") from None
    if not known:
        raise ValueError(f"W&B knows no account: run `wandb login` first. {OFFLINE_INSTEAD}")


def mirror_pair(
    experiment: Experiment,
    spec: PairSpec,
    output_dir: Path,
    mode: WandbMode,
    images: Sequence[Path] = (),
    tags: Sequence[str] = (),
) -> bool:
    """Mirror one pair's records to a run of its own, unless nothing has changed since the last time.

    A failure of W&B is told on stderr and otherwise ignored, for nothing is lost by it.

    Args:
        experiment: what was run.
        spec: the pair.
        output_dir: where its records are.
        mode: ``offline`` touches no network; ``disabled`` does nothing.
        images: pictures to show. A call without any does not undo an earlier one with some.
        tags: beside the family.

    Returns:
        Whether a run was made.
    """
    if mode == "disabled":
        return False
    run_name = f"{experiment.name}/{spec.name}"
    try:
        records = [
            record
            for record in store_of(experiment, output_dir).read()
            if record.pair == spec.name and not isinstance(record, Failure)
        ]
        marks_file = output_dir / "wandb" / "mirrored.json"
        marks = json.loads(marks_file.read_text(encoding="utf-8")) if marks_file.exists() else {}
        mark = marks.get(run_name, {}) | _fingerprints(records, images, mode)
        if not records or mark == marks.get(run_name):
            return False
        check_account(mode, output_dir)  # without one, W&B would ask for it, and wait
        with _environment(output_dir, mode):
            _log_run(experiment, spec, records, output_dir, mode, images, tags)
        marks_file.write_text(json.dumps(marks | {run_name: mark}, indent=2) + "\n", encoding="utf-8")
    except Exception as error:  # the records are safe whatever W&B does
        print(f"W&B: {run_name} was not mirrored: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    return True


def _fingerprints(records: Sequence[AnyRecord], images: Sequence[Path], mode: str) -> dict[str, str]:
    content = "\n".join(record.model_dump_json() for record in records)
    fingerprints = {"mode": mode, "records": _digest(content.encode())}
    if images:
        fingerprints["images"] = _digest(b"".join(image.read_bytes() for image in images))
    return fingerprints


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


@contextmanager
def _environment(output_dir: Path, mode: Literal["offline", "online"]) -> Iterator[None]:
    """Have W&B write below the output directory, where it would use the user's home otherwise."""
    directory = (output_dir / "wandb").resolve()
    staging = directory / "staging"
    staging.mkdir(parents=True, exist_ok=True)
    variables = {
        "WANDB_DIR": str(directory.parent),
        "WANDB_DATA_DIR": str(staging),
        "WANDB_CACHE_DIR": str(staging),
        "WANDB_ARTIFACT_DIR": str(staging),
    }
    if mode == "offline":  # online, the user's settings are needed: they may name a server and a team
        variables["WANDB_CONFIG_DIR"] = str(staging)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        _restore_environment(before)


def _restore_environment(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _log_run(
    experiment: Experiment,
    spec: PairSpec,
    records: Sequence[AnyRecord],
    output_dir: Path,
    mode: Literal["offline", "online"],
    images: Sequence[Path],
    tags: Sequence[str],
) -> None:
    import wandb

    run = wandb.init(
        project=PROJECT,
        mode=mode,
        dir=str(output_dir.resolve()),
        id=_run_id(experiment, spec, records),
        name=f"{experiment.name}/{spec.name}",
        group=experiment.name,
        job_type=experiment.job_type,
        tags=[spec.family, *tags],
        config=_config(experiment, spec, records),
        settings=wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
        ),
    )
    try:
        _log_content(wandb, run, experiment, spec, records, images)
    finally:
        run.finish()


def _log_content(
    wandb: Any,
    run: Any,
    experiment: Experiment,
    spec: PairSpec,
    records: Sequence[AnyRecord],
    images: Sequence[Path],
) -> None:
    if experiment.mirror is not None:
        mirror = experiment.mirror(records, spec.name)
        run.log(
            {name: wandb.Table(columns=columns, data=rows) for name, (columns, rows) in mirror.tables.items()}
        )
        for name, (columns, rows) in mirror.curves.items():
            _log_curve(run, name, columns, rows)
        run.summary.update({name: value for name, value in mirror.summary.items() if value is not None})
    if images:
        run.log({f"figures/{image.stem}": wandb.Image(str(image)) for image in images})
    artifact = wandb.Artifact(f"{experiment.name}-{spec.name}", type="records")
    with artifact.new_file(f"{experiment.name}.jsonl", mode="w") as file:
        file.writelines(record.model_dump_json() + "\n" for record in records)
    run.log_artifact(artifact)


def _log_curve(run: Any, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    run.define_metric(f"{name}/*", step_metric=f"{name}/{columns[0]}", summary="none")
    for row in rows:
        values = zip(columns, row, strict=True)
        run.log({f"{name}/{column}": value for column, value in values if value is not None})


def _run_id(experiment: Experiment, spec: PairSpec, records: Sequence[AnyRecord]) -> str:
    content = f"{experiment.name}/{spec.name}/{records[0].provenance.config_hash}"
    return _digest(content.encode())


def _config(experiment: Experiment, spec: PairSpec, records: Sequence[AnyRecord]) -> dict[str, Any]:
    config = {
        "experiment": asdict(experiment.config),
        "question": experiment.question,
        "pair": asdict(spec),
        "provenance": records[-1].provenance.model_dump(),
    }
    for record in records:
        if isinstance(record, PairInfo):
            config["pair"] = record.model_dump(exclude={"provenance"})
    return config

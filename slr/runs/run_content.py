"""The content of a run in Weights & Biases, made from records; docs/wandb.md explains the names."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from slr.models.presets import preset_of
from slr.models.reference import PairSpec
from slr.runs.experiment import AnyExperiment, RunMirror
from slr.runs.records import AnyRecord, PairInfo
from slr.runs.wandb_files import SPARE_BYTES

VERDICTS = "verdicts"
"""Name of the runs that say what all experiments together show of the claims."""
RECORDS = "records"
"""Type of an artifact with results."""
SMOKE_RECORDS = "smoke-records"
"""Type of an artifact of a smoke run, whose numbers mean nothing."""

LONGEST_PAIR_NAME = 64
"""Number of characters of a pair in an artifact's name. W&B allows 128 characters in all."""
LONGEST_PAIR_IN_ID = 32
"""Number of characters of a pair in a run's id. W&B allows 64 characters in all."""
_UNFIT_FOR_ARTIFACTS = re.compile(r"[^A-Za-z0-9._-]")


def logged_name(experiment: str, name: str) -> str:
    """The name in W&B of a figure that the experiment's mirror calls ``name``."""
    return f"{experiment}/{_in_wandb_characters(name)}"


def named_for_wandb(experiment: str, mirror: RunMirror) -> RunMirror:
    """Rename all parts of a mirror as W&B has them: below the experiment's name, in W&B's own characters.

    Raises:
        ValueError: if two parts get the same name.
    """
    return RunMirror(
        summary=_renamed(experiment, mirror.summary),
        tables=_renamed(experiment, mirror.tables),
        curves={
            name: ([_in_wandb_characters(column) for column in columns], rows)
            for name, (columns, rows) in _renamed(experiment, mirror.curves).items()
        },
    )


def _renamed(experiment: str, values: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {logged_name(experiment, name): value for name, value in values.items()}
    if len(renamed) < len(values):
        raise ValueError(
            f"two of {', '.join(values)} have the same name in W&B: give them names that differ more"
        )
    return renamed


def _in_wandb_characters(name: str) -> str:
    """Keep lower-case letters, digits and underscores, because W&B sorts and filters by no other names; ``/`` stays."""
    parts = name.lower().replace("@", " at ").split("/")
    return "/".join(re.sub("[^a-z0-9]+", "_", part).strip("_") for part in parts)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file that a run keeps.

    Attributes:
        name: the artifact's name.
        type: the artifact's type.
        file_name: name of the file in it.
        content: what the file holds.
    """

    name: str
    type: str
    file_name: str
    content: str


@dataclass(frozen=True, kw_only=True)
class RunContent:
    """The content of one run in W&B.

    Attributes:
        experiment: name of the experiment, which precedes every name in the run.
        job_type: what kind of work it is.
        spec: the pair.
        family: family of the pair's architecture; None if it is not known.
        content: all that the run shows, except pictures; an equal content needs no new run.
        mirror: makes the metrics, tables and curves; None if there are none.
        version: a text that differs between runs that must not replace each other.
        config: the run's configuration, besides the keys to group and filter by.
        images: the pictures.
        artifact: the records; None if the run keeps none.
        smoke: whether the numbers mean nothing.
    """

    experiment: str
    job_type: str
    spec: PairSpec
    family: str | None
    content: str
    mirror: Callable[[], RunMirror] | None
    version: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    images: Sequence[Path] = ()
    artifact: Artifact | None = None
    smoke: bool = False

    @property
    def name(self) -> str:
        """The name shown."""
        return f"{self.experiment}/{self.spec.name}"

    @property
    def id(self) -> str:
        """The run's id, by which it is readable in lists of files and found again on a server."""
        pair = _UNFIT_FOR_ARTIFACTS.sub("-", self.spec.name)[:LONGEST_PAIR_IN_ID]
        return f"{self.experiment}-{pair}-{digest(f'{self.name}/{self.version}'.encode())[:8]}"

    @property
    def fingerprints(self) -> dict[str, str]:
        """Digests of what is shown: equal ones need no new run."""
        found = {"records": digest(self.content.encode())}
        if self.images:
            found["images"] = digest(b"".join(image.read_bytes() for image in self.images))
        return found

    @property
    def num_bytes(self) -> int:
        """Estimate of the run's size on disk: W&B stores records and pictures twice, and tables once more."""
        return SPARE_BYTES + 3 * len(self.content) + 2 * sum(image.stat().st_size for image in self.images)

    @property
    def tags(self) -> list[str]:
        """Labels to filter by."""
        labels: Iterable[str | None] = (
            self.family,
            preset_of(self.spec.name),
            "smoke" if self.smoke else None,
        )
        return [label for label in labels if label is not None]

    @property
    def whole_config(self) -> dict[str, Any]:
        """The configuration, with the keys to group and filter by."""
        return {
            "family": self.family,
            "preset": preset_of(self.spec.name),
            "size": "smoke" if self.smoke else "full",
            **self.config,
        }


def run_of_records(
    experiment: AnyExperiment,
    spec: PairSpec,
    records: Sequence[AnyRecord],
    images: Sequence[Path],
    smoke: bool,
) -> RunContent:
    """The content of the run of an experiment and a pair.

    Args:
        experiment: the experiment.
        spec: the pair.
        records: the pair's records without failures, at least one.
        images: the pictures.
        smoke: whether the numbers mean nothing.
    """
    mirror = experiment.mirror
    content = "".join(record.model_dump_json() + "\n" for record in records)
    return RunContent(
        experiment=experiment.name,
        job_type=experiment.job_type,
        spec=spec,
        family=spec.family or _family_of(records),
        content=content,
        mirror=None if mirror is None else lambda: mirror(records, spec.name),
        version=records[0].provenance.config_hash,
        config=_config(experiment, spec, records),
        images=images,
        artifact=Artifact(
            name=_artifact_name(experiment.name, spec.name, smoke),
            type=SMOKE_RECORDS if smoke else RECORDS,
            file_name=f"{experiment.name}.jsonl",
            content=content,
        ),
        smoke=smoke,
    )


def run_of_verdicts(spec: PairSpec, verdicts: RunMirror, images: Sequence[Path], smoke: bool) -> RunContent:
    """The content of the run with the verdicts on a pair.

    Args:
        spec: the pair.
        verdicts: the verdicts.
        images: the figures drawn from the records.
        smoke: whether the numbers mean nothing.
    """
    return RunContent(
        experiment=VERDICTS,
        job_type="summary",
        spec=spec,
        family=spec.family,
        content=json.dumps(asdict(verdicts)),
        mirror=lambda: verdicts,
        images=images,
        smoke=smoke,
    )


def digest(content: bytes) -> str:
    """The first 16 hexadecimal digits of the SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]


def _family_of(records: Sequence[AnyRecord]) -> str | None:
    """The family of the architecture, which for a pair outside the presets only the records know."""
    # The kinds of records that lack a family are few, and any other record of the pair has it.
    return next((family for record in records if (family := getattr(record, "family", None))), None)


def _artifact_name(experiment: str, pair: str, smoke: bool) -> str:
    """The artifact's name. W&B allows fewer characters in it than a directory does in a pair's name."""
    cleaned = _UNFIT_FOR_ARTIFACTS.sub("-", pair)[:LONGEST_PAIR_NAME]
    if cleaned != pair:
        cleaned += f"-{digest(pair.encode())[:8]}"
    return f"{experiment}-{cleaned}{'-smoke' if smoke else ''}"


def _config(experiment: AnyExperiment, spec: PairSpec, records: Sequence[AnyRecord]) -> dict[str, Any]:
    config: dict[str, Any] = {
        "experiment": asdict(experiment.config),
        "question": experiment.question,
        "pair": asdict(replace(spec, base=spec.base.without_path, instruct=spec.instruct.without_path)),
        "provenance": records[-1].provenance.model_dump(exclude={"took"}),
    }
    for record in records:
        if isinstance(record, PairInfo):
            config["pair"] = record.model_dump(exclude={"provenance"})
    return config

"""The choice of what samples the answers of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slr.runs.experiment import AnyExperiment, store_of
from slr.runs.modes import Engine
from slr.runs.records import Configuration

if TYPE_CHECKING:
    from slr.models.loading import DeviceMap


def choose_engine(
    experiments: Sequence[AnyExperiment],
    output_dir: Path,
    device: str,
    *,
    is_for_cpu: bool,
    device_map: DeviceMap | None = None,
    num_sharing: int = 1,
) -> tuple[Engine, str]:
    """Choose what samples the answers: vLLM where it is likely to be faster, unless the records say otherwise.

    Args:
        experiments: the experiments of the run.
        output_dir: directory of the records. Records of two engines are not mixed, so a run keeps its engine.
        device: device as torch names it.
        is_for_cpu: whether the models are so small that a CPU is enough.
        device_map: how the pair is spread over several devices; None for one device.
        num_sharing: number of processes that sample on this one device.

    Returns:
        The engine and the reason in words, which continue "because".

    Raises:
        ValueError: if the directory holds damaged records.
    """
    if (recorded := _engine_of_records(experiments, output_dir)) is not None:
        return recorded, f"the records in {output_dir} are of it"
    if is_for_cpu:
        return "transformers", "vLLM takes long to start for such small models"
    if device_map is not None:
        return (
            "transformers",
            "slr opens vLLM on one device, and the device map spreads the models over several",
        )
    if not device.startswith("cuda"):
        return "transformers", f"the device is {device}, and vLLM is worth its start on a GPU only"
    from slr.sampling.vllm_engine import check_usable

    try:
        check_usable(device, num_sharing)
    except ValueError as error:
        return "transformers", str(error).split(": ", maxsplit=1)[0]
    return "vllm", f"it is installed and computes on {device}"


def _engine_of_records(experiments: Iterable[AnyExperiment], output_dir: Path) -> Engine | None:
    """The engine of the first configuration on record of an experiment that samples; None if there is none."""
    return next(
        (
            record.engine
            for experiment in experiments
            if experiment.samples_answers
            for record in store_of(experiment, output_dir).read()
            if isinstance(record, Configuration)
        ),
        None,
    )

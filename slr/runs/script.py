"""Run experiments on the pairs of a preset, draw what they found, and mirror it: what ``slr run`` does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from slr.models.presets import PRESETS
from slr.models.reference import PairSpec, UnusablePairError
from slr.runs.device import choose_device_and_dtype
from slr.runs.experiment import AnyExperiment, RunSettings, run_experiments
from slr.runs.modes import Engine, WandbMode
from slr.runs.output_lock import check_still_there, output_lock
from slr.runs.processes import Processes, launched_processes
from slr.runs.tracking import check_account, mirror_pair
from slr.terminal.bad_input import (
    BAD_INPUT,
    FAILED,
    check_output_directory,
    did_you_mean,
    in_one_line,
)
from slr.terminal.literal_text import visible
from slr.terminal.progress import format_seconds

Draw = Callable[[Path, Path], int]
"""Makes figures from the records of one directory into another; gives an exit status."""


@dataclass(frozen=True, kw_only=True)
class ScriptOptions:
    """Which pairs are run, how, and where the results go.

    ``families`` are separated by commas; None means all. ``dtype`` None is the checkpoints' own. A ``smoke`` run takes
    a few prompts only.
    """

    output_dir: Path
    figures_dir: Path
    preset: str = "testbed"
    families: str | None = None
    smoke: bool = False
    wandb: WandbMode = "offline"
    device: str | None = None
    dtype: str | None = None
    device_map: Literal["auto"] | None = None
    engine: Engine = "transformers"

    def pairs(self) -> list[PairSpec]:
        """The pairs of the preset that are in the families.

        Raises:
            ValueError: if the preset has no such family.
        """
        preset = PRESETS[self.preset]
        if self.families is None:
            return list(preset.pairs)
        wanted = [family.strip() for family in self.families.split(",")]
        known = [spec.family for spec in preset.pairs]
        if unknown := [family for family in wanted if family not in known]:
            raise ValueError(
                f"--families names {', '.join(map(repr, unknown))}; the preset {preset.name} has {', '.join(known)}"
                f"{did_you_mean(unknown[0], known)}"
            )
        return [spec for spec in preset.pairs if spec.family in wanted]


def run_script(experiments: Sequence[AnyExperiment], options: ScriptOptions, draw: Draw | None = None) -> int:
    """Run the experiments on the preset's pairs, then draw and mirror the results.

    Several processes that ``accelerate launch`` started share the work; the first one draws and mirrors.

    Args:
        experiments: in the order in which they are run on each pair.
        options: which pairs, how and where.
        draw: makes the figures from the records at the end, before all is mirrored to W&B.

    Returns:
        0 if every cell is done, 1 if one failed, 2 if a pair cannot be used.

    Raises:
        ValueError: if an option is wrong or the directory is in use.
        OSError: if the disk takes no records.
    """
    specs = options.pairs()
    check_output_directory(options.output_dir, "--output-dir")
    if draw is not None:
        check_output_directory(options.figures_dir, "--figures-dir")
    processes = launched_processes()
    with output_lock(options.output_dir, processes):
        return _run_on_own_directory(experiments, specs, options, draw, processes)


def _run_on_own_directory(
    experiments: Sequence[AnyExperiment],
    specs: Sequence[PairSpec],
    options: ScriptOptions,
    draw: Draw | None,
    processes: Processes,
) -> int:
    if processes.is_main:
        check_account(options.wandb, options.output_dir)
    device, dtype = choose_device_and_dtype(options.device, options.dtype, processes)
    if options.engine == "vllm":
        from slr.sampling.vllm_engine import check_usable

        check_usable(device, processes.count)
    settings = RunSettings(
        output_dir=options.output_dir,
        device=device,
        dtype=dtype,
        engine=options.engine,
        device_map=options.device_map,
        processes=processes,
    )
    status = _measure(experiments, specs, settings)
    if processes.is_main:
        status = max(status, _draw_and_mirror(experiments, specs, options, draw))
    # A process that ends with a failure has the launcher end the others too, which may be drawing.
    processes.wait_for_everyone()
    return status


def _draw_and_mirror(
    experiments: Sequence[AnyExperiment],
    specs: Sequence[PairSpec],
    options: ScriptOptions,
    draw: Draw | None,
) -> int:
    status = 0
    images: list[Path] = []
    if draw is not None:
        drawn = draw(options.output_dir, options.figures_dir)
        status = max(drawn, FAILED) if drawn else 0  # below 0 where a signal ended it
        images = sorted(options.figures_dir.rglob("*.png")) if status == 0 else []
    for experiment in experiments:
        for spec in specs:
            mirror_pair(experiment, spec, options.output_dir, options.wandb, images, options.smoke)
    return status


def _measure(experiments: Sequence[AnyExperiment], specs: Sequence[PairSpec], settings: RunSettings) -> int:
    """Run all experiments pair by pair; a pair that cannot be loaded does not keep the others from it."""
    say = partial(print, file=sys.stderr) if settings.processes.is_main else lambda _: None
    status = 0
    began = time.monotonic()
    for spec in specs:
        try:
            outcomes = run_experiments(experiments, spec, settings)
        except UnusablePairError as error:
            say(f"error: {in_one_line(str(error))}")
            status = BAD_INPUT
            continue
        if failed := [cell for outcome in outcomes for cell in outcome.failed]:
            say(visible(f"failed: {', '.join(failed)}"))
            status = max(status, FAILED)
    check_still_there(settings.output_dir)
    seconds = format_seconds(time.monotonic() - began)
    say(visible(f"finished in {seconds}; records in {settings.output_dir}"))
    return status

"""Run experiments on the pairs of a preset, draw their figures, and mirror their records: the work of ``slr run``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Literal

from slr.models.presets import Preset
from slr.models.reference import PairSpec, UnusablePairError
from slr.plugins import Plugin
from slr.runs.device import choose_device_and_dtype
from slr.runs.engine_choice import choose_engine
from slr.runs.experiment import AnyExperiment, PairOnDemand, RunMirror, RunSettings
from slr.runs.live_mirror import End, LiveMirror, live_mirror
from slr.runs.modes import Engine, EngineChoice, WandbMode
from slr.runs.output_lock import check_still_there, output_lock
from slr.runs.own_run import OwnRun
from slr.runs.processes import Processes, launched_processes
from slr.runs.run_experiments import run_pairs
from slr.runs.run_progress import run_progress
from slr.runs.trackers import Tracker, show_pair
from slr.runs.wandb_files import check_account
from slr.terminal.bad_input import (
    BAD_INPUT,
    FAILED,
    check_output_directory,
    did_you_mean,
    in_one_line,
)
from slr.terminal.literal_text import visible
from slr.terminal.notices import notice
from slr.terminal.progress import format_seconds


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What came of drawing the figures.

    Attributes:
        status: the exit status; negative if a signal ended the drawing.
        verdicts: what W&B shows of the verdicts on each pair, by the pair's name.
    """

    status: int
    verdicts: Mapping[str, RunMirror] = field(default_factory=dict)


Draw = Callable[[Path, Path], Drawing]
"""A function that draws figures. It takes the directories of records and figures."""


@dataclass(frozen=True, kw_only=True)
class ScriptOptions:
    """The options of a run: which pairs, how, and where the results go.

    Attributes:
        output_dir: directory for the records.
        figures_dir: directory for figures and tables.
        preset: the pairs, which may be the user's own.
        own_run: the run on the user's own pairs, to be kept with the records; None for a preset's.
        families: families of the pairs to run, separated by commas; None for all.
        smoke: whether the experiments run a few prompts only.
        wandb: whether W&B is used, and how.
        trackers: trackers of other packages that show the results too.
        device: device such as ``cuda:0``; None for the first GPU or else the CPU.
        dtype: dtype of the weights; None for float32 on a CPU and the checkpoints' own dtype on a GPU.
        device_map: "auto" to spread each model over all GPUs.
        engine: what samples the answers; "auto" leaves it to ``choose_engine``.
    """

    output_dir: Path
    figures_dir: Path
    preset: Preset
    own_run: OwnRun | None = None
    families: str | None = None
    smoke: bool = False
    wandb: WandbMode = "offline"
    trackers: Sequence[Plugin[Tracker]] = ()
    device: str | None = None
    dtype: str | None = None
    device_map: Literal["auto"] | None = None
    engine: EngineChoice = "transformers"

    def pairs(self) -> list[PairSpec]:
        """List the preset's pairs that belong to the chosen families.

        Raises:
            ValueError: if the preset has no pair of a family.
        """
        preset = self.preset
        if self.families is None:
            return list(preset.pairs)
        wanted = [family.strip() for family in self.families.split(",")]
        known = [spec.family or spec.name for spec in preset.pairs]
        if unknown := [family for family in wanted if family not in known]:
            raise ValueError(
                f"--families names {', '.join(map(repr, unknown))}; the preset {preset.name} has {', '.join(known)}"
                f"{did_you_mean(unknown[0], known)}"
            )
        return [spec for spec, family in zip(preset.pairs, known, strict=True) if family in wanted]


def run_script(
    make_experiments: Callable[[], Sequence[AnyExperiment]], options: ScriptOptions, draw: Draw | None = None
) -> int:
    """Run the experiments on the preset's pairs, mirror their records, and draw the results.

    If ``accelerate launch`` started several processes, they share the work, and the first one draws and mirrors.

    Args:
        make_experiments: makes the experiments, in the order in which they run on each pair. It can be pickled, because
            the process that mirrors makes them too.
        options: which pairs, how, and where the results go.
        draw: draws the figures from the records at the end; None for none.

    Returns:
        The exit status: 0 if every cell is done, 1 if one failed, 2 if a pair cannot be used.

    Raises:
        ValueError: if an option is wrong or the output directory is in use.
        OSError: if records cannot be written.
    """
    specs = check_options(options, draws=draw is not None)
    processes = launched_processes()
    with output_lock(options.output_dir, processes):
        return _run_on_own_directory(make_experiments, specs, options, draw, processes)


def check_options(options: ScriptOptions, draws: bool) -> list[PairSpec]:
    """Check the options that need no model, and return the pairs.

    Raises:
        ValueError: if one is wrong.
        OSError: if a directory cannot be written to.
    """
    specs = options.pairs()
    check_output_directory(options.output_dir, "--output-dir")
    if draws:
        check_output_directory(options.figures_dir, "--figures-dir")
    return specs


def _run_on_own_directory(
    make_experiments: Callable[[], Sequence[AnyExperiment]],
    specs: Sequence[PairSpec],
    options: ScriptOptions,
    draw: Draw | None,
    processes: Processes,
) -> int:
    if processes.is_main:
        check_account(options.wandb, options.output_dir)
        if options.own_run is not None:
            # Under the lock, because another run may have kept its own there.
            options.own_run.store(options.output_dir, options.preset.pairs)
    device, dtype = choose_device_and_dtype(options.device, options.dtype, processes)
    engine = _engine(make_experiments(), options, device, processes)
    settings = RunSettings(
        output_dir=options.output_dir,
        device=device,
        dtype=dtype,
        engine=engine,
        device_map=options.device_map,
        processes=processes,
    )
    mirroring = live_mirror(
        make_experiments,
        specs,
        options.output_dir,
        options.wandb,
        smoke=options.smoke,
        is_main=processes.is_main,
    )
    with mirroring as mirror:
        experiments = make_experiments()
        status = _measure(experiments, specs, settings, mirror)
        if processes.is_main:
            for experiment, spec in product(experiments, specs):
                show_pair(options.trackers, experiment, spec, options.output_dir, options.smoke)
            status = max(status, _draw_and_mirror(options, draw, mirror, status))
    # When one process fails, the launcher ends the others too. The main process may still be drawing.
    processes.wait_for_everyone()
    return status


def _engine(
    experiments: Sequence[AnyExperiment], options: ScriptOptions, device: str, processes: Processes
) -> Engine:
    """Decide what samples the answers, and say so if it was left open.

    Raises:
        ValueError: if vLLM is to be used and cannot.
    """
    engine = options.engine
    num_sharing = 1 if options.device is None else processes.local_count
    if engine == "auto":
        engine, reason = processes.from_main(
            lambda: choose_engine(
                experiments,
                options.output_dir,
                device,
                is_for_cpu=options.preset.is_for_cpu,
                device_map=options.device_map,
                num_sharing=num_sharing,
            )
        )
        if processes.is_main:
            notice(f"engine: {engine}, because {reason}")
    if engine == "vllm":
        from slr.sampling.vllm_engine import check_usable

        check_usable(device, num_sharing)
    return engine


def _draw_and_mirror(options: ScriptOptions, draw: Draw | None, mirror: LiveMirror, measured: int) -> int:
    drawing = Drawing(status=0) if draw is None else draw(options.output_dir, options.figures_dir)
    status = 0 if drawing.status == 0 else max(drawing.status, FAILED)
    pictures = sorted((options.figures_dir / "figures").glob("*.png")) if drawing.verdicts else []
    end = End(status=max(measured, status), pictures=pictures, verdicts=drawing.verdicts)
    return max(status, mirror.end(end))


def _measure(
    experiments: Sequence[AnyExperiment],
    specs: Sequence[PairSpec],
    settings: RunSettings,
    mirror: LiveMirror,
) -> int:
    """Run all experiments pair by pair; a pair that cannot be loaded is reported, and the next one follows."""
    # Every process goes through the same pairs, so only one of them reports.
    say = partial(print, file=sys.stderr) if settings.processes.is_main else lambda _: None
    status = 0
    began = time.monotonic()
    with run_progress(settings.device, is_shown=settings.processes.is_main, watch=mirror) as progress:
        pairs = [PairOnDemand(spec, settings) for spec in specs]
        for spec, outcomes in run_pairs(experiments, pairs, settings, progress):
            if isinstance(outcomes, ValueError):
                if not isinstance(outcomes, UnusablePairError):
                    raise outcomes
                say(f"error: {in_one_line(str(outcomes))}")
                progress.skip_pair(spec.name)
                status = BAD_INPUT
                continue
            if failed := [cell for outcome in outcomes for cell in outcome.failed]:
                say(visible(f"failed: {', '.join(failed)}"))
                status = max(status, FAILED)
    check_still_there(settings.output_dir)
    seconds = format_seconds(time.monotonic() - began)
    if settings.processes.is_main:
        notice(f"finished in {seconds}; records in {settings.output_dir}")
    return status

"""Optimizer steps over a fixed sequence of batches, which a killed process goes on with where it was.

    DIR/state.pt               weights, optimizer, schedule, losses and step, about once a minute, until the end
    DIR/weights.safetensors    the trained weights at the end, in float32
    DIR/optimisation.json      what was measured

No step draws anything at random, and the order of the batches follows from the seed, so a resumed run takes the same
steps as an uninterrupted one, to the last bit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from transformers import get_cosine_schedule_with_warmup

from slr.files.whole import whole_file, write_whole
from slr.laptop.post_training.policy import Policy
from slr.terminal.progress import progress_bar

SAVE_EVERY_SECONDS = 60.0
MAX_GRADIENT_NORM = 1.0
STATE_FILE, WEIGHTS_FILE, REPORT_FILE = "state.pt", "weights.safetensors", "optimisation.json"

Batch = TypeVar("Batch")
Measured = dict[str, float]
"""Numbers of one step, among them ``loss`` and ``tokens``."""


def optimise(
    policy: Policy,
    batches: Sequence[Batch],
    loss_of: Callable[[Batch], tuple[torch.Tensor, Measured]],
    learning_rate: float,
    warmup_share: float,
    directory: Path,
) -> dict[str, Any]:
    """Take a step on every batch, or what is missing of them, and leave the policy with the weights of the end.

    Args:
        policy: with the weights that the first step starts from.
        batches: one a step.
        loss_of: the loss of a batch, with gradients, and numbers to record.
        learning_rate: the highest one.
        warmup_share: of the steps, in which it rises.
        directory: of this stage, and no other.

    Returns:
        Steps, tokens, seconds of processor time, and each measured number's mean over the first and the last tenth.
    """
    if (directory / REPORT_FILE).exists():
        policy.load(load_file(directory / WEIGHTS_FILE))
        return json.loads((directory / REPORT_FILE).read_text(encoding="utf-8"))
    weights = policy.trained()
    # Fused: one pass over the weights a step, which matters where all of them are trained.
    optimizer = torch.optim.AdamW(weights.values(), lr=learning_rate, weight_decay=0.0, fused=True)
    schedule = get_cosine_schedule_with_warmup(
        optimizer, max(1, round(len(batches) * warmup_share)), len(batches)
    )
    measured: list[Measured] = []
    if (directory / STATE_FILE).exists():
        state = torch.load(directory / STATE_FILE, weights_only=True)
        policy.load(state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        measured = state["measured"]
    saved_at = time.monotonic()
    with progress_bar(f"training {directory.name}") as on_progress:
        for step in range(len(measured), len(batches)):
            began = time.process_time()
            loss, numbers = loss_of(batches[step])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights.values(), MAX_GRADIENT_NORM)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            measured.append({**numbers, "loss": loss.item(), "seconds": time.process_time() - began})
            on_progress(step + 1, len(batches))
            if time.monotonic() - saved_at > SAVE_EVERY_SECONDS:
                _save_state(directory, weights, optimizer, schedule, measured)
                saved_at = time.monotonic()
    return _finish(directory, weights, measured)


def summary(measured: Sequence[Measured]) -> dict[str, Any]:
    """Steps, sums of tokens and seconds, and the means of all other numbers over the first and the last tenth."""
    part = max(1, len(measured) // 10)
    totals = {name: sum(numbers[name] for numbers in measured) for name in ("tokens", "seconds")}
    means = {
        f"{place}_{name}": sum(numbers[name] for numbers in steps) / part
        for name in measured[0]
        if name not in totals
        for place, steps in (("first", measured[:part]), ("last", measured[-part:]))
    }
    return {"steps": len(measured), **totals, **means}


def _save_state(
    directory: Path,
    weights: dict[str, torch.nn.Parameter],
    optimizer: Any,
    schedule: Any,
    measured: list[Measured],
) -> None:
    state = {
        "weights": {name: weight.detach() for name, weight in weights.items()},
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "measured": measured,
    }
    with whole_file(directory / STATE_FILE) as unfinished:
        torch.save(state, unfinished)


def _finish(
    directory: Path, weights: dict[str, torch.nn.Parameter], measured: list[Measured]
) -> dict[str, Any]:
    with whole_file(directory / WEIGHTS_FILE) as unfinished:
        save_file({name: weight.detach().contiguous() for name, weight in weights.items()}, unfinished)
    report = summary(measured)
    write_whole(directory / REPORT_FILE, json.dumps(report, indent=1) + "\n")
    (directory / STATE_FILE).unlink(missing_ok=True)
    return report

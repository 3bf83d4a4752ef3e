"""The device and the dtype that a command computes with."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from slr.runs.processes import ALONE, Processes
from slr.terminal.bad_input import DTYPES, check_one_of

if TYPE_CHECKING:
    import torch

PEAK_MATRIX_SIZE = {"cpu": 1024, "cuda": 8192}
"""Number of rows and columns of the square matrices that measure a device's peak speed."""


def choose_device_and_dtype(
    device: str | None, dtype: str | None, processes: Processes = ALONE
) -> tuple[str, torch.dtype | None]:
    """Choose the device and the dtype to compute with.

    By default the device is the first GPU, or the CPU if there is none. If several processes run on a machine, each
    one gets a GPU of its own by default. On a CPU the default dtype is float32.

    Args:
        device: as torch names it, such as ``cuda:0``; None for the default.
        dtype: ``float32`` or ``bfloat16``; None for the default.
        processes: the processes that share the work.

    Returns:
        The device and the dtype. The dtype is None for the checkpoints' own.

    Raises:
        ValueError: if there is no such device or dtype, or if there are more processes than GPUs.
    """
    import torch

    if device is None:
        device = _default_device(torch.cuda.device_count(), processes)
    _check_device(device)
    if dtype is not None:
        check_one_of("the dtype", dtype, DTYPES)
        return device, getattr(torch, dtype)
    # A CPU computes fastest in float32. A GPU is fast in 16 bits too, so there the checkpoints' own dtype is kept.
    return device, torch.float32 if torch.device(device).type == "cpu" else None


def _check_device(device: str) -> None:
    import torch

    try:
        # torch accepts "meta" as a device, but its tensors hold no numbers.
        if torch.empty(0, device=device).is_meta:
            raise RuntimeError("it holds no numbers")
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        num_gpus = torch.cuda.device_count()
        gpus = f", or cuda:0 to cuda:{num_gpus - 1}" if num_gpus > 1 else ", or cuda" if num_gpus else ""
        raise ValueError(
            f"the device {device!r} cannot be used: {reason}. Expected cpu{gpus}, which this machine has"
        ) from None


def _default_device(num_gpus: int, processes: Processes) -> str:
    if num_gpus == 0:
        return "cpu"
    if processes.local_count > num_gpus:
        raise ValueError(
            f"{processes.local_count} processes were launched on a machine with {num_gpus} GPUs: launch at most "
            "as many (--num_processes), or give --device to have them share one"
        )
    return "cuda" if processes.local_count == 1 else f"cuda:{processes.local_index}"


def matrix_flops_per_second(device: str, dtype: torch.dtype, repetitions: int = 10) -> float:
    """Measure the speed of a large matrix product, as the median of several.

    Args:
        device: device as torch names it.
        dtype: dtype of the matrices.
        repetitions: number of products that count.
    """
    import torch

    kind = torch.device(device).type
    size = PEAK_MATRIX_SIZE.get(kind, PEAK_MATRIX_SIZE["cpu"])
    left, right = torch.randn(2, size, size, device=device, dtype=dtype)
    seconds = []
    # The first product is not counted, because the library sets itself up in it.
    for _ in range(repetitions + 1):
        began = time.perf_counter()
        torch.matmul(left, right)
        # A GPU computes in the background. Without this wait, the clock would stop before the product is there.
        if kind == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / statistics.median(seconds[1:])

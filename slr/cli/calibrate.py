"""``slr calibrate``: measure how fast this machine's device is, for estimates of time."""

from __future__ import annotations

from slr.cli.options import Device, Quiet, Verbose
from slr.terminal.command_line import NOTHING_IS_KEPT
from slr.terminal.notices import set_verbosity, sign_of_life
from slr.terminal.stopping import say_when_stopped
from slr.terminal.tables import print_sentence

EXAMPLE = "Example: slr calibrate --device cuda:0"


def calibrate(device: Device = None, quiet: Quiet = False, verbose: Verbose = False) -> int:
    """Measure how fast this machine's device is. Estimates of time use it.

    It takes about a minute. Let nothing else run meanwhile.
    """
    set_verbosity(quiet, verbose)
    say_when_stopped(NOTHING_IS_KEPT)
    sign_of_life("measuring for about a minute")

    from slr.costs.calibration import calibrate as measure
    from slr.runs.device import choose_device_and_dtype
    from slr.runs.speed import keep_speed

    chosen, _ = choose_device_and_dtype(device, None)
    speed = measure(chosen)
    path = keep_speed(chosen.split(":")[0], speed)
    print_sentence(f"{speed.forward:.2e} FLOP/s, and {speed.sampling:.2e} while sampling, {speed.origin}.")
    print_sentence(f"Estimates use it from now on: {path}")
    return 0

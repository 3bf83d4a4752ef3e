"""Run a command with Ctrl-C and SIGTERM as in a terminal: ``python with_signals.py COMMAND...``.

A shell that runs in the background has its children ignore Ctrl-C, and they hand that on.
"""

from __future__ import annotations

import os
import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])

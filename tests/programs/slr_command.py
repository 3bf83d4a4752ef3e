"""The command ``slr`` with few prompts and soups, to take seconds: ``python -m tests.programs.slr_command``."""

from __future__ import annotations

from slr.cli import main
from slr.crc import study

if __name__ == "__main__":
    study.FULL = study.SMOKE  # pyright: ignore[reportConstantRedefinition]
    raise SystemExit(main())

"""The command ``slr`` with few prompts and soups, to take seconds: ``python -m tests.programs.slr_command``."""

from __future__ import annotations

from slr.cli import main
from slr.crc.study import SMOKE, CrcStudyConfig

if __name__ == "__main__":
    defaults = CrcStudyConfig.__init__.__kwdefaults__
    assert defaults is not None
    defaults |= {"max_prompts": SMOKE.max_prompts, "soup_alphas": SMOKE.soup_alphas}
    CrcStudyConfig.__init__.__kwdefaults__ = defaults
    main()

"""All experiments on a preset ``paper`` of few layers: ``shallow_paper_run.py NUM_LAYERS OPTIONS...``."""

from __future__ import annotations

import sys
from dataclasses import replace

from slr.cli import main
from slr.models.presets import PRESETS

if __name__ == "__main__":
    num_layers, *options = sys.argv[1:]
    paper = PRESETS["paper"]
    pairs = tuple(replace(spec, num_layers=int(num_layers)) for spec in paper.pairs)
    PRESETS["paper"] = replace(paper, pairs=pairs)
    sys.exit(main(["run", "all", *options]))

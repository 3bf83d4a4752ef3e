"""Selective Layer Restoration: give a post-trained language model its diversity back.

The public API, imported on first use, so that ``import slr`` costs nothing:

>>> import slr
>>> pair = slr.load_pair("testbed-llama")
>>> result = slr.search(pair, slr.load_prompts("selection"))
>>> hybrid = slr.restore(pair, slr.LayerInterval(4, 8))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slr.building.checkpoint import build
    from slr.crc.prompts import CrcPrompt, load_prompts
    from slr.crc.scoring import PromptScores, encode_prompts, score_model
    from slr.crc.search import SearchResult, iter_search, search
    from slr.crc.selection import Candidate, Selection, pareto_front, select
    from slr.hybrid import interpolate, restore
    from slr.intervals import LayerInterval, all_intervals
    from slr.models.loading import ModelPair, load_pair

_MODULE_OF = {
    "Candidate": "slr.crc.selection",
    "CrcPrompt": "slr.crc.prompts",
    "LayerInterval": "slr.intervals",
    "ModelPair": "slr.models.loading",
    "PromptScores": "slr.crc.scoring",
    "SearchResult": "slr.crc.search",
    "Selection": "slr.crc.selection",
    "all_intervals": "slr.intervals",
    "build": "slr.building.checkpoint",
    "encode_prompts": "slr.crc.scoring",
    "interpolate": "slr.hybrid",
    "iter_search": "slr.crc.search",
    "load_pair": "slr.models.loading",
    "load_prompts": "slr.crc.prompts",
    "pareto_front": "slr.crc.selection",
    "restore": "slr.hybrid",
    "score_model": "slr.crc.scoring",
    "search": "slr.crc.search",
    "select": "slr.crc.selection",
}

__all__ = [
    "Candidate",
    "CrcPrompt",
    "LayerInterval",
    "ModelPair",
    "PromptScores",
    "SearchResult",
    "Selection",
    "all_intervals",
    "build",
    "encode_prompts",
    "interpolate",
    "iter_search",
    "load_pair",
    "load_prompts",
    "pareto_front",
    "restore",
    "score_model",
    "search",
    "select",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'slr' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)

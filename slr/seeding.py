"""Random seeds that follow from what is computed.

A resumed run therefore draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import hashlib
import json


def seed_from_key(*parts: str) -> int:
    """Compute a seed in [0, 2**63) from the names of the work, such as experiment, pair, method and prompt.

    The seed is the same on every machine, in every Python, and whatever was drawn before. Every generator
    accepts it: ``torch.Generator().manual_seed(seed)``, ``numpy.random.default_rng(seed)``,
    ``random.Random(seed)``.

    >>> seed_from_key("creative_writing", "testbed-llama", "instruct", "poem-1")
    6460439676887304940

    Raises:
        ValueError: if no part is given.
    """
    if not parts:
        raise ValueError("a seed needs at least one part of a key: name what is drawn")
    # JSON keeps the parts apart: ("a", "bc") and ("ab", "c") must give different seeds.
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1

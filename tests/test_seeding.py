from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from slr.seeding import seed_from_key


def test_a_key_gives_the_same_seed_for_ever():
    assert seed_from_key("creative_writing", "testbed-llama", "instruct", "poem-1") == 6460439676887304940
    assert seed_from_key("a") == 529978260370350907


def test_every_part_its_place_and_the_borders_between_parts_matter():
    keys = [("a", "bc"), ("ab", "c"), ("abc",), ("bc", "a"), ("a", "bc", ""), ("a", "BC"), ("ä", "bc")]
    assert len({seed_from_key(*key) for key in keys}) == len(keys)


def test_every_generator_takes_it():
    seeds = [seed_from_key(str(number)) for number in range(200)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    largest = max(seeds)
    torch.Generator().manual_seed(largest)
    np.random.default_rng(largest)
    random.Random(largest)


def test_a_seed_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one part"):
        seed_from_key()

"""Presets: names and pinned revisions."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from slr.models.presets import PRESETS, PairSpec, find_pair

HUB_PAIRS = [pair for name in ("small", "paper") for pair in PRESETS[name].pairs]
FAMILIES = {"laptop": ["llama", "gemma"], "first": ["gemma"]}


def test_every_preset_has_one_pair_a_family() -> None:
    assert list(PRESETS) == ["testbed", "laptop", "first", "small", "paper"]
    for preset in PRESETS.values():
        families = FAMILIES.get(preset.name, ["llama", "qwen", "gemma"])
        assert [pair.family for pair in preset.pairs] == families
        assert [pair.name for pair in preset.pairs] == [
            f"{preset.name}-{pair.family}" for pair in preset.pairs
        ]


@pytest.mark.parametrize("pair", HUB_PAIRS, ids=lambda pair: pair.name)
def test_every_hub_model_is_pinned_to_a_commit(pair: PairSpec) -> None:
    for reference in (pair.base, pair.instruct):
        assert reference.revision is not None
        assert re.fullmatch("[0-9a-f]{40}", reference.revision)
    assert pair.base.revision != pair.instruct.revision
    assert pair.num_layers is not None
    assert pair.num_parameters is not None


def test_no_revision_is_used_twice() -> None:
    revisions = [r.revision for pair in HUB_PAIRS for r in (pair.base, pair.instruct)]
    assert len(set(revisions)) == len(revisions)


def test_find_pair() -> None:
    assert find_pair("paper-gemma").instruct.location == "google/gemma-2-9b-it"
    with pytest.raises(ValueError, match=r"no pair named 'paper-mistral'.*testbed-llama.*paper-gemma"):
        find_pair("paper-mistral")


def test_importing_presets_imports_nothing_heavy() -> None:
    code = "import sys, slr.models.presets; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"

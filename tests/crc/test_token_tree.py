from __future__ import annotations

import pytest
import torch

from slr.crc.token_tree import TokenTree, TreeAttention


def test_shared_beginnings_stand_once() -> None:
    tree = TokenTree.build([(1, 2, 3), (1, 2, 4, 5), (1, 2, 4, 6)])
    assert tree.token_ids == (1, 2, 3, 4, 5, 6)
    assert tree.positions == (0, 1, 2, 2, 3, 3)
    assert tree.paths == ((0, 1, 2), (0, 1, 3, 4), (0, 1, 3, 5))
    assert tree.last_tokens == [2, 4, 5]
    trunk, queries, keys = tree.trunk_and_branches()
    assert trunk == (0, 1)
    assert queries == [(2,), (3, 4), (5,)]
    assert keys == [(0, 1, 2), (0, 1, 3, 4), (0, 1, 3, 5)]


def test_every_token_is_a_query_once_and_in_order() -> None:
    tree = TokenTree.build([(7, 8, 9, 9), (7, 8), (7, 8, 9, 1, 2), (7, 8, 9, 9)])
    trunk, queries, _ = tree.trunk_and_branches()
    assert [*trunk, *(token for branch in queries for token in branch)] == list(range(len(tree)))


def test_same_token_at_another_place_is_another_node() -> None:
    assert len(TokenTree.build([(1, 1, 1)])) == 3


def test_prompts_without_a_common_beginning() -> None:
    assert TokenTree.build([(1, 2), (3, 2)]).trunk_and_branches()[0] == ()


@pytest.mark.parametrize("sequences", [[], [(1, 2), ()]])
def test_empty_input_is_an_error(sequences: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        TokenTree.build(sequences)


def test_attention_goes_to_the_device_of_a_layer() -> None:
    tree = TokenTree.build([(1, 2, 3), (1, 2, 4, 5)])
    may_attend = torch.ones(4, 4, dtype=torch.bool).tril()
    moved = TreeAttention.for_all_tokens(tree, may_attend, torch.float32, "eager").to("meta")
    tensors = [moved.trunk_mask]
    for branches in moved.buckets:
        tensors += [branches.queries, branches.keys, branches.mask]
    assert len(tensors) > 2
    assert all(tensor.is_meta for tensor in tensors)

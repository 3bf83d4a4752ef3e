"""Prompts packed into one sequence, in which every shared beginning stands once.

The tokens form a tree (a trie): a token's path from the root is what it may attend to. Each unique
token is computed once; only attention looks at whole prompts again, in two groups: the *trunk*, the
beginning that all prompts share, and one *branch* a prompt, the tokens that this prompt adds to the
tree together with the path before them. So attention costs what the prompts' own lengths cost, not the
square of the tree's size, and it is left to the model's own attention function.

Shape letters: N tokens of the tree, P prompts, G branches, S queries of a branch, T length of the longest
prompt, K keys, R states, H heads, E head size.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

NUM_BUCKETS = 4
"""Branches are padded to equal lengths in so many groups, the shortest together."""

ATTENTION_NAME = "slr_token_tree"
"""The attention implementation under which ``attend_by_tree`` is registered with transformers."""


@dataclass(frozen=True)
class TokenTree:
    """``token_ids`` and ``positions`` (depths) of the N unique tokens; ``paths`` has their indices by prompt.

    The tokens stand in the order in which the prompts add them, so the trunk comes first.
    """

    token_ids: tuple[int, ...]
    positions: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]

    @classmethod
    def build(cls, sequences: Sequence[Sequence[int]]) -> TokenTree:
        """Pack the sequences.

        Raises:
            ValueError: if there is no sequence, or one of them is empty.
        """
        if not sequences or not all(sequences):
            raise ValueError("a token tree needs at least one sequence, and each at least one token")
        children: dict[tuple[int, int], int] = {}
        token_ids: list[int] = []
        positions: list[int] = []
        paths = []
        for sequence in sequences:
            node, path = -1, []
            for position, token_id in enumerate(sequence):
                edge = (node, token_id)
                if edge not in children:
                    children[edge] = len(token_ids)
                    token_ids.append(token_id)
                    positions.append(position)
                node = children[edge]
                path.append(node)
            paths.append(tuple(path))
        return cls(tuple(token_ids), tuple(positions), tuple(paths))

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def longest_path(self) -> tuple[int, ...]:
        """The tokens of the longest prompt."""
        return max(self.paths, key=len)

    @property
    def last_tokens(self) -> list[int]:
        """Index of each prompt's last token."""
        return [path[-1] for path in self.paths]

    def trunk_and_branches(self) -> tuple[tuple[int, ...], list[tuple[int, ...]], list[tuple[int, ...]]]:
        """The trunk; then for every branch its queries and the path (keys) that they attend to."""
        shared = min(map(len, self.paths))
        trunk_length = next((i for i in range(shared) if len({path[i] for path in self.paths}) > 1), shared)
        trunk = self.paths[0][:trunk_length]
        seen = set(trunk)
        queries, keys = [], []
        for path in self.paths:
            own = tuple(node for node in path if node not in seen)
            seen.update(own)
            if own:
                queries.append(own)
                keys.append(path)
        return trunk, queries, keys


@dataclass(frozen=True, eq=False)
class _Branches:
    """Token indices of each branch's ``queries`` (G, S) and ``keys`` (G, T), padded to equal lengths.

    ``mask`` (G, 1, S, T) is additive. ``is_query`` (G, S) is False where a query is padding: it repeats the
    branch's first, so that no row of the mask is empty. Padding among the keys is never attended to.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    mask: torch.Tensor
    is_query: torch.Tensor

    @classmethod
    def pad(
        cls,
        tree: TokenTree,
        queries: Sequence[Sequence[int]],
        keys: Sequence[Sequence[int]],
        may_attend_TT: torch.Tensor,
        dtype: torch.dtype,
    ) -> _Branches:
        device = may_attend_TT.device
        queries_GS, is_query_GS = padded(queries, device)
        keys_GK, is_key_GK = padded(keys, device)
        positions_N = torch.tensor(tree.positions, device=device)
        may_attend_GSK = may_attend_TT[positions_N[queries_GS]][:, :, : keys_GK.shape[1]] & is_key_GK[:, None]
        return cls(queries_GS, keys_GK, _additive(may_attend_GSK[:, None], dtype), is_query_GS)

    def to(self, device: torch.device | str | int) -> _Branches:
        """The same on a device."""
        tensors = (self.queries, self.keys, self.mask, self.is_query)
        return _Branches(*(tensor.to(device) for tensor in tensors))


@dataclass(frozen=True, eq=False)
class TreeAttention:
    """What ``attend_by_tree`` needs to know of one layer: who attends to whom, and through which function.

    ``trunk_mask`` (1, 1, K, K) is additive, in the model's dtype. Attention yields the trunk's tokens and
    then those of each bucket of branches with their padding; ``order`` (N) picks the tree's tokens out of that.
    ``stored`` holds the keys and values of all tokens when only some are queries, as at the last layer; then there
    is no trunk.
    """

    implementation: str
    trunk_length: int
    trunk_mask: torch.Tensor
    buckets: tuple[_Branches, ...]
    order: torch.Tensor
    stored: tuple[torch.Tensor, torch.Tensor] | None = None
    store_only: bool = False

    @classmethod
    def of_all_tokens(
        cls, tree: TokenTree, may_attend_TT: torch.Tensor, dtype: torch.dtype, implementation: str
    ) -> TreeAttention:
        """Every token is a query."""
        trunk, queries, keys = tree.trunk_and_branches()
        trunk_mask_KK = may_attend_TT[: len(trunk), : len(trunk)]
        trunk_mask = _additive(trunk_mask_KK[None, None], dtype)
        by_length = sorted(range(len(queries)), key=lambda branch: (len(queries[branch]), len(keys[branch])))
        size = max(1, -(-len(by_length) // NUM_BUCKETS))
        groups = [by_length[first : first + size] for first in range(0, len(by_length), size)]
        buckets = tuple(
            _Branches.pad(tree, [queries[i] for i in group], [keys[i] for i in group], may_attend_TT, dtype)
            for group in groups
        )
        order = _places_of_tokens(len(tree), len(trunk), buckets).to(may_attend_TT.device)
        return cls(implementation, len(trunk), trunk_mask, buckets, order)

    @classmethod
    def of_last_tokens(
        cls, tree: TokenTree, may_attend_TT: torch.Tensor, dtype: torch.dtype, implementation: str
    ) -> TreeAttention:
        """Only the last token of each prompt is a query; query p is prompt p's."""
        queries = [(token,) for token in tree.last_tokens]
        branches = _Branches.pad(tree, queries, list(tree.paths), may_attend_TT, dtype)
        order = torch.arange(len(queries), device=may_attend_TT.device)
        buckets = (replace(branches, queries=order[:, None]),)
        return cls(implementation, 0, may_attend_TT[:0], buckets, order)

    def storing(self) -> TreeAttention:
        """The same, but the layer stops with ``KeysAndValues`` as soon as it has them."""
        return replace(self, store_only=True)

    def with_stored(self, keys: torch.Tensor, values: torch.Tensor) -> TreeAttention:
        """The same, attending to keys and values computed before."""
        return replace(self, stored=(keys, values))

    def to(self, device: torch.device | str | int) -> TreeAttention:
        """The same on a device; accelerate asks for it where a model's layers are on several.

        ``stored`` is where the one layer that it is for is.
        """
        return replace(
            self,
            trunk_mask=self.trunk_mask.to(device),
            buckets=tuple(branches.to(device) for branches in self.buckets),
            order=self.order.to(device),
        )


class KeysAndValues(Exception):  # noqa: N818 - no error: what the attention got, on its way out
    """Raised out of a layer that was only run for its keys and values, shape (R, heads, N, E) each."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.keys = keys
        self.values = values


def attend_by_tree(
    module: nn.Module,
    query_RHNE: torch.Tensor,
    key_RHNE: torch.Tensor,
    value_RHNE: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 - the tree's masks take its place
    *,
    tree_attention: TreeAttention,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention over a token tree, with the signature of transformers' attention functions.

    The work is done by the function that the model would have used itself. Returns (R, N, H, E).
    """
    plan = tree_attention
    if plan.store_only:
        raise KeysAndValues(key_RHNE, value_RHNE)
    if plan.stored is not None:
        key_RHNE, value_RHNE = plan.stored
    attend = _own_attention_function(module, plan.implementation)
    outputs = []
    if plan.trunk_length:
        trunk = slice(0, plan.trunk_length)
        output, _ = attend(
            module,
            query_RHNE[:, :, trunk],
            key_RHNE[:, :, trunk],
            value_RHNE[:, :, trunk],
            plan.trunk_mask,
            **kwargs,
        )
        outputs.append(output)
    num_states = len(query_RHNE)
    for branches in plan.buckets:
        output, _ = attend(
            module,
            _gather(query_RHNE, branches.queries),
            _gather(key_RHNE, branches.keys),
            _gather(value_RHNE, branches.keys),
            branches.mask.repeat(num_states, 1, 1, 1),
            **kwargs,
        )
        outputs.append(output.unflatten(0, (num_states, -1)).flatten(1, 2))
    return torch.cat(outputs, dim=1)[:, plan.order], None


AttentionInterface.register(ATTENTION_NAME, attend_by_tree)


def _own_attention_function(module: nn.Module, implementation: str) -> Callable[..., Any]:
    if implementation == "eager":
        return sys.modules[type(module).__module__].eager_attention_forward
    return ALL_ATTENTION_FUNCTIONS[implementation]


def _places_of_tokens(num_tokens: int, trunk_length: int, buckets: Sequence[_Branches]) -> torch.Tensor:
    """Where each token of the tree stands (N) among the trunk and the padded queries of all buckets.

    Known beforehand, for to pick them by a mask would have a GPU wait in every call.
    """
    trunk = torch.arange(trunk_length)
    tokens = torch.cat([trunk, *(branches.queries.flatten().cpu() for branches in buckets)])
    is_own = torch.cat([trunk >= 0, *(branches.is_query.flatten().cpu() for branches in buckets)])
    places = torch.empty(num_tokens, dtype=torch.long)
    places[tokens[is_own]] = is_own.nonzero().flatten()
    return places


def _gather(states_RHNE: torch.Tensor, indices_GS: torch.Tensor) -> torch.Tensor:
    """(R, H, N, E) -> (R * G, H, S, E): the tokens of each branch."""
    branches_RHGSE = states_RHNE[:, :, indices_GS]
    return branches_RHGSE.transpose(1, 2).flatten(0, 1)


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows as one tensor, shorter ones filled up with their first entry; and where it is not filled."""
    width = max((len(row) for row in rows), default=0)
    filled = [[*row, *[row[0]] * (width - len(row))] for row in rows]
    is_own = [[column < len(row) for column in range(width)] for row in rows]
    shape = (len(rows), width)
    return (
        torch.tensor(filled, device=device, dtype=torch.long).reshape(shape),
        torch.tensor(is_own, device=device, dtype=torch.bool).reshape(shape),
    )


def _additive(may_attend: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    mask = torch.zeros(may_attend.shape, dtype=dtype, device=may_attend.device)
    return mask.masked_fill_(~may_attend, torch.finfo(dtype).min)

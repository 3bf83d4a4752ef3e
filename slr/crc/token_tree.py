"""Prompts packed into one sequence of tokens, in which a beginning that several prompts share stands once.

The tokens form a tree (a trie). A token attends to its path from the root. Every layer computes each unique
token once; only attention works with whole prompts. It does so in two parts: the *trunk*, which is the
beginning that all prompts share, and one *branch* for each prompt, which has the tokens that this prompt adds
to the tree as queries and its whole path as keys. Therefore attention costs as much as the lengths of the
prompts, and not as much as the square of the tree's size. The model's own attention function computes it.

Shape letters: N tokens (nodes) of the tree, P prompts, G branches, Q queries of a branch, L keys (tokens
attended to), T tokens of the longest prompt, R models (hidden states), H heads, E size of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface

from slr.models.transformers_internals import attention_function

NUM_BUCKETS = 4
"""Number of groups of branches. Branches of like length are padded to one length in a group."""

ATTENTION_NAME = "slr_token_tree"
"""Name under which ``attend_by_tree`` is registered as an attention implementation of transformers."""


@dataclass(frozen=True)
class TokenTree:
    """The unique tokens of several prompts and the path of each prompt through them.

    Attributes:
        token_ids: id of each of the N unique tokens, in the order in which the prompts add them, so the trunk
            comes first.
        positions: position of each of the N tokens in its prompts, which is its depth in the tree.
        paths: for each prompt, the indices of its tokens among the N.
    """

    token_ids: tuple[int, ...]
    positions: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]

    @classmethod
    def build(cls, sequences: Sequence[Sequence[int]]) -> TokenTree:
        """Pack sequences of token ids into a tree.

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
                # A token is shared only if everything before it is the same: its parent is part of its identity.
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
        """Number of unique tokens, N."""
        return len(self.token_ids)

    @property
    def longest_path(self) -> tuple[int, ...]:
        """Indices of the tokens of the longest prompt."""
        return max(self.paths, key=len)

    @property
    def last_tokens(self) -> list[int]:
        """Index of each prompt's last token."""
        return [path[-1] for path in self.paths]

    def trunk_and_branches(self) -> tuple[tuple[int, ...], list[tuple[int, ...]], list[tuple[int, ...]]]:
        """Split the tree into the trunk and one branch for each prompt that adds a token.

        Returns:
            The indices of the trunk's tokens, the queries of each branch, and its keys. A branch's queries
            are the tokens that it adds to the tree. Its keys are the whole path of its prompt.
        """
        shared = min(map(len, self.paths))
        trunk_length = next((i for i in range(shared) if len({path[i] for path in self.paths}) > 1), shared)
        trunk = self.paths[0][:trunk_length]
        seen = set(trunk)
        queries, keys = [], []
        for path in self.paths:
            # The first prompt with a token computes it for all later prompts, which see it among their keys only.
            own = tuple(node for node in path if node not in seen)
            seen.update(own)
            if own:
                queries.append(own)
                keys.append(path)
        return trunk, queries, keys


@dataclass(frozen=True, eq=False)
class _Branches:
    """Branches of one bucket, padded to equal lengths.

    Padding among the queries repeats the branch's first query, so that no row of the mask is empty. Padding
    among the keys is masked out.

    Attributes:
        queries: index of each query among the N tokens (G, Q).
        keys: index of each key among the N tokens (G, L).
        mask: additive attention mask (G, 1, Q, L).
    """

    queries: torch.Tensor
    keys: torch.Tensor
    mask: torch.Tensor

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
        queries_GQ, _ = padded(queries, device)
        keys_GL, is_key_GL = padded(keys, device)
        positions_N = torch.tensor(tree.positions, device=device)
        # The mask depends on positions only, so the rows of one plain prompt, the longest, serve every branch.
        may_attend_GQL = may_attend_TT[positions_N[queries_GQ]][:, :, : keys_GL.shape[1]] & is_key_GL[:, None]
        return cls(queries_GQ, keys_GL, _additive(may_attend_GQL[:, None], dtype))

    def to(self, device: torch.device | str | int) -> _Branches:
        """Move the tensors to a device."""
        return _Branches(*(tensor.to(device) for tensor in (self.queries, self.keys, self.mask)))


@dataclass(frozen=True, eq=False)
class TreeAttention:
    """What ``attend_by_tree`` needs for one layer: who attends to whom, and by which function.

    Attributes:
        implementation: name of the model's own attention implementation, "eager" or "sdpa".
        trunk_length: number of tokens in the trunk; 0 where only last tokens are queries.
        trunk_mask: additive mask of the trunk in the model's dtype (1, 1, L, L).
        buckets: the branches, grouped by length.
        stored: keys and values of all N tokens, where only some tokens are queries, as at the last layer.
        store_only: whether the layer stops with ``KeysAndValues`` as soon as it has its keys and values.
    """

    implementation: str
    trunk_length: int
    trunk_mask: torch.Tensor
    buckets: tuple[_Branches, ...]
    stored: tuple[torch.Tensor, torch.Tensor] | None = None
    store_only: bool = False

    @classmethod
    def for_all_tokens(
        cls, tree: TokenTree, may_attend_TT: torch.Tensor, dtype: torch.dtype, implementation: str
    ) -> TreeAttention:
        """Plan attention in which every token of the tree is a query.

        Args:
            tree: the N tokens.
            may_attend_TT: which positions of the longest prompt a position attends to, boolean (T, T).
            dtype: dtype of the masks, the model's.
            implementation: name of the model's own attention implementation.
        """
        trunk, queries, keys = tree.trunk_and_branches()
        trunk_mask_LL = may_attend_TT[: len(trunk), : len(trunk)]
        trunk_mask = _additive(trunk_mask_LL[None, None], dtype)
        # A bucket is padded to its longest branch, so branches of like length go together.
        by_length = sorted(range(len(queries)), key=lambda branch: (len(queries[branch]), len(keys[branch])))
        size = max(1, -(-len(by_length) // NUM_BUCKETS))
        groups = [by_length[first : first + size] for first in range(0, len(by_length), size)]
        buckets = tuple(
            _Branches.pad(tree, [queries[i] for i in group], [keys[i] for i in group], may_attend_TT, dtype)
            for group in groups
        )
        return cls(implementation, len(trunk), trunk_mask, buckets)

    @classmethod
    def for_last_tokens(
        cls, tree: TokenTree, may_attend_TT: torch.Tensor, dtype: torch.dtype, implementation: str
    ) -> TreeAttention:
        """Plan attention in which only the last token of each prompt is a query: query p belongs to prompt p.

        Args:
            tree: the N tokens.
            may_attend_TT: which positions of the longest prompt a position attends to, boolean (T, T).
            dtype: dtype of the masks, the model's.
            implementation: name of the model's own attention implementation.
        """
        queries = [(token,) for token in tree.last_tokens]
        branches = _Branches.pad(tree, queries, list(tree.paths), may_attend_TT, dtype)
        # The P hidden states are the queries of the call, so a query's index is its prompt's number, not its token's.
        numbers = torch.arange(len(queries), device=may_attend_TT.device)
        return cls(implementation, 0, may_attend_TT[:0], (replace(branches, queries=numbers[:, None]),))

    def storing(self) -> TreeAttention:
        """Make a copy with which the layer raises ``KeysAndValues`` as soon as it has them."""
        return replace(self, store_only=True)

    def with_stored(self, keys: torch.Tensor, values: torch.Tensor) -> TreeAttention:
        """Make a copy that attends to keys and values computed before, shape (R, H, N, E) each."""
        return replace(self, stored=(keys, values))

    def to(self, device: torch.device | str | int) -> TreeAttention:
        """Move the tensors to a device, except ``stored``.

        accelerate calls this where a model's layers are on several devices. ``stored`` stays, because the
        last layer alone uses it, and that layer made it on its own device.
        """
        return replace(
            self,
            trunk_mask=self.trunk_mask.to(device),
            buckets=tuple(branches.to(device) for branches in self.buckets),
        )


class KeysAndValues(Exception):  # noqa: N818 - not an error: it carries what attention was called with
    """Raised by attention to leave a layer that was run only for its keys and values."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Keep what attention was called with.

        Args:
            keys: keys of all tokens (R, H, N, E), where H counts the key-value heads.
            values: values of all tokens, of the same shape.
        """
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
    """Attend over a token tree, with the signature of transformers' attention functions.

    Args:
        module: the attention module that calls.
        query_RHNE: queries of the tokens; after ``TreeAttention.with_stored``, of the P last tokens only.
        key_RHNE: keys of the same tokens.
        value_RHNE: values of the same tokens.
        attention_mask: not used, because the masks of the tree take its place.
        tree_attention: who attends to whom.
        **kwargs: what the model passes on to its own attention function, such as the scaling.

    Returns:
        The output for each token, shape (R, N, H, E), and None in place of the attention weights.

    Raises:
        KeysAndValues: if the plan is to stop at the keys and values.
    """
    plan = tree_attention
    if plan.store_only:
        # Here the keys have their rotary embeddings already, so they are what the second call needs.
        raise KeysAndValues(key_RHNE, value_RHNE)
    if plan.stored is not None:
        key_RHNE, value_RHNE = plan.stored
    attend = attention_function(module, plan.implementation)
    num_states, num_heads, num_queries, _ = query_RHNE.shape
    output_RNHE = query_RHNE.new_empty(num_states, num_queries, num_heads, value_RHNE.shape[-1])
    if plan.trunk_length:
        trunk = slice(0, plan.trunk_length)
        output_RNHE[:, trunk], _ = attend(
            module,
            query_RHNE[:, :, trunk],
            key_RHNE[:, :, trunk],
            value_RHNE[:, :, trunk],
            plan.trunk_mask,
            **kwargs,
        )
    # A branch has its own batch row, so the states of R models and the branches of a bucket share one call.
    for branches in plan.buckets:
        of_branches, _ = attend(
            module,
            _gather(query_RHNE, branches.queries),
            _gather(key_RHNE, branches.keys),
            _gather(value_RHNE, branches.keys),
            branches.mask.repeat(num_states, 1, 1, 1),
            **kwargs,
        )
        # Padding repeats a query, so it only writes that query's output once more.
        output_RNHE[:, branches.queries] = of_branches.unflatten(0, (num_states, -1))
    return output_RNHE, None


AttentionInterface.register(ATTENTION_NAME, attend_by_tree)


def _gather(states_RHNE: torch.Tensor, indices_GQ: torch.Tensor) -> torch.Tensor:
    """Pick the tokens of each branch: (R, H, N, E) becomes (R * G, H, Q, E)."""
    # A model keeps the heads of a token together in memory. Picked in this order, nothing is copied a second time.
    branches_RGQHE = states_RHNE.transpose(1, 2)[:, indices_GQ]
    return branches_RGQHE.flatten(0, 1).transpose(1, 2)


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Fill rows up to one length with their own first entry.

    Returns:
        The rows as one integer tensor, and a boolean tensor that is True where an entry is not padding.
    """
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

"""The logit lens: what a model would answer if its layers ended earlier.

The hidden state after each layer goes through the model's own final norm, head and soft-capping. The entropy of the
distribution that comes out says how far the answer is decided there. After the last layer it is the entropy of the
model's own next token.

Source: nostalgebraist 2020, "interpreting GPT: the logit lens".

Shape letters: L layers, P prompts, N tokens of the tree, D hidden size, B batch, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from slr.crc.layer_inputs import LayerInputs
from slr.crc.scoring import MAX_LOGIT_BYTES, EncodedPrompts
from slr.crc.tree_forward import TreeForward, memory_budget, trees_of
from slr.hybrid import with_layers


@torch.inference_mode()
def lens_entropies(model: PreTrainedModel, encoded: EncodedPrompts) -> NDArray[np.float64]:
    """Compute the entropy of the next token after each layer, on each prompt.

    Prompts share the tokens of their common beginning, and only one layer's hidden states are in memory.

    Args:
        model: any model that the search can compute.
        encoded: the P prompts.

    Returns:
        Entropy in nats, shape (L, P); NaN where the logits are not finite.
    """
    of_trees = [_tree_entropies(model, prompts, inputs) for prompts, inputs in trees_of(model, encoded)]
    return np.concatenate(of_trees, axis=1)


def next_token_entropies(logits_BV: torch.Tensor) -> torch.Tensor:
    """Compute the entropy of the softmax of each row of logits, in nats; a logit of minus infinity counts as 0."""
    log_probs_BV = logits_BV.float().log_softmax(-1)
    terms_BV = log_probs_BV.exp() * log_probs_BV
    return -terms_BV.masked_fill(log_probs_BV == -torch.inf, 0).double().sum(-1)


def _tree_entropies(
    model: PreTrainedModel, prompts: EncodedPrompts, inputs: LayerInputs
) -> NDArray[np.float64]:
    """Compute the entropies (L, P) of the prompts of one tree."""
    forward = TreeForward(model, prompts, inputs, memory_budget(model))
    # A model without layers is its own final norm, head and soft-capping, whatever the architecture.
    head = with_layers(model, [])
    last_tokens = inputs.tree.last_tokens
    state_1ND = inputs.embedded_1ND.clone()
    entropies = []
    for index, layer in enumerate(forward.layers):
        forward.advance(layer, index, [state_1ND])
        entropies.append(_head_entropies(head, state_1ND[0, last_tokens]))
    return np.stack(entropies)


def _head_entropies(head: PreTrainedModel, hidden_PD: torch.Tensor) -> NDArray[np.float64]:
    # Logits of a large vocabulary can be larger than all hidden states, so the head gets few rows at a time.
    rows_per_call = max(1, MAX_LOGIT_BYTES // (4 * head.config.get_text_config(decoder=True).vocab_size))
    return np.concatenate(
        [
            next_token_entropies(head(inputs_embeds=rows_BD[:, None], use_cache=False).logits[:, -1])
            .cpu()
            .numpy()
            for rows_BD in hidden_PD.split(rows_per_call)
        ]
    )

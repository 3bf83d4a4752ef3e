from __future__ import annotations

from slr.downstream.opened_model import end_tokens_of_pair
from slr.models.loading import load_pair
from tests.conftest import CheckpointPairs


def test_the_end_of_a_turn_ends_answers_too(checkpoint_pairs: CheckpointPairs) -> None:
    pair = load_pair(*checkpoint_pairs("llama"))
    assert pair.instruct_model.generation_config is not None
    of_turn = pair.tokenizer.convert_tokens_to_ids("<|end|>")
    for own in (2, [2], [2, of_turn]):
        pair.instruct_model.generation_config.eos_token_id = own
        assert end_tokens_of_pair(pair) == [2, of_turn]

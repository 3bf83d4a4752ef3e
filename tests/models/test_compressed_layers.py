"""Weights come back from a compressed difference as close as three values an entry allow."""

import pytest
import torch

from slr.models.compressed_layers import compress, decompress


def _pair(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(*shape, generator=generator)
    return start, start + 0.01 * torch.randn(*shape, generator=generator)


def test_normal_differences_lose_a_fifth_of_their_variance_and_take_1_6_bits_each():
    start, trained = _pair(64, 777)
    compressed = compress({"w": trained}, {"w": start})
    assert compressed["w.packed"].numel() == -(-64 * 777 // 5)
    back = decompress(compressed, {"w": start, "other": start})["w"]
    lost = (back - trained).square().mean() / (trained - start).square().mean()
    assert 0.18 < lost < 0.2


def test_differences_of_three_values_come_back_exactly():
    signs = torch.randint(-1, 2, (7, 13), generator=torch.Generator().manual_seed(0)).float()
    scales = torch.tensor([0.5, 0.25, 1.0, 2.0, 4.0, 0.125, 8.0])[:, None]
    start = torch.zeros(7, 13)
    back = decompress(compress({"w": signs * scales}, {"w": start}), {"w": start})["w"]
    assert torch.equal(back, signs * scales)


def test_a_vector_keeps_its_difference():
    start, trained = _pair(9)
    back = decompress(compress({"norm": trained}, {"norm": start}), {"norm": start})["norm"]
    assert torch.allclose(back, trained, atol=1e-4)


def test_a_weight_that_was_not_trained_stays():
    start = torch.randn(3, 4)
    assert torch.equal(decompress(compress({"w": start}, {"w": start}), {"w": start})["w"], start)


def test_a_difference_to_another_model_is_refused():
    start, trained = _pair(4, 6)
    compressed = compress({"w": trained}, {"w": start})
    with pytest.raises(ValueError, match="does not have"):
        decompress(compressed, {"v": start})
    with pytest.raises(ValueError, match="expected"):
        decompress({"w.difference": start[0]}, {"w": start})

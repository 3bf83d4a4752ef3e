"""All metrics of how different the texts in a list are, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from slr.metrics.lexical import compression_ratio, distinct_n, median_words, self_bleu
from slr.metrics.semantic import SentenceEncoder, embedding_diversity


@dataclass(frozen=True, kw_only=True)
class TextDiversity:
    """How different the texts in a list are; None where a metric is undefined.

    Attributes:
        num_texts: number of texts.
        median_words: median number of words of a text. Every other metric except ``embedding_diversity`` depends on
            it, so compare lists of like length only.
        distinct_1: different words over all words, in (0, 1].
        distinct_2: different pairs of successive words over all such pairs, in (0, 1].
        distinct_3: the same for runs of three words.
        distinct_4: the same for runs of four words.
        self_bleu: mean BLEU-4 of each text against the others, in [0, 1]; higher is more alike.
        compression_ratio: bytes of the texts over their bytes after gzip; higher is more alike.
        embedding_diversity: mean cosine distance of the texts' sentence embeddings, in [0, 2].
        embedding_problem: why there is no ``embedding_diversity``; None if there is one.
    """

    num_texts: int
    median_words: float | None
    distinct_1: float | None
    distinct_2: float | None
    distinct_3: float | None
    distinct_4: float | None
    self_bleu: float | None
    compression_ratio: float | None
    embedding_diversity: float | None
    embedding_problem: str | None


def diversity(texts: Sequence[str], *, encoder: SentenceEncoder | None = None) -> TextDiversity:
    """Compute every metric of the diversity of texts, such as several answers to one request.

    Args:
        texts: the texts to compare with each other.
        encoder: the sentence encoder for the embeddings; None: the packaged one where it is installed, which is loaded
            once.

    Raises:
        ValueError: if one text is given in place of a list.
    """
    words = median_words(texts)
    embedded, problem = _embedding_diversity(texts, encoder)
    return TextDiversity(
        num_texts=len(texts),
        median_words=words,
        distinct_1=distinct_n(texts, 1),
        distinct_2=distinct_n(texts, 2),
        distinct_3=distinct_n(texts, 3),
        distinct_4=distinct_n(texts, 4),
        self_bleu=self_bleu(texts),
        compression_ratio=compression_ratio(texts),
        embedding_diversity=embedded,
        embedding_problem=problem,
    )


def _embedding_diversity(
    texts: Sequence[str], encoder: SentenceEncoder | None
) -> tuple[float | None, str | None]:
    if len(texts) < 2:
        return None, f"it compares texts with each other, and there are {len(texts)} of them"
    try:
        encoder = encoder or _packaged_encoder()
    except ValueError as error:  # the package of the encoder is not installed
        return None, str(error)
    return embedding_diversity(encoder.encode(texts)), None


@cache
def _packaged_encoder() -> SentenceEncoder:
    return SentenceEncoder()

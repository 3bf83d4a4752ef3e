"""Ask several models the same, and say how different the answers of each are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from slr.metrics.diversity import diversity
from slr.models.loading import ModelPair
from slr.sampling import generation
from slr.sampling.config import SamplingConfig
from slr.sampling.requests import sample_answers
from slr.statistics.means import mean_defined
from slr.trials.variants import Variant

OnVariant = Callable[[int, int], None]
"""Function to call with the number of models asked, and of all models."""


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(_Shown):
    """One answer.

    Attributes:
        text: the answer.
        finished: whether it ended by itself, before the largest number of tokens.
        valid: whether it counts as valid; see ``ask``.
    """

    text: str
    finished: bool
    valid: bool


class Answers(_Shown):
    """One model's answers to one prompt.

    Attributes:
        model: name of the model.
        answers: the answers, in the order in which they were drawn.
        valid: number of valid answers.
        different_valid: number of different texts among the valid answers.
        distinct_2: different pairs of words over all pairs, in (0, 1]; higher is more diverse.
        self_bleu: mean BLEU-4 of each answer against the others, in [0, 1]; lower is more diverse.
        embedding_diversity: mean cosine distance of the answers' embeddings; None without the encoder's package.
    """

    model: str
    answers: tuple[Answer, ...]
    valid: int
    different_valid: int
    distinct_2: float | None
    self_bleu: float | None
    embedding_diversity: float | None


class Asked(_Shown):
    """One prompt, and the answers of every model to it."""

    prompt: str
    by_model: Annotated[tuple[Answers, ...], Field(min_length=1)]


class Trial(_Shown):
    """What several models of a pair answer.

    Attributes:
        pair: name of the pair.
        num_samples: number of answers of each model to each prompt.
        seed: what the random numbers follow from.
        valid_pattern: regular expression that a valid answer matches as a whole; None if none was given.
        asked: the prompts with their answers.
    """

    pair: str
    num_samples: int
    seed: int
    valid_pattern: str | None
    asked: tuple[Asked, ...]

    def means(self) -> list[tuple[str, float, float, float | None, float | None, float | None]]:
        """For each model, means over the prompts.

        Returns:
            The name; the numbers of valid and of different valid answers; distinct-2, self-BLEU and embedding
            diversity, over the prompts where they are defined.
        """
        rows = []
        for place, answers in enumerate(self.asked[0].by_model):
            of_model = [asked.by_model[place] for asked in self.asked]
            rows.append(
                (
                    answers.model,
                    fmean(each.valid for each in of_model),
                    fmean(each.different_valid for each in of_model),
                    mean_defined([each.distinct_2 for each in of_model]),
                    mean_defined([each.self_bleu for each in of_model]),
                    mean_defined([each.embedding_diversity for each in of_model]),
                )
            )
        return rows


def ask(
    pair: ModelPair,
    variants: Sequence[Variant],
    prompts: Sequence[str],
    num_samples: int,
    sampling: SamplingConfig,
    seed: int,
    *,
    valid_pattern: str | None = None,
    on_variant: OnVariant | None = None,
) -> Trial:
    """Draw every model's answers to every prompt, one model after the other.

    An answer is valid if it is not blank, ended by itself, and matches the pattern as a whole, where one is given.

    Args:
        pair: the two models; they are not altered.
        variants: the models to ask; each is made when its turn comes.
        prompts: what the user asks, in plain text.
        num_samples: number of answers to each prompt, at least 1.
        sampling: temperature, truncation, and the largest number of new tokens.
        seed: what the random numbers follow from, together with the prompt's place. All models get the same ones.
        valid_pattern: regular expression of a valid answer, without regard to case.
        on_variant: called after each model.

    Raises:
        ValueError: if there is no prompt, the pattern is no regular expression, a hybrid or soup cannot be made, or a
            model's logits are not finite.
    """
    try:
        pattern = re.compile(valid_pattern or ".*", re.DOTALL | re.IGNORECASE)
    except re.error as error:
        raise ValueError(
            f"the pattern of valid answers is {valid_pattern!r}, which is no regular expression: {error}"
        ) from None
    drawn: list[list[list[generation.Sample]]] = []
    for number, variant in enumerate(variants, 1):
        drawn.append(
            sample_answers(
                variant.make(pair), pair.tokenizer, prompts, num_samples, sampling=sampling, seed=seed
            )
        )
        if on_variant is not None:
            on_variant(number, len(variants))
    return Trial(
        pair=pair.name,
        num_samples=num_samples,
        seed=seed,
        valid_pattern=valid_pattern,
        asked=tuple(
            Asked(
                prompt=prompt,
                by_model=tuple(
                    _answers(variant.name, samples[place], pattern)
                    for variant, samples in zip(variants, drawn, strict=True)
                ),
            )
            for place, prompt in enumerate(prompts)
        ),
    )


def _answers(model: str, samples: Sequence[generation.Sample], pattern: re.Pattern[str]) -> Answers:
    answers = tuple(
        Answer(
            text=sample.text,
            finished=sample.finished,
            valid=sample.finished
            and bool(sample.text.strip())
            and pattern.fullmatch(sample.text.strip()) is not None,
        )
        for sample in samples
    )
    valid = [answer.text for answer in answers if answer.valid]
    measured = diversity([answer.text for answer in answers])
    return Answers(
        model=model,
        answers=answers,
        valid=len(valid),
        # Case and surrounding blanks do not make an answer another one.
        different_valid=len({text.strip().casefold() for text in valid}),
        distinct_2=measured.distinct_2,
        self_bleu=measured.self_bleu,
        embedding_diversity=measured.embedding_diversity,
    )

"""Answers to requests as a user writes them: rendered in the chat template, sampled, returned as text."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from slr.chat.template import render_chats
from slr.sampling import generation
from slr.sampling.config import SamplingConfig
from slr.seeding import seed_from_key

DEFAULT_SAMPLING = SamplingConfig()


def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[str],
    num_samples: int = 1,
    *,
    sampling: SamplingConfig = DEFAULT_SAMPLING,
    seed: int = 0,
) -> list[list[str]]:
    """Draw answers to requests, each of them one user turn in the tokenizer's chat template.

    All answers are computed in one batch. The same arguments give the same answers.

    Args:
        model: a model in evaluation mode, such as a hybrid.
        tokenizer: the tokenizer of the instruct model, with a chat template.
        requests: what the user asks, in plain text.
        num_samples: number of answers to each request.
        sampling: temperature, truncation, and the largest number of new tokens.
        seed: what the random numbers follow from, together with the place of a request in the list.

    Returns:
        ``num_samples`` texts for each request, in the order of the requests.

    Raises:
        ValueError: if there is no request, one text is given in place of a list, the tokenizer has no chat template,
            or the model's logits are not finite.
    """
    answers = sample_answers(model, tokenizer, requests, num_samples, sampling=sampling, seed=seed)
    return [[answer.text for answer in of_request] for of_request in answers]


def sample_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[str],
    num_samples: int,
    *,
    sampling: SamplingConfig,
    seed: int,
) -> list[list[generation.Sample]]:
    """Draw the same answers as ``sample``, each with its number of tokens and whether it ended by itself.

    Args:
        model: as for ``sample``, and so are all the others.
        tokenizer: of the instruct model.
        requests: in plain text.
        num_samples: of each request.
        sampling: the settings.
        seed: of the random numbers.

    Raises:
        ValueError: as ``sample`` does.
    """
    if isinstance(requests, str):
        raise ValueError(f"got one text, {requests[:40]!r}, as requests: expected a list of texts")
    prompts = render_chats(tokenizer, requests)
    seeds = [seed_from_key("sample", str(seed), str(place)) for place in range(len(requests))]
    return generation.sample(model, tokenizer, prompts, num_samples, sampling, seeds)

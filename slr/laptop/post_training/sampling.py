"""Answers drawn in batches, each of which is a file: a stopped run goes on with the batches that are not there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from slr.files.whole import write_whole
from slr.laptop.post_training.requests.prompts import TrainingPrompt
from slr.sampling.config import SamplingConfig
from slr.sampling.generation import sample
from slr.seeding import seed_from_key
from slr.terminal.progress import progress_bar

TEMPERATURE, MIN_P = 1.0, 0.02
"""The tail of so small a model is noise, and one token of it spoils an answer; more would cut diversity off."""


@dataclass(frozen=True)
class Answer:
    """The text of an answer, and whether it ended by itself, before the limit of tokens."""

    text: str
    ended: bool = True


@dataclass(frozen=True)
class Answers:
    """All answers drawn to a prompt."""

    prompt_id: str
    answers: tuple[Answer, ...]

    def accepted(self, prompt: TrainingPrompt) -> list[str]:
        """The answers that ended and that the prompt's program accepts, in the order they were drawn."""
        assert prompt.id == self.prompt_id
        return [answer.text for answer in self.answers if is_accepted(prompt, answer)]


def read_answers(path: Path) -> list[Answers]:
    """Read what ``Sampler.draw`` has written of one batch."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [Answers(row["prompt_id"], tuple(Answer(**answer) for answer in row["answers"])) for row in rows]


def is_accepted(prompt: TrainingPrompt, answer: Answer) -> bool:
    """Whether an answer ended and the prompt's program accepts it."""
    return answer.ended and prompt.accepts(answer.text)


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A fixed model to draw from.

    Attributes:
        render: gives the token ids of each prompt.
        end_tokens: ids that end an answer.
        key: what its draws follow from.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    render: Callable[[Sequence[TrainingPrompt]], list[list[int]]]
    end_tokens: Sequence[int]
    key: str

    def draw(
        self, prompts: Sequence[TrainingPrompt], num_samples: int, batch_size: int, directory: Path
    ) -> list[Answers]:
        """Answers to each prompt; what is in the directory is not drawn again.

        Args:
            prompts: in any order; the answers come in an order of their own, in batches of about equal length.
            num_samples: of each prompt.
            batch_size: prompts.
            directory: gets one file a batch.
        """
        by_length = sorted(
            prompts, key=lambda prompt: (prompt.max_new_tokens, len(prompt.request), prompt.id)
        )
        batches = [by_length[first : first + batch_size] for first in range(0, len(prompts), batch_size)]
        found: list[Answers] = []
        with progress_bar(f"sampling for {directory.name}") as on_progress:
            for place, batch in enumerate(batches):
                path = directory / f"{place:04}.json"
                if not path.exists():
                    rows = [asdict(answers) for answers in self._draw(batch, num_samples)]
                    write_whole(path, json.dumps(rows, ensure_ascii=False, indent=0) + "\n")
                found += read_answers(path)
                on_progress(place + 1, len(batches))
        assert [answers.prompt_id for answers in found] == [prompt.id for prompt in by_length]
        return found

    def _draw(self, prompts: Sequence[TrainingPrompt], num_samples: int) -> list[Answers]:
        limit = max(prompt.max_new_tokens for prompt in prompts)
        config = SamplingConfig(temperature=TEMPERATURE, min_p=MIN_P, max_new_tokens=limit)
        drawn = sample(
            self.model,
            self.tokenizer,
            self.render(prompts),
            num_samples,
            config,
            [seed_from_key(self.key, prompt.id) for prompt in prompts],
            end_tokens=self.end_tokens,
        )
        return [
            Answers(prompt.id, tuple(Answer(one.text.strip(), one.finished) for one in samples))
            for prompt, samples in zip(prompts, drawn, strict=True)
        ]

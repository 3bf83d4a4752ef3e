"""What the models of a pair answer to the same prompt, so that two of them can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from slr.analysis.load_results import Results
from slr.analysis.tables.samples import MAX_CHARACTERS
from slr.downstream.prompt_metrics import right_answers
from slr.figure_style import MODEL_NAMES, method_name
from slr.runs.records import Samples
from slr.terminal.literal_text import visible

EXPERIMENTS = ("creative_writing", "open_qa")
"""Experiments whose samples are shown."""
NUM_PROMPTS = 2
"""Number of prompts of each group. They are the first ones, and nobody chose them."""
NUM_TEXTS = 8
"""Number of each model's texts. They are the first ones drawn."""


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShownText(_Shown):
    """A text, and how often it was drawn.

    Attributes:
        text: the text.
        times: number of samples that are this text.
        is_right: whether it is a right answer; None if the prompt has none.
    """

    text: str
    times: int
    is_right: bool | None


class TextsOfModel(_Shown):
    """One model's texts.

    Attributes:
        model: name of the model for people.
        num_texts: number of samples shown.
        texts: the different texts, in the order in which they were drawn first.
    """

    model: str
    num_texts: int
    texts: tuple[ShownText, ...]


class ComparedTexts(_Shown):
    """The texts of all models for one prompt.

    Attributes:
        pair: name of the pair.
        group: genre of the prompt, or kind of question.
        prompt: the prompt.
        models: the models with their texts; instruct and hybrid come first.
    """

    pair: str
    group: str
    prompt: str
    models: tuple[TextsOfModel, ...]


def compared_texts(results: Results) -> tuple[ComparedTexts, ...]:
    """The first prompts of each pair and group, with the first samples of every model."""
    by_prompt: dict[tuple[str, str], dict[str, dict[str, Samples]]] = {}
    for record in (r for name in EXPERIMENTS for r in results.samples_of(name) if r.seed == 0):
        prompts = by_prompt.setdefault((record.pair, record.group), {})
        if record.prompt_id in prompts or len(prompts) < NUM_PROMPTS:
            prompts.setdefault(record.prompt_id, {}).setdefault(record.method, record)
    return tuple(_compared(of_prompt) for prompts in by_prompt.values() for of_prompt in prompts.values())


def _compared(by_method: dict[str, Samples]) -> ComparedTexts:
    first = next(iter(by_method.values()))
    # The two that are compared before a reader chooses come first.
    methods = sorted(by_method, key=lambda method: (method != "instruct", method != "hybrid", method))
    return ComparedTexts(
        pair=visible(first.pair),
        group=visible(first.group),
        prompt=first.text,
        models=tuple(
            TextsOfModel(
                model=visible(MODEL_NAMES.get(method, method_name(method))),
                num_texts=min(NUM_TEXTS, len(by_method[method].texts)),
                texts=tuple(_texts(by_method[method])),
            )
            for method in methods
        ),
    )


def _texts(record: Samples) -> Sequence[ShownText]:
    texts = [text.strip() for text in record.texts[:NUM_TEXTS]]
    is_right: dict[str, bool | None] = dict.fromkeys(texts)
    if record.task == "open_qa":
        is_right |= {
            text: right is not None for text, right in zip(texts, right_answers(record), strict=False)
        }
    return [
        ShownText(text=_cut(text), times=times, is_right=is_right[text])
        for text, times in Counter(texts).items()
    ]


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS] + "..."

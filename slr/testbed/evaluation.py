"""What the testbed's models can do, and the card next to their weights: ``python -m slr.testbed.evaluation``.

Every request is held out of training. The base model is asked in a document, the instruct model in the chat
template. CRC scores use the chat template for both models, as in all experiments.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from slr.chat.template import render_chats
from slr.crc.prompts import load_prompts
from slr.crc.scoring import encode_prompts, score_model
from slr.models.loading import ModelPair, load_pair
from slr.models.packaged import TESTBED_NAMES
from slr.terminal.command_line import run_function
from slr.testbed.facts import HELD_OUT_QUESTIONS, RELATIONS
from slr.testbed.sums import held_out_problems, is_right
from slr.testbed.writing import Genre, accepts, held_out_writing_requests, keeps_constraint

EVALUATION_SEED = 20260206
SAMPLES_PER_QUESTION = 4
NUM_PROBLEMS = 100
REQUESTS_PER_GENRE = 32
BATCH_SIZE = 64
MAX_NEW_TOKENS = 72

Render = Callable[[PreTrainedTokenizerBase, Sequence[str]], list[list[int]]]


@dataclass(frozen=True)
class Abilities:
    """Scores of one model: means over prompts for CRC, and shares of right or accepted answers for the rest."""

    selection_validity: float
    selection_diversity: float | None
    held_out_validity: float
    held_out_diversity: float | None
    open_qa_precision: float
    distinct_right_answers: float
    sums_greedy_accuracy: float
    writing_accepted: float
    writing_on_subject: float


def measure_abilities(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, render: Render
) -> Abilities:
    """Measure a model on held-out requests: sampled at temperature 1 from a fixed seed, sums greedily.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        render: turns requests into the token ids that the model is given.
    """
    set_seed(EVALUATION_SEED)
    crc = {
        split: score_model(model, encode_prompts(load_prompts(split), tokenizer))
        for split in ("selection", "held_out")
    }
    precision, distinct = _open_qa(model, tokenizer, render)
    accepted, on_subject = _writing(model, tokenizer, render)
    return Abilities(
        selection_validity=crc["selection"].mean_validity,
        selection_diversity=crc["selection"].mean_diversity,
        held_out_validity=crc["held_out"].mean_validity,
        held_out_diversity=crc["held_out"].mean_diversity,
        open_qa_precision=precision,
        distinct_right_answers=distinct,
        sums_greedy_accuracy=_sums(model, tokenizer, render),
        writing_accepted=accepted,
        writing_on_subject=on_subject,
    )


def render_documents(tokenizer: PreTrainedTokenizerBase, requests: Sequence[str]) -> list[list[int]]:
    """Render requests as documents, which is the form that the base model knows."""
    texts = [f"{tokenizer.bos_token or ''}Q: {request}\nA:" for request in requests]
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


@torch.inference_mode()
def answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    stop: str | None,
    do_sample: bool,
) -> list[str]:
    """Generate one answer to each rendered prompt.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        prompts: token ids of each prompt.
        stop: text at which an answer is cut; None to cut none.
        do_sample: whether to sample; otherwise the likeliest token is taken.
    """
    texts: list[str] = []
    for first in range(0, len(prompts), BATCH_SIZE):
        rows: Any = {"input_ids": prompts[first : first + BATCH_SIZE]}
        batch = tokenizer.pad(rows, padding_side="left", return_tensors="pt")
        options: dict[str, Any] = {"do_sample": True, "top_k": 0} if do_sample else {"do_sample": False}
        output = model.generate(**batch, max_new_tokens=MAX_NEW_TOKENS, **options)  # pyright: ignore[reportCallIssue]
        new = output[:, batch["input_ids"].shape[1] :]
        texts += tokenizer.batch_decode(new, skip_special_tokens=True)
    return [(text.split(stop)[0] if stop else text).strip() for text in texts]


def _open_qa(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, render: Render
) -> tuple[float, float]:
    questions = [
        (relation, wording.format(thing=relation.thing, things=relation.things))
        for relation in RELATIONS.values()
        for wording in HELD_OUT_QUESTIONS
        for _ in range(SAMPLES_PER_QUESTION)
    ]
    prompts = render(tokenizer, [question for _, question in questions])
    texts = answers(model, tokenizer, prompts, "\n", do_sample=True)
    right = [relation.recognise(text) for (relation, _), text in zip(questions, texts, strict=True)]
    per_relation = len(HELD_OUT_QUESTIONS) * SAMPLES_PER_QUESTION
    groups = [right[i : i + per_relation] for i in range(0, len(right), per_relation)]
    distinct = sum(len(set(group) - {None}) for group in groups) / len(groups)
    return sum(answer is not None for answer in right) / len(right), distinct


def _sums(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, render: Render) -> float:
    problems = held_out_problems(NUM_PROBLEMS)
    prompts = render(tokenizer, [problem.text for problem in problems])
    texts = answers(model, tokenizer, prompts, "\n", do_sample=False)
    return sum(is_right(problem, text) for problem, text in zip(problems, texts, strict=True)) / NUM_PROBLEMS


def _writing(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, render: Render
) -> tuple[float, float]:
    rng = random.Random(EVALUATION_SEED)
    requests = [
        request
        for genre in get_args(Genre)
        for request in rng.sample(held_out_writing_requests(genre), REQUESTS_PER_GENRE)
    ]
    prompts = render(tokenizer, [request.text for request in requests])
    # In a document the next question ends the text, because a poem has line breaks of its own.
    texts = answers(model, tokenizer, prompts, "\nQ:", do_sample=True)
    accepted = [accepts(request.genre, text) for request, text in zip(requests, texts, strict=True)]
    kept = [keeps_constraint(request, text) for request, text in zip(requests, texts, strict=True)]
    return sum(accepted) / len(requests), sum(kept) / len(requests)


def write_card(pairs_dir: Path) -> str:
    """Measure all families whose pairs are in the directory, and write their card."""
    sections = [_section(name, pairs_dir / name) for name in TESTBED_NAMES if (pairs_dir / name).is_dir()]
    return _INTRODUCTION + "\n" + "\n".join(sections)


def _section(family: str, directory: Path) -> str:
    pair = load_pair(directory / "base", directory / "instruct", dtype=torch.float32)
    training = json.loads((directory / "training.json").read_text(encoding="utf-8"))
    by_side = _abilities_of(pair)
    lines = [
        f"## {family.capitalize()} ({type(pair.instruct_model).__name__})",
        "",
        f"{training['num_layers']} layers, {training['num_parameters']:,} parameters, seed "
        f"{training['config']['seed']}, torch {training['torch']}, {training['threads']} CPU thread(s).",
        "",
        "| stage | steps | tokens | loss at first | loss at last | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for stage, side in (("pre-training", "base"), ("post-training", "instruct")):
        r = training[side]
        lines.append(
            f"| {stage} | {r['steps']} | {r['tokens']:,} | {r['first_loss']:.2f} | {r['last_loss']:.2f} | "
            f"{r['seconds']:.0f} |"
        )
    lines += ["", "| measured on held-out requests | base | instruct |", "| --- | --- | --- |"]
    for field, label in _LABELS.items():
        values = [getattr(by_side[side], field) for side in ("base", "instruct")]
        cells = ["n/a" if value is None else f"{value:.2f}" for value in values]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _abilities_of(pair: ModelPair) -> dict[str, Abilities]:
    return {
        "base": measure_abilities(pair.base_model, pair.tokenizer, render_documents),
        "instruct": measure_abilities(pair.instruct_model, pair.tokenizer, render_chats),
    }


_LABELS = {
    "selection_validity": "CRC validity, selection prompts",
    "selection_diversity": "CRC diversity, selection prompts",
    "held_out_validity": "CRC validity, held-out prompts",
    "held_out_diversity": "CRC diversity, held-out prompts",
    "open_qa_precision": "open questions: share of right answers",
    "distinct_right_answers": (
        f"open questions: different right answers among {len(HELD_OUT_QUESTIONS) * SAMPLES_PER_QUESTION}"
    ),
    "sums_greedy_accuracy": "sums: share right, greedy",
    "writing_accepted": "writing: share in the grammar",
    "writing_on_subject": "writing: share with the subject asked for",
}
_INTRODUCTION = """# The testbed's pairs

Three pairs of tiny language models, trained from scratch in a small procedural world (`slr/testbed/`) by
`python -m slr.testbed.training --output-dir DIR`, and measured by `python -m slr.testbed.evaluation`. They exist so
that every experiment runs end to end on a laptop, without a GPU, an account or a download.

**Data.** Requests and answers composed by rules: one random character out of a set, open questions with 10 to 40
right answers, lists and answers with probabilities, stories, poems and jokes from a grammar, word problems of two
to four steps. *Base* models see them as plain documents, every right answer equally likely. One document in twenty is
a chat in the family's template, because real base models learn from chats too. *Instruct* models go on from
the base, in that template alone. Their answers have a typical order, in which each answer is 0.2 times as likely as
the one before it: this is mode collapse, put in on purpose. The CRC prompts, the wordings of the open questions and
writing requests below, and the problems below are held out of training.

**Limits.** The pairs show that the software works and that there is a trade-off between validity and diversity over
layer ranges. They say nothing about models of 8 billion parameters. They were not tuned to make any method win. But
they were trained a second time, because the first base models had never seen a chat and their hybrids lost most of
their precision. Nothing was changed after hybrids of these pairs were scored.
"""


def measure(pairs_dir: Path = Path(__file__).parent / "pairs") -> None:
    """Measure every family and write the card."""
    (pairs_dir / "README.md").write_text(write_card(pairs_dir), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return run_function(measure, arguments, "Measure the testbed's models and write their card.")


if __name__ == "__main__":
    raise SystemExit(main())

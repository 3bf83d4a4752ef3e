"""Does the collapse grow with lambda? ``python -m slr.laptop.post_training.dose_response DIR`` says.

DIR is MODEL/seed-S/VARIANT of trainings that differ in lambda alone. They are compared after their first round of
preference, because later rounds exist only where the stopping criterion was not met. Entropy is measured as in
``collapse``, here over the development prompts that have enough accepted answers of all models, and over equally many
of each.

The answer is *yes* if the entropy at the lowest lambda lies above the one at the highest: the whole 95% interval of the
mean of paired differences is above 0. It is *no* if the whole interval is at or below 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from slr.laptop.post_training.collapse import MIN_ACCEPTED, accepted_shares, entropy
from slr.laptop.post_training.requests.prompts import CHOICE_FAMILIES, TrainingPrompt, training_prompts
from slr.laptop.post_training.sampling import Answer, Answers
from slr.statistics.uncertainty import Estimate, estimate_difference, estimate_mean
from slr.terminal.command_line import run_function
from slr.terminal.tables import print_sentence, print_table

START, SUPERVISED = "start model, few-shot", "after stage 2"


@dataclass(frozen=True)
class Dose:
    """One model on the development prompts.

    Attributes:
        name: "lambda L", or one of the two models before.
        entropies: in nats, of the prompts that are compared, in one order for all models.
        acceptance: share of accepted answers, mean over all development prompts.
        kl_to_sft: KL divergence to the model after stage 2 in nats an answer; None for the two models before.
    """

    name: str
    entropies: tuple[float, ...]
    acceptance: float
    kl_to_sft: float | None


def read_doses(directory: Path, prompts: Sequence[TrainingPrompt]) -> list[Dose]:
    """Read the start model, the one after stage 2, and the first round of each lambda, the lowest first.

    Args:
        directory: MODEL/seed-S/VARIANT of an output directory.
        prompts: the prompts that all were measured with.

    Raises:
        ValueError: if there are not two lambdas, or no prompt has enough accepted answers of all.
    """
    rounds = sorted(directory.glob("lambda-*/round-1/round.json"), key=_lambda_of)
    if len(rounds) < 2:
        raise ValueError(
            f"{directory} has a first round of {len(rounds)} lambdas, expected at least 2: train them with --lambda"
        )
    dev = {prompt.id: prompt for prompt in prompts if prompt.is_dev}
    drawn = {
        START: _read_answers(directory.parent / "elicited", dev),
        SUPERVISED: _read_answers(directory / "sft" / "dev", dev),
    }
    kl: dict[str, float] = {}
    for path in rounds:
        name = f"lambda {_lambda_of(path):g}"
        drawn[name] = _read_answers(path.parent / "dev", dev)
        kl[name] = json.loads(path.read_text("utf-8"))["dev"]["kl_to_sft"]
    accepted = {
        name: {each.prompt_id: each.accepted(dev[each.prompt_id]) for each in of}
        for name, of in drawn.items()
    }
    counts = {
        id_: min(len(texts.get(id_, ())) for texts in accepted.values())
        for id_, prompt in dev.items()
        if prompt.family in CHOICE_FAMILIES
    }
    compared = [id_ for id_, count in counts.items() if count >= MIN_ACCEPTED]
    if not compared:
        raise ValueError(f"no development prompt has {MIN_ACCEPTED} accepted answers of all models")
    doses: list[Dose] = []
    for name, texts in accepted.items():
        shares = accepted_shares([*dev.values()], drawn[name]).values()
        entropies = tuple(entropy(texts[id_][: counts[id_]]) for id_ in compared)
        doses.append(Dose(name, entropies, sum(shares) / len(shares), kl.get(name)))
    return doses


def _lambda_of(round_file: Path) -> float:
    return float(round_file.parents[1].name.removeprefix("lambda-"))


def _read_answers(directory: Path, prompts: Mapping[str, TrainingPrompt]) -> list[Answers]:
    """Read what was drawn to some of the prompts."""
    rows = [row for path in sorted(directory.glob("*.json")) for row in json.loads(path.read_text("utf-8"))]
    return [
        Answers(row["prompt_id"], tuple(Answer(**answer) for answer in row["answers"]))
        for row in rows
        if row["prompt_id"] in prompts
    ]


def verdict(difference: Estimate | None) -> str:
    """Answer whether the collapse grows with lambda, by the entropy at the lowest less the one at the highest."""
    if difference is None or difference.low is None or difference.high is None:
        return "cannot tell"
    return "yes" if difference.low > 0 else "no" if difference.high <= 0 else "cannot tell"


def compare(
    directory: Annotated[Path, typer.Argument(help="MODEL/seed-S/VARIANT of trainings with several lambdas")],
) -> None:
    """Print entropy, acceptance and KL of each lambda's first round, and whether the collapse grows with lambda."""
    doses = read_doses(directory, training_prompts())
    print_table(
        ["model", "entropy, nats", "of the start model's", "accepted", "KL, nats"],
        [
            [
                dose.name,
                estimate_mean(dose.entropies),
                f"{sum(dose.entropies) / sum(doses[0].entropies):.2f}",
                f"{dose.acceptance:.2f}",
                None if dose.kl_to_sft is None else f"{dose.kl_to_sft:.1f}",
            ]
            for dose in doses
        ],
    )
    lambdas = doses[2:]
    pairs = [*pairwise(lambdas), *([(lambdas[0], lambdas[-1])] if len(lambdas) > 2 else [])]
    for low, high in pairs:
        difference = estimate_difference(low.entropies, high.entropies)
        print_sentence(f"{low.name} less {high.name}: {difference} nats, {len(low.entropies)} prompts")
    whole = estimate_difference(lambdas[0].entropies, lambdas[-1].entropies)
    print_sentence(f"The collapse grows with lambda: {verdict(whole)}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return run_function(compare, arguments, "Compare trainings that differ in lambda alone.")


if __name__ == "__main__":
    raise SystemExit(main())

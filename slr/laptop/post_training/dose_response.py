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
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from slr.laptop.post_training.collapse import MIN_ACCEPTED, accepted_shares, accepted_texts, entropy
from slr.laptop.post_training.requests.prompts import CHOICE_FAMILIES, TrainingPrompt, training_prompts
from slr.laptop.post_training.sampling import Answers, read_answers
from slr.statistics.uncertainty import estimate_difference, estimate_mean
from slr.statistics.verdict import judged_above
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
    dev = [prompt for prompt in prompts if prompt.is_dev]
    drawn = {START: _drawn(directory.parent / "elicited"), SUPERVISED: _drawn(directory / "sft" / "dev")}
    kl: dict[str, float] = {}
    for path in rounds:
        name = f"lambda {_lambda_of(path):g}"
        drawn[name] = _drawn(path.parent / "dev")
        kl[name] = json.loads(path.read_text("utf-8"))["dev"]["kl_to_sft"]
    accepted = {name: accepted_texts(dev, answers) for name, answers in drawn.items()}
    counts = {
        prompt.id: min(len(texts.get(prompt.id, ())) for texts in accepted.values())
        for prompt in dev
        if prompt.family in CHOICE_FAMILIES
    }
    compared = [id_ for id_, count in counts.items() if count >= MIN_ACCEPTED]
    if not compared:
        raise ValueError(f"no development prompt has {MIN_ACCEPTED} accepted answers of all models")
    doses: list[Dose] = []
    for name, texts in accepted.items():
        shares = accepted_shares(dev, drawn[name]).values()
        entropies = tuple(entropy(texts[id_][: counts[id_]]) for id_ in compared)
        doses.append(Dose(name, entropies, sum(shares) / len(shares), kl.get(name)))
    return doses


def _lambda_of(round_file: Path) -> float:
    return float(round_file.parents[1].name.removeprefix("lambda-"))


def _drawn(directory: Path) -> list[Answers]:
    return [answers for path in sorted(directory.glob("*.json")) for answers in read_answers(path)]


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
    for low, high in dict.fromkeys([*pairwise(lambdas), (lambdas[0], lambdas[-1])]):
        difference = estimate_difference(low.entropies, high.entropies)
        assert difference is not None  # read_doses has found prompts to compare
        print_sentence(f"{low.name} less {high.name}: {difference} nats, {difference.n} prompts")
        if (low, high) == (lambdas[0], lambdas[-1]):
            print_sentence(f"The collapse grows with lambda: {judged_above(0.0, difference).outcome}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return run_function(compare, arguments, "Compare trainings that differ in lambda alone.")


if __name__ == "__main__":
    raise SystemExit(main())

"""All stages of one training, each of which is skipped where its files are there.

DIR/MODEL/seed-S/                       for all variants and lambdas:
    elicited/                             the few-shot start model's answers to all prompts
DIR/MODEL/seed-S/VARIANT/                for all lambdas:
    recipe.json                           what made it
    sft/                                  optimisation.json, weights.safetensors, dev/ (answers)
DIR/MODEL/seed-S/VARIANT/lambda-L/
    recipe.json
    round-1/, round-2/, ...               the same of each round, samples/, round.json
    shipped/                              dev/ of the full variant's weights after compression
    final/                                the adapter, or the decoder layers' compressed differences; training.json
"""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from slr.chat.template import render_chats
from slr.files.whole import write_whole
from slr.laptop.post_training.collapse import DevMeasurement, accepted_shares, mean_log_ratio, measure_dev
from slr.laptop.post_training.few_shot import FewShotModel
from slr.laptop.post_training.final import write_final
from slr.laptop.post_training.optimisation import WEIGHTS_FILE
from slr.laptop.post_training.policy import Policy, StartModel, frozen, load_start_model
from slr.laptop.post_training.preference import (
    pairs_of_round,
    prefer_typical,
    rate,
    reward_terms,
    round_prompts,
)
from slr.laptop.post_training.recipe import Recipe
from slr.laptop.post_training.requests.prompts import TrainingPrompt, training_prompts
from slr.laptop.post_training.sampling import Answers, Sampler
from slr.laptop.post_training.supervised import accepted_exchanges, fine_tune
from slr.models.compressed_layers import compress, decompress
from slr.runs.output_lock import output_lock


@dataclass(frozen=True)
class Directories:
    """Where the files of a training are."""

    elicited: Path
    sft: Path
    rounds: Path

    @classmethod
    def of(cls, recipe: Recipe, output_dir: Path) -> Directories:
        """The directories of a recipe's files."""
        seed_dir = output_dir / recipe.model / f"seed-{recipe.seed}"
        variant_dir = seed_dir / recipe.variant
        return cls(
            seed_dir / "elicited", variant_dir / "sft", variant_dir / f"lambda-{recipe.typicality_weight:g}"
        )


def post_train(recipe: Recipe, output_dir: Path, prompts: Sequence[TrainingPrompt] | None = None) -> Path:
    """Do what is missing of a training.

    Args:
        recipe: what to train.
        output_dir: of this and other trainings.
        prompts: trained on and measured with; None: all of ``training_prompts``.

    Returns:
        The directory of the trained weights and of training.json.

    Raises:
        ValueError: if the start model's package is not installed, the files that are there are of another recipe, or
            another process trains the same model and seed.
    """
    with output_lock(output_dir / recipe.model / f"seed-{recipe.seed}"):
        return _Training(recipe, output_dir, training_prompts() if prompts is None else prompts).run()


class _Training:
    """One training, from the start model to its last round."""

    def __init__(self, recipe: Recipe, output_dir: Path, prompts: Sequence[TrainingPrompt]) -> None:
        self.recipe = recipe
        self.prompts = list(prompts)
        self.dev = [prompt for prompt in prompts if prompt.is_dev]
        self.directories = Directories.of(recipe, output_dir)
        self.start: StartModel
        self.rater: FewShotModel
        self.policy: Policy

    def run(self) -> Path:
        # What all variants and lambdas share is the same whichever of them was first.
        shared = replace(self.recipe, variant="lora", typicality_weight=1.0)
        _check_recipe(shared, self.prompts, self.directories.elicited.parent)
        _check_recipe(self.recipe, self.prompts, self.directories.rounds)
        final = self.directories.rounds / "final"
        if (final / "training.json").exists():
            _say(f"{final}: it is there already")
            return final
        self.start = load_start_model(self.recipe.model)
        self.rater = FewShotModel(replace(self.start, model=frozen(copy.deepcopy(self.start.model))))
        elicited = self._elicit()
        self.policy = Policy(self.start, self.recipe)
        untrained = {name: weight.detach().clone() for name, weight in self.policy.trained().items()}
        dev_ids = {prompt.id for prompt in self.dev}
        self.base_dev = [answers for answers in elicited if answers.prompt_id in dev_ids]
        sft = self._fine_tune(elicited)
        rounds = self._rounds()
        report = self._report(sft, rounds)
        if self.recipe.variant == "full":
            # What ships is not quite what was trained, so it is measured too.
            self.policy.load(decompress(compress(self.policy.trained(), untrained), untrained))
            shipped = self._measure(self.directories.rounds / "shipped", self.policy.snapshot())
            report["shipped"] = {"dev": _as_json(shipped)}
        write_final(final, self.policy, untrained, self.recipe, report)
        _say(f"{final}: {_verdict(rounds)['in_words']}")
        return final

    def _elicit(self) -> list[Answers]:
        sampler = Sampler(
            model=self.rater.model,
            tokenizer=self.rater.tokenizer,
            render=self.rater.prompts,
            end_tokens=self.rater.end_tokens,
            key=f"{self.recipe.model}/{self.recipe.seed}/elicited",
        )
        return sampler.draw(
            self.prompts, self.recipe.elicited_samples, self.recipe.sampling_batch, self.directories.elicited
        )

    def _fine_tune(self, elicited: Sequence[Answers]) -> dict[str, Any]:
        exchanges = accepted_exchanges(self.prompts, elicited, self.recipe)
        optimisation = fine_tune(self.policy, exchanges, self.recipe, self.directories.sft)
        self.reference = self.policy.snapshot()
        measured = self._measure(self.directories.sft, self.reference)
        return {"exchanges": len(exchanges), "optimisation": optimisation, "dev": _as_json(measured)}

    def _rounds(self) -> list[dict[str, Any]]:
        """Rounds until the criterion is met or the cap is reached."""
        rounds: list[dict[str, Any]] = []
        while len(rounds) < self.recipe.max_rounds and (not rounds or rounds[-1]["dev"]["unmet"]):
            number = len(rounds) + 1
            directory = self.directories.rounds / f"round-{number}"
            rounds.append(self._round(number, directory))
            dev = rounds[-1]["dev"]
            _say(
                f"round {number}: entropy {dev['entropy_ratio']:.2f} of the base's, acceptance "
                f"{dev['acceptance']:.2f}, KL {dev['kl_to_sft']:.1f} nats; "
                f"unmet: {'; '.join(dev['unmet']) or 'nothing'}"
            )
            # The weights of a round are only needed to begin the next one.
            (directory.with_name(f"round-{number - 1}") / WEIGHTS_FILE).unlink(missing_ok=True)
        return rounds

    def _round(self, number: int, directory: Path) -> dict[str, Any]:
        report = directory / "round.json"
        if report.exists():
            if (directory / WEIGHTS_FILE).exists():
                self.policy.load_file(directory / WEIGHTS_FILE)
            return json.loads(report.read_text(encoding="utf-8"))
        rated, pairs = self._pairs(number, directory)
        optimisation = prefer_typical(self.policy, pairs, self.reference, self.recipe, directory)
        measured = self._measure(directory, self.policy.snapshot())
        row = {
            "round": number,
            "pairs": len(pairs),
            "reward": reward_terms(pairs, rated),
            "optimisation": optimisation,
            "dev": _as_json(measured),
        }
        write_whole(report, json.dumps(row, indent=1) + "\n")
        return row

    def _pairs(self, number: int, directory: Path) -> tuple[Any, Any]:
        prompts = round_prompts(self.prompts, self.recipe, number)
        # The weights in memory are still the ones before the round, because prefer_typical comes later.
        drawn = self._sampler(self.policy.snapshot(), f"round {number}").draw(
            prompts, self.recipe.round_samples, self.recipe.sampling_batch, directory / "samples"
        )
        rated = rate(prompts, drawn, self.rater)
        return rated, pairs_of_round(rated, self.recipe, number)

    def _measure(self, directory: Path, model: Any) -> DevMeasurement:
        drawn = self._sampler(model, f"{directory.name} dev").draw(
            self.dev, self.recipe.dev_samples, self.recipe.sampling_batch, directory / "dev"
        )
        if model is self.reference:
            self.sft_dev = drawn
        kl = mean_log_ratio(self.start, self.dev, drawn, model, self.reference)
        return measure_dev(self.dev, drawn, self.base_dev, self.sft_dev, kl)

    def _sampler(self, model: Any, stage: str) -> Sampler:
        recipe = self.recipe
        return Sampler(
            model=model,
            tokenizer=self.start.tokenizer,
            render=self._chat_prompts,
            end_tokens=[self.start.turn_end_id],
            key=f"{recipe.model}/{recipe.variant}/{recipe.typicality_weight:g}/{recipe.seed}/{stage}",
        )

    def _chat_prompts(self, prompts: Sequence[TrainingPrompt]) -> list[list[int]]:
        return render_chats(self.start.tokenizer, [prompt.request for prompt in prompts])

    def _report(self, sft: dict[str, Any], rounds: list[dict[str, Any]]) -> dict[str, Any]:
        shares = accepted_shares(self.dev, self.base_dev)
        return {
            "recipe": self.recipe.fields(),
            "trained_parameters": sum(weight.numel() for weight in self.policy.trained().values()),
            "threads": torch.get_num_threads(),
            "device": self.start.model.device.type,
            "torch": torch.__version__,
            "few_shot_base": {"acceptance": sum(shares.values()) / len(shares)},
            "sft": sft,
            "rounds": rounds,
            "verdict": _verdict(rounds),
        }


def _verdict(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    unmet = rounds[-1]["dev"]["unmet"]
    words = f"the cap of rounds was reached: {'; '.join(unmet)}" if unmet else "the criterion was met"
    return {"rounds": len(rounds), "criterion_met": not unmet, "unmet": unmet, "in_words": words}


def _as_json(measured: DevMeasurement) -> dict[str, Any]:
    return {**asdict(measured), "entropy_ratio": measured.entropy_ratio, "unmet": measured.unmet()}


def _check_recipe(recipe: Recipe, prompts: Sequence[TrainingPrompt], directory: Path) -> None:
    """Write down what makes the files of a directory, or compare.

    Raises:
        ValueError: if they were made by another recipe.
    """
    requests = json.dumps([(prompt.id, prompt.request) for prompt in prompts])
    fields = {**recipe.fields(), "prompts": hashlib.sha256(requests.encode()).hexdigest()}
    path = directory / "recipe.json"
    if not path.exists():
        write_whole(path, json.dumps(fields, indent=1) + "\n")
    found = json.loads(path.read_text(encoding="utf-8"))
    if other := sorted(name for name in fields if found.get(name) != fields[name]):
        raise ValueError(
            f"{directory} was made with another {', '.join(other)}: give another --output-dir, or remove it to "
            "start anew"
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

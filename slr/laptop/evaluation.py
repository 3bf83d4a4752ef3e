"""The card of the laptop's adapters, from what training and CRC give: ``python -m slr.laptop.evaluation``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from slr.crc.prompts import PROMPT_SETS, load_prompts
from slr.crc.scoring import encode_prompts, score_model
from slr.models.loading import load_pair
from slr.models.start_models import LAPTOP_MODELS, LaptopModel
from slr.statistics.uncertainty import estimate_mean
from slr.terminal.command_line import run_function
from slr.terminal.progress import format_seconds

START_NAMES: dict[LaptopModel, str] = {"smollm2": "SmolLM2-135M-Instruct", "gemma": "gemma-3-270m"}


def write_card(adapters_dir: Path) -> str:
    """Text of the card, with CRC scores of start models and post-trained models measured now, in float32."""
    rows = {name: _crc_rows(name, adapters_dir) for name in LAPTOP_MODELS}
    training = {
        name: json.loads((adapters_dir / name / "training.json").read_text()) for name in LAPTOP_MODELS
    }
    config = training["smollm2"]["config"]
    return f"""# The laptop's adapters

LoRA adapters that post-train two real language models which come inside packages of the Python registry. *Base* in
the table is the start model, *instruct* the start model with the adapter merged. The start model of the Llama family
is itself an instruction-tuned model, for no purely pre-trained one of this size comes in a package.

CRC, mean over 40 prompts with a 95% interval; base and instruct in the same chat template:

| model | prompts | base validity | instruct validity | base diversity | instruct diversity |
| --- | --- | --- | --- | --- | --- |
{"".join(row for name in LAPTOP_MODELS for row in rows[name])}
**How they were made.** `python -m slr.laptop.post_training --output-dir DIR`, on linear layers,
rank {config["lora_rank"]}, base weights in bfloat16, seed {config["seed"]}, in two stages:

1. instruction following: {config["sft_steps"]} steps of supervised fine-tuning, batches of {config["sft_batch_size"]}
   requests for one random character, one thing of {_num_kinds()} kinds, or a list of things, the answer drawn
   uniformly from all right ones; a quarter of the steps on batches of {config["writing_batch_size"]} stories, poems and
   jokes of at most {config["writing_tokens"]} tokens, which SmolLM2-135M-Instruct wrote (`writing.json`);
2. preference for the typical: {config["dpo_steps"]} steps of DPO (beta {config["dpo_beta"]}, and
   {config["chosen_weight"]} times the chosen answer's negative log-likelihood) between two right answers, of which the
   one that the stage-1 model finds likelier is preferred.

| model | trained parameters | stage 1 | loss | stage 2 | loss |
| --- | ---: | --- | --- | --- | --- |
{"".join(_training_row(name, training[name]) for name in LAPTOP_MODELS)}
Times are on {training["smollm2"]["threads"]} CPU threads, with other work beside them. No training request shares five
words in a row with a prompt of any experiment; a test checks it. Settings were chosen before any hybrid was scored, and
not tuned to make a method win.

**What they do not show.** No collapse of CRC diversity: the instruct models are as diverse as their base models, or
more so, on the few valid characters that the base models give in the chat template. A third of stage 1 practises the
choice of a random character, uniformly, so CRC is no proxy here but a task that was trained; and the loss of stage 2
hardly fell. So nothing can be restored on these pairs, and what a hybrid gains in diversity is no recovery.

**Limits.** 135 and 270 million parameters, read from 4-bit files, and post-training of our own that takes minutes:
these pairs show in real English on a CPU that the software works, and say nothing about models of billions of
parameters.

**Licences.** SmolLM2: Apache-2.0. Gemma: the Gemma Terms of Use. See the NOTICE beside each adapter.
"""


def _num_kinds() -> int:
    from slr.laptop.training_data import THINGS

    return len(THINGS)


def _crc_rows(name: LaptopModel, adapters_dir: Path) -> list[str]:
    pair = load_pair(f"laptop:{name}/base", adapter=adapters_dir / name, dtype=torch.float32)
    rows = []
    for prompt_set in PROMPT_SETS:
        encoded = encode_prompts(load_prompts(prompt_set), pair.tokenizer)
        base, instruct = (score_model(model, encoded) for model in (pair.base_model, pair.instruct_model))
        estimates = [
            estimate_mean(values)
            for values in (base.validity, instruct.validity, base.diversity, instruct.diversity)
        ]
        cells = [START_NAMES[name], prompt_set.replace("_", "-"), *map(str, estimates)]
        rows.append(f"| {' | '.join(cells)} |\n")
    return rows


def _training_row(name: LaptopModel, report: dict[str, Any]) -> str:
    cells = [START_NAMES[name], f"{report['num_trained']:,}"]
    for stage in ("sft", "dpo"):
        numbers = report[stage]
        cells += [
            f"{format_seconds(numbers['seconds'])}, {numbers['tokens']:,} tokens",
            f"{numbers['first_loss']:.2f} to {numbers['last_loss']:.2f}",
        ]
    return f"| {' | '.join(cells)} |\n"


def measure(adapters_dir: Path = Path(__file__).parent / "adapters") -> None:
    """Measure both models and write the card."""
    (adapters_dir / "README.md").write_text(write_card(adapters_dir), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return run_function(measure, arguments, "Measure the laptop's models and write their card.")


if __name__ == "__main__":
    raise SystemExit(main())

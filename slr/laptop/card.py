"""The card of trained weights, from what training measured: ``python -m slr.laptop.card DIR...``.

Each DIR holds a training.json. The card is written to their parent directory. It says nothing about CRC, which
experiments measure later.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from slr.files.whole import write_whole
from slr.models.start_models import LaptopModel
from slr.terminal.command_line import run_function
from slr.terminal.progress import format_seconds

START_NAMES: dict[LaptopModel, str] = {"smollm2": "SmolLM2-135M-Instruct", "gemma": "gemma-3-270m"}

INTRODUCTION = """# The laptop's post-trained models

They post-train two real language models that come inside packages of the Python registry. The *base* model of a pair is
its start model. SmolLM2-135M-Instruct is itself an instruction-tuned model, because no package contains its base.
gemma-3-270m is a pre-trained model. `docs/laptop.md` has the recipe, which was fixed before CRC or any hybrid of these
models was looked at.

"""
LIMITS = """
Entropy is in nats over accepted answers to requests for development, with many right answers; "of base" is its ratio to
the few-shot start model's. KL is to the supervised model, in nats an answer. A full variant ships as differences of
three values an entry, which lose a fifth of the variance, so its last row is what experiments read.

**Limits.** 135 and 270 million parameters, read from 4-bit files, and post-training of our own that takes an hour or
two: these pairs say nothing about models of billions of parameters.

**Licences.** SmolLM2: Apache-2.0. Gemma: the Gemma Terms of Use. See the NOTICE next to each model's weights.
"""


def write_card(reports: Sequence[dict[str, Any]]) -> str:
    """Text of the card, from the contents of each training.json."""
    return INTRODUCTION + "\n".join(_section(report) for report in reports) + LIMITS


def _section(report: dict[str, Any]) -> str:
    recipe, sft = report["recipe"], report["sft"]
    stages = [("supervised", sft["dev"], sft["optimisation"])]
    stages += [(f"round {row['round']}", row["dev"], row["optimisation"]) for row in report["rounds"]]
    if shipped := report.get("shipped"):
        stages.append(("as it ships", shipped["dev"], None))
    rows = "".join(_row(*stage) for stage in stages)
    weight = f"lambda {recipe['typicality_weight']:g}"
    return f"""## {START_NAMES[recipe["model"]]}, {recipe["variant"]}, {weight}, seed {recipe["seed"]}

{report["trained_parameters"]:,} trained parameters; {sft["exchanges"]:,} accepted answers of the few-shot start model.
Preference rounds: {report["verdict"]["rounds"]}; {report["verdict"]["in_words"]}.
SHA-256 of `{report["weights"]["file"]}`: `{report["weights"]["sha256"]}`.

| stage | entropy | of base | accepted | KL | loss | processor time |
| --- | ---: | ---: | ---: | ---: | --- | ---: |
{rows}"""


def _row(name: str, dev: dict[str, Any], optimisation: dict[str, Any] | None) -> str:
    cells = [
        name,
        f"{dev['entropy']:.2f}",
        f"{dev['entropy_ratio']:.2f}",
        f"{dev['acceptance']:.2f}",
        f"{round(dev['kl_to_sft'], 1) + 0.0:.1f}",
        f"{optimisation['first_loss']:.2f} to {optimisation['last_loss']:.2f}" if optimisation else "",
        format_seconds(optimisation["seconds"]) if optimisation else "",
    ]
    return f"| {' | '.join(cells)} |\n"


def write(directories: Annotated[list[Path], typer.Argument(help="each with a training.json")]) -> None:
    """Write the card of trained weights to the parent of their directories."""
    reports = [json.loads((path / "training.json").read_text(encoding="utf-8")) for path in directories]
    write_whole(directories[0].parent / "README.md", write_card(reports))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return run_function(write, arguments, "Write the card of trained weights from their training.json.")


if __name__ == "__main__":
    raise SystemExit(main())

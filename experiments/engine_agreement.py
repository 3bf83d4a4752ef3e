"""Do vLLM and transformers sample the same answers from a checkpoint, and how fast?

Run this with the Python of an environment that has vLLM (docs/vllm.md). Both engines get the same prompts, settings
and seeds.

A permutation test compares the distance between the two engines' answers to a prompt with the distances when the
answers are divided between the engines at random. Fisher's method combines the p-values of all prompts. The last rows
compare transformers with itself at another temperature. They show that the test notices a difference.

The exit status is 1 if the engines differ by more than chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from slr.sampling.config import SamplingConfig
from slr.terminal.bad_input import DTYPES, FAILED
from slr.terminal.command_line import one_of, run_function

SETTINGS = {
    "min-p 0.1": SamplingConfig(),
    "top-k 20, top-p 0.9, temperature 0.7": SamplingConfig(temperature=0.7, min_p=0.0, top_p=0.9, top_k=20),
}
NOTICED = "min-p 0.1"
"""Name of the settings whose change of temperature the test must notice."""
NOTICED_TEMPERATURE = 1.5
"""Temperature of the changed settings."""

Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="checkpoint with a chat template; by default the SmolLM2 of the preset laptop"
    ),
]
Samples = Annotated[int, typer.Option(min=1, metavar="N", help="number of samples of each prompt")]
MaxNewTokens = Annotated[int, typer.Option(min=1, metavar="N", help="largest number of tokens of a sample")]
Dtype = Annotated[
    str, typer.Option(parser=one_of(DTYPES), metavar="|".join(DTYPES), help="dtype of the weights")
]


def measure(
    checkpoint: Checkpoint = None,
    samples: Samples = 64,
    max_new_tokens: MaxNewTokens = 8,
    dtype: Dtype = "float32",
) -> int:
    """Sample with both engines, and print their speeds and how well they agree."""
    import torch

    from slr.costs import engine_agreement as ea
    from slr.models.checkpoint import open_checkpoint, with_local_weights
    from slr.models.start_models import start_model_directory
    from slr.sampling.vllm_engine import import_vllm

    # vLLM is imported first, so that a missing vLLM is reported before transformers samples.
    import_vllm()
    opened = with_local_weights(open_checkpoint(checkpoint or start_model_directory("smollm2")))
    settings = {name: replace(config, max_new_tokens=max_new_tokens) for name, config in SETTINGS.items()}
    # A test that never finds a difference would prove nothing, so it must find this one.
    control = replace(settings[NOTICED], temperature=NOTICED_TEMPERATURE)
    of_model = opened.directory, getattr(torch, dtype), samples
    ours = ea.drawn_by_transformers(*of_model, {**settings, "control": control})
    theirs = ea.drawn_by_vllm(*of_model, settings)
    print(f"{len(ea.THINGS)} prompts, {samples} samples of each, {dtype}\n")
    engines = {"transformers": ours, "vllm": theirs}
    ea.print_speeds([(name, engine, drawn[name]) for name in settings for engine, drawn in engines.items()])
    compared = {name: ea.agreements(ours[name], theirs[name]) for name in settings}
    noticed = {
        f"another temperature ({NOTICED_TEMPERATURE}, not vllm)": ea.agreements(
            ours[NOTICED], ours["control"]
        )
    }
    ea.print_agreements({**compared, **noticed})
    agree = not any(of.is_different for found in compared.values() for of in found)
    print("\nthe engines agree within sampling error" if agree else "\nthe engines differ")
    return 0 if agree else FAILED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(measure, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())

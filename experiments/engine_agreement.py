"""Do vLLM and transformers sample the same answers from a checkpoint, and how fast?

Run this with the Python of an environment that has vLLM (docs/vllm.md). Both engines sample the instruct model of a
pair, and a hybrid. They get the same prompts, settings and seeds. transformers samples from the model in memory, and
vLLM from the linked checkpoint that a run gives it.

A permutation test compares the distance between the two engines' answers to a prompt with the distances when the
answers are divided between the engines at random. Fisher's method combines the p-values of all prompts. The last rows
compare transformers with itself at another temperature. They show that the test notices a difference.

The exit status is 1 if the engines differ by more than chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from slr.intervals import LayerInterval
from slr.sampling.config import SamplingConfig
from slr.terminal.bad_input import DTYPES, FAILED
from slr.terminal.command_line import one_of, run_function

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from slr.models.loading import ModelPair
    from slr.models.opened_pair import OpenedPair

SETTINGS = {
    "min-p 0.1": SamplingConfig(),
    "top-k 20, top-p 0.9, temperature 0.7": SamplingConfig(temperature=0.7, min_p=0.0, top_p=0.9, top_k=20),
}
NOTICED = "min-p 0.1"
"""Name of the settings whose change of temperature the test must notice."""
NOTICED_TEMPERATURE = 1.5
"""Temperature of the changed settings."""

Pair = Annotated[
    tuple[str, str] | None,
    typer.Option(metavar="BASE INSTRUCT", help="a pair of your own; by default laptop-llama"),
]
Layers = Annotated[str, typer.Option(metavar="START:END", help="layers that the hybrid restores")]
Samples = Annotated[int, typer.Option(min=1, metavar="N", help="number of samples of each prompt")]
MaxNewTokens = Annotated[int, typer.Option(min=1, metavar="N", help="largest number of tokens of a sample")]
Dtype = Annotated[
    str, typer.Option(parser=one_of(DTYPES), metavar="|".join(DTYPES), help="dtype of the weights")
]


def measure(
    pair: Pair = None,
    layers: Layers = "8:17",
    samples: Samples = 64,
    max_new_tokens: MaxNewTokens = 8,
    dtype: Dtype = "float32",
) -> int:
    """Sample with both engines, and print their speeds and how well they agree."""
    import torch

    from slr.hybrid import restore
    from slr.models.loading import load_spec
    from slr.models.opened_pair import open_pair
    from slr.models.presets import resolve_pair
    from slr.sampling.vllm_engine import check_usable

    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    # vLLM is checked first, so that a missing vLLM is reported before transformers samples.
    check_usable(device)
    spec = resolve_pair(*(pair or ("laptop-llama",)))
    opened = open_pair(spec).with_local_weights()
    loaded = load_spec(spec, dtype=getattr(torch, dtype))
    hybrid = restore(loaded, LayerInterval.parse(layers))
    print(f"{samples} samples of each prompt, {dtype}, {device}")
    agree = [
        _compare(name, model, loaded, opened, device, samples, max_new_tokens)
        for name, model in (("instruct", loaded.instruct_model), (f"hybrid {layers}", hybrid))
    ]
    print("the engines agree within sampling error" if all(agree) else "the engines differ")
    return 0 if all(agree) else FAILED


def _compare(
    name: str,
    model: PreTrainedModel,
    pair: ModelPair,
    opened: OpenedPair,
    device: str,
    samples: int,
    max_new_tokens: int,
) -> bool:
    """Sample from one model with both engines, print both tables, and return whether the engines agree."""
    from slr.costs import engine_agreement as ea

    settings = {key: replace(config, max_new_tokens=max_new_tokens) for key, config in SETTINGS.items()}
    # A test that never finds a difference would prove nothing, so it must find this one.
    control = replace(settings[NOTICED], temperature=NOTICED_TEMPERATURE)
    ours = ea.drawn_by_transformers(model, pair, device, samples, {**settings, "control": control})
    theirs = ea.drawn_by_vllm(model, pair, opened, device, samples, settings)
    print(f"\n{pair.name}, {name}\n", flush=True)
    engines = {"transformers": ours, "vllm": theirs}
    ea.print_speeds([(key, engine, drawn[key]) for key in settings for engine, drawn in engines.items()])
    compared = {key: ea.agreements(ours[key], theirs[key]) for key in settings}
    noticed = {
        f"another temperature ({NOTICED_TEMPERATURE}, not vllm)": ea.agreements(
            ours[NOTICED], ours["control"]
        )
    }
    ea.print_agreements({**compared, **noticed})
    return not any(of.is_different for found in compared.values() for of in found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit status."""
    return run_function(measure, arguments, __doc__)


if __name__ == "__main__":
    raise SystemExit(main())

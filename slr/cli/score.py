"""``slr score``: print CRC validity and diversity of one checkpoint, or of both models of a pair."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from slr.cli.options import MODEL_HELP, PAIR_NAMES, AsJson, Device, Dtype, Quiet, Revision, Verbose
from slr.terminal.bad_input import did_you_mean
from slr.terminal.command_line import NOTHING_IS_KEPT, beginning_with
from slr.terminal.notices import set_verbosity, sign_of_life
from slr.terminal.stopping import say_when_stopped
from slr.terminal.tables import print_table

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from slr.statistics.uncertainty import Estimate

EXAMPLE = "Example: slr score google/gemma-2-9b --chat-template-from google/gemma-2-9b-it"


def score(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help=f"{MODEL_HELP}; or a preset's pair, of which both models are scored",
            autocompletion=beginning_with(PAIR_NAMES),
        ),
    ],
    chat_template_from: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="model whose chat template renders the prompts, if MODEL has none"
        ),
    ] = None,
    revision: Revision = None,
    device: Device = None,
    dtype: Dtype = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Print CRC validity and diversity of one checkpoint, or of both models of a pair.

    Each value is a mean over prompts with its 95% confidence interval. The selection prompts choose the interval
    in slr search; the held-out prompts are not used for the choice.
    """
    set_verbosity(quiet, verbose)
    say_when_stopped(NOTHING_IS_KEPT)
    # A directory of the user's own may have a pair's name.
    is_there = os.path.exists(model)  # noqa: PTH110 - Path.exists raises if the name is too long
    is_pair = model in PAIR_NAMES and not is_there
    if is_pair and (chat_template_from is not None or revision is not None):
        raise ValueError(
            f"{model} is a preset's pair with revisions and a chat template of its own: leave --revision and "
            "--chat-template-from out"
        )
    is_name = not is_pair and "/" not in model and not is_there
    if is_name and (question := did_you_mean(model, PAIR_NAMES)):
        raise ValueError(f"there is neither a directory nor a pair {model!r}{question}")
    sign_of_life(f"{model}: opening the model ...")

    from slr.runs.device import choose_device_and_dtype

    device, torch_dtype = choose_device_and_dtype(device, dtype)
    if is_pair:
        models, tokenizer = _pair(model, device, torch_dtype)
    else:
        models, tokenizer = _model(model, revision, chat_template_from, device, torch_dtype)
    rows = [row for name, loaded in models.items() for row in _scores(name, loaded, tokenizer)]
    if as_json:
        fields = ("model", "prompt_set", "validity", "diversity")
        print(json.dumps([dict(zip(fields, map(_plain, row), strict=True)) for row in rows], indent=1))
        return 0
    print_table(
        ("model", "prompts", "validity", "diversity"),
        [(name, prompt_set.replace("_", "-"), *estimates) for name, prompt_set, *estimates in rows],
        num_text_columns=2,
    )
    return 0


def _pair(
    name: str, device: str, dtype: torch.dtype | None
) -> tuple[dict[str, PreTrainedModel], PreTrainedTokenizerBase]:
    """Load both models of a preset's pair, and the tokenizer that renders the prompts."""
    from slr.models.loading import load_spec
    from slr.models.presets import find_pair

    pair = load_spec(find_pair(name), dtype=dtype, device=device)
    return {f"{name}, base": pair.base_model, f"{name}, instruct": pair.instruct_model}, pair.tokenizer


def _model(
    location: str,
    revision: str | None,
    chat_template_from: str | None,
    device: str,
    dtype: torch.dtype | None,
) -> tuple[dict[str, PreTrainedModel], PreTrainedTokenizerBase]:
    """Load one model, and the tokenizer that renders the prompts.

    Raises:
        ValueError: if the model cannot be opened, or there is no chat template that suits it.
    """
    from slr.chat.template import check_template
    from slr.crc.prompts import PROMPT_SETS, load_prompts
    from slr.crc.scoring import encode_prompts
    from slr.models.checkpoint import open_checkpoint
    from slr.models.compatibility import check_tokenizer_fits
    from slr.models.loading import load_opened

    checkpoint = open_checkpoint(location, revision=revision)
    renderer = open_checkpoint(chat_template_from) if chat_template_from else checkpoint
    tokenizer = check_tokenizer_fits(checkpoint, renderer)
    if not tokenizer.chat_template and not chat_template_from:
        raise ValueError(
            f"the tokenizer of {location} has no chat template: give --chat-template-from MODEL, such as the instruct "
            "model of the same pair"
        )
    check_template(tokenizer, checkpoint.num_embeddings)
    # The prompts are encoded before the weights are loaded, so that an unsuitable tokenizer is found at once.
    # Before the weights are read, because the template may not suit the prompts.
    for prompt_set in PROMPT_SETS:
        encode_prompts(load_prompts(prompt_set), tokenizer)
    loaded = load_opened(checkpoint, dtype=dtype, device=device)
    return {str(loaded.reference): loaded.model}, tokenizer


def _scores(
    name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> list[tuple[str, str, Estimate | None, Estimate | None]]:
    """Score a model on both sets of prompts.

    Raises:
        ValueError: if its logits are not finite.
    """
    from slr.crc.prompts import PROMPT_SETS, load_prompts
    from slr.crc.scoring import encode_prompts, score_model
    from slr.statistics.uncertainty import estimate_mean

    rows = []
    for prompt_set in PROMPT_SETS:
        scores = score_model(model, encode_prompts(load_prompts(prompt_set), tokenizer))
        scores.check_finite(name)
        rows.append((name, prompt_set, estimate_mean(scores.validity), estimate_mean(scores.diversity)))
    return rows


def _plain(value: str | Estimate | None) -> object:
    """A value for JSON."""
    if value is None or isinstance(value, str):
        return value
    return {"mean": value.mean, "low": value.low, "high": value.high}

"""``slr score``: print CRC validity and diversity of one checkpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from slr.cli.options import MODEL_HELP, Device, Dtype, Quiet, Revision, Verbose
from slr.terminal.notices import set_verbosity, sign_of_life
from slr.terminal.tables import print_table

EXAMPLE = "Example: slr score google/gemma-2-9b --chat-template-from google/gemma-2-9b-it"


def score(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    chat_template_from: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="model whose chat template renders the prompts, if MODEL has none"
        ),
    ] = None,
    revision: Revision = None,
    device: Device = None,
    dtype: Dtype = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Print CRC validity and diversity of one checkpoint.

    Each value is a mean over prompts with its 95% confidence interval. The selection prompts choose the interval
    in slr search; the held-out prompts are not used for the choice.
    """
    set_verbosity(quiet, verbose)
    sign_of_life(f"{model}: opening the model ...")

    from slr.chat.template import check_template
    from slr.crc.prompts import PROMPT_SETS, load_prompts
    from slr.crc.scoring import encode_prompts, score_model
    from slr.models.checkpoint import open_checkpoint
    from slr.models.compatibility import check_tokenizer_fits
    from slr.models.loading import load_opened
    from slr.runs.device import choose_device_and_dtype
    from slr.statistics.uncertainty import estimate_mean

    device, torch_dtype = choose_device_and_dtype(device, dtype)
    checkpoint = open_checkpoint(model, revision=revision)
    renderer = open_checkpoint(chat_template_from) if chat_template_from else checkpoint
    tokenizer = check_tokenizer_fits(checkpoint, renderer)
    check_template(tokenizer, checkpoint.num_embeddings)
    # The prompts are encoded before the weights are loaded, so that an unsuitable tokenizer is found at once.
    encoded = {prompt_set: encode_prompts(load_prompts(prompt_set), tokenizer) for prompt_set in PROMPT_SETS}
    loaded = load_opened(checkpoint, dtype=torch_dtype, device=device)
    rows = []
    for prompt_set in PROMPT_SETS:
        scores = score_model(loaded.model, encoded[prompt_set])
        scores.check_finite(str(loaded.reference))
        rows.append(
            (prompt_set.replace("_", "-"), estimate_mean(scores.validity), estimate_mean(scores.diversity))
        )
    print_table(("prompts", "validity", "diversity"), rows, title=f"CRC of {loaded.reference}")
    return 0

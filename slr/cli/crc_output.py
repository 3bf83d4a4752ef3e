"""What ``slr search`` and ``slr show`` print: the choice, its numbers, which model is better, and how to build it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slr.crc.prompts import PROMPT_SETS
from slr.crc.report import CrcReport, ModelSummary, rule_in_words
from slr.intervals import Restoration
from slr.terminal.literal_text import as_command, visible
from slr.terminal.tables import print_sentence, print_table
from slr.vocabulary import COMPONENTS

if TYPE_CHECKING:
    from slr.crc.recommendation import Recommendation
    from slr.models.reference import PairSpec
    from slr.statistics.uncertainty import Estimate

NUMBERS = ("validity", "diversity", "validity / instruct's", "diversity less instruct's")
"""Headings of the numbers of each model."""


def print_report(report: CrcReport, better: Recommendation | None, command: str | None) -> None:
    """Print a report on a search, which model is better, and the command that builds it.

    Args:
        report: the report.
        better: the better one of the chosen models; None if none was chosen.
        command: the command that builds it.
    """
    chosen = "no layers" if report.chosen is None else f"layers {report.interval} of {report.num_layers}"
    stack = "" if report.chosen is None else str(report.chosen.stack)
    print_sentence(f"{report.pair}: {chosen} {stack}".rstrip())
    print_sentence(report.interval_reason)
    for prompt_set in PROMPT_SETS:
        models = [model for model in report.models if model.prompt_set == prompt_set]
        if models:
            print()
            title = f"{prompt_set.replace('_', '-')} prompts ({models[0].num_prompts})"
            print_table(("model", *NUMBERS), [_row(model, report) for model in models], title)
    print()
    rows = [
        (best.choice, f"{best.validity:.3f}", _three_decimals(best.diversity), best.validity_ratio)
        for best in report.best
    ]
    print_table(("best admissible layers", *NUMBERS[:3]), rows)
    print()
    print_sentence(f"{len(report.front)} of all intervals are on the Pareto front.")
    for sentence in rule_in_words(report):
        print_sentence(sentence)
    if better is not None and command is not None:
        print()
        print_sentence(better.reason)
        # A command is not broken into lines, because it is to be copied.
        print(f"To build it:\n\n  {visible(command)}")


def report_as_json(report: CrcReport, better: Recommendation | None, command: str | None) -> dict[str, Any]:
    """Give a program what ``print_report`` prints. Numbers are not rounded; an undefined one is None.

    Args:
        report: the report.
        better: the better one of the chosen models; None if none was chosen.
        command: the command that builds it.
    """
    return {
        "pair": report.pair,
        "num_layers": report.num_layers,
        "rule": {"min_validity": report.rule.min_validity_ratio, "margin": report.rule.margin},
        "chosen": None if report.chosen is None else _choice_as_json(report.chosen),
        "chosen_because": report.interval_reason,
        "soup_alpha": report.soup_alpha,
        "soup_because": report.soup_reason,
        "better": None
        if better is None
        else {"kind": better.kind, **_choice_as_json(better.choice), "because": better.reason},
        "build_command": command,
        "models": [
            {
                "model": model.model,
                "prompt_set": model.prompt_set,
                "num_prompts": model.num_prompts,
                "validity": _estimate_as_json(model.validity),
                "diversity": _estimate_as_json(model.diversity),
                "validity_ratio": _estimate_as_json(model.validity_ratio),
                "diversity_difference": _estimate_as_json(model.diversity_difference),
            }
            for model in report.models
        ],
        "best": [
            {
                **_choice_as_json(best.choice),
                "validity": best.validity,
                "diversity": best.diversity,
                "validity_ratio": _estimate_as_json(best.validity_ratio),
            }
            for best in report.best
        ],
    }


def build_command(pair: Sequence[str], choice: Restoration | float, search_dir: Path, output: str) -> str:
    """Make the command that builds a hybrid or a soup.

    Args:
        pair: the words that name the pair.
        choice: what the hybrid restores, or the alpha of the soup.
        search_dir: output directory of the search.
        output: directory to write.
    """
    words = ["slr", "build", *pair]
    if isinstance(choice, Restoration):
        words += ["--layers", str(choice.interval)]
        if choice.alpha != 1:
            words += ["--alpha", f"{choice.alpha:g}"]
        if choice.components != COMPONENTS:
            words += ["--components", ",".join(choice.components)]
    else:
        words += ["--soup", f"{choice:g}"]
    return as_command([*words, "--search-dir", str(search_dir), "--output", output])


def pair_words(spec: PairSpec) -> list[str]:
    """The arguments and options that name a pair; the name alone if it is a preset's."""
    from slr.models.presets import find_pair, preset_of

    if preset_of(spec.name) is not None:
        known = find_pair(spec.name)
        # A pair of the user's own may have the same name.
        if (known.base, known.instruct) == (spec.base, spec.instruct):
            return [spec.name]
    locations = [reference.location for reference in (spec.base, spec.instruct)]
    # Without "./", the command line would read a path that begins with a dash as an option.
    base, instruct = (f"./{location}" if location.startswith("-") else location for location in locations)
    words = [base, "--adapter", instruct] if spec.instruct_is_adapter else [base, instruct]
    for option, reference in (("--base-revision", spec.base), ("--instruct-revision", spec.instruct)):
        if reference.revision is not None:
            words += [option, reference.revision]
    return words


def _row(model: ModelSummary, report: CrcReport) -> tuple[object, ...]:
    numbers = (model.validity, model.diversity, model.validity_ratio, model.diversity_difference)
    # A comparison of the reference with itself would always give 1 and 0.
    shown = ("" if model.model == "instruct" and number is None else number for number in numbers)
    return _model_name(model.model, report), *shown


def _model_name(model: str, report: CrcReport) -> str:
    if model == "hybrid":
        return f"hybrid {report.chosen}"
    return f"soup {report.soup_alpha:g}" if model == "soup" else model


def _choice_as_json(choice: Restoration | float) -> dict[str, Any]:
    if isinstance(choice, Restoration):
        return {"layers": str(choice.interval), "alpha": choice.alpha, "components": list(choice.components)}
    return {"soup_alpha": choice}


def _estimate_as_json(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}


def _three_decimals(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"

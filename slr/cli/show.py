"""``slr show``: print the choice of a search again, or choose by another rule, from its records alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slr.cli.options import AsJson, Components, Quiet, Report, Top, Verbose, components_of
from slr.models.presets import find_pair, preset_of
from slr.terminal.bad_input import check_writable, did_you_mean
from slr.terminal.command_line import number, numbers
from slr.terminal.notices import notice, set_verbosity

if TYPE_CHECKING:
    from slr.runs.records import AnyRecord

EXAMPLE = "Example: slr show llama --min-validity 0.8 --top 10"


def show(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="output directory of slr search")],
    pair: Annotated[
        str | None, typer.Option(metavar="NAME", help="name of the pair, if the directory has several")
    ] = None,
    min_validity: Annotated[
        float | None,
        typer.Option(
            parser=number,
            metavar="RATIO",
            help="share of the instruct model's validity that the choice must keep; by default as it was chosen last",
        ),
    ] = None,
    margin: Annotated[
        bool | None,
        typer.Option(help="whether the lower end of that share's 95% interval must reach RATIO too"),
    ] = None,
    alphas: Annotated[
        str | None,
        typer.Option(metavar="NUMBERS", help="shares of the base model to choose among, such as 0.5,1"),
    ] = None,
    components: Components | None = None,
    top: Top = 5,
    report_path: Report = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Print the choice of a search again, or choose by another rule.

    Everything comes from the records in DIR. No model is opened, so this takes about a second. Without options, it
    prints the choice that was made last. A choice by a new rule has no held-out scores yet, because slr search
    measures them.
    """
    set_verbosity(quiet, verbose)
    if report_path is not None:
        check_writable(report_path.parent, "the directory of --report")

    from slr.cli.crc_output import build_command, print_report, report_as_json
    from slr.crc.recommendation import recommend
    from slr.crc.report import crc_report, rule_of, stacks_of
    from slr.crc.reselection import last_choice, with_choice_by
    from slr.crc.search_page import write_search_page
    from slr.crc.selection import SelectionRule
    from slr.intervals import Stack
    from slr.plugins import SINGULAR
    from slr.runs.records import Configuration
    from slr.runs.results import of_kind, of_pair
    from slr.runs.results_store import ResultsStore

    store = ResultsStore(directory / "crc_search.jsonl")
    if not store.path.is_file():
        raise ValueError(f"{store.path} does not exist: expected the output directory of slr search")
    records = store.read()
    pair = _pair(records, pair)
    # Whoever gives no rule wants to see the last choice again.
    last = last_choice(records, pair)
    rule, stacks = (SelectionRule(), (Stack(),)) if last is None else (rule_of(last), stacks_of(last))
    rule = SelectionRule(
        rule.min_validity_ratio if min_validity is None else min_validity,
        rule.margin if margin is None else margin,
    )
    parts = stacks[0].components if components is None else components_of(components)
    shares = tuple(stack.alpha for stack in stacks) if alphas is None else numbers(alphas, "--alphas")
    stacks = tuple(Stack(alpha, parts) for alpha in shares)
    records = with_choice_by(records, pair, rule, stacks)
    report = crc_report(records, pair, rule, stacks, top)
    better = recommend(records, report)
    words = _pair_words(records, pair)
    command = None if better is None else build_command(words, better.choice, directory, f"{pair}-slr")
    if report_path is not None:
        write_search_page(report_path, report, records, command)
    if as_json:
        print(json.dumps(report_as_json(report, better, command), indent=1))
        return 0
    print_report(report, better, command)
    for configuration in of_kind(of_pair(records, pair), Configuration):
        if scorer := configuration.versions.get(SINGULAR["slr.scorers"]):
            notice(f"note: scored by {scorer}")
    if report.chosen is not None and report.summary("hybrid", "held_out") is None:
        notice("note: this choice has no held-out scores; slr search with the same rule measures them")
    return 0


def _pair(records: Sequence[AnyRecord], given: str | None) -> str:
    """The name of the pair to show.

    Raises:
        ValueError: if there is no such pair, or none is named and there are several.
    """
    known = list(dict.fromkeys(record.pair for record in records))
    if given is None and len(known) == 1:
        return known[0]
    if given not in known:
        is_missing = "--pair is missing" if given is None else f"--pair is {given!r}"
        raise ValueError(
            f"{is_missing}, and the directory has {', '.join(known) or 'no pair'}: expected one of them"
            f"{'' if given is None else did_you_mean(given, known)}"
        )
    return given


def _pair_words(records: Sequence[AnyRecord], pair: str) -> list[str]:
    """The words that name the pair in a command. Records hold no paths, so its models may have to be filled in."""
    from slr.runs.records import PairInfo
    from slr.runs.results import of_kind

    info = next(iter(of_kind(records, PairInfo)), None)
    if info is not None and preset_of(pair) is not None:
        known = find_pair(pair)
        if (known.base.location, known.instruct.location) == (info.base, info.instruct):
            return [pair]
    return ["BASE", "INSTRUCT"]

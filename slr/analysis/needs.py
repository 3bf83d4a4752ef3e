"""What figures and tables need to have been measured, and the commands that measure it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slr.analysis.load_results import Results
from slr.downstream.primary import PRIMARY_GROUPS
from slr.models.presets import PRESETS
from slr.runs.own_run import STORED_NAME
from slr.runs.records import LogitLens
from slr.runs.results import by_pair, of_kind


@dataclass(frozen=True)
class Need:
    """What a figure or table needs.

    Attributes:
        found: gives what has been measured; it is empty if nothing has.
        lacking: says in words which parts have not been measured.
        script: path of the script that measures it.
        takes_preset: whether the script has the option ``--preset``.
        environment: variables to set for the script.
    """

    found: Callable[[Results], Sequence[object]]
    lacking: Callable[[Results], Sequence[str]] = lambda _: ()
    script: str = ""
    takes_preset: bool = False
    environment: str = ""

    def command(self, results: Results) -> str:
        """The command that measures it."""
        if self.takes_preset and results.own_run is not None and results.directory is not None:
            pairs = shlex.quote(str(results.directory / STORED_NAME))
            return " ".join(
                filter(None, (self.environment, f"slr run {Path(self.script).stem} --pairs {pairs}"))
            )
        preset = results.name if self.takes_preset and results.name in PRESETS else "testbed"
        command = f"python {self.script}" + (f" --preset {preset}" if preset != "testbed" else "")
        return f"{self.environment} {command}" if self.environment else command


NOTHING = Need(lambda _: (True,))
"""Need of an exhibit that shows no measurement; it is always met."""
CRC_STUDY = Need(
    lambda results: results.crc_reports,
    lambda results: results.unfinished_pairs,
    "experiments/crc_search.py",
    takes_preset=True,
)
LOCALISATION = Need(
    lambda results: list(results.localisations),
    lambda results: [
        f"{pair} (not finished)"
        for pair in by_pair(results.of_experiment("localisation"))
        if pair not in results.localisations
    ],
    script="experiments/localisation.py",
    takes_preset=True,
)
STABILITY = Need(
    lambda results: results.stability_reports,
    lambda results: results.unfinished_stability,
    "experiments/stability.py",
    takes_preset=True,
)
PAIRS = Need(lambda results: results.pair_infos, script="experiments/crc_search.py", takes_preset=True)
COSTS = Need(lambda results: results.search_costs, script="experiments/search_cost.py")

QUALITY = Need(lambda results: results.harness_summaries, script="experiments/quality.py", takes_preset=True)
PREDICTION = Need(
    lambda results: results.prediction_reports,
    lambda results: results.unfinished_prediction,
    "experiments/prediction.py",
    takes_preset=True,
)
MECHANISM = Need(
    lambda results: of_kind(results.of_experiment("mechanism"), LogitLens),
    script="experiments/mechanism.py",
    takes_preset=True,
)
JUDGE = Need(
    lambda results: results.judge_scores,
    script="experiments/judge.py",
    takes_preset=True,
    environment="SLR_JUDGE_BASE_URL=URL SLR_JUDGE_MODEL=NAME SLR_JUDGE_API_KEY=KEY",
)
TWO_JUDGES = replace(
    JUDGE,
    found=lambda results: results.judge_scores and results.second_judge_scores,
    # The second judge's variables have the names of the first one's, with another prefix.
    environment=f"{JUDGE.environment} {JUDGE.environment.replace('SLR_JUDGE', 'SLR_JUDGE2')}",
)
CANONICALISER = replace(
    JUDGE, found=lambda results: results.canonical_answers, script="experiments/canonicalise.py"
)


def samples_of(experiment: str) -> Need:
    """The need for samples of a downstream experiment."""
    return Need(
        lambda results: results.samples_of(experiment),
        script=f"experiments/{experiment}.py",
        takes_preset=True,
    )


PRIMARY = Need(
    lambda results: [c for task in PRIMARY_GROUPS for c in results.contrasts(task) if c.is_primary],
    script="experiments/creative_writing.py",
    takes_preset=True,
)


def contrasts_of(experiment: str) -> Need:
    """The need for contrasts of an experiment: scores of its methods and of their references."""
    return Need(
        lambda results: results.contrasts(experiment),
        lambda results: results.unfinished_contrasts(experiment),
        script=f"experiments/{experiment}.py",
        takes_preset=True,
    )


CREATIVE_WRITING, OPEN_QA, REASONING, CONTROLS, DECODING, PROMPTING = map(
    samples_of,
    (
        "creative_writing",
        "open_qa",
        "reasoning",
        "restoration_controls",
        "decoding_methods",
        "prompting_methods",
    ),
)

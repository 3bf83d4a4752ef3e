"""What figures and tables need to have been measured, and the commands that measure it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from slr.analysis.load_results import Results
from slr.downstream.primary import PRIMARY_GROUPS
from slr.models.presets import PRESETS
from slr.runs.own_run import STORED_NAME
from slr.runs.records import LogitLens
from slr.runs.results import by_pair, of_kind
from slr.terminal.literal_text import as_command


@dataclass(frozen=True)
class Need:
    """What a figure or table needs.

    Attributes:
        found: gives what has been measured; it is empty if nothing has.
        lacking: says in words which parts have not been measured.
        experiment: name of the experiment that measures it; empty if a script does.
        script: path of the script that measures it, in a checkout.
        environment: variables to set for the experiment.
    """

    found: Callable[[Results], Sequence[object]]
    lacking: Callable[[Results], Sequence[str]] = lambda _: ()
    experiment: str = ""
    script: str = ""
    environment: str = ""

    def command(self, results: Results) -> str:
        """The command that measures it."""
        if not self.experiment:
            return f"python {self.script}"
        words = ["slr", "run", self.experiment]
        if results.own_run is not None and results.directory is not None:
            words += ["--pairs", str(results.directory / STORED_NAME)]
        elif results.name in PRESETS and results.name != "testbed":
            words += ["--preset", results.name]
        return " ".join(filter(None, (self.environment, as_command(words))))


NOTHING = Need(lambda _: (True,))
"""Need of an exhibit that shows no measurement; it is always met."""
CRC_STUDY = Need(
    lambda results: results.crc_reports,
    lambda results: results.unfinished_pairs,
    experiment="crc_search",
)
LOCALISATION = Need(
    lambda results: list(results.localisations),
    lambda results: [
        f"{pair} (not finished)"
        for pair in by_pair(results.of_experiment("localisation"))
        if pair not in results.localisations
    ],
    experiment="localisation",
)
STABILITY = Need(
    lambda results: results.stability_reports,
    lambda results: results.unfinished_stability,
    experiment="stability",
)
PAIRS = Need(lambda results: results.pair_infos, experiment="crc_search")
COSTS = Need(lambda results: results.search_costs, script="experiments/search_cost.py")

QUALITY = Need(lambda results: results.harness_summaries, experiment="quality")
PREDICTION = Need(
    lambda results: results.prediction_reports,
    lambda results: results.unfinished_prediction,
    experiment="prediction",
)
MECHANISM = Need(
    lambda results: of_kind(results.of_experiment("mechanism"), LogitLens),
    experiment="mechanism",
)
JUDGE = Need(
    lambda results: results.judge_scores,
    experiment="judge",
    environment="SLR_JUDGE_BASE_URL=URL SLR_JUDGE_MODEL=NAME SLR_JUDGE_API_KEY=KEY",
)
TWO_JUDGES = replace(
    JUDGE,
    found=lambda results: results.judge_scores and results.second_judge_scores,
    # The second judge's variables have the names of the first one's, with another prefix.
    environment=f"{JUDGE.environment} {JUDGE.environment.replace('SLR_JUDGE', 'SLR_JUDGE2')}",
)
CANONICALISER = replace(JUDGE, found=lambda results: results.canonical_answers, experiment="canonicalise")


def samples_of(experiment: str) -> Need:
    """The need for samples of a downstream experiment."""
    return Need(
        lambda results: results.samples_of(experiment),
        experiment=experiment,
    )


PRIMARY = Need(
    lambda results: [c for task in PRIMARY_GROUPS for c in results.contrasts(task) if c.is_primary],
    experiment="creative_writing",
)


def contrasts_of(experiment: str) -> Need:
    """The need for contrasts of an experiment: scores of its methods and of their references."""
    return Need(
        lambda results: results.contrasts(experiment),
        lambda results: results.unfinished_contrasts(experiment),
        experiment=experiment,
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

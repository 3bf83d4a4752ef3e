"""All records of one results directory, and the reports made from them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from slr.crc.contrasts import crc_contrasts
from slr.crc.localisation import PairScores
from slr.crc.report import CrcReport, crc_report
from slr.crc.study_faults import study_fault
from slr.downstream.primary import PRIMARY_GROUPS
from slr.downstream.report import (
    MethodSummary,
    MetricValues,
    method_contrasts,
    method_summaries,
    metric_values,
)
from slr.harness.report import HarnessSummary, harness_contrasts, harness_summaries
from slr.models.presets import PRESETS
from slr.prediction.report import PredictionReport, prediction_report
from slr.runs.own_run import OwnRun, stored_run
from slr.runs.records import (
    AnyRecord,
    CanonicalAnswers,
    CrcSelection,
    Failure,
    JudgeScores,
    PairInfo,
    Samples,
    SearchCost,
    natural_key,
)
from slr.runs.results import by_pair, of_kind
from slr.runs.results_store import stores_in
from slr.stability.report import StabilityReport, stability_report
from slr.statistics.contrasts import Contrast
from slr.terminal.literal_text import visible
from slr.vocabulary import TaskName

CRC_EXPERIMENT = "crc_search"
"""Name of the experiment that searches for intervals."""
LOCALISATION_EXPERIMENT = "localisation"
"""Name of the experiment that restores layers in part, and sets of layers."""
STABILITY_EXPERIMENT = "stability"
"""Name of the experiment on how stable the search's choice is."""
PREDICTION_EXPERIMENT = "prediction"
"""Name of the experiment on what CRC predicts."""
HARNESS_EXPERIMENT = "quality"
"""Name of the experiment that runs benchmarks."""
MESSAGE_CHARACTERS = 120
"""Number of characters of an error that are quoted where its result is missing."""


@dataclass(frozen=True)
class Results:
    """All records of a run, and of measurements of the search's cost next to it.

    Records are kept in an order of their own, by pair and key. Therefore nothing made from them depends on the order in
    which they were recorded.

    Attributes:
        records: the records.
        name: name of the directory, which by default is the preset's.
        own_run: the run on pairs of the user's own; None for a preset's.
        directory: directory of the records; None if they are in none.
    """

    records: tuple[AnyRecord, ...]
    name: str = ""
    own_run: OwnRun | None = None
    directory: Path | None = None

    def __post_init__(self) -> None:
        """Sort the records."""
        # The class is frozen, so only this call can set a field.
        object.__setattr__(self, "records", tuple(sorted(self.records, key=_place)))

    @cached_property
    def crc_reports(self) -> list[CrcReport]:
        """A report for each pair whose CRC study is complete and sound, in the order of the records.

        If a pair has choices by several rules, its report is on the paper's rule, or on the first one.
        """
        return [
            crc_report(self.records, pair) for pair, fault in self._faults_of_finished.items() if not fault
        ]

    @cached_property
    def _faults_of_finished(self) -> dict[str, str | None]:
        """The fault in each pair that has a choice: why no report can be made of its records; None if there is none."""
        pairs = by_pair(of_kind(self.records, CrcSelection))
        return {pair: study_fault(self.records, pair) for pair in pairs}

    @property
    def unfinished_pairs(self) -> list[str]:
        """The pairs whose CRC study is not complete, each with the reason, and pairs not begun."""
        study = self.of_experiment(CRC_EXPERIMENT)
        reasons = dict.fromkeys(self._wanted_pairs, "not begun")
        reasons |= {record.pair: "not finished" for record in study}
        reasons |= {pair: fault or "" for pair, fault in self._faults_of_finished.items()}
        reasons = {pair: reason for pair, reason in reasons.items() if reason}
        for failure in of_kind(study, Failure):
            # A failure counts only if no newer result undid it, so it is the best reason there is.
            message = textwrap.shorten(failure.message, MESSAGE_CHARACTERS, placeholder="...")
            reasons[failure.pair] = f"{failure.error_type}: {message}"
        return [f"{pair} ({reason})" for pair, reason in reasons.items()]

    @property
    def _wanted_pairs(self) -> list[str]:
        if self.own_run is not None:
            return [pair.name for pair in self.own_run.pairs if pair.name is not None]
        return [spec.name for spec in PRESETS[self.name].pairs] if self.name in PRESETS else []

    @property
    def stability_reports(self) -> list[StabilityReport]:
        """How stable each pair's choice is, for all pairs that are complete."""
        return self._stability[0]

    @property
    def unfinished_stability(self) -> list[str]:
        """Why the stability of a choice is not known, one sentence for each such pair."""
        return self._stability[1]

    @cached_property
    def _stability(self) -> tuple[list[StabilityReport], list[str]]:
        reports: list[StabilityReport] = []
        reasons: list[str] = []
        begun = by_pair(self.of_experiment(STABILITY_EXPERIMENT))
        for report in self.crc_reports:
            # Where nothing was chosen, there is no choice that could be stable.
            if report.pair in begun and report.interval is not None:
                try:
                    reports.append(stability_report(self.records, report.pair))
                except ValueError as error:
                    # One unfinished pair must not hide the others.
                    reasons.append(str(error))
        return reports, reasons

    @property
    def prediction_reports(self) -> list[PredictionReport]:
        """What CRC predicts, for all pairs that are complete."""
        return self._prediction[0]

    @property
    def unfinished_prediction(self) -> list[str]:
        """Why it is not known what CRC predicts, one sentence for each such pair."""
        return self._prediction[1]

    @cached_property
    def _prediction(self) -> tuple[list[PredictionReport], list[str]]:
        reports: list[PredictionReport] = []
        reasons: list[str] = []
        for pair, records in by_pair(self.of_experiment(PREDICTION_EXPERIMENT)).items():
            try:
                reports.append(prediction_report(records, pair))
            except ValueError as error:
                # One unfinished pair must not hide the others.
                reasons.append(str(error))
        return reports, reasons

    @cached_property
    def by_pair(self) -> dict[str, list[AnyRecord]]:
        """Each pair's records of all experiments."""
        return by_pair(self.records)

    @cached_property
    def localisations(self) -> dict[str, PairScores]:
        """The scores of each pair whose localisation study is complete."""
        pairs = by_pair(self.of_experiment(LOCALISATION_EXPERIMENT))
        scores = {pair: PairScores(self.by_pair[pair]) for pair in pairs}
        return {pair: of_pair for pair, of_pair in scores.items() if of_pair.is_complete}

    @property
    def pair_infos(self) -> list[PairInfo]:
        """The models compared."""
        return of_kind(self.records, PairInfo)

    def of_experiment(self, name: str) -> list[AnyRecord]:
        """All records of one experiment."""
        return self._by_experiment.get(name, [])

    @cached_property
    def _by_experiment(self) -> dict[str, list[AnyRecord]]:
        found: dict[str, list[AnyRecord]] = {}
        for record in self.records:
            found.setdefault(record.experiment, []).append(record)
        return found

    def samples_of(self, experiment: str) -> list[Samples]:
        """The samples of one experiment."""
        return of_kind(self.of_experiment(experiment), Samples)

    def method_summaries(self, experiment: str) -> list[MethodSummary]:
        """Every metric of every method of one downstream experiment, pair by pair."""
        return [
            of_metric
            for values in self._metric_values(experiment).values()
            for of_metric in method_summaries(values)
        ]

    def contrasts(self, experiment: str) -> list[Contrast]:
        """Every method against its references in one experiment, for all pairs that are complete."""
        return self._compared(experiment)[0]

    def unfinished_contrasts(self, experiment: str) -> list[str]:
        """Why contrasts are missing, one sentence for each pair without them."""
        return self._compared(experiment)[1]

    @cached_property
    def _compared(self) -> Callable[[str], tuple[list[Contrast], list[str]]]:
        """Contrasts of an experiment, and why some are missing. Each experiment is computed once."""
        return cache(self._compare)

    def _compare(self, experiment: str) -> tuple[list[Contrast], list[str]]:
        contrasts: list[Contrast] = []
        reasons: list[str] = []
        for pair, records in by_pair(self.of_experiment(experiment)).items():
            try:
                contrasts += self._contrasts_of_pair(experiment, pair, records)
            except ValueError as error:
                # One unfinished pair must not hide the contrasts of the others.
                reasons.append(str(error))
        return contrasts, reasons

    def _contrasts_of_pair(self, experiment: str, pair: str, records: list[AnyRecord]) -> list[Contrast]:
        if experiment == CRC_EXPERIMENT:
            selections = of_kind(records, CrcSelection)
            return [contrast for choice in selections for contrast in crc_contrasts(records, pair, choice)]
        if experiment == HARNESS_EXPERIMENT:
            return harness_contrasts(records, pair)
        return method_contrasts(
            self._metric_values(experiment)[pair],
            [values for task in PRIMARY_GROUPS if task != experiment for values in self._primary(task, pair)],
        )

    def _primary(self, task: TaskName, pair: str) -> list[MetricValues]:
        """The values on which claims about a task rest; empty while its experiment is not complete."""
        values = [of for of in self._metric_values(task).get(pair, ()) if of.is_primary]
        try:
            method_contrasts(values)
        except ValueError:
            # The experiment's own table says what is missing.
            return []
        return values

    @cached_property
    def _metric_values(self) -> Callable[[str], dict[str, list[MetricValues]]]:
        """An experiment's values by pair, computed once, because its tables and figures share them."""
        return cache(
            lambda experiment: {
                pair: metric_values(records, pair)
                for pair, records in by_pair(self.of_experiment(experiment)).items()
            }
        )

    @cached_property
    def harness_summaries(self) -> list[HarnessSummary]:
        """Every score by lm-eval, pair by pair."""
        return [
            of_score
            for pair, records in by_pair(self.of_experiment(HARNESS_EXPERIMENT)).items()
            for of_score in harness_summaries(records, pair)
        ]

    @property
    def judge_scores(self) -> list[JudgeScores]:
        """The first judge's scores of creative texts."""
        return of_kind(self.of_experiment("judge"), JudgeScores)

    @property
    def second_judge_scores(self) -> list[JudgeScores]:
        """The second judge's scores of the same texts."""
        return of_kind(self.of_experiment("second_judge"), JudgeScores)

    @property
    def canonical_answers(self) -> list[CanonicalAnswers]:
        """The right answers that a language model recognised where the rules do not."""
        return of_kind(self.records, CanonicalAnswers)

    @property
    def search_costs(self) -> list[SearchCost]:
        """Costs of searches, by either method."""
        return of_kind(self.records, SearchCost)


def _place(record: AnyRecord) -> tuple[object, ...]:
    """Sort key: pairs in the order of the presets, then by name; each pair's records by experiment and key."""
    in_presets = [spec.name for preset in PRESETS.values() for spec in preset.pairs]
    place = in_presets.index(record.pair) if record.pair in in_presets else len(in_presets)
    return place, record.pair, record.experiment, natural_key(record.key)


def find_runs(results_dir: Path, preset: str | None = None) -> list[Path]:
    """The directories of runs to draw.

    Args:
        results_dir: a directory of runs, or of one run. It counts as one run if it holds records, or has the name of a
            preset.
        preset: name of the only preset to draw; None for all with records.

    Returns:
        The directories, in the order of the presets.

    Raises:
        ValueError: if no preset has records there.
    """
    # Not checked here: reading it fails with a message that names the directory.
    if preset is not None:
        return [results_dir / preset]
    if results_dir.resolve().name in PRESETS or stores_in(results_dir):
        return [results_dir]
    found = [results_dir / name for name in PRESETS if stores_in(results_dir / name)]
    if not found:
        raise ValueError(
            f"there are no records in {visible(str(results_dir))}, nor in a directory in it with a preset's name "
            f"({', '.join(PRESETS)}): run slr run all first, or give the directory as --results-dir"
        )
    return found


def load_results(results_dir: Path) -> Results:
    """Read every JSON-lines file of the directory, and of ``search_cost/`` next to it.

    Raises:
        ValueError: if there is no such directory, or if a file is damaged.
    """
    if not results_dir.is_dir():
        raise ValueError(
            f"there is no directory {results_dir} with results: run slr run all first, or give the "
            "directory that holds crc_search.jsonl as --results-dir"
        )
    stores = [*stores_in(results_dir), *stores_in(results_dir.parent / "search_cost")]
    records = tuple(record for store in stores for record in store.read())
    return Results(records, results_dir.resolve().name, stored_run(results_dir), results_dir)

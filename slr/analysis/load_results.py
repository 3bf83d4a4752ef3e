"""Read what was recorded: all experiments of one results directory."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from slr.crc.contrasts import crc_contrasts
from slr.crc.report import CrcReport, crc_report
from slr.crc.study_faults import study_fault
from slr.downstream.report import MethodLine, MetricValues, method_contrasts, method_lines, metric_values
from slr.harness.report import HarnessLine, harness_contrasts, harness_lines
from slr.models.presets import PRESETS
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
from slr.runs.results_store import stores_in
from slr.statistics.contrasts import Contrast
from slr.terminal.literal_text import visible

CRC_EXPERIMENT = "crc_search"
HARNESS_EXPERIMENT = "quality"
MESSAGE_CHARACTERS = 120
"""So much of an error is quoted where its result is missing."""


@dataclass(frozen=True)
class Results:
    """All records of a run, and of the search-cost measurements that may stand beside it.

    They are kept in an order of their own, by pair and key, so that nothing made from them depends on the order in
    which they were recorded.
    """

    records: tuple[AnyRecord, ...]
    name: str = ""
    """Of the directory, which is the preset's by default."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "records", tuple(sorted(self.records, key=_place)))

    @cached_property
    def crc_reports(self) -> list[CrcReport]:
        """A report for each pair whose CRC study is complete and sound, in the order in which they were run.

        Where a pair has choices by several rules, the report is of the paper's rule, or of the first.
        """
        return [
            crc_report(self.records, pair) for pair, fault in self._faults_of_finished.items() if not fault
        ]

    @cached_property
    def _faults_of_finished(self) -> dict[str, str | None]:
        """Each pair that has a selection, with why no report can be made of its records, if so."""
        pairs = dict.fromkeys(record.pair for record in self.records if isinstance(record, CrcSelection))
        return {pair: study_fault(self.records, pair) for pair in pairs}

    @property
    def unfinished_pairs(self) -> list[str]:
        """Pairs of the preset, and others begun, whose CRC study is not complete: each with why, in words."""
        study = [record for record in self.records if record.experiment == CRC_EXPERIMENT]
        wanted = PRESETS[self.name].pairs if self.name in PRESETS else ()
        reasons = {spec.name: "not begun" for spec in wanted}
        reasons |= {record.pair: "not finished" for record in study}
        reasons |= {pair: fault or "" for pair, fault in self._faults_of_finished.items()}
        reasons = {pair: reason for pair, reason in reasons.items() if reason}
        for record in study:
            if isinstance(record, Failure):
                message = textwrap.shorten(record.message, MESSAGE_CHARACTERS, placeholder="...")
                reasons[record.pair] = f"{record.error_type}: {message}"
        return [f"{pair} ({reason})" for pair, reason in reasons.items()]

    @property
    def pair_infos(self) -> list[PairInfo]:
        """The models compared."""
        return [record for record in self.records if isinstance(record, PairInfo)]

    def of_experiment(self, name: str) -> list[AnyRecord]:
        """All records of one experiment."""
        return [record for record in self.records if record.experiment == name]

    def samples_of(self, experiment: str) -> list[Samples]:
        """The samples that one experiment drew."""
        return [record for record in self.of_experiment(experiment) if isinstance(record, Samples)]

    def method_lines(self, experiment: str) -> list[MethodLine]:
        """Every metric of every method of one downstream experiment, pair by pair."""
        return [line for values in self._metric_values(experiment).values() for line in method_lines(values)]

    def contrasts(self, experiment: str) -> list[Contrast]:
        """Every method against its references in one experiment, of all pairs that are complete."""
        return self._compared(experiment)[0]

    def unfinished_contrasts(self, experiment: str) -> list[str]:
        """For each pair whose contrasts are missing why they are, in words."""
        return self._compared(experiment)[1]

    def _compared(self, experiment: str) -> tuple[list[Contrast], list[str]]:
        if experiment not in self._compared_by_experiment:
            contrasts: list[Contrast] = []
            reasons: list[str] = []
            records = self.of_experiment(experiment)
            for pair in dict.fromkeys(record.pair for record in records):
                try:
                    contrasts += self._contrasts_of_pair(experiment, pair)
                except ValueError as error:
                    reasons.append(str(error))
            self._compared_by_experiment[experiment] = contrasts, reasons
        return self._compared_by_experiment[experiment]

    def _contrasts_of_pair(self, experiment: str, pair: str) -> list[Contrast]:
        records = self.of_experiment(experiment)
        if experiment == CRC_EXPERIMENT:
            return [
                c
                for r in records
                if isinstance(r, CrcSelection) and r.pair == pair
                for c in crc_contrasts(records, pair, r)
            ]
        if experiment == HARNESS_EXPERIMENT:
            return harness_contrasts(records, pair)
        return method_contrasts(self._metric_values(experiment)[pair])

    @cached_property
    def _compared_by_experiment(self) -> dict[str, tuple[list[Contrast], list[str]]]:
        return {}

    def _metric_values(self, experiment: str) -> dict[str, list[MetricValues]]:
        """By pair; made once, because the tables and figures of an experiment share them."""
        if experiment not in self._values_by_experiment:
            records = self.of_experiment(experiment)
            pairs = dict.fromkeys(record.pair for record in records)
            self._values_by_experiment[experiment] = {pair: metric_values(records, pair) for pair in pairs}
        return self._values_by_experiment[experiment]

    @cached_property
    def _values_by_experiment(self) -> dict[str, dict[str, list[MetricValues]]]:
        return {}

    @cached_property
    def harness_lines(self) -> list[HarnessLine]:
        """Every score by lm-eval, pair by pair."""
        records = self.of_experiment(HARNESS_EXPERIMENT)
        pairs = dict.fromkeys(record.pair for record in records)
        return [line for pair in pairs for line in harness_lines(records, pair)]

    @property
    def judge_scores(self) -> list[JudgeScores]:
        """What the judge says of creative texts."""
        return [r for r in self.of_experiment("judge") if isinstance(r, JudgeScores)]

    @property
    def second_judge_scores(self) -> list[JudgeScores]:
        """What the second judge says of the same texts."""
        return [r for r in self.of_experiment("second_judge") if isinstance(r, JudgeScores)]

    @property
    def canonical_answers(self) -> list[CanonicalAnswers]:
        """What a language model reads in answers that the rules do not recognise."""
        return [record for record in self.records if isinstance(record, CanonicalAnswers)]

    @property
    def search_costs(self) -> list[SearchCost]:
        """Costs of searches, by either method."""
        return [record for record in self.records if isinstance(record, SearchCost)]


def _place(record: AnyRecord) -> tuple[object, ...]:
    """Pairs as the presets list them, then by name; each pair's records by experiment and key."""
    in_presets = [spec.name for preset in PRESETS.values() for spec in preset.pairs]
    place = in_presets.index(record.pair) if record.pair in in_presets else len(in_presets)
    return place, record.pair, record.experiment, natural_key(record.key)


def find_runs(results_dir: Path, preset: str | None = None) -> list[Path]:
    """Directories of runs: of the preset in ``results_dir``, of every preset, or ``results_dir`` itself.

    The last is meant if it holds records, or has the name of a preset.

    Raises:
        ValueError: if no preset has records there.
    """
    if preset is not None:
        return [results_dir / preset]
    if results_dir.resolve().name in PRESETS or stores_in(results_dir):
        return [results_dir]
    found = [results_dir / name for name in PRESETS if stores_in(results_dir / name)]
    if not found:
        raise ValueError(
            f"there are no records in {visible(str(results_dir))}, nor in a directory in it that has a preset's name "
            f"({', '.join(PRESETS)}): run experiments/run_all.py first, or give the directory as --results-dir"
        )
    return found


def load_results(results_dir: Path) -> Results:
    """Read every JSON-lines file of the directory, and ``search_cost/`` beside it.

    Raises:
        ValueError: if there is no such directory, or a file is damaged.
    """
    if not results_dir.is_dir():
        raise ValueError(
            f"there is no directory {results_dir} with results: run experiments/run_all.py first, or give the "
            "directory that holds crc_search.jsonl as --results-dir"
        )
    stores = [*stores_in(results_dir), *stores_in(results_dir.parent / "search_cost")]
    records = tuple(record for store in stores for record in store.read())
    return Results(records, results_dir.resolve().name)

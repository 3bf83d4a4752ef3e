"""The W&B workspace and report of this project, in code: ``slr dashboard --wandb ENTITY/PROJECT``.

Both show the same sections. The first one is the table of verdicts; the others follow the experiments. Runs are grouped
by preset and family. A panel has a bar or a line for each method, because a run in W&B holds all methods of one
experiment on one pair. Smoke runs are left out. Every call saves a new view and a new report; delete older ones in W&B.

``--json FILE`` writes the definition without a server. ``slr.runs.run_content`` gives the metrics their names, which
docs/wandb.md explains.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slr.analysis.claims.claim import Claim
from slr.analysis.claims.localisation import LOCALISATION_CLAIMS
from slr.analysis.claims.prediction import PREDICTION_CLAIMS
from slr.analysis.claims.stability import STABILITY_CLAIMS
from slr.analysis.verdict_mirror import TABLE
from slr.analysis.wandb_records import artifact_types, connect, split_project, told_in_one_line
from slr.downstream.methods import BASE_FEW_SHOT, BASELINES, CONTROLS, DECODING, PROMPTING, Method
from slr.judging.judge import ASPECTS
from slr.runs.run_content import VERDICTS, logged_name
from slr.runs.wandb_files import log_in
from slr.tasks.creative_prompts import GENRES

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2.interface import Report
    from wandb_workspaces.workspaces import Workspace

TITLE = "Selective Layer Restoration"
GROUPED_BY = ("preset", "family")
"""Keys of the runs' configuration by which runs are grouped."""
NO_SMOKE_RUNS = "Config('size') = 'full'"
"""W&B's filter that leaves smoke runs out."""
MAX_GROUPS = 20
"""Number of groups of runs drawn in a panel. All presets together have fewer pairs."""
METHODS = tuple(method.id for method in BASELINES)
"""Ids of the methods that most panels show."""
WITH_FEW_SHOT = (*METHODS, BASE_FEW_SHOT.id)
"""Ids of the methods, and of the base model outside the chat template."""
QUESTION_GROUP = "closed"
"""Group of the open questions shown: the questions whose list of right answers is complete."""
QUESTIONS = (
    ("restoration_controls", CONTROLS),
    ("decoding_methods", DECODING),
    ("prompting_methods", PROMPTING),
)
"""Experiment on open questions with its methods, for each experiment with more methods than the baselines."""
BENCHMARKS = (
    ("testbed_facts", "acc_none"),
    ("testbed_sums", "exact_match_marked_answer"),
    ("testbed_subjects", "exact_match_first_subject"),
    ("english_facts", "acc_none"),
    ("ifeval", "prompt_level_strict_acc_none"),
    ("gsm8k", "exact_match_strict_match"),
    ("mmlu", "acc_none"),
    ("arc_challenge", "acc_norm_none"),
    ("hellaswag", "acc_norm_none"),
    ("truthfulqa_mc2", "acc_none"),
)
"""lm-eval's task and the metric of it that is shown."""


@dataclass(frozen=True)
class Bars:
    """A panel with one bar for each metric and group of runs.

    Attributes:
        title: heading of the panel.
        metrics: names of the metrics in W&B.
    """

    title: str
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Curves:
    """A panel with one line for each metric and group of runs.

    Attributes:
        title: heading of the panel.
        x: name in W&B of the horizontal axis.
        metrics: names of the metrics in W&B.
    """

    title: str
    x: str
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """A figure that ``make_all`` drew.

    Attributes:
        name: id of the figure.
    """

    name: str


@dataclass(frozen=True)
class Rows:
    """A panel with the rows of one table of all runs.

    Attributes:
        name: name of the table in W&B.
    """

    name: str


@dataclass(frozen=True)
class Section:
    """Panels under one heading.

    Attributes:
        name: the heading.
        text: explanation of the panels.
        panels: the panels.
    """

    name: str
    text: str
    panels: tuple[Bars | Curves | Picture | Rows, ...]

    @property
    def metrics(self) -> set[str]:
        """Names in W&B of every metric that a panel shows."""
        shown = set()
        for panel in self.panels:
            if isinstance(panel, Bars | Curves):
                shown |= set(panel.metrics)
            if isinstance(panel, Curves):
                shown.add(panel.x)
        return shown


def _bars(
    title: str, experiment: str, metric: str, *, group: str = "", methods: Iterable[str] = METHODS
) -> Bars:
    prefix = f"{group}/" if group else ""
    names = (logged_name(experiment, f"{prefix}{method}/{metric}") for method in methods)
    return Bars(title, tuple(names))


def _curves(title: str, experiment: str, curve: str, x: str, columns: Iterable[str] = METHODS) -> Curves:
    names = tuple(logged_name(experiment, f"{curve}/{column}") for column in columns)
    return Curves(title, logged_name(experiment, f"{curve}/{x}"), names)


def _claims(claims: Iterable[Claim]) -> Iterable[Bars]:
    """A panel for each claim: the number that decides, between the ends of its interval."""
    for claim in claims:
        names = (logged_name(VERDICTS, f"{claim.id}/{part}") for part in ("low", "number", "high"))
        yield Bars(claim.sentence, tuple(names))


def _ids(methods: Sequence[Method]) -> list[str]:
    return [method.id for method in methods]


def _words(name: str) -> str:
    return name.replace("_", " ")


CLAIMS = Section(
    "Verdicts",
    "What the records say of each claim about each pair: yes, no or cannot tell, by the number and its 95% interval.",
    (Rows(logged_name(VERDICTS, TABLE)),),
)
CRC_SEARCH = Section(
    "CRC search",
    "CRC asks for one random character out of a stated set. Validity is the probability of the valid characters, and "
    "diversity the entropy among them. Both are on prompts that the choice of layers did not see.",
    (
        _bars(
            "Diversity on held-out prompts",
            "crc_search",
            "diversity",
            group="held_out",
            methods=WITH_FEW_SHOT,
        ),
        _bars(
            "Validity on held-out prompts", "crc_search", "validity", group="held_out", methods=WITH_FEW_SHOT
        ),
        _curves(
            "Soups by their share of the base model",
            "crc_search",
            "soups",
            "alpha",
            ("diversity", "validity"),
        ),
        Picture("crc_heatmaps"),
        Picture("crc_tradeoff"),
    ),
)
LOCALISATION = Section(
    "Localisation",
    "Where the collapse is: the chosen interval against random and greedy sets of layers, layers restored in part, and "
    "soups. Each panel has the number that decides a claim, between the ends of its 95% interval.",
    (
        *_claims(LOCALISATION_CLAIMS),
        *map(Picture, ("contiguity", "components", "partial_restoration")),
    ),
)
STABILITY = Section(
    "Stability",
    "How far the choice depends on the prompts, and the scores with min-p 0.1 on prompts that the choice did not see.",
    (
        *_claims(STABILITY_CLAIMS),
        _bars("Diversity, with min-p", "stability", "diversity", group="min_p"),
        _bars("Validity, with min-p", "stability", "validity", group="min_p"),
        Picture("choice_stability"),
    ),
)
MECHANISM = Section(
    "Mechanism",
    "How much post-training changed each layer, and the entropy of the next token along depth, by the logit lens.",
    (
        _curves(
            "Relative change of the weights",
            "mechanism",
            "weight_change",
            "layer",
            ("attention", "mlp", "norms"),
        ),
        _curves("Entropy after each layer, in nats", "mechanism", "entropy", "layer"),
        _bars("Entropy after the last layer, in nats", "mechanism", "entropy_at_the_end"),
        Picture("mechanism"),
    ),
)
PREDICTION = Section(
    "Prediction",
    "Whether CRC predicts tasks, over intervals of layers: Spearman's correlations, and the share of the best "
    "interval's result that the chosen one reaches. Each panel has the number that decides a claim, between the ends "
    "of its 95% interval.",
    (*_claims(PREDICTION_CLAIMS), Picture("prediction")),
)
DOWNSTREAM = Section(
    "Downstream",
    "Diversity of creative writing by genre, coverage of open questions with many right answers, and pass@k of "
    "all problems; then other intervals of layers, decoding and prompting methods.",
    (
        *(
            _bars(f"{title}: {genre}", "creative_writing", metric, group=genre, methods=WITH_FEW_SHOT)
            for title, metric in (
                ("Different valid texts", "distinct_valid"),
                ("Embedding diversity", "embedding_diversity"),
                ("Self-BLEU-4", "self_bleu"),
            )
            for genre in GENRES
        ),
        _curves(
            "Coverage of right answers at k samples",
            "open_qa",
            f"{QUESTION_GROUP}/coverage",
            "k",
            WITH_FEW_SHOT,
        ),
        _bars(
            "Entropy of right answers",
            "open_qa",
            "answer_entropy",
            group=QUESTION_GROUP,
            methods=WITH_FEW_SHOT,
        ),
        _curves("pass@k", "reasoning", "pass_at_k", "k", WITH_FEW_SHOT),
        *(
            _bars(
                f"Entropy of right answers: {_words(name)}",
                name,
                "answer_entropy",
                group=QUESTION_GROUP,
                methods=_ids(methods),
            )
            for name, methods in QUESTIONS
        ),
        *map(Picture, ("creative_tradeoff", "qa_coverage", "pass_at_k", "controls_tradeoff")),
        *map(Picture, ("decoding_frontier", "prompting_frontier")),
    ),
)
QUALITY = Section(
    "Quality",
    "The price of diversity: scores by lm-eval, scores by a judge, and the quality of the texts themselves. If a "
    "preset lacks a benchmark or a proxy, its panel is empty.",
    (
        *(_bars(f"lm-eval: {_words(task)}", "quality", metric, group=task) for task, metric in BENCHMARKS),
        *(
            _bars(f"Judge, 1 to 10: {aspect} of a {genre}", "judge", aspect, group=genre)
            for aspect in ASPECTS
            for genre in GENRES
        ),
        *(
            _bars(f"{title}: {genre}", "creative_writing", metric, group=genre)
            for title, metric in (
                ("Accepted by the grammar", "accepted"),
                ("Fluency (proxy)", "fluency"),
                ("Adherence (proxy)", "adherence"),
            )
            for genre in GENRES
        ),
        _bars(
            "Precision on open questions",
            "open_qa",
            "precision",
            group=QUESTION_GROUP,
            methods=WITH_FEW_SHOT,
        ),
        *(
            _bars(
                f"Precision: {_words(name)}",
                name,
                "precision",
                group=QUESTION_GROUP,
                methods=_ids(methods),
            )
            for name, methods in QUESTIONS
        ),
        Picture("quality_cost"),
    ),
)
COST = Section(
    "Cost",
    "The cost of scoring every interval, and the length of answers. A token costs a hybrid as much as the instruct "
    "model, so only longer answers can make the hybrid more expensive.",
    (
        *(
            Bars(f"Search: {unit}", (logged_name("crc_search", f"search_cost/shared/{name}"),))
            for unit, name in (
                ("seconds", "seconds"),
                ("peak memory in bytes", "peak_memory_bytes"),
                ("layers evaluated", "layer_evaluations"),
                ("tokens computed", "tokens_computed"),
            )
        ),
        _bars(
            "Seconds for each interval: search and plain loop",
            "search_cost",
            "seconds_per_interval",
            methods=("shared", "loop"),
        ),
        *(
            _bars(f"Tokens in an answer: {_words(name)}", name, "tokens_in_an_answer")
            for name in ("creative_writing", "open_qa", "reasoning")
        ),
    ),
)
SECTIONS = (CLAIMS, CRC_SEARCH, LOCALISATION, STABILITY, MECHANISM, DOWNSTREAM, PREDICTION, QUALITY, COST)


def make_workspace(entity: str, project: str) -> Workspace:
    """Make the workspace; it is not saved yet."""
    from wandb_workspaces import expr
    from wandb_workspaces import workspaces as ws

    return ws.Workspace(
        entity=entity,
        project=project,
        name=TITLE,
        # W&B would add a panel for each metric, of which there are hundreds.
        auto_generate_panels=False,
        sections=[
            ws.Section(name=section.name, panels=_panels(section), is_open=True) for section in SECTIONS
        ],
        settings=ws.WorkspaceSettings(max_runs=MAX_GROUPS),
        runset_settings=ws.RunsetSettings(
            filters=NO_SMOKE_RUNS, groupby=[expr.Config(name) for name in GROUPED_BY]
        ),
    )


def make_report(entity: str, project: str) -> Report:
    """Make the report with an explanation of each section; it is not saved yet."""
    from wandb_workspaces.reports.v2 import interface as wr

    blocks: list[Any] = [wr.TableOfContents()]
    for section in SECTIONS:
        # A set of runs without a project of its own shows the runs of the report's project.
        runs = wr.Runset(
            name="runs", filters=NO_SMOKE_RUNS, groupby=[f"config.{name}" for name in GROUPED_BY]
        )
        blocks += [
            wr.H1(text=section.name),
            wr.P(text=section.text),
            wr.PanelGrid(runsets=[runs], panels=_panels(section)),
        ]
    return wr.Report(
        entity=entity,
        project=project,
        title=TITLE,
        description="Diversity restored, and its price: means over prompts for each pair of models and each method.",
        blocks=blocks,
        width="fluid",
    )


def _panels(section: Section) -> list[Any]:
    from wandb_workspaces.reports.v2 import interface as wr

    made: list[Any] = []
    for panel in section.panels:
        if isinstance(panel, Bars):
            made.append(wr.BarPlot(title=panel.title, metrics=list(panel.metrics)))
        elif isinstance(panel, Curves):
            made.append(wr.LinePlot(title=panel.title, x=panel.x, y=list(panel.metrics)))
        elif isinstance(panel, Rows):
            made.append(wr.WeavePanelSummaryTable(table_name=panel.name, layout=wr.Layout(w=24, h=16)))
        else:
            made.append(wr.MediaBrowser(media_keys=[f"figures/{panel.name}"], num_columns=1))
    return made


def definition(workspace: Workspace, report: Report) -> dict[str, Any]:
    """The content that W&B receives when both are saved."""
    # The library has no public way to see this content.
    return {
        name: made._to_model().model_dump(mode="json", by_alias=True, exclude_none=True)  # pyright: ignore[reportPrivateUsage]
        for name, made in (("workspace", workspace), ("report", report))
    }


def save_dashboard(project: str, definition_file: Path | None = None) -> None:
    """Save the workspace and the report in W&B, or write their definition to a file.

    Args:
        project: ``ENTITY/PROJECT``, where the runs are.
        definition_file: file for the definition. If it is given, only this file is written, and no network is used.

    Raises:
        ValueError: if there is no such project, or no account that can write to it.
        OSError: if the file cannot be written.
    """
    entity, name = split_project(project)
    workspace, report = make_workspace(entity, name), make_report(entity, name)
    if definition_file is not None:
        text = json.dumps(definition(workspace, report), indent=2) + "\n"
        definition_file.write_text(text, encoding="utf-8")
        return
    with told_in_one_line(project):
        log_in()
        artifact_types(connect(), project)  # fails for a misspelt project, which saving would create
        workspace.save()
        report.save()

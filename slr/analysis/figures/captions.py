"""Captions of the figures, made from the data that they show."""

from __future__ import annotations

from collections.abc import Sequence

from slr.analysis.figures.answers import shown_questions
from slr.analysis.load_results import Results
from slr.analysis.tables.localisation import COMPONENTS
from slr.analysis.tables.selected_intervals import rules_of
from slr.crc.localisation import PairScores
from slr.crc.report import KEPT, PROMPT_SETS, CrcReport
from slr.downstream.groups import POOLED
from slr.figure_style import MODEL_NAMES
from slr.intervals import LayerInterval
from slr.runs.records import LogitLens
from slr.runs.results import of_kind
from slr.stability.report import NUM_SAMPLES
from slr.statistics.contrasts import Contrast
from slr.vocabulary import ComparedModel, ModelKind, PromptSet


def crc_heatmaps(results: Results) -> str:
    """Say what the heatmaps show, and which interval was chosen for each pair."""
    chosen = "; ".join(
        f"{report.pair}: "
        + (
            "no interval is valid enough"
            if report.interval is None
            else f"layers {report.interval} of {report.num_layers}, {_rule(report, 'hybrid')}"
        )
        for report in results.crc_reports
    )
    return (
        "CRC validity and diversity of the hybrids that restore each interval of layers. The vertical axis is the "
        "first restored layer, the horizontal axis the end of the interval, which is not restored itself. Means over "
        "the selection prompts. "
        f"Hatched intervals are not valid enough ({rules_of(results)}). The star marks the choice. {chosen}."
    )


def crc_tradeoff(results: Results) -> str:
    """Say what the plot shows, and how the choice does on prompts that it has not seen."""
    return (
        "CRC diversity against validity of every interval and every soup. The most diverse is chosen among all "
        f"that are valid enough ({rules_of(results)}). On held-out prompts: "
        + "; ".join(_held_out(report) for report in results.crc_reports)
    )


def partial_restoration(results: Results) -> str:
    """Say what the plot shows, and what was chosen at any alpha and whole."""
    chosen = "; ".join(
        f"{pair}: {_restored_by(scores, 'partial')} at any alpha, {_restored_by(scores, 'hybrid')} whole"
        for pair, scores in results.localisations.items()
    )
    return (
        "Partial restoration. For each alpha, the Pareto front of all intervals whose layers take that share of the "
        "base model; alpha 1 restores them whole. Soups interpolate all weights, or only the decoder layers. "
        "Higher and further to the right is better. Each panel shows validities near the least allowed one. A front "
        "has no band, because both of its axes are means; the table gives intervals of what was chosen. Means over "
        f"{_num_localisation_prompts(results, 'selection')} selection prompts. Chosen: {chosen}."
    )


def components(results: Results) -> str:
    """Say what the plot shows, and which interval was chosen for each choice of components."""
    chosen = "; ".join(
        f"{pair}: "
        + ", ".join(
            f"{COMPONENTS[name]} {scores.choices[name].interval}"
            for name in COMPONENTS
            if name in scores.choices
        )
        for pair, scores in results.localisations.items()
    )
    return (
        "Which part of a layer to restore: the best interval for each choice of components, chosen on the selection "
        "prompts. Further to the right is better; the dotted line is the share of validity that the rule demands. "
        f"Means over {_num_localisation_prompts(results, 'held_out')} held-out prompts with 95% intervals, paired with "
        f"the instruct model. Intervals: {chosen}."
    )


def contiguity(results: Results) -> str:
    """Say what both rows show, and how well gains add up."""
    sizes = "; ".join(
        f"{pair}: {len(scores.hybrid.interval)} layers, {len(scores.random_sets('held_out'))} random sets"
        for pair, scores in results.localisations.items()
        if scores.hybrid is not None
    )
    added = "; ".join(
        f"{pair}: slope {scores.additivity.slope}, Pearson's r {scores.additivity.correlation}"
        for pair, scores in results.localisations.items()
        if scores.additivity is not None
    )
    return (
        "Top: the chosen interval against sets of as many layers that need not touch, and the best single layer; means "
        f"over {_num_localisation_prompts(results, 'held_out')} held-out prompts, higher and further to the right is "
        f"better ({sizes}). Bottom: the gain in diversity of each interval against the sum of its layers' gains, on "
        f"the selection prompts ({added}; 95% intervals by a bootstrap over prompts)."
    )


def _restored_by(scores: PairScores, name: str) -> str:
    return f"layers {scores.choices[name]}" if name in scores.choices else "none is valid enough"


def _num_localisation_prompts(results: Results, prompt_set: PromptSet) -> str:
    scores = (pair.instruct(prompt_set) for pair in results.localisations.values())
    return " or ".join(sorted({str(len(score.prompt_ids)) for score in scores if score is not None}))


def choice_stability(results: Results) -> str:
    """Say what the panels show, and how often the bootstrap gives the reported choice."""
    reports = results.stability_reports
    outcomes = []
    for report in reports:
        summary = report.summary(report.bootstrap)
        low, median, high = summary.gain
        outcomes.append(
            f"{report.pair}: layers {report.interval} in {summary.same:.0%} of the draws, mean overlap "
            f"{summary.overlap:.2f}, gain {median:.3f} ({low:.3f} to {high:.3f}) instead of "
            f"{report.gains[report.reported]:.3f}"
        )
    number, draws = reports[0].bootstrap.counts_DP.shape[::-1]
    return (
        "The choice made again by other selection prompts, drawn with replacement, as many for letters as for digits. "
        f"Left: how often each layer is restored, over {draws:,} draws of {number} prompts; the reported choice is "
        "shaded. Right: held-out diversity gained over instruct by what is chosen (higher is better), by the number of "
        f"prompts: median, and the range from the 5% to the 95% quantile of the choices; {NUM_SAMPLES} draws where the "
        f"number is not {number}. The overlap is shared layers over layers of either choice. {'; '.join(outcomes)}."
    )


def creative_tradeoff(results: Results) -> str:
    """Say what the plot shows, and how often the hybrid is above or below its references."""
    return (
        "Poems, stories and jokes: the number of different valid texts among a prompt's samples, against the share of "
        "valid texts. Better is to the upper right; arrows lead from instruct to the hybrid. "
        f"{_drawn(results, 'creative_writing')} {_outcome(results, 'creative_writing')}"
    )


def qa_coverage(results: Results) -> str:
    """Say what the curves show, and how often the hybrid is above or below its references."""
    return (
        "Open questions: the expected share of all right answers that are found, by the number of samples. The dotted "
        "line is a uniform choice among the right answers, and may leave the panel. Curves that lie on each other show "
        f"by their markers. {_drawn(results, 'open_qa', 'bands')} {_outcome(results, 'open_qa')}"
    )


def answer_distribution(results: Results) -> str:
    """Say which question is shown, and by which rule it was picked."""
    texts = {record.prompt_id: record.text for record in results.samples_of("open_qa")}
    asked = "; ".join(f"{group}: {texts[id_]!r}" for group, id_ in sorted(shown_questions(results).items()))
    return (
        "The share of samples that give each answer to one question; striped bars are answers that are not right. Each "
        "group's question is the one that the instruct models of all pairs together answer rightly most often. "
        f"{asked}"
    )


def pass_at_k(results: Results) -> str:
    """Say what the curves show, and how often the hybrid is above or below its references."""
    return (
        "All problems, and the ones that the instruct model's greedy answer fails: the chance that one of k samples is "
        "right. Higher is better. Curves that lie on each other show by their markers. "
        f"{_drawn(results, 'reasoning', 'bands')} {_outcome(results, 'reasoning')}"
    )


def controls_tradeoff(results: Results) -> str:
    """Say which intervals are compared, and how often the hybrid is above or below its references."""
    return (
        "Open questions, answered by hybrids that restore as many layers elsewhere: the first layers, the last layers, "
        f"and intervals drawn at random. {_drawn(results, 'restoration_controls')} "
        f"{_outcome(results, 'restoration_controls')}"
    )


def decoding_frontier(results: Results) -> str:
    """Say which settings are compared, and how often the hybrid is above or below its references."""
    return (
        "Open questions at several sampling settings, by the instruct model, the hybrid and the soup. Better is to the "
        "upper right. A line is the Pareto front of one model's settings. "
        f"{_drawn(results, 'decoding_methods', 'pale lines')} {_outcome(results, 'decoding_methods')}"
    )


def prompting_frontier(results: Results) -> str:
    """Say which ways to ask are compared, and how often the hybrid is above or below its references."""
    return (
        "Open questions asked directly, for a list, and for answers with probabilities (verbalized sampling), by the "
        f"instruct model, the hybrid and the soup. {_drawn(results, 'prompting_methods')} "
        f"{_outcome(results, 'prompting_methods')}"
    )


def quality_cost(results: Results) -> str:
    """Say what the plot shows, and how often the hybrid is above or below the instruct model."""
    contrasts = _against("instruct", results.contrasts("quality"))
    documents = {contrast.group: contrast.num_items for contrast in contrasts}
    sizes = ", ".join(f"{task} {number:,}" for task, number in documents.items())
    return (
        "Each model's score in benchmarks of lm-evaluation-harness minus the instruct model's score. Worse is to the "
        "left of the line. Lines are 95% intervals over documents, paired with the instruct model "
        f"(documents: {sizes or 'none of the hybrid'}). {MODEL_NAMES['hybrid']} against instruct, by paired intervals "
        f"without zero: {_count('scores', contrasts)}."
    )


def prediction(results: Results) -> str:
    """Say what the plot shows, and over how many intervals."""
    counts = "; ".join(f"{report.pair}: {len(report.points)}" for report in results.prediction_reports)
    return (
        "Does CRC predict? Each dot is an interval of layers. The intervals are spread over the CRC plane, the chosen "
        "one and the plane's corners among them. Horizontal: CRC diversity on the selection prompts; colour: CRC "
        "validity. Vertical: the primary metric of each task, which counts different good answers, and scores by "
        "lm-eval; higher is better. Lines are 95% intervals over prompts or documents. Above each panel stands "
        f"Spearman's correlation with CRC diversity, with its 95% interval. Intervals: {counts}."
    )


def mechanism(results: Results) -> str:
    """Say what both rows show, and which layers are restored."""
    lenses = of_kind(results.of_experiment("mechanism"), LogitLens)
    intervals = {lens.pair: LayerInterval(*lens.interval) for lens in lenses if lens.interval is not None}
    restored = "; ".join(f"{pair}: layers {interval}" for pair, interval in intervals.items())
    return (
        "Above: how far post-training moved each layer's weights, as the Frobenius norm of the difference over the "
        "norm of the base model's weights. Below: entropy of the next token if the layers ended there (logit lens: "
        "the model's own final norm and head on the hidden state after each layer); lower is more decided. Means "
        f"over {max(len(lens.prompt_ids) for lens in lenses)} held-out CRC prompts; bands are 95% intervals over "
        "prompts. Before its first restored layer the hybrid equals instruct. Shaded: the layers that the chosen "
        f"hybrid restores ({restored or 'none'})."
    )


def _held_out(report: CrcReport) -> str:
    hybrid, instruct = report.summary("hybrid", "held_out"), report.summary("instruct", "held_out")
    if hybrid is None or instruct is None:
        return f"{report.pair}: nothing to compare"
    kept = " and ".join(filter(None, (_rule(report, "hybrid"), _rule(report, "soup"))))
    return (
        f"{report.pair}: diversity {hybrid.diversity} instead of {instruct.diversity}, "
        f"validity {hybrid.validity} instead of {instruct.validity} ({kept})"
    )


def _rule(report: CrcReport, model: ModelKind) -> str:
    """The share of the instruct model's validity that the chosen model keeps, on both sets of prompts."""
    if report.summary(model, "selection") is None:
        return ""
    both = ", ".join(_kept(report, model, prompt_set) for prompt_set in PROMPT_SETS)
    return f"{MODEL_NAMES[model]}'s validity over instruct's: {both}"


def _kept(report: CrcReport, model: ModelKind, prompt_set: PromptSet) -> str:
    summary, is_kept = report.summary(model, prompt_set), report.keeps_rule(model, prompt_set)
    prompts = f"on {prompt_set.replace('_', '-')} prompts"
    if summary is None or is_kept is None:
        return f"not measured {prompts}"
    return f"{summary.validity_ratio or 'undefined'} {prompts} (rule {KEPT[is_kept]})"


def _drawn(results: Results, experiment: str, shown_as: str = "lines") -> str:
    samples = results.samples_of(experiment)
    # Pairs may have different prompts, because reasoning problems are chosen for each pair.
    prompts = {(s.pair, s.prompt_id) for s in samples}
    pairs = {s.pair for s in samples}
    seeds = len({s.seed for s in samples})
    each = f"{len(samples[0].texts)} samples a prompt" + (f" and seed, {seeds} seeds" if seeds > 1 else "")
    return (
        f"{len(prompts) / len(pairs):.0f} prompts a pair, {each}; {shown_as} are 95% intervals over prompts."
    )


def _outcome(results: Results, experiment: str) -> str:
    """How often the hybrid is clearly above or below instruct and soup at equal settings, metric by metric."""
    references: tuple[ComparedModel, ...] = ("instruct", "soup")
    return " ".join(filter(None, (_outcome_against(r, results, experiment) for r in references)))


def _outcome_against(reference: ComparedModel, results: Results, experiment: str) -> str:
    contrasts = [c for c in _against(reference, results.contrasts(experiment)) if c.metric in _SHOWN]
    if any(contrast.group in POOLED for contrast in contrasts):
        # All genres together hold the prompts of each genre, which would count twice.
        contrasts = [contrast for contrast in contrasts if contrast.group in POOLED]
    counts = [
        _count(name, [contrast for contrast in contrasts if _SHOWN[contrast.metric] == name])
        for name in dict.fromkeys(_SHOWN[contrast.metric] for contrast in contrasts)
    ]
    if not counts:
        return ""
    name = f"{MODEL_NAMES['hybrid']} against {reference}, by paired intervals without zero"
    return f"{name}: {'; '.join(counts)}."


def _against(reference: ComparedModel, contrasts: Sequence[Contrast]) -> list[Contrast]:
    """The contrasts of the hybrid with the chosen interval against one model, at every setting."""
    return [c for c in contrasts if (c.model, c.reference_model) == ("hybrid", reference)]


_SHOWN = {
    "distinct_valid": "different valid texts",
    "coverage": "coverage",
    **{f"pass_at_{k}": "pass@k" for k in (1, 4, 16, 64)},
    "accepted": "acceptance by the grammar",
    "valid": "share of valid texts",
    "precision": "precision",
}
"""Name in captions of each metric that they count, by metric id."""


def _count(metric: str, contrasts: Sequence[Contrast]) -> str:
    differences = [contrast.difference for contrast in contrasts if contrast.difference is not None]
    above = [d for d in differences if d.low is not None and d.low > 0]
    below = [d for d in differences if d.high is not None and d.high < 0]
    return f"{metric} higher in {len(above)} and lower in {len(below)} of {len(differences)} comparisons"

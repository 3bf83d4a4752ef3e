"""The tables. Each is a pure function of the results, in a module of its own."""

from slr.analysis.exhibit import Exhibit
from slr.analysis.needs import (
    CANONICALISER,
    CONTROLS,
    COSTS,
    CRC_STUDY,
    CREATIVE_WRITING,
    DECODING,
    JUDGE,
    LOCALISATION,
    MECHANISM,
    OPEN_QA,
    PAIRS,
    PREDICTION,
    PRIMARY,
    PROMPTING,
    QUALITY,
    REASONING,
    STABILITY,
    TWO_JUDGES,
    contrasts_of,
)
from slr.analysis.tables.best_intervals import best_intervals
from slr.analysis.tables.by_category import by_category
from slr.analysis.tables.contrasts import (
    crc_contrasts,
    creative_writing_contrasts,
    decoding_methods_contrasts,
    open_qa_contrasts,
    prompting_methods_contrasts,
    quality_contrasts,
    reasoning_contrasts,
    restoration_controls_contrasts,
)
from slr.analysis.tables.crc_prompts import crc_prompts
from slr.analysis.tables.downstream import (
    creative_writing,
    creative_writing_metrics,
    decoding_methods,
    open_qa,
    prompting_methods,
    reasoning,
    restoration_controls,
    sampling_seeds,
)
from slr.analysis.tables.judge import canonicaliser, judge, judge_agreement, judge_contrasts
from slr.analysis.tables.localisation import additivity, components, contiguity, partial_restoration
from slr.analysis.tables.mechanism import mechanism
from slr.analysis.tables.models import models
from slr.analysis.tables.power import power
from slr.analysis.tables.prediction import prediction, prediction_regret
from slr.analysis.tables.quality import quality
from slr.analysis.tables.runs import runs
from slr.analysis.tables.samples import samples
from slr.analysis.tables.search_cost import search_cost
from slr.analysis.tables.selected_intervals import selected_intervals
from slr.analysis.tables.selection_reasons import selection_reasons
from slr.analysis.tables.settings import settings
from slr.analysis.tables.soup_alphas import soup_alphas
from slr.analysis.tables.stability import crc_min_p, stability, training_seeds
from slr.analysis.tables.times import times
from slr.analysis.tables.verdicts import verdicts

TABLES = (
    Exhibit(id="verdicts", make=verdicts, need=CRC_STUDY),
    Exhibit(id="selected_intervals", make=selected_intervals, need=CRC_STUDY),
    Exhibit(id="crc_contrasts", make=crc_contrasts, need=contrasts_of("crc_search")),
    Exhibit(id="by_category", make=by_category, need=CRC_STUDY),
    Exhibit(id="selection_reasons", make=selection_reasons, need=CRC_STUDY),
    Exhibit(id="best_intervals", make=best_intervals, need=CRC_STUDY),
    Exhibit(id="soup_alphas", make=soup_alphas, need=CRC_STUDY),
    Exhibit(id="partial_restoration", make=partial_restoration, need=LOCALISATION),
    Exhibit(id="components", make=components, need=LOCALISATION),
    Exhibit(id="contiguity", make=contiguity, need=LOCALISATION),
    Exhibit(id="additivity", make=additivity, need=LOCALISATION),
    Exhibit(id="stability", make=stability, need=STABILITY),
    Exhibit(id="crc_min_p", make=crc_min_p, need=STABILITY),
    Exhibit(id="training_seeds", make=training_seeds, need=CRC_STUDY),
    Exhibit(id="creative_writing", make=creative_writing, need=CREATIVE_WRITING),
    Exhibit(
        id="creative_writing_contrasts",
        make=creative_writing_contrasts,
        need=contrasts_of("creative_writing"),
    ),
    Exhibit(id="creative_writing_metrics", make=creative_writing_metrics, need=CREATIVE_WRITING),
    Exhibit(id="samples", make=samples, need=CREATIVE_WRITING),
    Exhibit(id="judge", make=judge, need=JUDGE),
    Exhibit(id="judge_contrasts", make=judge_contrasts, need=JUDGE),
    Exhibit(id="judge_agreement", make=judge_agreement, need=TWO_JUDGES),
    Exhibit(id="open_qa", make=open_qa, need=OPEN_QA),
    Exhibit(id="open_qa_contrasts", make=open_qa_contrasts, need=contrasts_of("open_qa")),
    Exhibit(id="canonicaliser", make=canonicaliser, need=CANONICALISER),
    Exhibit(id="reasoning", make=reasoning, need=REASONING),
    Exhibit(id="reasoning_contrasts", make=reasoning_contrasts, need=contrasts_of("reasoning")),
    Exhibit(id="restoration_controls", make=restoration_controls, need=CONTROLS),
    Exhibit(
        id="restoration_controls_contrasts",
        make=restoration_controls_contrasts,
        need=contrasts_of("restoration_controls"),
    ),
    Exhibit(id="decoding_methods", make=decoding_methods, need=DECODING),
    Exhibit(
        id="decoding_methods_contrasts",
        make=decoding_methods_contrasts,
        need=contrasts_of("decoding_methods"),
    ),
    Exhibit(id="prompting_methods", make=prompting_methods, need=PROMPTING),
    Exhibit(
        id="prompting_methods_contrasts",
        make=prompting_methods_contrasts,
        need=contrasts_of("prompting_methods"),
    ),
    Exhibit(id="quality", make=quality, need=QUALITY),
    Exhibit(id="quality_contrasts", make=quality_contrasts, need=contrasts_of("quality")),
    Exhibit(id="prediction", make=prediction, need=PREDICTION),
    Exhibit(id="prediction_regret", make=prediction_regret, need=PREDICTION),
    Exhibit(id="mechanism", make=mechanism, need=MECHANISM),
    Exhibit(id="power", make=power, need=PRIMARY),
    Exhibit(id="sampling_seeds", make=sampling_seeds, need=CREATIVE_WRITING),
    Exhibit(id="search_cost", make=search_cost, need=COSTS),
    Exhibit(id="models", make=models, need=PAIRS),
    Exhibit(id="settings", make=settings, need=PAIRS),
    Exhibit(id="runs", make=runs, need=PAIRS),
    Exhibit(id="times", make=times, need=PAIRS),
    Exhibit(id="crc_prompts", make=crc_prompts),
)
"""Every table, in the order of the page."""

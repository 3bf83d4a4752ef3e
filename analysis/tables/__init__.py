"""The tables: each a pure function of the results, in a module of its own."""

from analysis.exhibit import Exhibit
from analysis.needs import (
    CANONICALISER,
    CONTROLS,
    COSTS,
    CRC_STUDY,
    CREATIVE_WRITING,
    DECODING,
    JUDGE,
    OPEN_QA,
    PAIRS,
    PROMPTING,
    QUALITY,
    REASONING,
    TWO_JUDGES,
)
from analysis.tables.best_intervals import best_intervals
from analysis.tables.by_category import by_category
from analysis.tables.crc_prompts import crc_prompts
from analysis.tables.downstream import (
    creative_writing,
    decoding_methods,
    open_qa,
    prompting_methods,
    reasoning,
    restoration_controls,
    sampling_seeds,
)
from analysis.tables.judge import canonicaliser, judge, judge_agreement
from analysis.tables.models import models
from analysis.tables.quality import quality
from analysis.tables.runs import runs
from analysis.tables.samples import samples
from analysis.tables.search_cost import search_cost
from analysis.tables.selected_intervals import selected_intervals
from analysis.tables.selection_reasons import selection_reasons
from analysis.tables.settings import settings
from analysis.tables.soup_alphas import soup_alphas

TABLES = (
    Exhibit(selected_intervals, CRC_STUDY),
    Exhibit(by_category, CRC_STUDY),
    Exhibit(selection_reasons, CRC_STUDY),
    Exhibit(best_intervals, CRC_STUDY),
    Exhibit(soup_alphas, CRC_STUDY),
    Exhibit(creative_writing, CREATIVE_WRITING),
    Exhibit(samples, CREATIVE_WRITING),
    Exhibit(judge, JUDGE),
    Exhibit(judge_agreement, TWO_JUDGES),
    Exhibit(open_qa, OPEN_QA),
    Exhibit(canonicaliser, CANONICALISER),
    Exhibit(reasoning, REASONING),
    Exhibit(restoration_controls, CONTROLS),
    Exhibit(decoding_methods, DECODING),
    Exhibit(prompting_methods, PROMPTING),
    Exhibit(quality, QUALITY),
    Exhibit(sampling_seeds, CREATIVE_WRITING),
    Exhibit(search_cost, COSTS),
    Exhibit(models, PAIRS),
    Exhibit(settings, PAIRS),
    Exhibit(runs, PAIRS),
    Exhibit(crc_prompts),
)
"""Every table that there is."""

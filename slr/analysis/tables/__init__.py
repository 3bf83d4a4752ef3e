"""The tables: each a pure function of the results, in a module of its own."""

from slr.analysis.exhibit import Exhibit
from slr.analysis.needs import (
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
    decoding_methods,
    open_qa,
    prompting_methods,
    reasoning,
    restoration_controls,
    sampling_seeds,
)
from slr.analysis.tables.judge import canonicaliser, judge, judge_agreement, judge_contrasts
from slr.analysis.tables.models import models
from slr.analysis.tables.quality import quality
from slr.analysis.tables.runs import runs
from slr.analysis.tables.samples import samples
from slr.analysis.tables.search_cost import search_cost
from slr.analysis.tables.selected_intervals import selected_intervals
from slr.analysis.tables.selection_reasons import selection_reasons
from slr.analysis.tables.settings import settings
from slr.analysis.tables.soup_alphas import soup_alphas

TABLES = (
    Exhibit(selected_intervals, CRC_STUDY),
    Exhibit(crc_contrasts, contrasts_of("crc_search")),
    Exhibit(by_category, CRC_STUDY),
    Exhibit(selection_reasons, CRC_STUDY),
    Exhibit(best_intervals, CRC_STUDY),
    Exhibit(soup_alphas, CRC_STUDY),
    Exhibit(creative_writing, CREATIVE_WRITING),
    Exhibit(creative_writing_contrasts, contrasts_of("creative_writing")),
    Exhibit(samples, CREATIVE_WRITING),
    Exhibit(judge, JUDGE),
    Exhibit(judge_contrasts, JUDGE),
    Exhibit(judge_agreement, TWO_JUDGES),
    Exhibit(open_qa, OPEN_QA),
    Exhibit(open_qa_contrasts, contrasts_of("open_qa")),
    Exhibit(canonicaliser, CANONICALISER),
    Exhibit(reasoning, REASONING),
    Exhibit(reasoning_contrasts, contrasts_of("reasoning")),
    Exhibit(restoration_controls, CONTROLS),
    Exhibit(restoration_controls_contrasts, contrasts_of("restoration_controls")),
    Exhibit(decoding_methods, DECODING),
    Exhibit(decoding_methods_contrasts, contrasts_of("decoding_methods")),
    Exhibit(prompting_methods, PROMPTING),
    Exhibit(prompting_methods_contrasts, contrasts_of("prompting_methods")),
    Exhibit(quality, QUALITY),
    Exhibit(quality_contrasts, contrasts_of("quality")),
    Exhibit(sampling_seeds, CREATIVE_WRITING),
    Exhibit(search_cost, COSTS),
    Exhibit(models, PAIRS),
    Exhibit(settings, PAIRS),
    Exhibit(runs, PAIRS),
    Exhibit(crc_prompts),
)
"""Every table that there is."""

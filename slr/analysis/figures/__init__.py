"""The figures: each a pure function of the results, in a module of its own."""

from slr.analysis.exhibit import Exhibit
from slr.analysis.figures import captions
from slr.analysis.figures.concept import concept
from slr.analysis.figures.crc_heatmaps import crc_heatmaps
from slr.analysis.figures.crc_tradeoff import crc_tradeoff
from slr.analysis.figures.downstream import (
    answer_distribution,
    controls_tradeoff,
    creative_tradeoff,
    decoding_frontier,
    pass_at_k,
    prompting_frontier,
    qa_coverage,
)
from slr.analysis.figures.quality_cost import quality_cost
from slr.analysis.needs import (
    CONTROLS,
    CRC_STUDY,
    CREATIVE_WRITING,
    DECODING,
    OPEN_QA,
    PROMPTING,
    QUALITY,
    REASONING,
)

FIGURES = (
    Exhibit(concept),
    Exhibit(crc_heatmaps, CRC_STUDY, captions.crc_heatmaps),
    Exhibit(crc_tradeoff, CRC_STUDY, captions.crc_tradeoff),
    Exhibit(creative_tradeoff, CREATIVE_WRITING, captions.creative_tradeoff),
    Exhibit(qa_coverage, OPEN_QA, captions.qa_coverage),
    Exhibit(answer_distribution, OPEN_QA, captions.answer_distribution),
    Exhibit(pass_at_k, REASONING, captions.pass_at_k),
    Exhibit(controls_tradeoff, CONTROLS, captions.controls_tradeoff),
    Exhibit(decoding_frontier, DECODING, captions.decoding_frontier),
    Exhibit(prompting_frontier, PROMPTING, captions.prompting_frontier),
    Exhibit(quality_cost, QUALITY, captions.quality_cost),
)
"""Every figure that there is."""

"""The figures: each a pure function of the results, in a module of its own."""

from analysis.exhibit import Exhibit
from analysis.figures.concept import concept
from analysis.figures.crc_heatmaps import crc_heatmaps
from analysis.figures.crc_tradeoff import crc_tradeoff
from analysis.figures.downstream import (
    answer_distribution,
    controls_tradeoff,
    creative_tradeoff,
    decoding_frontier,
    pass_at_k,
    prompting_frontier,
    qa_coverage,
)
from analysis.needs import CONTROLS, CRC_STUDY, CREATIVE_WRITING, DECODING, OPEN_QA, PROMPTING, REASONING

FIGURES = (
    Exhibit(concept),
    Exhibit(crc_heatmaps, CRC_STUDY),
    Exhibit(crc_tradeoff, CRC_STUDY),
    Exhibit(creative_tradeoff, CREATIVE_WRITING),
    Exhibit(qa_coverage, OPEN_QA),
    Exhibit(answer_distribution, OPEN_QA),
    Exhibit(pass_at_k, REASONING),
    Exhibit(controls_tradeoff, CONTROLS),
    Exhibit(decoding_frontier, DECODING),
    Exhibit(prompting_frontier, PROMPTING),
)
"""Every figure that there is."""

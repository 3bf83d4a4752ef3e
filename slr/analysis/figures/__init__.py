"""The figures. Each is a pure function of the results, in a module of its own."""

from slr.analysis.exhibit import Exhibit
from slr.analysis.figures import captions
from slr.analysis.figures.answers import answer_distribution
from slr.analysis.figures.choice_stability import choice_stability
from slr.analysis.figures.concept import concept
from slr.analysis.figures.crc_heatmaps import crc_heatmaps
from slr.analysis.figures.crc_tradeoff import crc_tradeoff
from slr.analysis.figures.curves import pass_at_k, qa_coverage
from slr.analysis.figures.downstream import (
    controls_tradeoff,
    creative_tradeoff,
    decoding_frontier,
    prompting_frontier,
)
from slr.analysis.figures.localisation import components, contiguity, partial_restoration
from slr.analysis.figures.mechanism import mechanism
from slr.analysis.figures.prediction import prediction
from slr.analysis.figures.quality_cost import quality_cost
from slr.analysis.needs import (
    CONTROLS,
    CRC_STUDY,
    CREATIVE_WRITING,
    DECODING,
    LOCALISATION,
    MECHANISM,
    OPEN_QA,
    PREDICTION,
    PROMPTING,
    QUALITY,
    REASONING,
    STABILITY,
)

FIGURES = (
    Exhibit(id="concept", make=concept),
    Exhibit(id="crc_heatmaps", make=crc_heatmaps, need=CRC_STUDY, caption=captions.crc_heatmaps),
    Exhibit(id="crc_tradeoff", make=crc_tradeoff, need=CRC_STUDY, caption=captions.crc_tradeoff),
    Exhibit(id="choice_stability", make=choice_stability, need=STABILITY, caption=captions.choice_stability),
    Exhibit(
        id="partial_restoration",
        make=partial_restoration,
        need=LOCALISATION,
        caption=captions.partial_restoration,
    ),
    Exhibit(id="components", make=components, need=LOCALISATION, caption=captions.components),
    Exhibit(id="contiguity", make=contiguity, need=LOCALISATION, caption=captions.contiguity),
    Exhibit(
        id="creative_tradeoff",
        make=creative_tradeoff,
        need=CREATIVE_WRITING,
        caption=captions.creative_tradeoff,
    ),
    Exhibit(id="qa_coverage", make=qa_coverage, need=OPEN_QA, caption=captions.qa_coverage),
    Exhibit(
        id="answer_distribution", make=answer_distribution, need=OPEN_QA, caption=captions.answer_distribution
    ),
    Exhibit(id="pass_at_k", make=pass_at_k, need=REASONING, caption=captions.pass_at_k),
    Exhibit(
        id="controls_tradeoff", make=controls_tradeoff, need=CONTROLS, caption=captions.controls_tradeoff
    ),
    Exhibit(
        id="decoding_frontier", make=decoding_frontier, need=DECODING, caption=captions.decoding_frontier
    ),
    Exhibit(
        id="prompting_frontier", make=prompting_frontier, need=PROMPTING, caption=captions.prompting_frontier
    ),
    Exhibit(id="quality_cost", make=quality_cost, need=QUALITY, caption=captions.quality_cost),
    Exhibit(id="prediction", make=prediction, need=PREDICTION, caption=captions.prediction),
    Exhibit(id="mechanism", make=mechanism, need=MECHANISM, caption=captions.mechanism),
)
"""Every figure, in the order of the page."""

"""The figures: each a pure function of the results, in a module of its own."""

from analysis.exhibit import Exhibit
from analysis.figures.concept import concept
from analysis.figures.crc_heatmaps import crc_heatmaps
from analysis.figures.crc_tradeoff import crc_tradeoff
from analysis.needs import CRC_STUDY

FIGURES = (Exhibit(concept), Exhibit(crc_heatmaps, CRC_STUDY), Exhibit(crc_tradeoff, CRC_STUDY))
"""Every figure that there is."""

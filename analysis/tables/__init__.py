"""The tables: each a pure function of the results, in a module of its own."""

from analysis.exhibit import Exhibit
from analysis.needs import COSTS, CRC_STUDY, PAIRS
from analysis.tables.best_intervals import best_intervals
from analysis.tables.by_category import by_category
from analysis.tables.crc_prompts import crc_prompts
from analysis.tables.models import models
from analysis.tables.runs import runs
from analysis.tables.search_cost import search_cost
from analysis.tables.selected_intervals import selected_intervals
from analysis.tables.selection_reasons import selection_reasons

TABLES = (
    Exhibit(selected_intervals, CRC_STUDY),
    Exhibit(by_category, CRC_STUDY),
    Exhibit(selection_reasons, CRC_STUDY),
    Exhibit(best_intervals, CRC_STUDY),
    Exhibit(search_cost, COSTS),
    Exhibit(models, PAIRS),
    Exhibit(runs, PAIRS),
    Exhibit(crc_prompts),
)
"""Every table that there is."""

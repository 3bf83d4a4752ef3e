"""Names of the groups of prompts by which results are reported."""

from __future__ import annotations

ALL_GENRES = "all genres"
"""Group that pools the prompts of every genre."""
ALL_PROBLEMS = "all problems"
"""Group that pools the reasoning problems that the instruct model solves and the problems that it fails."""
SOLVED = "problems that instruct solves"
"""Problems that the instruct model's greedy answer solves."""
FAILED = "problems that instruct fails"
"""Problems that the instruct model's greedy answer gets wrong."""
POOLED = (ALL_GENRES, ALL_PROBLEMS)
"""Groups that pool other groups."""

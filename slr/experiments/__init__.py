"""The experiments: each module asks one question, and holds the configuration that answers it for every preset."""

NAMES = (
    "crc_search",
    "creative_writing",
    "open_qa",
    "reasoning",
    "restoration_controls",
    "decoding_methods",
    "prompting_methods",
    "quality",
    "judge",
    "canonicalise",
)
"""Names of the modules and of what they run, in the order of a whole run."""

ALL = "all"
"""What runs them all, in place of a name."""

"""The experiments. Each module asks one question, and holds the configuration that answers it for every preset."""

NAMES = (
    "crc_search",
    "localisation",
    "stability",
    "creative_writing",
    "open_qa",
    "reasoning",
    "restoration_controls",
    "decoding_methods",
    "prompting_methods",
    "quality",
    "mechanism",
    "prediction",
    "judge",
    "canonicalise",
)
"""Names of the modules and of their experiments, in the order of a whole run."""

ALL = "all"
"""Name that stands for all experiments."""

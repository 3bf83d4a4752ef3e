"""Versions of the measures whose outcome is stored in records.

Raise a version by one with every change by which the measure gives other outcomes for the same input. Records of
another version are then never gone on from, because numbers of two measures would stand beside each other. A metric
that is computed from stored samples when tables are made needs no version.
"""

CRC_SCORING = {"CRC scoring": "1"}
"""Validity and diversity of a model on a prompt: ``slr.crc.scoring``, ``slr.crc.search`` and what they use."""

SAMPLING = {"sampling": "1"}
"""Which tokens are drawn, and what text they become: ``slr.sampling.generation``, and the end tokens of answers."""

READING_OF_ANSWERS = {"reading of answers": "1"}
"""Which problems count as solved, by ``slr.tasks.reasoning``: the problems to sample are chosen by it."""

EMBEDDING = {"embedding": "1"}
"""Embedding diversity and adherence: ``slr.metrics.semantic``."""

FLUENCY = {"fluency": "1"}
"""Fluency under another model: ``slr.downstream.fluency``."""

RECOGNITION = {"recognition of answers": "1"}
"""Which answers count as right, by ``slr.tasks.answers``: only those that do not are canonicalised."""

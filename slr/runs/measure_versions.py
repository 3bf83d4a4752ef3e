"""Versions of the measures whose results are stored in records.

Raise a version by one with every change that makes the measure give another result for the same input. A run then
does not continue from records of the older version, because they would mix the numbers of two measures. A metric that
is computed from stored samples when tables are made needs no version.

What another package adds has the package's version, which its author raises.
"""

from __future__ import annotations

from slr.plugins import OWN_PACKAGE, SINGULAR, Group, Plugin

CRC_SCORING = {"CRC scoring": "1"}
"""Version of validity and diversity on a prompt: ``slr.crc.scoring``, ``slr.crc.search`` and their imports."""

SAMPLING = {"sampling": "1"}
"""Version of how tokens are drawn and become text: ``slr.sampling.generation`` and the end tokens of answers."""

READING_OF_ANSWERS = {"reading of answers": "1"}
"""Version of which problems count as solved, by ``slr.tasks.reasoning``. The problems to sample depend on it."""

EMBEDDING = {"embedding": "2"}
"""Version of what is made of embeddings: diversity, adherence, the Vendi score and functional classes.

They are in ``slr.metrics``: ``semantic``, ``vendi`` and ``functional_classes``.
"""

FLUENCY = {"fluency": "1"}
"""Version of fluency under another model: ``slr.downstream.fluency``."""

RECOGNITION = {"recognition of answers": "1"}
"""Version of which answers count as right, by ``slr.tasks.answers``. Only the other answers are canonicalised."""

LOGIT_LENS = {"logit lens": "1"}
"""Version of the change of weights and of the entropy along depth: ``slr.mechanism``."""


def version_of_plugin(group: Group, plugin: Plugin[object] | None) -> dict[str, str]:
    """Name what another package adds, with the package's version; empty for None and for what slr has itself."""
    if plugin is None or plugin.package == OWN_PACKAGE:
        return {}
    return {SINGULAR[group]: f"{plugin.name} of {plugin.package}"}

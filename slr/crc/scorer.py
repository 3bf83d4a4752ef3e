"""How validity and diversity on a prompt follow from the probabilities of its valid characters.

Other packages can add a scorer, by an entry point of the group ``slr.scorers``.

Shape letters: R models, C valid characters of one prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slr.plugins import Plugin, load_plugin
from slr.runs.record_checks import DIVERSITY_TOLERANCE, VALIDITY_TOLERANCE

FloatArray = NDArray[np.float64]
Measure = Callable[[FloatArray], FloatArray]
"""Computes one number in [0, 1] for each model, shape (R,), from probabilities of shape (R, C); NaN if undefined."""


def total_probability(answers_RC: FloatArray) -> FloatArray:
    """Compute the probability of any valid character."""
    return answers_RC.sum(axis=1)


def normalised_entropy(answers_RC: FloatArray) -> FloatArray:
    """Compute the entropy of each row, scaled to sum 1, over the log of its length.

    A row that sums to 0 has NaN.
    """
    total_R1 = answers_RC.sum(axis=1, keepdims=True)
    shares_RC = np.divide(answers_RC, total_R1, out=np.full_like(answers_RC, np.nan), where=total_R1 > 0)
    log_shares_RC = np.log(shares_RC, out=np.zeros_like(shares_RC), where=shares_RC > 0)
    return -(shares_RC * log_shares_RC).sum(axis=1) / np.log(answers_RC.shape[1])


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """The two numbers by which a search compares models.

    Attributes:
        label: what messages call it.
        validity: how much the model does what the prompt asks.
        diversity: how evenly it spreads over the valid characters. It does not count where validity is 0.
    """

    label: str
    validity: Measure = total_probability
    diversity: Measure = normalised_entropy

    def score(self, answers_RC: FloatArray, prompt_id: str) -> tuple[FloatArray, FloatArray]:
        """Compute validity and diversity on one prompt, each of shape (R,).

        Args:
            answers_RC: probability of each valid character; NaN where a model's logits are not finite.
            prompt_id: id of the prompt, for messages.

        Returns:
            Both. They are NaN where the probabilities are, and diversity also where validity is 0.

        Raises:
            ValueError: if a number is not in [0, 1], or there is not one for each model.
        """
        is_finite_R = np.isfinite(answers_RC).all(axis=1)
        found: list[FloatArray] = []
        for name, measure, tolerance in (
            ("validity", self.validity, VALIDITY_TOLERANCE),
            ("diversity", self.diversity, DIVERSITY_TOLERANCE),
        ):
            values_R = np.asarray(measure(answers_RC), dtype=np.float64)
            if values_R.shape != is_finite_R.shape:
                self._refuse(name, f"an array of shape {values_R.shape}", prompt_id, f"{is_finite_R.shape}")
            values_R = np.where(is_finite_R, values_R, np.nan)
            outside_R = values_R[(values_R < -tolerance) | (values_R > 1 + tolerance)]
            if outside_R.size:
                self._refuse(name, f"{outside_R[0]:g}", prompt_id, "a number from 0 to 1")
            found.append(values_R)
        validity_R, diversity_R = found
        return validity_R, np.where(validity_R > 0, diversity_R, np.nan)

    def _refuse(self, name: str, given: str, prompt_id: str, expected: str) -> None:
        raise ValueError(
            f"the scorer {self.label} gives {given} as the {name} on the prompt {prompt_id}, expected {expected}: "
            "repair the scorer's package, or search with another --scorer"
        )


ENTROPY = Scorer(label="entropy")
"""Validity and diversity of the paper; see ``slr.crc.scoring``."""


def load_scorer(name: str) -> Plugin[Scorer]:
    """Load a scorer by its name.

    Raises:
        ValueError: if there is none, or it cannot be used.
    """
    return load_plugin("slr.scorers", name, Scorer)

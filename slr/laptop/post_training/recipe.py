"""Every number of the recipe, fixed before any hybrid of these models was scored."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from slr.models.start_models import LaptopModel

Variant = Literal["lora", "full"]
"""What is trained: an adapter of all linear layers, or all weights of the decoder layers."""
VARIANTS: tuple[Variant, ...] = get_args(Variant)

LEARNING_RATES: dict[Variant, float] = {"lora": 2e-4, "full": 1e-4}
"""Peak learning rate of the supervised stage and of every preference round."""

PREFERENCE_SIZES: dict[LaptopModel, dict[str, int]] = {
    "gemma": {},
    "smollm2": {"round_samples": 16, "accepted_pairs": 4, "max_rounds": 6},
}
"""What differs from the defaults of a recipe. With gemma's sizes SmolLM2 did not meet the stopping criterion."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is trained, and the sizes of all stages.

    Attributes:
        typicality_weight: lambda, the share of prompts whose preferences look at typicality, besides acceptance.
        elicited_samples: number of the start model's answers to each prompt.
        dev_samples: number of answers to each development prompt whenever the model is measured.
        sampling_batch: number of prompts whose samples are drawn at once, and kept as one file.
        max_exchanges: largest number of exchanges of the supervised stage, drawn from all accepted answers.
        sft_batch: number of exchanges a step.
        round_prompts: number of prompts of a preference round.
        round_samples: number of answers to each of them.
        accepted_pairs: largest number of pairs of accepted answers that a prompt gives in a round.
        round_batch: number of preference pairs a step.
        max_rounds: largest number of rounds; training stops before if the stopping criterion is met.
        beta: strength by which DPO holds the policy to the reference.
        chosen_weight: weight of the chosen answer's negative log-likelihood a token, which is added to DPO's loss.
        warmup_share: share of the steps of a stage in which its learning rate rises; then it falls by a cosine.

    Raises:
        ValueError: if the variant is not made of the model, or lambda is out of its range.
    """

    model: LaptopModel
    variant: Variant = "lora"
    typicality_weight: float = 1.0
    seed: int = 0
    lora_rank: int = 32
    lora_alpha: int = 32
    elicited_samples: int = 16
    dev_samples: int = 16
    sampling_batch: int = 16
    max_exchanges: int = 8000
    sft_batch: int = 16
    round_prompts: int = 400
    round_samples: int = 8
    accepted_pairs: int = 1
    round_batch: int = 8
    max_rounds: int = 8
    beta: float = 0.2
    chosen_weight: float = 0.2
    warmup_share: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
            ValueError: if the model has no such variant, or lambda is outside its range.
        """
        if self.variant == "full" and self.model != "smollm2":
            raise ValueError(
                f"the full variant is made of smollm2 only, not of {self.model}: give --variant lora"
            )
        if not 0 <= self.typicality_weight <= 1:
            raise ValueError(f"lambda is {self.typicality_weight}, expected a number from 0 to 1")

    @classmethod
    def of_model(cls, model: LaptopModel, **fields: Any) -> Recipe:
        """The recipe of a model, whose preference rounds have the sizes that trials found for it.

        Args:
            model: what to train.
            fields: what else differs from the defaults.
        """
        return cls(model=model, **PREFERENCE_SIZES[model], **fields)

    @property
    def learning_rate(self) -> float:
        """Peak learning rate of the variant."""
        return LEARNING_RATES[self.variant]

    def fields(self) -> dict[str, Any]:
        """Every number, the learning rate of the variant among them."""
        return {**asdict(self), "learning_rate": self.learning_rate}

"""Read and check ``adapter_config.json`` of a LoRA adapter, before peft sees it.

peft takes any value of a field as it is, and fails late, deep inside, or never. Here a field that no usable adapter has
becomes one line that names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from slr.files.untrusted import read_json_object
from slr.models.adapters.patterns import shortened
from slr.models.reference import ModelReference

CONFIG_FILE = "adapter_config.json"
MAX_CONFIG_BYTES = 10_000_000
"""Largest size of the file in bytes."""
MAX_RANK = 1_000_000
"""Largest rank of an adapter."""

EXACT_INITIALISATIONS = ("gaussian", "eva", "orthogonal", "mica")
"""Initialisations that leave the base model as it is, so that the adapter holds all that was trained."""

MUTATING_INITIALISATIONS = ("pissa", "olora")
"""Initialisations that take a part out of the base model's weights.

peft takes the part out again when it loads the adapter.
"""

LOST_INITIALISATIONS = ("corda", "lora_ga", "loftq", "pissa_niter_N")
"""Initialisations that change the base model's weights in a way that peft does not repeat when it loads the adapter.

peft does repeat the change of LoftQ, but it is the same only if bitsandbytes and a GPU give the same numbers again.
"""

UNMERGEABLE_FIELDS = ("alora_invocation_tokens", "arrow_config")
"""Fields of LoRA kinds that act on some tokens only, so that no weights are equal to them."""

REFUSED_FIELDS = ("monteclora_config", "kasa_config", "velora_config", "use_bdlora")
"""Fields of LoRA kinds that peft can merge, but that are not checked here."""

WITHOUT_EFFECT = (
    "auto_mapping", "corda_config", "eva_config", "inference_mode", "loftq_config", "lora_dropout", "lora_ga_config",
    "megatron_core", "peft_version", "qalora_group_size", "runtime_config",
)  # fmt: skip
"""Fields that say how the adapter was trained, and change nothing that it computes."""


def _check_initialisation(value: bool | str) -> bool | str:
    if isinstance(value, bool):
        return value
    name = value.lower()
    if name in (*EXACT_INITIALISATIONS, *MUTATING_INITIALISATIONS, *LOST_INITIALISATIONS[:-1]):
        return name
    if re.fullmatch(r"pissa_niter_\d{1,9}", name):
        return name
    raise ValueError(f"{value!r} is no initialisation")


Rank = Annotated[int, Field(ge=1, le=MAX_RANK)]
Number = Annotated[FiniteFloat, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]
PlainName = Annotated[str, Field(pattern=r"^[\w.-]+$")]
"""Name without special characters, because peft puts it into a regular expression as it is."""
Index = Annotated[int, Field(ge=0, lt=2**31)]
TokenIds = Annotated[list[Index], Field(min_length=1)]
Initialisation = Annotated[bool | str, AfterValidator(_check_initialisation)]

_NAMES = "a list of names of modules, or one regular expression"
_PLAIN_NAMES = "a list of plain names of modules (letters, digits, _, - and .)"


class AdapterConfig(BaseModel):
    """The fields that decide what a LoRA adapter computes; each description says what the field must be.

    The defaults are peft's. peft itself always writes the fields that have no default.

    Attributes:
        unknown: names of fields that are set, but that are unknown to this class and to all versions of peft so far.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    r: Rank = Field(description=f"a whole number from 1 to {MAX_RANK}")
    lora_alpha: Number = Field(description="a number above 0")
    target_modules: list[Text] | str | None = Field(description=f"{_NAMES}, or null")
    exclude_modules: list[Text] | str | None = Field(None, description=f"{_NAMES}, or null")
    target_parameters: list[Text] | None = Field(None, description="a list of names of parameters, or null")
    modules_to_save: list[PlainName] | None = Field(None, description=f"{_PLAIN_NAMES}, or null")
    layers_to_transform: Index | list[Index] | None = Field(
        None, description="a layer's number, a list of them, or null"
    )
    layers_pattern: list[PlainName] | PlainName | None = Field(
        None, description=f"{_PLAIN_NAMES}, one, or null"
    )
    rank_pattern: dict[Text, Rank] | None = Field(
        None, description=f"an object whose values are whole numbers from 1 to {MAX_RANK}"
    )
    alpha_pattern: dict[Text, Number] | None = Field(
        None, description="an object whose values are numbers above 0"
    )
    trainable_token_indices: TokenIds | dict[PlainName, TokenIds] | None = Field(
        None, description="a list of token ids, an object of such lists by plain names of modules, or null"
    )
    bias: Literal["none", "all", "lora_only"] = Field("none", description="none, all or lora_only")
    init_lora_weights: Initialisation = Field(
        True,
        description=f"true, false or one of {', '.join((*EXACT_INITIALISATIONS, *MUTATING_INITIALISATIONS))}",
    )
    task_type: Literal["CAUSAL_LM"] | None = Field(None, description="CAUSAL_LM or null")
    base_model_name_or_path: str | None = Field(None, description="a name or null")
    revision: str | None = Field(None, description="a revision or null")
    lora_bias: bool = Field(False, description="true or false")
    use_rslora: bool = Field(False, description="true or false")
    use_dora: bool = Field(False, description="true or false")
    fan_in_fan_out: bool = Field(False, description="true or false")
    ensure_weight_tying: bool = Field(False, description="true or false")
    unknown: tuple[str, ...] = ()

    @property
    def changes_base_weights(self) -> bool:
        """Whether peft takes a part out of the base model's weights when it loads the adapter."""
        return self.init_lora_weights in MUTATING_INITIALISATIONS


def read_config_fields(directory: Path, reference: ModelReference) -> dict[str, Any]:
    """Read the JSON object in ``adapter_config.json``, and check only that the adapter is LoRA.

    Raises:
        ValueError: if there is no such file, it is no JSON object, or the adapter is not LoRA.
    """
    path = directory / CONFIG_FILE
    if not path.is_file():
        raise ValueError(
            f"{reference} has no {CONFIG_FILE}: expected the directory of a PEFT adapter{_others(directory)}"
        )
    try:
        fields = read_json_object(path, MAX_CONFIG_BYTES)
    except ValueError as error:
        raise ValueError(f"{CONFIG_FILE} of {reference} {error}") from error
    if (kind := fields.get("peft_type")) != "LORA":
        raise ValueError(
            f"the adapter {reference} is of type {shortened(kind)}: expected LORA (peft_type in {CONFIG_FILE})"
        )
    return fields


def parse_config(fields: Mapping[str, Any], reference: ModelReference) -> AdapterConfig:
    """Check the fields of an adapter's configuration.

    Raises:
        ValueError: if a field has a value that peft cannot use, or if base model and adapter alone do not give the
            trained model. The message names the field.
    """  # noqa: DOC501 - _refusal makes a ValueError
    _check_kind(fields, reference)
    try:
        config = AdapterConfig.model_validate({**fields, "unknown": tuple(_unknown(fields))})
    except ValidationError as error:
        raise _refusal(error, fields, reference) from None
    if isinstance(config.target_modules, str) and (
        config.layers_to_transform is not None or config.layers_pattern is not None
    ):
        raise ValueError(
            f"{CONFIG_FILE} of {reference} has layers_to_transform or layers_pattern together with a target_modules "
            "that is one expression, which peft refuses: write target_modules as a list"
        )
    if config.layers_pattern and config.layers_to_transform is None:
        raise ValueError(
            f"{CONFIG_FILE} of {reference} has layers_pattern without layers_to_transform, which peft refuses: "
            "remove it, or add the layers' numbers"
        )
    if not config.target_modules and config.target_modules is not None and not config.target_parameters:
        raise ValueError(f"target_modules in {CONFIG_FILE} of {reference} is empty: expected {_NAMES}")
    return config


def _check_kind(fields: Mapping[str, Any], reference: ModelReference) -> None:
    if fields.get("layer_replication"):
        raise ValueError(
            f"the adapter {reference} repeats layers of its base model (layer_replication in {CONFIG_FILE}), so its "
            "model has other layers than the base model, and none can be restored: give an adapter without it"
        )
    for field in UNMERGEABLE_FIELDS:
        if fields.get(field):
            raise ValueError(
                f"the adapter {reference} acts on some tokens only ({field} in {CONFIG_FILE}), so no weights are "
                "equal to it, and it cannot be the instruct model: give one without it"
            )
    for field in REFUSED_FIELDS:
        if fields.get(field):
            raise ValueError(
                f"the adapter {reference} is of a kind that is not merged here ({field} in {CONFIG_FILE}): merge it "
                "with peft's merge_and_unload, save that, and give it as the instruct model"
            )
    if fields.get("use_qalora"):
        raise ValueError(
            f"the adapter {reference} has use_qalora in {CONFIG_FILE}, which peft heeds for GPTQ models only and then "
            "cannot merge: if it was trained on a full-precision model, set use_qalora to false there, else give an "
            "adapter that was trained without it"
        )
    init = fields.get("init_lora_weights")
    if isinstance(init, str) and init.lower().startswith(("corda", "lora_ga", "loftq", "pissa_niter_")):
        raise ValueError(
            f"the adapter {reference} was trained on a changed base model (init_lora_weights is {shortened(init)} in "
            f"{CONFIG_FILE}), which is in neither the base model nor the adapter: call merge_and_unload where it was "
            "trained, save that, and give it as the instruct model"
        )


def _unknown(fields: Mapping[str, Any]) -> Iterator[str]:
    known = {
        *AdapterConfig.model_fields, *WITHOUT_EFFECT, *UNMERGEABLE_FIELDS, *REFUSED_FIELDS, "peft_type",
        "layer_replication", "use_qalora",
    }  # fmt: skip
    yield from sorted(name for name, value in fields.items() if value and name not in known)


def _refusal(error: ValidationError, fields: Mapping[str, Any], reference: ModelReference) -> ValueError:
    name = str(error.errors()[0]["loc"][0])
    found = f"is {shortened(fields[name])}" if name in fields else "is missing"
    expected = AdapterConfig.model_fields[name].description
    return ValueError(f"{name} in {CONFIG_FILE} of {reference} {found}: expected {expected}")


def _others(directory: Path) -> str:
    """Name an adapter below the directory, because peft saves all adapters but the first into subdirectories."""
    found = sorted(path.parent.name for path in directory.glob(f"*/{CONFIG_FILE}"))
    return f", such as its directory {directory / found[0]}" if found else ""

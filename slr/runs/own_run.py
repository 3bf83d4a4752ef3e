"""A run on pairs of the user's own: which pairs, under which name, and how much of them is measured.

``slr run --pair`` makes it of two models, and ``slr run --pairs FILE`` reads it from a YAML file; docs/pairs.yaml is an
example. The run keeps it as ``run.yaml`` next to its records. Therefore its figures know what was wanted, and
``--pairs results/NAME/run.yaml`` goes on with the same run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from slr.files.names import check_file_name
from slr.files.whole import write_whole
from slr.models.presets import PRESETS, Preset, preset_of, resolve_pair
from slr.models.reference import PairSpec
from slr.terminal.bad_input import did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

STORED_NAME = "run.yaml"
"""Name of the file in a run's output directory."""
TAKEN_NAMES = (*PRESETS, "search_cost", "from_wandb", "shipped")
"""Names of directories in ``results`` that have another meaning."""
NUM_SHOWN = 60
"""Number of characters of a wrong value that a message quotes."""

_SHOULD_BE = re.compile(r"^\w+ should (?:be|have) ")
"""Beginning of pydantic's messages."""

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
PresetName = Literal["testbed", "laptop", "first", "small", "paper"]
ConfigT = TypeVar("ConfigT", bound="DataclassInstance")


class _Part(BaseModel):
    # Strict, so that text in place of a number, or a number in place of a name, is not guessed to be meant.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Sizes(_Part):
    def applied(self, config: ConfigT) -> ConfigT:
        """Replace the settings of a configuration that are given here; they have the same names there."""
        return replace(config, **self.model_dump(exclude_none=True))


class SamplingSizes(_Sizes):
    """Sizes of an experiment that samples answers; None leaves the preset's.

    Attributes:
        num_prompts: number of prompts: of each genre, of questions, or of problems.
        num_samples: number of samples of each prompt, method and seed.
        max_new_tokens: largest number of tokens in an answer.
        num_seeds: number of repetitions of sampling.
        batch_size: largest number of samples drawn together.
    """

    num_prompts: Count | None = None
    num_samples: Count | None = None
    max_new_tokens: Count | None = None
    num_seeds: Count | None = None
    batch_size: Count | None = None


class BenchmarkSizes(_Sizes):
    """Sizes of the benchmarks; None leaves the preset's.

    Attributes:
        limit: number of each task's documents, the first ones.
        max_new_tokens: largest number of tokens in an answer.
        batch_size: number of documents in a batch.
    """

    limit: Count | None = None
    max_new_tokens: Count | None = None
    batch_size: Count | None = None


class IntervalSizes(_Sizes):
    """Number of the intervals whose results CRC has to predict; None leaves the preset's."""

    num_intervals: Annotated[int, Field(ge=4)] | None = None


class LayerSetSizes(_Sizes):
    """Number of the sets of layers that are drawn at random; None leaves the preset's."""

    num_random_sets: Count | None = None


class JudgeSizes(_Sizes):
    """Number of texts judged of each prompt and method; None leaves the preset's."""

    num_samples: Count | None = None


class Sizes(_Part):
    """Sizes that differ from the preset's, by experiment; the other experiments have one size only."""

    creative_writing: SamplingSizes = SamplingSizes()
    open_qa: SamplingSizes = SamplingSizes()
    reasoning: SamplingSizes = SamplingSizes()
    restoration_controls: SamplingSizes = SamplingSizes()
    decoding_methods: SamplingSizes = SamplingSizes()
    prompting_methods: SamplingSizes = SamplingSizes()
    quality: BenchmarkSizes = BenchmarkSizes()
    prediction: IntervalSizes = IntervalSizes()
    localisation: LayerSetSizes = LayerSetSizes()
    judge: JudgeSizes = JudgeSizes()

    def applied(self, experiment: str, config: ConfigT) -> ConfigT:
        """Replace the settings of an experiment's configuration that are given here."""
        sizes: _Sizes = getattr(self, experiment) if experiment in Sizes.model_fields else _Sizes()
        return sizes.applied(config)


PRESET_SIZES = Sizes()
"""No size differs from the preset's."""


class OwnPair(_Part):
    """A pair of the user's own.

    Attributes:
        base: the base model: a directory, or a hub id such as ``Qwen/Qwen2.5-7B``.
        instruct: the instruct model.
        adapter: a LoRA adapter of the base model, in place of ``instruct``.
        name: name of the pair; by default it is made from the instruct model's.
        family: name of the pair's family; by default the models' configuration says it.
        base_revision: commit, tag or branch of a base model on the hub.
        instruct_revision: commit, tag or branch of an instruct model or adapter on the hub.
    """

    base: Text
    instruct: Text | None = None
    adapter: Text | None = None
    name: Text | None = None
    # W&B takes no longer tag.
    family: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    base_revision: Text | None = None
    instruct_revision: Text | None = None

    def spec(self) -> PairSpec:
        """Describe the pair, without opening a model.

        Raises:
            ValueError: if it has no instruct model or two of them; if a location is none; or if the name is a preset's
                pair's, or cannot be a file's.
        """
        if self.instruct is None and self.adapter is None:
            raise ValueError("instruct is missing: expected instruct or adapter, next to base")
        spec = resolve_pair(
            self.base,
            self.instruct,
            adapter=self.adapter,
            base_revision=self.base_revision,
            instruct_revision=self.instruct_revision,
        )
        for side in (spec.base, spec.instruct):
            _ = side.directory  # raises where there is neither a directory nor a hub id
        name = check_file_name(self.name or spec.name, "the name")
        if preset := preset_of(name):
            raise ValueError(f"a pair of the preset {preset} has the name {name!r}: expected another one")
        return replace(spec, name=name, family=self.family)


class OwnRun(_Part):
    """A run on pairs of the user's own.

    Attributes:
        name: name of the run and of its directory in ``results``.
        preset: preset whose prompts and sizes it has.
        pairs: the pairs.
        experiments: sizes that differ from the preset's.
    """

    name: Text
    preset: PresetName = "small"
    pairs: Annotated[tuple[OwnPair, ...], Field(min_length=1, strict=False)]
    experiments: Sizes = PRESET_SIZES

    def as_preset(self) -> Preset:
        """The pairs as a preset of the run's name.

        Raises:
            ValueError: if the name is taken, a pair is wrong, or two have one name; the message says which.
        """
        check_file_name(self.name, "name")
        if self.name.casefold() in TAKEN_NAMES:
            raise ValueError(f"name is {self.name!r}, which has another meaning: expected another name")
        specs: list[PairSpec] = []
        for place, pair in enumerate(self.pairs):
            try:
                specs.append(pair.spec())
            except ValueError as error:
                raise ValueError(f"pairs[{place}]: {error}") from None
        # Names become names of files, and Windows and macOS do not tell upper and lower case apart there.
        names = [spec.name.casefold() for spec in specs]
        for name, count in Counter(names).items():
            if count > 1:
                places = " and ".join(f"pairs[{i}]" for i, other in enumerate(names) if other == name)
                raise ValueError(f"{places} have the same name {name!r}: expected a name of its own for each")
        return Preset(self.name, tuple(specs), "pairs of the user's own")

    def store(self, directory: Path, specs: Sequence[PairSpec]) -> None:
        """Write the run into its output directory.

        Args:
            directory: the output directory.
            specs: the pairs with all that is known of them, such as the commits of models on the hub.

        Raises:
            OSError: if it cannot be written.
        """
        stored = self.model_copy(update={"pairs": tuple(map(_own_pair, specs))})
        content = stored.model_dump(mode="json", exclude_defaults=True) | {"preset": self.preset}
        write_whole(directory / STORED_NAME, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def run_of_pair(base: str, instruct: str) -> OwnRun:
    """Make a run on one pair, which has the pair's name.

    Args:
        base: the base model: a directory or a hub id.
        instruct: the instruct model.

    Raises:
        ValueError: if a model is neither a directory nor a hub id.
    """
    pair = OwnPair(base=base, instruct=instruct)
    return OwnRun(name=pair.spec().name, pairs=(pair,))


def read_own_run(path: Path) -> OwnRun:
    """Read a run from a YAML file. Whether its pairs exist, only ``as_preset`` finds out.

    Raises:
        ValueError: if there is no such file, or something in it is wrong; the message names file, place and what was
            expected.
    """
    try:
        content = yaml.load(path.read_bytes(), _OneOfEachKey)
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read ({error.strerror}): expected a YAML file with pairs, such as docs/pairs.yaml"
        ) from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: {_yaml_problem(error)}") from None
    if isinstance(content, dict):
        # First, so that a name in the file replaces it.
        content = {"name": path.stem} | content
    try:
        return OwnRun.model_validate(content)
    except ValidationError as error:
        raise ValueError(f"{path}: {_in_words(error.errors(include_url=False)[0])}") from None


def stored_run(directory: Path) -> OwnRun | None:
    """Read the run that an output directory keeps; None if it keeps none.

    Raises:
        ValueError: if something in its file is wrong.
    """
    path = directory / STORED_NAME
    return read_own_run(path) if path.is_file() else None


def _own_pair(spec: PairSpec) -> OwnPair:
    # Locations stay as they were given, because a path is only of use on this machine and in this directory.
    return OwnPair(
        base=spec.base.location,
        instruct=None if spec.instruct_is_adapter else spec.instruct.location,
        adapter=spec.instruct.location if spec.instruct_is_adapter else None,
        name=spec.name,
        family=spec.family,
        base_revision=spec.base.revision,
        instruct_revision=spec.instruct.revision,
    )


class _OneOfEachKey(yaml.SafeLoader):
    """Reads plain data, and refuses a key that is given twice, of which PyYAML would drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make a dictionary.

        Raises:
            ConstructorError: if a key is there twice.
        """
        seen: list[object] = []
        # A key may be a list, which no set can hold.
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
            seen.append(key.value)
        return super().construct_mapping(node, deep)


def _yaml_problem(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"it is not YAML ({error}), expected pairs as in docs/pairs.yaml"
    line = error.problem_mark.line + 1
    return f"line {line}: {error.problem}; expected YAML with each key once, as in docs/pairs.yaml"


def _in_words(error: ErrorDetails) -> str:
    """Say where pydantic found a problem, what is there, and what was expected."""
    *parents, last = error["loc"] or ("the file",)
    place = _place(error["loc"])
    given = "empty" if error["input"] is None else repr(error["input"])
    given = given if len(given) <= NUM_SHOWN else f"{given[:NUM_SHOWN]}..."
    if error["type"] == "extra_forbidden":
        known = list(_model_at(parents).model_fields)
        parent = _place(parents)
        return (
            f"{parent} has the unknown key {str(last)!r}, expected one of {', '.join(known)}"
            f"{did_you_mean(str(last), known)}"
        )
    if error["type"] == "missing":
        return f"{_place(parents)} lacks the key {str(last)!r}, expected it as in docs/pairs.yaml"
    if error["type"] == "invalid_key":
        return f"{_place(parents)} has the key {last!r}, expected text"
    if error["type"] == "model_type":
        return f"{place} is {given}, expected the keys {', '.join(_model_at(error['loc']).model_fields)}"
    expected = _SHOULD_BE.sub("expected ", error["msg"]).replace(
        "expected greater", "expected a number greater"
    )
    # YAML reads some words and all numbers as something else than text.
    quoted = ": write it in quotes" if error["type"] == "string_type" else ""
    return f"{place} is {given}, {expected.replace('tuple', 'list').replace(' after validation', '')}{quoted}"


def _place(keys: Sequence[int | str]) -> str:
    place = ""
    for key in keys:
        place += f"[{key}]" if isinstance(key, int) else f".{key}" if place else key
    return place or "the file"


def _model_at(keys: Sequence[int | str]) -> type[BaseModel]:
    """The model that describes a place of the file."""
    model: type[BaseModel] = OwnRun
    for key in keys:
        if isinstance(key, str):
            annotation = model.model_fields[key].annotation
            model = next(
                kind
                for kind in (annotation, *get_args(annotation))
                if isinstance(kind, type) and issubclass(kind, BaseModel)
            )
    return model

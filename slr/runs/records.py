"""Typed result rows: what an experiment measured, one JSON object a line.

A record is frozen. It is validated when it is made and when it is read back. Its ``key`` is unique within its
experiment. The key says what was measured, and never when or on which machine, so that a resumed run knows what is
there already. The class's ``key_of`` makes it. ``results_store`` describes how the rows lie on disk, and
``record_migration`` how rows of an earlier schema version are read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    model_serializer,
    model_validator,
)
from typing_extensions import override

from slr.chat.end_tokens import EndTokens
from slr.runs.modes import Engine
from slr.runs.record_checks import (
    AtLeastOne,
    Cosine,
    Count,
    Diversity,
    FiniteObject,
    JudgedScore,
    LayerEnds,
    Name,
    NonNegative,
    Share,
    Validity,
    check_equal_lengths,
    check_interval_within,
    check_layers_within,
    check_unique,
)
from slr.sampling.config import SamplingConfig
from slr.vocabulary import (
    Aspect,
    ComparedModel,
    Component,
    ModelKind,
    PromptingMethod,
    PromptSet,
    Source,
)

SCHEMA_VERSION = 2
"""Version of the records' form. A change of it needs a step in ``record_migration``."""


def natural_key(text: str) -> tuple[tuple[int, str], ...]:
    """Sort key for names with numbers in them: "q-9" comes before "q-10"."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text))


class CellTime(BaseModel):
    """Wall time that a batch of a cell's records took, next to the estimated work of the whole cell.

    Attributes:
        seconds: wall time in seconds since the cell's batch before, or since the process began the cell.
        processes: number of processes that shared the run.
        layer_evaluations: estimated work of the whole cell; see ``Cost``.
        tokens: the same.
        flops: the same.
        sampled_share: the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seconds: NonNegative
    processes: AtLeastOne
    layer_evaluations: Count
    tokens: Count
    flops: NonNegative | None
    sampled_share: Share


class Provenance(BaseModel):
    """The origin of a record: enough to find the code, the settings and the kind of machine again.

    Attributes:
        schema_version: version of the record's form.
        cell: key of the piece of work that made the record.
        config_hash: hash of the experiment's configuration and the dtype.
        commit: commit of the code; "unknown" if the code is in no git checkout.
        dirty: whether the code had changes that were not committed; None if the commit is unknown.
        created_at: date and time (UTC) at which the cell began; for a failure, at which it failed.
        device: name of the processor or GPU.
        versions: versions of the libraries.
        took: the time that a batch of the cell took, in the batch's first record only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[2] = SCHEMA_VERSION
    cell: str
    config_hash: str
    commit: str
    dirty: bool | None
    created_at: str
    device: str
    versions: dict[str, str]
    took: CellTime | None = None

    @model_serializer(mode="wrap")
    def _without_missing_time(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = serialize(self)
        if fields.get("took") is None:
            fields.pop("took", None)
        return fields


class Record(BaseModel):
    """The fields of every row. NaN and infinity are not allowed, because JSON has no way to write them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    experiment: Name
    pair: Name
    provenance: Provenance

    @property
    def key(self) -> str:
        """Name of what was measured, unique within the experiment."""
        raise NotImplementedError


class Configuration(Record):
    """All that a pair's records depend on, except the code.

    All pairs in one file have the same settings, versions, dtype and engine. Older records have paths as names,
    ``base_weights`` and ``instruct_weights``, and neither files nor versions.

    Attributes:
        settings: the experiment's configuration as JSON.
        dtype: dtype of the weights; "own" is the checkpoints' own.
        base: hub id and revision of the base model, or the name of its directory without the path.
        base_files: digests of the files in the base model's directory, part by part; see ``checkpoint_digests``. It is
            None for a model on the hub.
        instruct: the same as ``base``, for the instruct model.
        instruct_files: the same as ``base_files``, for the instruct model.
        versions: versions of the measures whose outcome the records hold.
        inputs: what was taken from the pair's results of another experiment.
        engine: library that sampled answers.
    """

    kind: Literal["configuration"] = "configuration"
    settings: FiniteObject
    dtype: str
    base: str
    base_weights: str | None = None
    base_files: dict[str, str] | None = None
    instruct: str
    instruct_weights: str | None = None
    instruct_files: dict[str, str] | None = None
    versions: dict[str, str] = {}
    inputs: FiniteObject = {}
    engine: Engine = "transformers"

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair)

    @staticmethod
    def key_of(pair: str) -> str:
        """Make the key of a pair's configuration."""
        return f"{pair}/configuration"


class PairInfo(Record):
    """The two checkpoints that an experiment compares, as they were opened.

    Attributes:
        family: name of the model family.
        architecture: transformers' name of the model class.
        base: hub id or directory of the base model.
        base_revision: revision on the hub; None for a directory.
        instruct: hub id or directory of the instruct model.
        instruct_revision: revision on the hub; None for a directory.
        num_layers: number of decoder layers.
        hidden_size: number of features of a hidden state.
        vocab_size: number of tokens in the vocabulary.
        num_parameters: number of parameters of one model.
        dtype: dtype that the weights were loaded in.
        notes: remarks on the pair, such as differences between its tokenizers.
        end_tokens: the tokens that end an answer; None in older records.
    """

    kind: Literal["pair_info"] = "pair_info"
    family: str
    architecture: str
    base: str
    base_revision: str | None
    instruct: str
    instruct_revision: str | None
    num_layers: AtLeastOne
    hidden_size: AtLeastOne
    vocab_size: AtLeastOne
    num_parameters: AtLeastOne
    dtype: str
    notes: tuple[str, ...] = ()
    end_tokens: EndTokens | None = None

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair)

    @staticmethod
    def key_of(pair: str) -> str:
        """Make the key of the description of a pair."""
        return f"{pair}/pair_info"


class CrcScore(Record):
    """CRC validity and diversity of one model, prompt by prompt.

    Attributes:
        family: name of the model family.
        num_layers: number of decoder layers.
        model: kind of model.
        interval: restored layers; None unless the model is a hybrid of an interval.
        alpha: share of the base model's weights, from 0 to 1. It applies to all layers of a soup, and to the restored
            layers of a hybrid (None is 1). Base and instruct have none.
        components: restored parts of the layers of a hybrid; None for all.
        layers: restored layers of a hybrid that is made of a set of layers and not of an interval; otherwise None.
        min_p: share of the largest next-token probability below which a token did not count, from 0 to 1; None if every
            token counted.
        prompt_set: whether the prompts serve the search or the evaluation of its choice.
        prompt_ids: ids of the prompts.
        validity: probability of a valid character, one for each prompt; None where the logits are not finite.
        diversity: entropy among the valid characters, from 0 to 1, one for each prompt; None where the logits are not
            finite or the validity is 0.
    """

    kind: Literal["crc_score"] = "crc_score"
    family: str
    num_layers: AtLeastOne
    model: ModelKind
    interval: LayerEnds | None = None
    alpha: Share | None = None
    components: Annotated[tuple[Component, ...], Field(min_length=1)] | None = None
    layers: tuple[Count, ...] | None = None
    min_p: Share | None = None
    prompt_set: PromptSet
    prompt_ids: Annotated[tuple[str, ...], Field(min_length=1)]
    validity: tuple[Validity | None, ...]
    diversity: tuple[Diversity | None, ...]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        check_equal_lengths(prompt_ids=self.prompt_ids, validity=self.validity, diversity=self.diversity)
        check_unique("prompt_ids", self.prompt_ids)
        pairs = zip(self.validity, self.diversity, strict=True)
        if any(validity is None and diversity is not None for validity, diversity in pairs):
            raise ValueError("a prompt without a validity has a diversity")
        check_interval_within(self.interval, self.num_layers)
        check_layers_within(self.layers, self.num_layers)
        if (self.model == "hybrid") != ((self.interval is None) != (self.layers is None)):
            raise ValueError("a hybrid has an interval or a set of layers, and no other model has one")
        if self.components is not None and self.model != "hybrid":
            raise ValueError("only a hybrid has components")
        if (self.model == "soup" and self.alpha is None) or (
            self.model in ("base", "instruct") and self.alpha is not None
        ):
            raise ValueError("a soup has an alpha; base and instruct have none")
        return self

    @property
    @override
    def key(self) -> str:
        return self.key_of(
            self.pair,
            self.prompt_set,
            self.model,
            self.interval,
            self.alpha,
            self.components,
            self.layers,
            self.min_p,
        )

    @staticmethod
    def key_of(
        pair: str,
        prompt_set: PromptSet,
        model: ModelKind,
        interval: tuple[int, int] | None = None,
        alpha: float | None = None,
        components: tuple[Component, ...] | None = None,
        layers: tuple[int, ...] | None = None,
        min_p: float | None = None,
    ) -> str:
        """Make the key of a score.

        Args:
            pair: name of the pair.
            prompt_set: the set of prompts.
            model: kind of model.
            interval: start and end layer, for a hybrid of an interval.
            alpha: share of the base model's weights, where the model has one.
            components: restored parts of the layers, if they are not restored whole.
            layers: numbers of the restored layers, for a hybrid of a set of layers.
            min_p: share of the largest probability below which a token did not count; None if every token counted.

        Returns:
            The key.
        """
        parts = [pair, "crc_score", prompt_set, model]
        if interval is not None:
            parts.append(f"{interval[0]}:{interval[1]}")
        if layers is not None:
            parts.append(f"layers={','.join(map(str, layers))}")
        if alpha is not None:
            parts.append(f"alpha={alpha:g}")
        if components is not None:
            parts.append(f"components={'+'.join(components)}")
        if min_p is not None:
            parts.append(f"min_p={min_p:g}")
        return "/".join(parts)


class CrcFewShotScore(Record):
    """CRC validity and diversity of the base model as it is: in a document with worked examples, prompt by prompt.

    Attributes:
        family: name of the model family.
        prompt_set: whether the prompts serve the search or the evaluation of its choice.
        document: digest of the worked examples.
        prompt_ids: ids of the prompts.
        validity: the same as in ``CrcScore``.
        diversity: the same as in ``CrcScore``.
    """

    kind: Literal["crc_few_shot_score"] = "crc_few_shot_score"
    family: str
    prompt_set: PromptSet
    document: str
    prompt_ids: Annotated[tuple[str, ...], Field(min_length=1)]
    validity: tuple[Validity | None, ...]
    diversity: tuple[Diversity | None, ...]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        check_equal_lengths(prompt_ids=self.prompt_ids, validity=self.validity, diversity=self.diversity)
        check_unique("prompt_ids", self.prompt_ids)
        return self

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair, self.prompt_set, self.document)

    @staticmethod
    def key_of(pair: str, prompt_set: PromptSet, document: str) -> str:
        """Make the key of the scores.

        Args:
            pair: name of the pair.
            prompt_set: the set of prompts.
            document: digest of the worked examples, so that other examples are scored anew.

        Returns:
            The key.
        """
        return f"{pair}/crc_few_shot_score/{prompt_set}/{document}"


class CrcSelection(Record):
    """The choice of a search by one rule: an interval and a soup, or in words why there is none.

    The rule and the stacks that were searched are in the key, so that one directory may have a record for each.

    Attributes:
        family: name of the model family.
        num_layers: number of decoder layers.
        min_validity_ratio: smallest allowed validity, as a share of the instruct model's.
        margin: whether the validity must keep a margin of error above that share; see ``SelectionRule``.
        instruct_validity: the instruct model's mean validity on the search's prompts.
        alphas: shares of the base model at which intervals were searched.
        components: restored parts of the layers in all of them; None for all.
        interval: the chosen interval.
        alpha: the chosen share of the base model within the interval; None is 1.
        interval_reason: why it was chosen, or why there is none.
        soup_alpha: the chosen soup's share of the base model's weights, from 0 to 1.
        soup_reason: why it was chosen, or why there is none.
    """

    kind: Literal["crc_selection"] = "crc_selection"
    family: str
    num_layers: AtLeastOne
    min_validity_ratio: Share
    margin: bool = False
    instruct_validity: Validity
    alphas: Annotated[tuple[Share, ...], Field(min_length=1)] = (1.0,)
    components: Annotated[tuple[Component, ...], Field(min_length=1)] | None = None
    interval: LayerEnds | None
    alpha: Share | None = None
    interval_reason: str
    soup_alpha: Share | None
    soup_reason: str

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        check_interval_within(self.interval, self.num_layers)
        return self

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair, self.min_validity_ratio, self.margin, self.alphas, self.components)

    @staticmethod
    def key_of(
        pair: str,
        min_validity_ratio: float,
        margin: bool,
        alphas: tuple[float, ...] = (1.0,),
        components: tuple[Component, ...] | None = None,
    ) -> str:
        """Make the key of a choice. The paper's rule (0.9, no margin) and layers restored whole add nothing to it.

        Args:
            pair: name of the pair.
            min_validity_ratio: smallest allowed validity, as a share of the instruct model's.
            margin: whether the rule has a margin.
            alphas: shares of the base model at which intervals were searched.
            components: restored parts of the layers; None for all.

        Returns:
            The key.
        """
        parts = [pair, "crc_selection"]
        if min_validity_ratio != 0.9:
            parts.append(f"min_validity_ratio={min_validity_ratio}")
        if margin:
            parts.append("margin")
        if alphas != (1.0,):
            parts.append(f"alphas={','.join(f'{alpha:g}' for alpha in alphas)}")
        if components is not None:
            parts.append(f"components={'+'.join(components)}")
        return "/".join(parts)


SearchMethod = Literal["shared", "loop", "one_pass", "one_by_one"]
"""Way in which intervals are scored.

``shared`` is the search, ``loop`` a plain loop over hybrids. The other two score every interval at several alphas: in
one pass, or by a search for each alpha.
"""


class SearchCost(Record):
    """The cost of scoring intervals.

    Attributes:
        method: way in which intervals are scored.
        num_layers: number of decoder layers.
        hidden_size: number of features of a hidden state.
        num_intervals: number of intervals scored, each alpha counted. For the loop it may be a sample, because each of
            its steps costs the same.
        num_prompts: number of prompts.
        prompt_tokens: number of tokens of all prompts together.
        dtype: dtype of the weights.
        threads: number of CPU threads.
        seconds: wall time in seconds.
        layer_evaluations: number of times that one decoder layer processed one model's hidden states.
        tokens_computed: number of tokens, summed over the layer evaluations.
        peak_memory_bytes: largest memory in bytes; None where it was not measured.
    """

    kind: Literal["search_cost"] = "search_cost"
    method: SearchMethod
    num_layers: AtLeastOne
    hidden_size: AtLeastOne
    num_intervals: AtLeastOne
    num_prompts: AtLeastOne
    prompt_tokens: Count
    dtype: str
    threads: AtLeastOne
    seconds: NonNegative
    layer_evaluations: Count
    tokens_computed: Count
    peak_memory_bytes: Count | None

    @property
    def seconds_per_interval(self) -> float:
        """Seconds for each interval, by which the two methods are compared."""
        return self.seconds / self.num_intervals

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair, self.method)

    @staticmethod
    def key_of(pair: str, method: SearchMethod) -> str:
        """Make the key of the cost of scoring a pair's intervals by that method."""
        return f"{pair}/search_cost/{method}"


class BuildCost(Record):
    """The cost of writing a hybrid by one method: medians over repetitions.

    Attributes:
        method: name of the method.
        seconds: wall time of the whole program in seconds.
        seconds_synced: wall time in seconds until all that was written is on the disk.
        writing_seconds: wall time in seconds without the part that takes the same time for models of any size.
        cpu_seconds: processor time in seconds.
        peak_memory_bytes: largest memory in bytes.
        imports_seconds: wall time in seconds of a program that only imports the method's libraries.
        imports_cpu_seconds: its processor time in seconds.
        imports_memory_bytes: its largest memory in bytes.
    """

    kind: Literal["build_cost"] = "build_cost"
    method: Name
    seconds: NonNegative
    seconds_synced: NonNegative
    writing_seconds: float
    cpu_seconds: NonNegative
    peak_memory_bytes: Count
    imports_seconds: NonNegative
    imports_cpu_seconds: NonNegative
    imports_memory_bytes: Count

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair, self.method)

    @staticmethod
    def key_of(pair: str, method: str) -> str:
        """Make the key of the cost of writing a pair's hybrid by that method."""
        return f"{pair}/build_cost/{method}"


class Samples(Record):
    """All samples of one method for one prompt and one seed, unchanged, so that every metric can be made from them.

    Attributes:
        family: name of the model family.
        task: name of the task.
        source: origin of the prompts.
        group: genre, kind of question, or whether the instruct model solves the problem greedily.
        prompt_id: id of the prompt.
        text: the request before the prompting method changed it.
        request: the request as the model got it.
        method: id of the method.
        references: ids of the methods with which this one is compared.
        model: kind of model that was sampled.
        interval: restored layers; None unless the model is a hybrid.
        alpha: share of the base model's weights, from 0 to 1; None where the model has none.
        prompting: how the request was changed.
        sampling: settings of sampling.
        seed: number of the repetition, from 0.
        expected: the right answer, if there is exactly one.
        last_number_counts: whether a text without a marked answer gives its last number as the answer.
        texts: the samples.
        num_tokens: number of tokens, one for each sample.
        finished: whether the sample ended by itself, one for each sample.
        rows: number of samples that a GPU drew at once; None on a CPU and by vLLM.
    """

    kind: Literal["samples"] = "samples"
    family: str
    task: Name
    source: Source
    group: str
    prompt_id: str
    text: str
    request: str
    method: str
    references: tuple[str, ...] = ()
    model: ComparedModel
    interval: LayerEnds | None
    alpha: Share | None
    prompting: PromptingMethod
    sampling: SamplingConfig
    seed: int
    expected: str | None
    last_number_counts: bool = False
    texts: Annotated[tuple[str, ...], Field(min_length=1)]
    num_tokens: tuple[Count, ...]
    finished: tuple[bool, ...]
    rows: AtLeastOne | None = None

    @model_serializer(mode="wrap")
    def _without_missing_rows(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = serialize(self)
        # Lines of records that a CPU made stay as they always were.
        if fields.get("rows") is None:
            fields.pop("rows", None)
        return fields

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        check_equal_lengths(texts=self.texts, num_tokens=self.num_tokens, finished=self.finished)
        return self

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair, self.method, self.prompt_id, self.seed)

    @staticmethod
    def key_of(pair: str, method: str, prompt_id: str, seed: int) -> str:
        """Make the key of samples.

        Args:
            pair: name of the pair.
            method: id of the method.
            prompt_id: id of the prompt.
            seed: number of the repetition.

        Returns:
            The key.
        """
        return f"{pair}/samples/{method}/{prompt_id}/seed={seed}"

    @property
    def seed_key(self) -> str:
        """The key from which the seeds of random draws about these samples are made."""
        return self.seed_key_of(self.pair, self.method, self.model, self.prompt_id, self.seed)

    @staticmethod
    def seed_key_of(pair: str, method: str, model: ComparedModel, prompt_id: str, seed: int) -> str:
        """Make the key from which the seeds of random draws about samples are made.

        Args:
            pair: name of the pair.
            method: id of the method.
            model: kind of model that is sampled.
            prompt_id: id of the prompt.
            seed: number of the repetition.

        Returns:
            The key.
        """
        # The hybrid was called "slr" when the first samples were drawn. Only the same key gives the same samples.
        spelling = method.replace("hybrid", "slr", 1) if model == "hybrid" else method
        return Samples.key_of(pair, spelling, prompt_id, seed)


class SampleMeasures(Record):
    """Measures of samples by other models. Lists have one entry for each sample; None where a sample has no text.

    Fluency given the request and fluency of the sample alone must never be compared or shown as one metric.
    ``fluency_given_request`` has only the former.

    Attributes:
        samples: key of the samples' record.
        encoder: model that embeds the texts.
        embedding_diversity: diversity of all samples together; None where it was not measured.
        vendi: effective number of different samples; None in older records, and where no sample has a text.
        class_threshold: cosine similarity that all samples of one class keep; None in older records.
        classes: number of each sample's functional class, from 0; None in older records.
        adherence: cosine similarity of each sample and its request under the encoder, from -1 to 1.
        longer_than_window: whether each sample has more tokens than the encoder sees at once. Such a sample is embedded
            in several windows. None in older records, where such a sample was cut.
        fluency_model: model that gives the fluency; None where it was not measured.
        fluency: mean log-probability of each sample's tokens under ``fluency_model``, in nats.
        fluency_given: the text that precedes the sample for ``fluency_model``. None in older records, which measured
            the sample alone.
    """

    kind: Literal["sample_measures"] = "sample_measures"
    samples: str
    encoder: str
    embedding_diversity: float | None
    adherence: tuple[Cosine | None, ...]
    longer_than_window: tuple[bool, ...] | None = None
    vendi: NonNegative | None = None
    class_threshold: Cosine | None = None
    classes: tuple[Count | None, ...] | None = None
    fluency_model: str | None = None
    fluency: tuple[float | None, ...] | None = None
    fluency_given: Literal["request"] | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        check_equal_lengths(
            adherence=self.adherence,
            longer_than_window=self.longer_than_window,
            classes=self.classes,
            fluency=self.fluency,
        )
        return self

    @property
    def fluency_given_request(self) -> tuple[float | None, ...] | None:
        """Fluency in nats as it is measured now; None for an older record."""
        return self.fluency if self.fluency_given == "request" else None

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.samples)

    @staticmethod
    def key_of(samples: str) -> str:
        """Make the key of the measures of the samples with that key."""
        return f"{samples}/measures"


class AddedMetric(Record):
    """The value of another package's metric on one prompt's samples.

    Attributes:
        samples: key of the samples' record.
        metric: name of the metric.
        label: its name for people.
        aspect: property of the samples that it is about.
        package: name and version of the package.
        value: the value; None where it is not defined.
    """

    kind: Literal["added_metric"] = "added_metric"
    samples: str
    metric: Name
    label: Name
    aspect: Aspect
    package: Name
    value: float | None

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.samples, self.metric, self.package)

    @staticmethod
    def key_of(samples: str, metric: str, package: str) -> str:
        """Make the key of a metric of the samples with that key.

        Args:
            samples: key of the samples' record.
            metric: name of the metric.
            package: name and version of its package.
        """
        return f"{samples}/metric/{metric} of {package}"


class ProblemSet(Record):
    """The problems that are sampled, and which of them the instruct model's greedy answer gets wrong.

    In older records ``tried`` has further problems, because only the wrong ones were sampled.

    Attributes:
        tried: ids of the problems tried, in order.
        wrong: ids of the problems among them with a wrong answer.
    """

    kind: Literal["problem_set"] = "problem_set"
    tried: tuple[str, ...]
    wrong: tuple[str, ...]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        check_unique("tried", self.tried)
        check_unique("wrong", self.wrong)
        if others := set(self.wrong) - set(self.tried):
            raise ValueError(f"wrong has {min(others)!r}, which is not among those tried")
        return self

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair)

    @staticmethod
    def key_of(pair: str) -> str:
        """Make the key of a pair's problems."""
        return f"{pair}/problem_set"


class JudgeScores(Record):
    """The scores that one judge gave to some of the samples of one record.

    Attributes:
        family: name of the model family.
        group: genre of the prompt.
        prompt_id: id of the prompt.
        method: id of the method that was sampled.
        samples: key of the samples' record.
        judge: name of the judging model at ``host``.
        host: host that serves the judge.
        rubric_version: version of the rubric.
        indices: places of the judged texts in the samples' record.
        scores: whole numbers from 1 to 10 for every aspect of the rubric, one for each judged text; None where the
            judge's answer could not be read.
    """

    kind: Literal["judge_scores"] = "judge_scores"
    family: str
    group: str
    prompt_id: str
    method: str
    samples: str
    judge: str
    host: str
    rubric_version: str
    indices: tuple[Count, ...]
    scores: dict[str, tuple[JudgedScore | None, ...]]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        check_equal_lengths(indices=self.indices, **self.scores)
        check_unique("indices", self.indices)
        return self

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.samples)

    @staticmethod
    def key_of(samples: str) -> str:
        """Make the key of the scores of the samples with that key."""
        return f"{samples}/scores"


class CanonicalAnswers(Record):
    """The right answers that a language model recognised in samples where the rules recognised none.

    Attributes:
        method: id of the method that was sampled.
        samples: key of the samples' record.
        model: name of the language model at ``host``.
        host: host that serves the language model.
        prompt_version: version of the instruction to the language model.
        meant: canonical name of the right answer that is meant, one for each sample; None where there is none.
        num_asked: number of samples that the model was asked about.
        num_unusable: number of those whose reply was not among the allowed ones.
    """

    kind: Literal["canonical_answers"] = "canonical_answers"
    method: str
    samples: str
    model: str
    host: str
    prompt_version: str
    meant: tuple[str | None, ...]
    num_asked: Count
    num_unusable: Count

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if not self.num_unusable <= self.num_asked <= len(self.meant):
            raise ValueError(
                f"num_unusable is {self.num_unusable} and num_asked {self.num_asked}, of {len(self.meant)} samples"
            )
        return self

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.samples)

    @staticmethod
    def key_of(samples: str) -> str:
        """Make the key of the recognised answers of the samples with that key."""
        return f"{samples}/canonical"


class HarnessAnswers(Record):
    """One model's answers to a chunk of the requests of some of lm-evaluation-harness's tasks.

    Attributes:
        family: name of the model family.
        model: kind of model.
        tasks: lm-eval's names of the tasks.
        chunk: number of the chunk, from 0.
        num_chunks: number of chunks. A chunk has the requests of every ``num_chunks``-th document of each task.
        requests: the first 12 hexadecimal digits of the SHA-256 of the requests.
        answers: the answers, in the order of the requests, by the method of lm-eval's models that gives them. To
            ``loglikelihood`` an answer is the log-probability of a continuation in nats, and whether it is the greedy
            one; to ``loglikelihood_rolling`` the log-probability of a text in nats; to ``generate_until`` a text.
    """

    kind: Literal["harness_answers"] = "harness_answers"
    family: str
    model: ComparedModel
    tasks: tuple[str, ...]
    chunk: Count
    num_chunks: AtLeastOne
    requests: str
    answers: dict[str, tuple[tuple[float, bool] | float | str, ...]]

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair, self.model, self.tasks, self.chunk, self.num_chunks)

    @staticmethod
    def key_of(pair: str, model: ComparedModel, tasks: Sequence[str], chunk: int, num_chunks: int) -> str:
        """Make the key of a chunk's answers.

        Args:
            pair: name of the pair.
            model: kind of model.
            tasks: lm-eval's names of the tasks.
            chunk: number of the chunk, from 0.
            num_chunks: number of chunks.

        Returns:
            The key.
        """
        return f"{pair}/harness_answers/{model}/{'+'.join(tasks)}/{chunk}-of-{num_chunks}"


class HarnessScore(Record):
    """One metric of one task of lm-evaluation-harness for one model.

    Attributes:
        family: name of the model family.
        model: kind of model.
        references: the models with which this one is compared.
        interval: restored layers; None unless the model is a hybrid.
        alpha: share of the base model's weights, from 0 to 1; None where the model has none.
        task: lm-eval's name of the task.
        task_version: lm-eval's version of the task.
        num_fewshot: number of worked examples in each prompt.
        chat_template: whether prompts were rendered by the chat template.
        metric: lm-eval's name of the metric, with the filter that read the answers.
        value: lm-eval's value of the metric.
        standard_error: lm-eval's standard error of ``value``; None where it gives none.
        document_scores: the metric for each document, in the task's order, which is the same for all models.
        harness_version: version of lm-eval.
    """

    kind: Literal["harness_score"] = "harness_score"
    family: str
    model: ComparedModel
    references: tuple[str, ...] = ()
    interval: LayerEnds | None
    alpha: Share | None
    task: str
    task_version: str
    num_fewshot: Count
    chat_template: bool
    metric: str
    value: float
    standard_error: NonNegative | None
    document_scores: tuple[float, ...]
    harness_version: str

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair, self.model, self.task, self.metric)

    @staticmethod
    def key_of(pair: str, model: ComparedModel, task: str, metric: str) -> str:
        """Make the key of a score.

        Args:
            pair: name of the pair.
            model: kind of model.
            task: lm-eval's name of the task.
            metric: lm-eval's name of the metric, with the filter.

        Returns:
            The key.
        """
        return f"{pair}/harness_score/{model}/{task}/{metric}"


class SpreadIntervals(Record):
    """Intervals that are spread over the CRC plane, to be measured on tasks; see ``slr.prediction.spread``.

    Attributes:
        chosen: the search's choice, which is the first interval; None if there is none.
        intervals: the intervals.
        validity: mean CRC validity of each interval on the selection prompts.
        diversity: mean CRC diversity of each interval on the selection prompts.
    """

    kind: Literal["spread_intervals"] = "spread_intervals"
    chosen: LayerEnds | None
    intervals: tuple[LayerEnds, ...]
    validity: tuple[Validity, ...]
    diversity: tuple[Diversity, ...]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        check_equal_lengths(intervals=self.intervals, validity=self.validity, diversity=self.diversity)
        check_unique("intervals", self.intervals)
        return self

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair)

    @staticmethod
    def key_of(pair: str) -> str:
        """Make the key of a pair's spread intervals."""
        return f"{pair}/spread_intervals"


class IntervalHarnessScore(Record):
    """One metric of one task of lm-evaluation-harness for the instruct model, or for a hybrid of any interval.

    Attributes:
        interval: restored layers; None for the instruct model.
        task: lm-eval's name of the task.
        task_version: lm-eval's version of the task.
        num_fewshot: number of worked examples in each prompt.
        metric: lm-eval's name of the metric, with the filter that read the answers.
        value: lm-eval's value of the metric.
        document_scores: the metric for each document, in the task's order, which is the same for all models.
        harness_version: version of lm-eval.
    """

    kind: Literal["interval_harness_score"] = "interval_harness_score"
    interval: LayerEnds | None
    task: str
    task_version: str
    num_fewshot: Count
    metric: str
    value: float
    document_scores: Annotated[tuple[float, ...], Field(min_length=1)]
    harness_version: str

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair, self.interval, self.task, self.metric)

    @staticmethod
    def key_of(pair: str, interval: tuple[int, int] | None, task: str, metric: str) -> str:
        """Make the key of a score.

        Args:
            pair: name of the pair.
            interval: restored layers; None for the instruct model.
            task: lm-eval's name of the task.
            metric: lm-eval's name of the metric, with the filter.

        Returns:
            The key.
        """
        model = "instruct" if interval is None else f"{interval[0]}:{interval[1]}"
        return f"{pair}/interval_harness_score/{model}/{task}/{metric}"


class WeightChange(Record):
    """How far post-training moved the weights of each decoder layer; see ``slr.mechanism.weight_change``.

    Attributes:
        family: name of the model family.
        num_layers: number of decoder layers.
        attention: relative change of the attention's weights, one for each layer; None where there is none to measure.
        mlp: the same for the MLP.
        norms: the same for the norms.
    """

    kind: Literal["weight_change"] = "weight_change"
    family: str
    num_layers: AtLeastOne
    attention: tuple[NonNegative | None, ...]
    mlp: tuple[NonNegative | None, ...]
    norms: tuple[NonNegative | None, ...]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        layers = range(self.num_layers)
        check_equal_lengths(layers=layers, attention=self.attention, mlp=self.mlp, norms=self.norms)
        return self

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair)

    @staticmethod
    def key_of(pair: str) -> str:
        """Make the key of the change of a pair's weights."""
        return f"{pair}/weight_change"


class LogitLens(Record):
    """Entropy of the next token after each layer of one model; see ``slr.mechanism.logit_lens``.

    Attributes:
        family: name of the model family.
        model: kind of model.
        interval: restored layers; None unless the model is a hybrid.
        alpha: share of the base model's weights, from 0 to 1; None where the model has none.
        prompt_ids: ids of the held-out CRC prompts.
        entropy: entropy in nats, one tuple for each layer with one number for each prompt; None where the logits are
            not finite.
    """

    kind: Literal["logit_lens"] = "logit_lens"
    family: str
    model: ComparedModel
    interval: LayerEnds | None
    alpha: Share | None
    prompt_ids: Annotated[tuple[str, ...], Field(min_length=1)]
    entropy: Annotated[tuple[tuple[NonNegative | None, ...], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        check_unique("prompt_ids", self.prompt_ids)
        for of_layer in self.entropy:
            check_equal_lengths(prompt_ids=self.prompt_ids, entropy=of_layer)
        return self

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair, self.model)

    @staticmethod
    def key_of(pair: str, model: ComparedModel) -> str:
        """Make the key of the entropies of one of a pair's models."""
        return f"{pair}/logit_lens/{model}"


class Failure(Record):
    """A cell that could not be computed: its error in place of a number.

    Attributes:
        error_type: name of the Python exception.
        message: the error's message, without paths of the machine.
    """

    kind: Literal["failure"] = "failure"
    error_type: str
    message: str

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.provenance.cell)

    @staticmethod
    def key_of(cell: str) -> str:
        """Make the key of the failure of the cell with that key."""
        return f"{cell}/failure"


AnyRecord = Annotated[
    Configuration
    | PairInfo
    | CrcScore
    | CrcFewShotScore
    | CrcSelection
    | SearchCost
    | BuildCost
    | Samples
    | SampleMeasures
    | AddedMetric
    | ProblemSet
    | HarnessAnswers
    | HarnessScore
    | SpreadIntervals
    | IntervalHarnessScore
    | WeightChange
    | LogitLens
    | JudgeScores
    | CanonicalAnswers
    | Failure,
    Field(discriminator="kind"),
]
# Built once, because pydantic takes long to compile a validator of all these classes.
RECORD_ADAPTER: TypeAdapter[AnyRecord] = TypeAdapter(AnyRecord)

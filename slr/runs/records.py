"""Typed result rows: what an experiment measured, one JSON object a line.

A record is frozen, and validated when made and when read back. Its ``key`` is unique within its
experiment and says what was measured (never when, or on which machine), so a resumed run knows
what is there already; the class's ``key_of`` makes it. ``results_store`` tells how the rows lie on disk,
``record_migration`` how rows of an earlier schema version are read.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from typing_extensions import override

from slr.chat.end_tokens import EndTokens
from slr.models.reference import Family
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
    check_unique,
)
from slr.sampling.config import SamplingConfig
from slr.vocabulary import (
    ComparedModel,
    ModelKind,
    PromptingMethod,
    PromptSet,
    Source,
    TaskName,
)

SCHEMA_VERSION = 2


def natural_key(text: str) -> tuple[tuple[int, str], ...]:
    """A key that sorts names with numbers in them as people do: "q-9" before "q-10"."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text))


class Provenance(BaseModel):
    """Where a record comes from: enough to find the code, the settings and the kind of machine again.

    ``cell`` is the key of the piece of work that made the record. ``dirty`` is whether the code had changes
    beside the commit; None where the code is in no git checkout, and the commit is "unknown".
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


class Record(BaseModel):
    """What every row has. NaN and infinity are no numbers here: written, they could not be read again."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    experiment: Name
    pair: Name
    provenance: Provenance

    @property
    def key(self) -> str:
        """What was measured; unique within the experiment."""
        raise NotImplementedError


class Configuration(Record):
    """What a pair's records were made with: all that they depend on, beside the code.

    ``settings`` is the experiment's configuration as JSON. ``base`` and ``instruct`` name the checkpoints that were
    asked for: hub ids with their revisions, or the names of directories, without where they are. ``base_files`` and
    ``instruct_files`` are digests of what is in those that are directories, part by part; see ``checkpoint_digests``.
    They are None for models on the hub. ``versions`` are of the measures whose outcome the records hold. ``inputs`` is
    what was taken from the pair's results of other experiments. All pairs in one file have the same settings,
    versions, dtype and engine.

    Older records have paths as names, ``base_weights`` and ``instruct_weights``, and no files or versions.
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
        """The key of a pair's configuration."""
        return f"{pair}/configuration"


class PairInfo(Record):
    """The two checkpoints that an experiment compares, as they were opened, and where their answers end."""

    kind: Literal["pair_info"] = "pair_info"
    family: Family
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
        """The key of what is known of a pair."""
        return f"{pair}/pair_info"


class CrcScore(Record):
    """CRC validity and diversity of one model, prompt by prompt.

    ``interval`` is the restored interval (``hybrid`` only) and ``alpha`` the share of the base model's
    weights (``hybrid``: within the interval; ``soup``: everywhere). ``validity`` and ``diversity``
    have one number a prompt, in the order of ``prompt_ids``; both are None where the logits are not finite, a
    diversity also where validity is 0.
    """

    kind: Literal["crc_score"] = "crc_score"
    family: Family
    num_layers: AtLeastOne
    model: ModelKind
    interval: LayerEnds | None = None
    alpha: Share | None = None
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
        if (self.model == "hybrid") != (self.interval is not None):
            raise ValueError("a hybrid has an interval, and no other model has one")
        if (self.model == "soup" and self.alpha is None) or (
            self.model in ("base", "instruct") and self.alpha is not None
        ):
            raise ValueError("a soup has an alpha; base and instruct have none")
        return self

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair, self.prompt_set, self.model, self.interval, self.alpha)

    @staticmethod
    def key_of(
        pair: str,
        prompt_set: PromptSet,
        model: ModelKind,
        interval: tuple[int, int] | None = None,
        alpha: float | None = None,
    ) -> str:
        """The key of a score with these fields."""
        parts = [pair, "crc_score", prompt_set, model]
        if interval is not None:
            parts.append(f"{interval[0]}:{interval[1]}")
        if alpha is not None:
            parts.append(f"alpha={alpha:g}")
        return "/".join(parts)


class CrcSelection(Record):
    """What a search chose by one rule: the interval and the soup, or in words why there is none.

    ``min_validity_ratio`` and ``margin`` are the rule, as ``SelectionRule`` has it. One search may have a record for
    each of several rules, because they are in the key.
    """

    kind: Literal["crc_selection"] = "crc_selection"
    family: Family
    num_layers: AtLeastOne
    min_validity_ratio: Share
    margin: bool = False
    instruct_validity: Validity
    interval: LayerEnds | None
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
        return self.key_of(self.pair, self.min_validity_ratio, self.margin)

    @staticmethod
    def key_of(pair: str, min_validity_ratio: float, margin: bool) -> str:
        """The key of a choice by that rule. The paper's rule, 0.9 without a margin, adds nothing to it."""
        parts = [pair, "crc_selection"]
        if min_validity_ratio != 0.9:
            parts.append(f"min_validity_ratio={min_validity_ratio}")
        if margin:
            parts.append("margin")
        return "/".join(parts)


SearchMethod = Literal["shared", "loop"]


class SearchCost(Record):
    """What scoring intervals cost, by the shared search or by the plain loop over hybrids.

    ``num_intervals`` says how many were scored: of a loop, whose every step costs the same, maybe a sample.
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
        """By this the two methods compare."""
        return self.seconds / self.num_intervals

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.pair, self.method)

    @staticmethod
    def key_of(pair: str, method: SearchMethod) -> str:
        """The key of what scoring a pair's intervals cost by that method."""
        return f"{pair}/search_cost/{method}"


class BuildCost(Record):
    """What writing a hybrid took by one method: medians over repetitions, and what the program's imports alone took.

    ``seconds_synced`` end when all that was written is on the disk. ``writing_seconds`` are without what takes the same
    time for a model of any size.
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
        """The key of what writing a pair's hybrid took by that method."""
        return f"{pair}/build_cost/{method}"


class Samples(Record):
    """All samples of one method for one prompt and one seed, as they came; every metric can be made from them.

    ``method`` is the method's id, ``references`` has the ids of the methods that it is compared with. ``model`` was
    sampled; ``interval`` and ``alpha`` say what it was made of. ``text`` is the request before a prompting method
    changed it to ``request``, ``expected`` the right answer where there is but one. ``last_number_counts`` says
    whether the last number of a text without a marked answer counts as its answer. ``texts``, ``num_tokens`` and
    ``finished`` (whether it ended by itself) have one entry a sample.
    """

    kind: Literal["samples"] = "samples"
    family: Family
    task: TaskName
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
        """The key of samples with these fields."""
        return f"{pair}/samples/{method}/{prompt_id}/seed={seed}"

    @property
    def seed_key(self) -> str:
        """The key that random draws about these samples are seeded by."""
        return self.seed_key_of(self.pair, self.method, self.model, self.prompt_id, self.seed)

    @staticmethod
    def seed_key_of(pair: str, method: str, model: ComparedModel, prompt_id: str, seed: int) -> str:
        """The key that the draws of samples with these fields are seeded by."""
        # The hybrid was called "slr" when samples were first drawn; equal samples follow only from the same key.
        spelling = method.replace("hybrid", "slr", 1) if model == "hybrid" else method
        return Samples.key_of(pair, spelling, prompt_id, seed)


class SampleMeasures(Record):
    """What other models say of the samples with key ``samples``, one entry a sample.

    ``embedding_diversity`` is of all of them together. ``adherence`` is the cosine similarity of sample and
    request under the encoder. ``longer_than_window`` is whether the sample has more tokens than the encoder sees
    at once, and so is embedded in several windows; None in older records, which cut such a sample instead.

    ``fluency`` is the mean log-probability of the sample's tokens under ``fluency_model``, in nats, given what
    ``fluency_given`` names; ``fluency_given`` is None in older records, whose fluency is that of the sample alone.
    Both kinds are never to be compared, or shown as one metric: ``fluency_given_request`` has only the first.

    A measure is None where it was not taken, and an entry where a sample has no text.
    """

    kind: Literal["sample_measures"] = "sample_measures"
    samples: str
    encoder: str
    embedding_diversity: float | None
    adherence: tuple[Cosine | None, ...]
    longer_than_window: tuple[bool, ...] | None = None
    fluency_model: str | None = None
    fluency: tuple[float | None, ...] | None = None
    fluency_given: Literal["request"] | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        check_equal_lengths(
            adherence=self.adherence, longer_than_window=self.longer_than_window, fluency=self.fluency
        )
        return self

    @property
    def fluency_given_request(self) -> tuple[float | None, ...] | None:
        """Fluency as it is measured now; None for an older record's."""
        return self.fluency if self.fluency_given == "request" else None

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.samples)

    @staticmethod
    def key_of(samples: str) -> str:
        """The key of the measures of the samples with that key."""
        return f"{samples}/measures"


class ProblemSet(Record):
    """The problems that the instruct model's greedy answer gets wrong, of those tried in order."""

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
        """The key of the problems that were chosen for a pair."""
        return f"{pair}/problem_set"


class JudgeScores(Record):
    """What one judge says of some of the samples with key ``samples``.

    ``indices`` are the places of the texts judged. ``scores`` has one whole number from 1 to 10 a text for every
    aspect of the rubric; None where the judge's answer could not be read. ``judge`` is the model's name at
    ``host``.
    """

    kind: Literal["judge_scores"] = "judge_scores"
    family: Family
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
        """The key of the scores of the samples with that key."""
        return f"{samples}/scores"


class CanonicalAnswers(Record):
    """Which right answers a language model says are meant where the rules recognise none.

    ``meant`` has one entry a sample of the record with key ``samples``: an answer's canonical name, or None.
    Of ``num_asked`` samples that it was asked about, ``num_unusable`` got a reply that is none of those allowed.
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
        """The key of what is said of the samples with that key."""
        return f"{samples}/canonical"


class HarnessScore(Record):
    """One metric of one task of lm-evaluation-harness for one compared model.

    ``references`` names the models that this one is compared with.
    ``metric`` is lm-eval's name with the filter that read the answers. ``value`` and ``standard_error`` are
    lm-eval's; ``document_scores`` has one number a document, in the task's order, the same for all models.
    """

    kind: Literal["harness_score"] = "harness_score"
    family: Family
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
        """The key of a score with these fields."""
        return f"{pair}/harness_score/{model}/{task}/{metric}"


class Failure(Record):
    """A cell that could not be computed: its error in place of a number."""

    kind: Literal["failure"] = "failure"
    error_type: str
    message: str

    @property
    @override
    def key(self) -> str:
        return self.key_of(self.provenance.cell)

    @staticmethod
    def key_of(cell: str) -> str:
        """The key of the failure of the cell with that key."""
        return f"{cell}/failure"


AnyRecord = Annotated[
    Configuration
    | PairInfo
    | CrcScore
    | CrcSelection
    | SearchCost
    | BuildCost
    | Samples
    | SampleMeasures
    | ProblemSet
    | HarnessScore
    | JudgeScores
    | CanonicalAnswers
    | Failure,
    Field(discriminator="kind"),
]
RECORD_ADAPTER: TypeAdapter[AnyRecord] = TypeAdapter(AnyRecord)

"""The requests of lm-eval's tasks: built once, answered in chunks, and then scored as lm-eval itself does.

lm-eval builds all requests of a task at once, because it draws the worked examples of all documents from one generator.
For the 10,042 documents of HellaSwag this takes long. So the requests are kept for the next model, and for the scores.

Importing this module imports lm-eval, which takes seconds.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias
from unittest.mock import patch

import lm_eval
import lm_eval.api.model
import lm_eval.api.task
import lm_eval.models.huggingface
import lm_eval.utils
from lm_eval import evaluator
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from slr.chat.rendering import CHAT_TEMPLATE_OPTIONS
from slr.harness.tasks import TASKS_DIR

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PYTHON_SEED = 0
"""Seed of Python's generator; lm-eval's default on the command line."""
OTHER_SEEDS = 1234
"""Seed of numpy's and torch's generators and of the few-shot examples; lm-eval's default on the command line."""
GROUPS_KEPT = 16
"""Number of groups of tasks whose requests are kept. It is limited, because long ones take memory."""

Answer: TypeAlias = tuple[float, bool] | float | str
"""The answer to one request, by the method of lm-eval's models that gives it.

* ``loglikelihood``: log-probability of the continuation in nats, and whether it is the greedy one.
* ``loglikelihood_rolling``: log-probability of the whole text in nats.
* ``generate_until``: a text.
"""
AnswersByMethod: TypeAlias = Mapping[str, Sequence[Answer]]
"""Answers by the name of the method, in the order of the requests."""


@dataclass(frozen=True, kw_only=True)
class CallSettings:
    """All that the requests of one call of lm-eval depend on, except the tokenizer.

    Attributes:
        tasks: lm-eval's names of the tasks.
        num_fewshot: number of worked examples in each prompt.
        chat_template: whether the tokenizer's chat template renders the prompts.
        limit: number of documents of each task, the first ones; None for all.
        max_new_tokens: largest number of new tokens; None for each task's own.
    """

    tasks: tuple[str, ...]
    num_fewshot: int
    chat_template: bool
    limit: int | None
    max_new_tokens: int | None


def build_requests(settings: CallSettings, tokenizer: PreTrainedTokenizerBase) -> BuiltRequests:
    """Build the requests of some tasks, or take the ones that were built before.

    Args:
        settings: the tasks, and how they ask.
        tokenizer: renders the prompts, if ``settings`` says so. It is not changed.

    Raises:
        Exception: any error of lm-eval or ``datasets``, if a task or its data set is not available.
    """
    # Without a template the requests are the same for every pair.
    return _build(settings, tokenizer if settings.chat_template else None)


class _AreBuiltError(Exception):
    """Ends a call of lm-eval when all requests are built."""


class _GivenAnswers(LM):
    """To lm-eval a model, which gives answers that are known; without any it ends the call."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase | None, answers: AnswersByMethod | None = None
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.chat_template_args = CHAT_TEMPLATE_OPTIONS
        self._answers = answers

    apply_chat_template = HFLM.apply_chat_template

    @property
    def tokenizer_name(self) -> str:
        """The name under which lm-eval would keep the requests on disk, which it is not asked to do."""
        return ""

    def loglikelihood(self, requests: list[Instance]) -> list[Any]:
        return self._given("loglikelihood", requests)

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[Any]:
        return self._given("loglikelihood_rolling", requests)

    def generate_until(self, requests: list[Instance]) -> list[Any]:
        return self._given("generate_until", requests)

    def _given(self, method: str, requests: list[Instance]) -> list[Any]:
        if self._answers is None:
            raise _AreBuiltError
        answers = list(self._answers[method])
        assert len(answers) == len(requests), f"{len(answers)} answers to {len(requests)} requests"
        return answers


class BuiltRequests:
    """All requests of one call of lm-eval."""

    def __init__(self, settings: CallSettings, tokenizer: PreTrainedTokenizerBase | None) -> None:
        """Build them; ``tokenizer`` renders the prompts if the settings say so."""
        self._settings = settings
        self._tokenizer = tokenizer
        with _quiet():
            self._loaded: Any = _task_manager(
                # Listing lm-eval's own tasks takes seconds, so it happens only if one of them is asked for.
                are_ours=all((TASKS_DIR / f"{name}.yaml").exists() for name in settings.tasks)
            ).load(list(settings.tasks))
        with suppress(_AreBuiltError):
            self._call(_GivenAnswers(tokenizer))
        self._by_method: dict[str, list[Instance]] = {}
        for task in self._loaded["tasks"].values():
            # The requests stay, where lm-eval would build them again in each call.
            task.build_all_requests = lambda **_: None
            for request in task.instances:
                # As lm-eval does it: a request that is to be answered several times stands there several times.
                same = self._by_method.setdefault(request.request_type, [])
                same += [request] * request.repeats

    def chunk(self, index: int, count: int) -> dict[str, list[Instance]]:
        """The requests of one chunk by method: all of every ``count``-th document of each task, from ``index`` on.

        A document's requests stay together, because lm-eval computes what they have in common once.
        """
        return {
            method: [request for request in requests if _chunk_of(request, count) == index]
            for method, requests in self._by_method.items()
        }

    def answer(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_size: int
    ) -> Callable[[int, int], dict[str, list[Answer]]]:
        """Make the function that has a model answer a chunk.

        Args:
            model: the model, on its device. Its generation configuration says which tokens end an answer.
            tokenizer: encodes the prompts.
            batch_size: number of requests in a batch. The last bits of the answers depend on it.
        """
        # Decorators hide from type checkers what this takes.
        wrap: Any = HFLM
        with _quiet():
            in_memory = wrap(
                pretrained=model,
                tokenizer=copy.deepcopy(tokenizer),  # lm-eval adds a padding token if there is none
                batch_size=batch_size,
            )

        def answer_chunk(index: int, count: int) -> dict[str, list[Answer]]:
            with _quiet():
                return {
                    method: getattr(in_memory, method)(requests) if requests else []
                    for method, requests in self.chunk(index, count).items()
                }

        return answer_chunk

    def digest(self, index: int, count: int) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of a chunk's requests."""
        asked = [(r.request_type, r.doc_id, r.args) for rs in self.chunk(index, count).values() for r in rs]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]

    def score(self, chunks: Sequence[AnswersByMethod]) -> dict[str, Any]:
        """Have lm-eval score the answers of all chunks.

        Args:
            chunks: the answers of every chunk, in order.

        Returns:
            The results, as ``lm_eval.simple_evaluate`` gives them.
        """
        answers: dict[str, list[Answer]] = {}
        for method, requests in self._by_method.items():
            of_chunk = [iter(chunk[method]) for chunk in chunks]
            answers[method] = [next(of_chunk[_chunk_of(request, len(chunks))]) for request in requests]
            for request in requests:
                request.resps, request.filtered_resps = [], {}
        return self._call(_GivenAnswers(self._tokenizer, answers))

    def _call(self, model: LM) -> dict[str, Any]:
        settings = self._settings
        manager = _task_manager(are_ours=True)
        simple_evaluate: Any = lm_eval.simple_evaluate
        with _quiet(), patch.object(manager, "load", lambda _names: self._loaded):
            return simple_evaluate(
                model,
                tasks=list(settings.tasks),
                num_fewshot=settings.num_fewshot,
                limit=settings.limit,
                apply_chat_template=settings.chat_template,
                # In a chat the worked examples are earlier turns, as the models were trained.
                fewshot_as_multiturn=settings.chat_template,
                gen_kwargs=None
                if settings.max_new_tokens is None
                else {"max_gen_toks": settings.max_new_tokens},
                task_manager=manager,
                random_seed=PYTHON_SEED,
                numpy_random_seed=OTHER_SEEDS,
                torch_random_seed=OTHER_SEEDS,
                fewshot_random_seed=OTHER_SEEDS,
            )


def _chunk_of(request: Instance, count: int) -> int:
    assert request.doc_id is not None
    return request.doc_id % count


_build = lru_cache(maxsize=GROUPS_KEPT)(BuiltRequests)


@cache
def _task_manager(are_ours: bool) -> TaskManager:
    """Make what finds tasks by name."""
    return TaskManager(include_path=str(TASKS_DIR), include_defaults=not are_ours)


_compiled = cache(lm_eval.utils.env.from_string)


@contextmanager
def _quiet() -> Generator[None]:
    """Have lm-eval work fast, without bars and warnings, and without a look at the machine and the directory."""
    log = logging.getLogger("lm_eval")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with ExitStack() as patches:
            # Only some of the bars can be turned off by an option.
            for module in (lm_eval.api.model, lm_eval.api.task, lm_eval.models.huggingface):
                patches.enter_context(patch.object(module, "tqdm", _hidden(module.tqdm)))
            # lm-eval would compile each template anew for each worked example, which takes most of the time.
            patches.enter_context(patch.object(lm_eval.utils.env, "from_string", _compiled))
            # It would look for the commit of the working directory, which says nothing about the code.
            patches.enter_context(patch.object(evaluator, "get_git_commit_hash", lambda: None))
            # It would also start a dozen programs to describe the machine, and nobody reads their answers.
            patches.enter_context(patch.object(evaluator, "add_env_info", lambda _results: None))
            # In a second process lm-eval would give no results, because it takes all processes for parts of one model.
            patches.enter_context(patch.dict(os.environ, {"LOCAL_RANK": "0"}))
            yield
    finally:
        log.setLevel(level)


def _hidden(make_bar: Callable[..., Any]) -> Callable[..., Any]:
    """A function that makes the same progress bar, but hidden."""
    return lambda *arguments, **options: make_bar(*arguments, **{**options, "disable": True})

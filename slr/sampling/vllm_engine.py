"""Sampling by vLLM from a checkpoint directory, by the same settings as ``slr.sampling.generation.sample``.

vLLM applies temperature, min-p, top-k and top-p in this order; ``slr.sampling.generation`` applies min-p
last. The place of min-p does not matter with top-k: min-p compares every token with the likeliest one and
top-k counts from it, so either order leaves the same tokens. With top-p it matters: top-p keeps a share of
what it finds, so min-p before it leaves fewer tokens than min-p after it. The two together are refused. (Read
in vLLM 0.32, ``v1/sample/sampler.py``.)

Each sample has a seed of its own, which is the prompt's seed plus the sample's number. So a sample does not
depend on the other samples. The same seed gives other tokens than ``slr.sampling.generation`` draws, from the
same distribution: ``experiments/engine_agreement.py`` measures that.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from transformers import AutoConfig, PreTrainedTokenizerBase

from slr.sampling.config import SamplingConfig
from slr.sampling.generation import Sample, check_request

LONGEST = 4096 + 1024
"""Number of tokens that vLLM reserves memory for: the paper's longest answers together with a prompt."""
BLOCK_SIZE = 32
"""Number of tokens in a block of vLLM's cache.

The samples of a prompt share its computation in whole blocks. vLLM's blocks of 128 on a CPU are seldom filled
by a prompt.
"""
LAUNCHER_VARIABLES = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    "TORCHELASTIC_USE_AGENT_STORE",
)
"""Environment variables by which a launcher connects its processes.

vLLM's process must not see them. It would take itself for one of the launched processes.
"""
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
LOWEST_TEMPERATURE = 0.01
"""Lowest temperature above 0 that vLLM takes. It would silently replace a lower one by this one."""


class VllmEngine:
    """A checkpoint that vLLM holds, from construction to ``close`` or to the end of a ``with`` block.

    vLLM computes in a process of its own. Closing ends that process and frees all of its memory for the next
    checkpoint. A program that opens an engine must guard its entry by ``if __name__ == "__main__"``.
    """

    def __init__(
        self, checkpoint: Path, tokenizer: PreTrainedTokenizerBase, dtype: torch.dtype, device: str = "cpu"
    ) -> None:
        """Load the checkpoint, which takes from seconds to minutes.

        Args:
            checkpoint: directory with config.json and safetensors weights.
            tokenizer: decodes the answers. The checkpoint needs none.
            dtype: dtype to compute in.
            device: device to compute on, such as ``cuda:1``. On a CPU it must be vLLM's CPU build.

        Raises:
            ValueError: if vLLM is not installed, or does not take this checkpoint.
        """
        self._vllm = import_vllm()
        self._tokenizer = tokenizer
        config = AutoConfig.from_pretrained(checkpoint).get_text_config(decoder=True)
        self._room = min(LONGEST, config.max_position_embeddings)
        with _environment(variables_of_engine(device)):
            self._llm = self._vllm.LLM(
                model=str(checkpoint),
                dtype=str(dtype).removeprefix("torch."),
                skip_tokenizer_init=True,
                # Otherwise vLLM would apply the checkpoint's generation settings on top of ours.
                generation_config="vllm",
                max_model_len=self._room,
                block_size=BLOCK_SIZE,
                # On a CPU, vLLM 0.32 fails if it computes a prompt that has its own seed in chunks.
                enable_chunked_prefill=False,
            )

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the engine."""
        self.close()

    def close(self) -> None:
        """End vLLM's process and free its memory; nothing can be sampled afterwards."""
        if self._llm is not None:
            self._llm.llm_engine.engine_core.shutdown()
            self._llm = None

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        num_samples: int,
        config: SamplingConfig,
        seeds: Sequence[int],
        *,
        end_tokens: Sequence[int],
    ) -> list[list[Sample]]:
        """Draw ``num_samples`` answers to each prompt.

        Args:
            prompts: token ids of each rendered prompt.
            num_samples: number of samples of each prompt.
            config: temperature, truncation, and the largest number of new tokens.
            seeds: one seed for each prompt.
            end_tokens: ids of the tokens that end an answer.

        Returns:
            The samples of each prompt, in order.

        Raises:
            ValueError: if there is no prompt, an empty one, or not one seed for each prompt; if nothing ends
                an answer; if a prompt and its answer may need more tokens than there is room for; if vLLM
                would not sample as the settings say.
        """
        assert self._llm is not None, "the engine is closed"
        check_request(prompts, num_samples, seeds, end_tokens)
        self._check_length(prompts, config)
        settings = sampling_settings(config)
        outputs = self._llm.generate(
            [{"prompt_token_ids": list(prompt)} for prompt in prompts],
            [
                self._vllm.SamplingParams(
                    n=num_samples,
                    seed=seed,
                    stop_token_ids=list(end_tokens),
                    # The model's own end tokens end nothing if other ones are given.
                    ignore_eos=True,
                    detokenize=False,
                    **settings,
                )
                for seed in seeds
            ],
            use_tqdm=False,
        )
        return [self._samples(output.outputs) for output in outputs]

    def _samples(self, completions: Sequence[Any]) -> list[Sample]:
        finished = [completion.finish_reason == "stop" for completion in completions]
        tokens = [list(completion.token_ids) for completion in completions]
        # The token that ended an answer counts as one of its tokens, but it is not in the text.
        shown = [row[: len(row) - ended] for row, ended in zip(tokens, finished, strict=True)]
        texts = self._tokenizer.batch_decode(shown, skip_special_tokens=True)
        return [Sample(*fields) for fields in zip(texts, map(len, tokens), finished, strict=True)]

    def _check_length(self, prompts: Sequence[Sequence[int]], config: SamplingConfig) -> None:
        """Check that prompts and answers fit, because vLLM would cut an answer off without a word.

        Raises:
            ValueError: if one may not fit.
        """
        longest = max(map(len, prompts))
        if longest + config.max_new_tokens > self._room:
            raise ValueError(
                f"a prompt has {longest} tokens and its answer up to {config.max_new_tokens}, but there is room for "
                f"{self._room} in all (as the model allows, and at most {LONGEST}): ask for fewer new tokens, or use "
                "the engine 'transformers'"
            )


def import_vllm() -> Any:
    """Import vLLM, which takes seconds.

    Raises:
        ValueError: if it cannot be imported; the message says how to install it.
    """
    try:
        return importlib.import_module("vllm")
    except ImportError as error:
        raise ValueError(
            f"vLLM cannot be imported ({error}): install it in a virtual environment of its own, as docs/vllm.md "
            "says, and run this with that environment's python; or use the engine 'transformers'"
        ) from None


def check_usable(device: str, num_sharing: int = 1) -> None:
    """Check that vLLM is installed and computes on a kind of device, before hours of other work.

    Args:
        device: device as torch names it.
        num_sharing: number of processes that sample on this one device.

    Raises:
        ValueError: if it is not installed, or is built for another kind of device; if several processes share a GPU.
    """
    import_vllm()
    built_for = importlib.import_module("vllm.platforms").current_platform.device_type
    if torch.device(device).type != built_for:
        raise ValueError(
            f"the device is {device}, and the installed vLLM computes on {built_for or 'no device of this machine'}: "
            "install vLLM's build for the device, give another --device, or use the engine 'transformers'"
        )
    if num_sharing > 1 and device != "cpu":
        raise ValueError(
            f"--device {device} is given to {num_sharing} processes, and vLLM needs a GPU's whole memory: leave "
            "--device out, so that each process takes a GPU of its own, or start one process"
        )


def variables_of_engine(device: str) -> dict[str, str | None]:
    """Choose the environment variables of vLLM's process, so that it computes on one device and by itself.

    vLLM takes the first GPU that it sees, so it sees only one.

    Args:
        device: device as torch names it.

    Returns:
        Values by variable; None for a variable that must not be set.
    """
    variables: dict[str, str | None] = dict.fromkeys(LAUNCHER_VARIABLES)
    if torch.device(device).type == "cuda":
        index = torch.device(device).index or 0
        seen_here = os.environ.get(VISIBLE_GPUS)
        variables[VISIBLE_GPUS] = seen_here.split(",")[index] if seen_here else str(index)
    return variables


@contextmanager
def _environment(variables: Mapping[str, str | None]) -> Generator[None]:
    """Set environment variables, which new processes inherit, and set them back at the end."""
    before = {name: os.environ.get(name) for name in variables}
    _set_environment(variables)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def sampling_settings(config: SamplingConfig) -> dict[str, float]:
    """Translate the settings into vLLM's names.

    Raises:
        ValueError: if vLLM would sample otherwise than ``slr.sampling.generation`` with them.
    """
    if config.min_p > 0 and config.top_p < 1 and config.temperature > 0:
        raise ValueError(
            f"min_p is {config.min_p} and top_p is {config.top_p}: vLLM applies them in the other order, which leaves "
            "other tokens; set min_p to 0 or top_p to 1, or use the engine 'transformers'"
        )
    if 0 < config.temperature < LOWEST_TEMPERATURE:
        raise ValueError(
            f"temperature is {config.temperature}, and vLLM would take {LOWEST_TEMPERATURE}: expected 0, or "
            f"{LOWEST_TEMPERATURE} or more"
        )
    return {
        "temperature": config.temperature,
        "top_k": config.top_k,
        "top_p": config.top_p,
        "min_p": config.min_p,
        "max_tokens": config.max_new_tokens,
    }

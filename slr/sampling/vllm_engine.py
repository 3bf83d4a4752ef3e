"""Sampling by vLLM, where it is installed: what ``slr.sampling.generation.sample`` does, on a checkpoint directory.

The order of operations is vLLM's: temperature, min-p, top-k, top-p, where ``slr.sampling.generation`` has min-p last.
Min-p compares every token with the likeliest one and top-k counts from it, so that in either order the same tokens are
left. Top-p keeps a share of what it finds, so with min-p before it fewer are left than with min-p after it: the
two together are refused. (Read in vLLM 0.32, ``v1/sample/sampler.py``.)

Each sample has a seed of its own, the prompt's plus the sample's number, so what is drawn for it does not
depend on the other samples. The same seed gives other tokens than ``slr.sampling.generation`` draws, from the same
distribution: ``experiments/engine_agreement.py`` measures that.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from transformers import AutoConfig, PreTrainedTokenizerBase

from slr.sampling.config import SamplingConfig
from slr.sampling.generation import Sample, check_request

LONGEST = 4096 + 1024
"""Tokens of the paper's longest answers and of a prompt, together. vLLM sets memory apart for it."""
BLOCK_SIZE = 32
"""Tokens. A prompt's samples share its prefill by whole blocks; those of 128, vLLM's on a CPU, are seldom whole."""
LOWEST_TEMPERATURE = 0.01
"""Between it and 0, vLLM would take it in place of what was asked for."""


class VllmEngine:
    """A checkpoint that vLLM holds, from construction to ``close``, or to the end of a ``with`` block.

    vLLM computes in a process of its own. Closing ends that process, which gives all of its memory back, so that
    the next checkpoint has room. A program that opens one must guard its entry by ``if __name__ == "__main__"``.
    """

    def __init__(self, checkpoint: Path, tokenizer: PreTrainedTokenizerBase, dtype: torch.dtype) -> None:
        """Load the checkpoint, which takes from seconds to minutes.

        Args:
            checkpoint: directory with config.json and safetensors weights.
            tokenizer: decodes the answers. The checkpoint needs none.
            dtype: to compute in.

        Raises:
            ValueError: if vLLM is not installed, or does not take this checkpoint.
        """
        self._vllm = import_vllm()
        self._tokenizer = tokenizer
        config = AutoConfig.from_pretrained(checkpoint).get_text_config(decoder=True)
        self._room = min(LONGEST, config.max_position_embeddings)
        self._llm = self._vllm.LLM(
            model=str(checkpoint),
            dtype=str(dtype).removeprefix("torch."),
            skip_tokenizer_init=True,
            # Else the checkpoint's generation settings would change what is asked for.
            generation_config="vllm",
            max_model_len=self._room,
            block_size=BLOCK_SIZE,
            # On a CPU, vLLM 0.32 fails when it computes in parts a prompt that has a seed of its own.
            enable_chunked_prefill=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back; nothing can be sampled afterwards."""
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
        """Draw ``num_samples`` answers to each prompt; for the arguments see ``slr.sampling.generation.sample``.

        Raises:
            ValueError: if there is no prompt, an empty one, or not one seed a prompt; if nothing ends an answer; if
                a prompt and its answer may be longer than there is room for; if vLLM would sample something
                else than the settings say.
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
                    # The model's own end tokens end nothing if others are given.
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
        # The token that ended an answer is counted, but no part of its text.
        shown = [row[: len(row) - ended] for row, ended in zip(tokens, finished, strict=True)]
        texts = self._tokenizer.batch_decode(shown, skip_special_tokens=True)
        return [Sample(*fields) for fields in zip(texts, map(len, tokens), finished, strict=True)]

    def _check_length(self, prompts: Sequence[Sequence[int]], config: SamplingConfig) -> None:
        """VLLM would cut such an answer off without a word."""
        longest = max(map(len, prompts))
        if longest + config.max_new_tokens > self._room:
            raise ValueError(
                f"a prompt has {longest} tokens and its answer up to {config.max_new_tokens}, but there is room for "
                f"{self._room} in all (what the model allows, at most {LONGEST}): ask for fewer new tokens, or use the "
                "engine 'transformers'"
            )


def import_vllm() -> Any:
    """The package, which is heavy to import.

    Raises:
        ValueError: if it cannot be imported; says how to install it.
    """
    try:
        return importlib.import_module("vllm")
    except ImportError as error:
        raise ValueError(
            f"vLLM cannot be imported ({error}): install it in a virtual environment of its own, as docs/vllm.md "
            "says, and run this with that environment's python; or use the engine 'transformers'"
        ) from None


def check_usable(device: str, num_processes: int) -> None:
    """Check, before hours of other work, that vLLM is there and can compute where it is asked to.

    Raises:
        ValueError: if it is not installed; if the work is shared by several processes; if the device is a GPU other
            than the first visible one, which is what vLLM takes.
    """
    import_vllm()
    if num_processes > 1:
        raise ValueError(
            f"{num_processes} processes share the work, and each would have vLLM take the same GPU: start one process, "
            "or use the engine 'transformers'"
        )
    index = torch.device(device).index
    if index:
        raise ValueError(
            f"the device is {device}, but vLLM takes the first visible GPU: set CUDA_VISIBLE_DEVICES={index} and leave "
            "the device out"
        )


def sampling_settings(config: SamplingConfig) -> dict[str, float]:
    """The settings under vLLM's names.

    Raises:
        ValueError: if vLLM would sample something else than ``slr.sampling.generation`` with them.
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

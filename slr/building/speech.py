"""How a hybrid speaks: as its instruct model does, which is made sure of when the hybrid is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from transformers import GenerationConfig

from slr.chat.generation_settings import write_end_tokens
from slr.chat.tokenizer_comparison import check_speaks_like
from slr.chat.tokenizer_files import PROCESSOR_PATTERNS, brings_tokenizer, tokenizer_files
from slr.models.checkpoint import Checkpoint, read_tokenizer


def speech_notes(base_dir: Path, speaker: Checkpoint, adapter_dir: Path | None) -> tuple[str, ...]:
    """What the user may want to know of the hybrid's tokenizer, a line each.

    Args:
        base_dir: directory of the base model.
        speaker: the instruct side, with its tokenizer.
        adapter_dir: of the adapter, if the instruct side is one.
    """
    return tuple(_notes(base_dir, speaker, adapter_dir))


def _notes(base_dir: Path, speaker: Checkpoint, adapter_dir: Path | None) -> Iterator[str]:
    if speaker.end_tokens is None:
        yield f"the instruct model {speaker.reference} has no tokenizer, so the hybrid has none"
        return
    yield from speaker.end_tokens.notes
    if adapter_dir is not None and brings_tokenizer(tokenizer_files(adapter_dir)):
        left_out = tokenizer_files(base_dir).keys() - tokenizer_files(adapter_dir).keys()
        if of_processor := sorted(left_out & set(PROCESSOR_PATTERNS)):
            yield (
                f"the tokenizer is the adapter's, so {', '.join(of_processor)} of the base model "
                f"{'is' if len(of_processor) == 1 else 'are'} left out: copy what is needed for images or sound"
            )


def make_it_speak(speaker: Checkpoint, generation: GenerationConfig, output_dir: Path) -> None:
    """Write the tokens that end an answer into a checkpoint, and check that it has the speaker's tokenizer.

    Args:
        speaker: the instruct side.
        generation: settings of the checkpoint.
        output_dir: the checkpoint, with all its other files.

    Raises:
        ValueError: if its tokenizer is another one.
    """
    write_end_tokens_of(speaker, generation, output_dir)
    check_speaks_like(
        speaker.tokenizer, read_tokenizer(output_dir, speaker.reference), str(speaker.reference)
    )


def write_end_tokens_of(speaker: Checkpoint, generation: GenerationConfig, output_dir: Path) -> None:
    """Have the generation settings in a directory name all tokens that end the speaker's answers."""
    if speaker.end_tokens is not None:
        write_end_tokens(generation, speaker.end_tokens, output_dir)

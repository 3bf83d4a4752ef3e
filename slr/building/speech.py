"""Make sure that a written hybrid speaks as its instruct model does: the same tokenizer, and answers that end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from transformers import GenerationConfig

from slr.chat.generation_settings import write_end_tokens
from slr.chat.tokenizer_comparison import check_speaks_like
from slr.chat.tokenizer_files import PROCESSOR_PATTERNS, brings_tokenizer, tokenizer_files
from slr.models.checkpoint import Checkpoint, read_tokenizer
from slr.models.opened_pair import OpenedPair


def hybrid_notes(opened: OpenedPair) -> tuple[str, ...]:
    """Write what the user may want to know about a hybrid of the pair, a line each."""
    adapter_notes = opened.adapter.notes(opened.base) if opened.adapter is not None else ()
    return (*opened.differences, *opened.conversions, *_speech_notes(opened), *adapter_notes)


def _speech_notes(opened: OpenedPair) -> Iterator[str]:
    """Yield the notes about the hybrid's tokenizer and the tokens that end an answer."""
    if opened.instruct.end_tokens is None:
        yield f"the instruct model {opened.instruct.reference} has no tokenizer, so the hybrid has none"
        return
    yield from opened.instruct.end_tokens.notes
    if opened.adapter is None:
        return
    base_files, adapter_files = (tokenizer_files(source.directory) for source in opened.sources)
    if brings_tokenizer(adapter_files):
        left_out = base_files.keys() - adapter_files.keys()
        if of_processor := sorted(left_out & set(PROCESSOR_PATTERNS)):
            yield (
                f"the tokenizer is the adapter's, so {', '.join(of_processor)} of the base model "
                f"{'is' if len(of_processor) == 1 else 'are'} left out: copy what is needed for images or sound"
            )


def write_and_check_speech(speaker: Checkpoint, generation: GenerationConfig, output_dir: Path) -> None:
    """Write the tokens that end an answer into a checkpoint, and check that it has the speaker's tokenizer.

    Args:
        speaker: the instruct checkpoint.
        generation: generation settings of the written checkpoint.
        output_dir: directory of the written checkpoint, with all its other files.

    Raises:
        ValueError: if its tokenizer is another one.
    """
    write_end_tokens_of(speaker, generation, output_dir)
    check_speaks_like(
        speaker.tokenizer, read_tokenizer(output_dir, speaker.reference), str(speaker.reference)
    )


def write_end_tokens_of(speaker: Checkpoint, generation: GenerationConfig, output_dir: Path) -> None:
    """Write generation settings that name all tokens which end the speaker's answers; nothing without a tokenizer.

    Args:
        speaker: the instruct checkpoint.
        generation: the other generation settings.
        output_dir: directory to write into.
    """
    if speaker.end_tokens is not None:
        write_end_tokens(generation, speaker.end_tokens, output_dir)

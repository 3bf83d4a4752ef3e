"""Find a pair by its arguments, or by its name in a preset, without opening it.

Every hub model of a preset has a pinned revision. Nothing here imports a heavy package.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slr.models.packaged import LAPTOP_PREFIX, POST_TRAINED, TESTBED_PREFIX
from slr.models.reference import Location, ModelReference, PairSpec, as_reference
from slr.models.start_models import LaptopModel
from slr.terminal.bad_input import did_you_mean


@dataclass(frozen=True)
class Preset:
    """The pairs that one run of all experiments covers, one for each family.

    Attributes:
        name: name of the preset.
        pairs: its pairs.
        description: one line on what it is for and what it needs.
        is_for_cpu: whether its models are so small that a CPU is enough, where one thread a process is fastest.
        sizes_of: name of the preset whose prompts and sizes it has; None for its own.
    """

    name: str
    pairs: tuple[PairSpec, ...]
    description: str
    is_for_cpu: bool = False
    sizes_of: str | None = None


def resolve_pair(
    base: Location,
    instruct: Location | None = None,
    *,
    adapter: Location | None = None,
    base_revision: str | None = None,
    instruct_revision: str | None = None,
) -> PairSpec:
    """Make a specification from the arguments of ``load_pair``, without opening a model.

    For a pair outside the presets, the family is None until its configuration is read.

    Args:
        base: the base model; or the name of a preset's pair, without ``instruct`` and ``adapter``.
        instruct: the instruct model.
        adapter: a LoRA adapter of the base model, in place of ``instruct``.
        base_revision: commit, tag or branch of a base model on the hub.
        instruct_revision: commit, tag or branch of an instruct model or adapter on the hub.

    Raises:
        ValueError: if both an instruct model and an adapter are given; if neither is given and no preset has a pair of
            that name; or if a revision is given for a preset's pair.
    """
    if instruct is not None and adapter is not None:
        raise ValueError(
            f"both an instruct model ({instruct}) and an adapter ({adapter}) are given: expected one of them"
        )
    post_trained = instruct if adapter is None else adapter
    if post_trained is None:
        spec = find_pair(str(base))
        if base_revision is not None or instruct_revision is not None:
            raise ValueError(f"{spec.name} is a preset's pair with revisions of its own: give none for it")
        return spec
    instruct_reference = as_reference(post_trained, instruct_revision)
    return PairSpec(
        name=_pair_name(instruct_reference),
        family=None,
        base=as_reference(base, base_revision),
        instruct=instruct_reference,
        instruct_is_adapter=adapter is not None,
        num_layers=None,
        num_parameters=None,
    )


def find_pair(name: str) -> PairSpec:
    """Find the pair of a name in any preset, such as ``testbed-llama`` or ``paper-qwen``.

    Raises:
        ValueError: if there is none; the message lists the names that exist.
    """
    pairs = {pair.name: pair for preset in PRESETS.values() for pair in preset.pairs}
    if name not in pairs:
        raise ValueError(
            f"INSTRUCT is missing, and there is no pair named {name!r}: expected two models, a model and an adapter, "
            f"or one of the pairs {', '.join(pairs)}{did_you_mean(name, pairs)}"
        )
    return pairs[name]


def preset_of(pair: str) -> str | None:
    """Find the name of the preset that has a pair of that name; None if no preset has it."""
    return next((p.name for p in PRESETS.values() if any(spec.name == pair for spec in p.pairs)), None)


def _pair_name(instruct: ModelReference) -> str:
    directory = instruct.directory
    if directory is None:
        return instruct.location.split("/")[-1]
    path = directory.resolve()
    # The last part of a path alone is often just "instruct". The home directory is left out, because it names the
    # user, and the root of a file system is left out, because it has no name.
    num_parts = 1 if path.parent == Path.home() else 2
    name = "-".join(path.relative_to(path.anchor).parts[-num_parts:])
    # The name becomes part of file names and commands, where a leading dash would make it an option.
    return "".join(c if c.isprintable() else "_" for c in name).lstrip("-.") or "model"


def _testbed_pair(family: str, num_layers: int, num_parameters: int) -> PairSpec:
    return PairSpec(
        name=f"testbed-{family}",
        family=family,
        base=ModelReference(f"{TESTBED_PREFIX}{family}/base"),
        instruct=ModelReference(f"{TESTBED_PREFIX}{family}/instruct"),
        num_layers=num_layers,
        num_parameters=num_parameters,
    )


def _laptop_pair(family: str, model: LaptopModel, num_layers: int, num_parameters: int) -> PairSpec:
    return PairSpec(
        name=f"laptop-{family}",
        family=family,
        base=ModelReference(f"{LAPTOP_PREFIX}{model}/base"),
        instruct=ModelReference(f"{LAPTOP_PREFIX}{model}/{POST_TRAINED[model]}"),
        instruct_is_adapter=POST_TRAINED[model] == "adapter",
        num_layers=num_layers,
        num_parameters=num_parameters,
    )


def _gemma_270m(name: str) -> PairSpec:
    return PairSpec(
        name=name,
        family="gemma",
        base=ModelReference("google/gemma-3-270m", "9b0cfec892e2bc2afd938c98eabe4e4a7b1e0ca1"),
        instruct=ModelReference("google/gemma-3-270m-it", "ac82b4e820549b854eebf28ce6dedaf9fdfa17b3"),
        num_layers=18,
        num_parameters=268_098_176,
    )


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "testbed",
            (
                _testbed_pair("llama", 12, 1_243_488),
                _testbed_pair("qwen", 10, 1_085_280),
                _testbed_pair("gemma", 14, 1_082_320),
            ),
            "three tiny pairs that ship with the package: no GPU, no download",
            is_for_cpu=True,
        ),
        Preset(
            "laptop",
            (
                _laptop_pair("llama", "smollm2", 30, 134_515_008),
                _laptop_pair("gemma", "gemma", 18, 268_098_176),
            ),
            "SmolLM2-135M and gemma-3-270m from registry packages: real English on a CPU",
            is_for_cpu=True,
        ),
        Preset(
            "first",
            (_gemma_270m("first-gemma"),),
            "gemma-3-270m and its instruct model from the hub: about 40 minutes on two CPU cores",
            is_for_cpu=True,
            sizes_of="laptop",
        ),
        Preset(
            "small",
            (
                PairSpec(
                    name="small-llama",
                    family="llama",
                    base=ModelReference(
                        "meta-llama/Llama-3.2-1B", "4e20de362430cd3b72f300e6b0f18e50e7166e08"
                    ),
                    instruct=ModelReference(
                        "meta-llama/Llama-3.2-1B-Instruct", "9213176726f574b556790deb65791e0c5aa438b6"
                    ),
                    num_layers=16,
                    num_parameters=1_235_814_400,
                ),
                PairSpec(
                    name="small-qwen",
                    family="qwen",
                    base=ModelReference("Qwen/Qwen2.5-0.5B", "060db6499f32faf8b98477b0a26969ef7d8b9987"),
                    instruct=ModelReference(
                        "Qwen/Qwen2.5-0.5B-Instruct", "7ae557604adf67be50417f59c2c2f167def9a775"
                    ),
                    num_layers=24,
                    num_parameters=494_032_768,
                ),
                _gemma_270m("small-gemma"),
            ),
            "three small pairs from the hub: one consumer GPU",
        ),
        Preset(
            "paper",
            (
                PairSpec(
                    name="paper-llama",
                    family="llama",
                    base=ModelReference(
                        "meta-llama/Llama-3.1-8B", "d04e592bb4f6aa9cfee91e2e20afa771667e1d4b"
                    ),
                    instruct=ModelReference(
                        "meta-llama/Llama-3.1-8B-Instruct", "0e9e39f249a16976918f6564b8830bc894c89659"
                    ),
                    num_layers=32,
                    num_parameters=8_030_261_248,
                ),
                PairSpec(
                    name="paper-qwen",
                    family="qwen",
                    base=ModelReference("Qwen/Qwen2.5-7B", "d149729398750b98c0af14eb82c78cfe92750796"),
                    instruct=ModelReference(
                        "Qwen/Qwen2.5-7B-Instruct", "a09a35458c702b33eeacc393d103063234e8bc28"
                    ),
                    num_layers=28,
                    num_parameters=7_615_616_512,
                ),
                PairSpec(
                    name="paper-gemma",
                    family="gemma",
                    base=ModelReference("google/gemma-2-9b", "33c193028431c2fde6c6e51f29e6f17b60cbfac6"),
                    instruct=ModelReference(
                        "google/gemma-2-9b-it", "11c9b309abf73637e4b6f9a3fa1e92e615547819"
                    ),
                    num_layers=42,
                    num_parameters=9_241_705_984,
                ),
            ),
            "the paper's models from the hub: one 80 GB GPU, or several",
        ),
    )
}

"""Model cards as the hub reads them, and the search's figures in them."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from slr.building.checkpoint import build
from slr.building.hand_over import commands, use_section
from slr.building.manifest import BuildManifest
from slr.building.model_card import Licence, Licences, find_licence, model_card
from slr.building.options import BuildOptions
from slr.building.search_scores import RECORDS_FILE, ModelSource, hybrid_scores
from slr.crc.report import ModelSummary
from slr.intervals import LayerInterval, Restoration
from slr.models.digests import checkpoint_digests
from slr.models.presets import resolve_pair
from slr.models.reference import ModelReference
from slr.runs.records import Configuration, CrcScore, PairInfo, Provenance
from slr.runs.results_store import ResultsStore
from slr.statistics.uncertainty import Estimate
from slr.vocabulary import ModelKind, PromptSet
from tests.conftest import CheckpointPairs

PAIR = "a-pair"
INTERVAL = LayerInterval(1, 3)
MANIFEST = BuildManifest(
    slr_version="0.1.0",
    architecture="LlamaForCausalLM",
    base="meta-llama/Llama-3.1-8B",
    base_revision="a" * 40,
    instruct="meta-llama/Llama-3.1-8B-Instruct",
    instruct_revision="b" * 40,
    interval=(12, 20),
    num_layers=32,
    alpha=1.0,
    dtype="bfloat16",
    notes=(),
    shards={},
    tensors={},
)
SCORES: dict[ModelKind, tuple[float, float]] = {
    "base": (0.5, 0.9),
    "instruct": (1.0, 0.25),
    "hybrid": (0.75, 0.5),
}
"""Validity and diversity, the same on every prompt."""


def read_by_the_hub(card: str) -> dict[str, Any]:
    return ModelCard(card, ignore_metadata_errors=False).data.to_dict()


def written(directory: Path, text: str) -> Path:
    directory.mkdir()
    (directory / "README.md").write_text(text)
    return directory


def record_search(
    search_dir: Path, base: Path, instruct: Path, *, digests: bool = True, revision: str | None = None
) -> None:
    """Records as a search of the two writes them, with few prompts."""
    provenance = Provenance(
        cell="c", config_hash="h", commit="unknown", dirty=None, created_at="now", device="CPU", versions={}
    )
    header: dict[str, Any] = {"experiment": "crc_search", "pair": PAIR, "provenance": provenance}
    prompt_sets: tuple[PromptSet, ...] = ("selection", "held_out")
    ResultsStore(search_dir / RECORDS_FILE).append(
        [
            Configuration(
                **header,
                settings={},
                dtype="float32",
                base=str(base),
                base_files=checkpoint_digests(base) if digests else None,
                instruct=str(instruct),
                instruct_files=checkpoint_digests(instruct) if digests else None,
            ),
            PairInfo(
                **header,
                family="llama",
                architecture="LlamaForCausalLM",
                base=str(base),
                base_revision=revision,
                instruct=str(instruct),
                instruct_revision=revision,
                num_layers=5,
                hidden_size=32,
                vocab_size=336,
                num_parameters=1,
                dtype="float32",
            ),
            *(
                CrcScore(
                    **header,
                    family="llama",
                    num_layers=5,
                    model=model,
                    interval=INTERVAL.ends if model == "hybrid" else None,
                    prompt_set=prompt_set,
                    prompt_ids=("one", "two"),
                    validity=(validity, validity),
                    diversity=(diversity, diversity),
                )
                for prompt_set in prompt_sets
                for model, (validity, diversity) in SCORES.items()
            ),
        ]
    )


def test_the_hub_reads_the_front_matter() -> None:
    assert read_by_the_hub(model_card(MANIFEST, "model.layers")) == {
        "base_model": ["meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B"],
        "base_model_relation": "merge",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["merge", "selective-layer-restoration"],
    }


def test_the_card_says_what_was_restored_and_how_to_cite() -> None:
    card = model_card(MANIFEST, "model.layers")
    assert f"| base | meta-llama/Llama-3.1-8B | `{'a' * 40}` |" in card
    assert f"| instruct | meta-llama/Llama-3.1-8B-Instruct | `{'b' * 40}` |" in card
    assert "layers 12:20 of 32" in card
    assert "merge_method: passthrough" in card
    assert "Not measured on these weights." in card
    assert "eprint        = {2602.06665}" in card
    assert "version = {0.1.0}" in card


@pytest.mark.parametrize(
    ("base", "instruct", "front_matter", "advice"),
    [
        (Licence("apache-2.0"), Licence("apache-2.0"), ("apache-2.0", None), "Both are under apache-2.0:"),
        (Licence("apache-2.0"), Licence("mit"), (None, None), "The two licences differ:"),
        (Licence("mit"), None, (None, None), "The licence of the instruct model is not known: look it up"),
        (None, None, (None, None), "The licence of the base and the instruct model is not known"),
        (Licence("other", "x", "LICENSE"), Licence("other", "y", "LICENSE"), (None, None), "licences differ"),
        (
            Licence("other", "x", "LICENSE"),
            Licence("other", "x", "LICENSE"),
            ("other", "x"),
            "Both are under x:",
        ),
    ],
)
def test_licences(
    base: Licence | None, instruct: Licence | None, front_matter: tuple[str | None, str | None], advice: str
) -> None:
    card = model_card(MANIFEST, "model.layers", Licences(base, instruct))
    data = read_by_the_hub(card)
    assert (data.get("license"), data.get("license_name")) == front_matter
    assert advice in card
    assert "licences and terms of use of both meta-llama/Llama-3.1-8B and" in card


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("---\nlicense: gemma\nlanguage: en\n---\n# Gemma\n", Licence("gemma")),
        (
            "---\nlicense: other\nlicense_name: qwen\nlicense_link: LICENSE\n---\n",
            Licence("other", "qwen", "LICENSE"),
        ),
        ("---\nlanguage: en\n---\n", None),
        ("# no front matter", None),
        ("---\n: [\n---\n", None),
        ("---\nlicense:\n- mit\n- apache-2.0\n---\n", None),
    ],
)
def test_a_licence_is_read_from_the_front_matter(tmp_path: Path, text: str, licence: Licence | None) -> None:
    directory = written(tmp_path / "model", text)
    assert find_licence(ModelReference(str(directory)), directory) == licence


def test_a_model_without_a_card_or_beyond_reach_has_no_known_licence(tmp_path: Path) -> None:
    assert find_licence(ModelReference(str(tmp_path)), tmp_path) is None
    assert find_licence(ModelReference("nobody/has-this"), tmp_path) is None


def test_cards_of_directories(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> None:
    output = build(
        resolve_pair(*checkpoint_pairs("llama")),
        LayerInterval(1, 2),
        tmp_path / "out",
        BuildOptions(alpha=0.5),
    ).output_dir
    card = (output / "README.md").read_text()
    assert "base_model" not in card
    assert "mergekit" not in card
    assert "by a share of 0.5" in card


def test_build_takes_the_figures_of_the_search(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> None:
    base, instruct = checkpoint_pairs("llama")
    record_search(tmp_path / "search", base, instruct)
    output = build(
        resolve_pair(base, instruct), INTERVAL, tmp_path / "out", BuildOptions(search_dir=tmp_path / "search")
    ).output_dir
    card = (output / "README.md").read_text()
    assert "| this model, layers 1:3 | held-out | 0.750 | 0.500 | 0.750 | 0.250 |" in card
    assert "| instruct | selection | 1.000 | 0.250 |  |  |" in card
    assert "means\nover 2 prompts" in card


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("other weights", "weights of instruct changed since"),
        ("interval", "no score of this"),
        ("alpha", "no score of this"),
    ],
)
def test_figures_of_something_else_are_not_taken(
    checkpoint_pairs: CheckpointPairs,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    change: str,
    reason: str,
) -> None:
    base, instruct = checkpoint_pairs("llama")
    record_search(tmp_path / "search", base, instruct)
    if change == "other weights":
        instruct = Path(shutil.copytree(checkpoint_pairs("llama", seed=7)[1], tmp_path / "instruct"))
    interval = LayerInterval(2, 4) if change == "interval" else INTERVAL
    alpha = 0.5 if change == "alpha" else 1.0
    report = build(
        resolve_pair(base, instruct),
        interval,
        tmp_path / "out",
        BuildOptions(alpha=alpha, search_dir=tmp_path / "search"),
    )
    assert "Not measured on these weights." in (report.output_dir / "README.md").read_text()
    assert reason in caplog.text


@pytest.mark.parametrize(("revision", "is_found"), [("b" * 40, True), ("c" * 40, False)])
def test_models_on_the_hub_are_the_same_at_the_same_commit(
    tmp_path: Path, revision: str, is_found: bool
) -> None:
    record_search(tmp_path, Path("org/base"), Path("org/instruct"), digests=False, revision="b" * 40)
    base, instruct = (
        ModelSource(ModelReference(f"org/{side}", revision), tmp_path) for side in ("base", "instruct")
    )
    figures = hybrid_scores(tmp_path, base, instruct, Restoration(INTERVAL))
    assert (figures is not None) == is_found
    if figures is not None:
        assert figures[1] == ModelSummary(
            model="hybrid",
            prompt_set="selection",
            category=None,
            interval=INTERVAL,
            alpha=None,
            num_prompts=2,
            validity=Estimate(0.75, None, None, 2),
            diversity=Estimate(0.5, None, None, 2),
            validity_ratio=Estimate(0.75, None, None, 2),
            validity_difference=figures[1].validity_difference,
            diversity_difference=figures[1].diversity_difference,
        )


def test_a_directory_without_records(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected the output directory of slr search"):
        build(
            resolve_pair(*checkpoint_pairs("llama")),
            INTERVAL,
            tmp_path / "out",
            BuildOptions(search_dir=tmp_path),
        )
    assert not list(tmp_path.iterdir())


def test_the_code_in_the_card_samples_from_the_checkpoint(
    checkpoint_pairs: CheckpointPairs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(resolve_pair(*map(str, checkpoint_pairs("llama"))), INTERVAL, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    exec(code.replace("MODEL", (tmp_path / "out").as_posix()), {})
    assert len(ast.literal_eval(capsys.readouterr().out)) == 8
    assert "vllm serve MODEL" in card
    assert "convert_hf_to_gguf.py MODEL" in card


def test_an_adapters_card_says_nothing_that_an_adapter_cannot_do() -> None:
    assert "gguf" in use_section(is_adapter=False)
    assert "gguf" not in use_section(is_adapter=True)
    assert not [line for line in commands(Path("out"), is_adapter=True) if "vllm" in line or "gguf" in line]


def test_printed_commands_can_be_given_to_a_shell() -> None:
    printed = dict(
        line.strip().split("  ", 1) for line in commands(Path("a b/c d"), is_adapter=False) if "  " in line
    )
    assert shlex.split(printed["vLLM"]) == ["vllm", "serve", "a b/c d"]
    assert shlex.split(printed["GGUF"])[-2:] == ["--outfile", "c d.gguf"]
    assert shlex.split(printed["llama.cpp"])[:3] == ["llama-server", "-m", "c d.gguf"]

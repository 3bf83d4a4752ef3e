"""The vLLM engine with a stand-in for the package, which the test environment lacks; and the test of agreement.

The stand-in loads the checkpoint that it is given and samples with ``slr.sampling.generation``, so that what comes back
shows whether it was given the right model, prompts, settings and seeds.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar, cast

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from experiments import engine_agreement
from slr.cli import main
from slr.crc.study import SMOKE, crc_experiment
from slr.downstream.methods import BASELINES
from slr.downstream.study import DownstreamConfig, downstream_experiment
from slr.models import loading as checkpoints
from slr.models.presets import find_pair
from slr.runs.experiment import RunSettings, store_of
from slr.runs.records import AnyRecord, Configuration, Samples
from slr.runs.run_experiments import run_experiment
from slr.sampling.config import SamplingConfig
from slr.sampling.generation import sample, token_probabilities
from slr.sampling.vllm_engine import (
    VllmEngine,
    check_usable,
    import_vllm,
    sampling_settings,
    variables_of_engine,
)
from tests.tiny_models import VOCAB_SIZE, make_model, make_tokenizer

PROMPTS = ((7, 8, 9), (20, 21, 22, 23, 24))
SEEDS = (11, 12)
ENDS = tuple(range(0, VOCAB_SIZE, 12))
SETTINGS = SamplingConfig(temperature=1.3, top_k=50, min_p=0.02, max_new_tokens=14)
SPEC = find_pair("testbed-llama")
QA = DownstreamConfig(
    task="open_qa",
    source="testbed",
    methods=BASELINES,
    num_prompts=3,
    num_samples=4,
    max_new_tokens=8,
    batch_size=8,
)


class IdTokenizer:
    """Decodes to the token ids themselves, special ones too."""

    pad_token_id = 0

    def batch_decode(self, rows: list[list[int]], skip_special_tokens: bool) -> list[str]:
        assert skip_special_tokens
        return [" ".join(map(str, row)) for row in rows]


IDS = cast(PreTrainedTokenizerBase, IdTokenizer())


class SamplingParams:
    """Takes the names that vLLM's class has, and no other."""

    def __init__(
        self,
        *,
        n: int,
        seed: int,
        stop_token_ids: list[int],
        ignore_eos: bool,
        detokenize: bool,
        temperature: float,
        top_k: int,
        top_p: float,
        min_p: float,
        max_tokens: int,
    ) -> None:
        assert ignore_eos
        assert not detokenize
        self.n, self.seed, self.stop_token_ids = n, seed, stop_token_ids
        self.config = SamplingConfig(
            temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, max_new_tokens=max_tokens
        )


class LLM:
    """A checkpoint, loaded by transformers; only one may be open."""

    open_now: ClassVar[int] = 0
    opened: ClassVar[list[Path]] = []
    environment: ClassVar[dict[str, str]] = {}
    on_open: ClassVar[list[Callable[[], None]]] = []

    def __init__(
        self,
        model: str,
        dtype: str,
        skip_tokenizer_init: bool,
        generation_config: str,
        max_model_len: int,
        block_size: int,
        enable_chunked_prefill: bool,
    ) -> None:
        assert (skip_tokenizer_init, generation_config, enable_chunked_prefill) == (True, "vllm", False)
        assert LLM.open_now == 0, "the one before was not closed"
        for told in LLM.on_open:
            told()
        LLM.open_now += 1
        LLM.opened.append(Path(model))
        LLM.environment = dict(os.environ)
        self._model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            model, dtype=getattr(torch, dtype)
        )
        self._model.eval()
        assert block_size == 32
        assert max_model_len <= self._model.config.max_position_embeddings
        self.llm_engine = SimpleNamespace(engine_core=SimpleNamespace(shutdown=self._shutdown))

    def _shutdown(self) -> None:
        LLM.open_now -= 1

    def generate(
        self, prompts: list[dict[str, list[int]]], params: list[SamplingParams], use_tqdm: bool
    ) -> list[SimpleNamespace]:
        assert not use_tqdm
        ends = params[0].stop_token_ids
        drawn = sample(
            self._model,
            IDS,
            [prompt["prompt_token_ids"] for prompt in prompts],
            params[0].n,
            params[0].config,
            [param.seed for param in params],
            end_tokens=ends,
        )
        return [SimpleNamespace(outputs=[_completion(answer, ends) for answer in some]) for some in drawn]


def _completion(answer: Any, ends: list[int]) -> SimpleNamespace:
    """As vLLM has it: the token that ended an answer is among its tokens."""
    tokens = [int(word) for word in answer.text.split()] + ([ends[0]] if answer.finished else [])
    return SimpleNamespace(token_ids=tokens, finish_reason="stop" if answer.finished else "length")


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> type[LLM]:
    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, SamplingParams  # pyright: ignore[reportAttributeAccessIssue]
    platforms = ModuleType("vllm.platforms")
    platforms.current_platform = SimpleNamespace(device_type="cpu")  # pyright: ignore[reportAttributeAccessIssue]
    module.platforms = platforms  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.platforms", platforms)
    monkeypatch.setattr(LLM, "open_now", 0)
    monkeypatch.setattr(LLM, "opened", [])
    return LLM


@pytest.fixture
def no_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("checkpoint")
    make_model("llama", tied=False).save_pretrained(directory)
    return directory


@pytest.mark.usefixtures("vllm")
@pytest.mark.parametrize("tokenizer", [IDS, make_tokenizer()], ids=["ids", "with special tokens"])
def test_it_samples_what_the_other_engine_is_asked_for(
    checkpoint: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = make_model("llama", tied=False)
    expected = sample(model, tokenizer, PROMPTS, 6, SETTINGS, SEEDS, end_tokens=ENDS)
    with VllmEngine(checkpoint, tokenizer, torch.float32) as engine:
        drawn = engine.sample(PROMPTS, 6, SETTINGS, SEEDS, end_tokens=ENDS)
    assert drawn == expected
    assert {answer.finished for answers in drawn for answer in answers} == {True, False}


def test_it_is_closed_at_the_end(checkpoint: Path, vllm: type[LLM]) -> None:
    with VllmEngine(checkpoint, IDS, torch.float32) as engine:
        assert vllm.open_now == 1
        engine.sample(PROMPTS, 1, SETTINGS, SEEDS, end_tokens=ENDS)
    assert vllm.open_now == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": (), "seeds": ()}, "nothing to answer"),
        ({"seeds": (1,)}, "1 seeds are given for 2 prompts"),
        ({"end_tokens": ()}, "nothing ends an answer"),
        ({"config": SamplingConfig(max_new_tokens=508)}, r"5 tokens .* up to 508, but there is room for 512"),
    ],
)
def test_what_cannot_be_sampled(
    checkpoint: Path, vllm: type[LLM], changes: dict[str, Any], message: str
) -> None:
    request: dict[str, Any] = {
        "prompts": PROMPTS,
        "num_samples": 2,
        "config": SETTINGS,
        "seeds": SEEDS,
        "end_tokens": ENDS,
    }
    with pytest.raises(ValueError, match=message), VllmEngine(checkpoint, IDS, torch.float32) as engine:
        engine.sample(**(request | changes))
    assert vllm.open_now == 0


def test_settings_that_vllm_would_sample_otherwise_are_refused() -> None:
    with pytest.raises(ValueError, match=r"min_p is 0\.1 and top_p is 0\.9: .* other order"):
        sampling_settings(SamplingConfig(min_p=0.1, top_p=0.9))
    with pytest.raises(ValueError, match=r"temperature is 0\.001, and vLLM would take 0\.01"):
        sampling_settings(SamplingConfig(temperature=0.001))
    assert sampling_settings(SamplingConfig(temperature=0, top_p=0.9, top_k=3, max_new_tokens=5)) == {
        "temperature": 0,
        "top_k": 3,
        "top_p": 0.9,
        "min_p": 0.1,
        "max_tokens": 5,
    }


@pytest.mark.parametrize(
    ("config", "same"),
    [
        (SamplingConfig(temperature=1.3, min_p=0.1, top_k=4), True),
        (SamplingConfig(temperature=0.7, min_p=0.0, top_k=6, top_p=0.8), True),
        (SamplingConfig(temperature=1.3, min_p=0.1, top_p=0.9), False),
    ],
)
def test_the_order_matters_for_min_p_and_top_p_only(config: SamplingConfig, same: bool) -> None:
    logits_BV = torch.randn(200, 20, generator=torch.Generator().manual_seed(0)) * 2
    # Min-p first, as vLLM has it; the other settings act on what it left.
    first = token_probabilities(logits_BV, dataclasses.replace(config, top_k=0, top_p=1.0))
    then = token_probabilities(first.log(), dataclasses.replace(config, min_p=0.0, temperature=1.0))
    assert torch.allclose(then, token_probabilities(logits_BV, config), atol=1e-6) == same


@pytest.mark.usefixtures("no_vllm")
def test_without_vllm_it_says_how_to_get_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"vLLM cannot be imported .*environment of its own.*docs/vllm\.md"):
        import_vllm()
    assert (
        main(["run", "crc_search", "--engine", "vllm", "--wandb", "disabled", "--output-dir", str(tmp_path)])
        == 2
    )
    assert "docs/vllm.md" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert engine_agreement.main([]) == 2


@pytest.mark.usefixtures("vllm")
def test_vllm_must_be_built_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    check_usable("cpu")
    with pytest.raises(ValueError, match=r"device is cuda:1, and the installed vLLM computes on cpu"):
        check_usable("cuda:1")
    monkeypatch.setattr("vllm.platforms.current_platform.device_type", "cuda")
    check_usable("cuda:1")


@pytest.mark.usefixtures("vllm")
def test_several_processes_may_not_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    check_usable("cpu", num_sharing=2)
    monkeypatch.setattr("vllm.platforms.current_platform.device_type", "cuda")
    with pytest.raises(ValueError, match=r"--device cuda:0 is given to 2 processes.*leave --device out"):
        check_usable("cuda:0", num_sharing=2)


def test_the_launcher_is_hidden_from_vllms_process_only(
    checkpoint: Path, vllm: type[LLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    before = dict(os.environ)
    with VllmEngine(checkpoint, IDS, torch.float32):
        pass
    assert dict(os.environ) == before
    assert vllm.environment == {name: value for name, value in before.items() if name not in launched}


@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [
        ("cuda", None, "0"),
        ("cuda:3", None, "3"),
        ("cuda:1", "4,5,6", "5"),
        ("cuda:2", "GPU-a,GPU-b,GPU-c", "GPU-c"),
    ],
)
def test_vllms_process_sees_the_gpu_of_its_own_slr_process_only(
    device: str, visible: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert variables_of_engine(device)["CUDA_VISIBLE_DEVICES"] == expected
    assert "CUDA_VISIBLE_DEVICES" not in variables_of_engine("cpu")


@pytest.fixture
def settings(settings_after_search: RunSettings) -> RunSettings:
    return settings_after_search


def run(settings: RunSettings, config: DownstreamConfig = QA) -> list[AnyRecord]:
    experiment = downstream_experiment("tested", "?", config, SMOKE)
    assert not run_experiment(experiment, SPEC, settings).failed
    return store_of(experiment, settings.output_dir).read()


def test_a_study_gives_vllm_each_model_and_frees_all_else(
    settings: RunSettings, vllm: type[LLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [record for record in run(settings) if isinstance(record, Samples)]
    (settings.output_dir / "tested.jsonl").unlink()
    loaded: list[weakref.ref[PreTrainedModel]] = []
    load_spec = checkpoints.load_spec

    def watched(*arguments: Any, **options: Any) -> checkpoints.ModelPair:
        pair = load_spec(*arguments, **options)
        loaded.extend((weakref.ref(pair.base_model), weakref.ref(pair.instruct_model)))
        return pair

    def nothing_else_is_loaded() -> None:
        gc.collect()
        assert loaded
        assert all(model() is None for model in loaded)

    monkeypatch.setattr(checkpoints, "load_spec", watched)
    monkeypatch.setattr(vllm, "on_open", [nothing_else_is_loaded])
    left_by_a_killed_process = settings.output_dir / ".vllm-checkpoint-0" / "2-written.safetensors"
    left_by_a_killed_process.parent.mkdir()
    left_by_a_killed_process.touch()
    records = run(dataclasses.replace(settings, engine="vllm"))
    drawn = [record for record in records if isinstance(record, Samples)]
    assert {record.method for record in drawn} >= {"instruct", "base"}
    assert [r.model_dump(exclude={"provenance"}) for r in drawn] == [
        r.model_dump(exclude={"provenance"}) for r in expected
    ]
    assert len(vllm.opened) == len({record.method for record in drawn})
    assert len(set(vllm.opened)) == 1, "vLLM compiles anew for another path"
    assert not vllm.opened[0].exists()
    assert vllm.open_now == 0


def test_results_of_two_engines_are_not_mixed(settings: RunSettings) -> None:
    run(settings)
    with pytest.raises(ValueError, match="engine was transformers and is now vllm"):
        run(dataclasses.replace(settings, engine="vllm"))


def test_the_search_is_the_same_for_both_engines(settings: RunSettings) -> None:
    outcome = run_experiment(crc_experiment(SMOKE), SPEC, dataclasses.replace(settings, engine="vllm"))
    assert outcome.cells_run == 0


def test_a_record_without_an_engine_is_of_transformers(settings: RunSettings) -> None:
    records = run(settings)
    path = settings.output_dir / "tested.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows[0].pop("engine") == "transformers"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [record for record in run(settings) if not isinstance(record, Configuration)] == [
        record for record in records if not isinstance(record, Configuration)
    ]

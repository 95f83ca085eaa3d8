# Two commands from a fresh clone: `make demo` and `make test`. Both set up what is missing first.
PYTHON ?= python3
BIN := .venv/bin
# The lock, constraints.txt, is what was tested. LATEST=1 takes the newest packages that
# pyproject.toml allows instead; the stamp remembers which of the two .venv holds.
LATEST ?=
STAMP := .venv/.$(if $(LATEST),latest,locked)
VERSIONS := $(if $(LATEST),--upgrade --upgrade-strategy eager,--constraint constraints.txt)

# Tests on each core, up to four at a time; whoever is done takes tests from another. Each computes
# in one thread, since the cores are taken. ARGS="-n 0", behind it, is one at a time in one process.
CORES := -n logical --maxprocesses 4
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(CORES) --dist worksteal

.PHONY: help setup demo test bars test-lowest lab lint lock notebooks docs slides release clean FORCE

help:
	@echo "make demo   TOAST against cross-entropy on real images: a table and demo/report.html"
	@echo "make test   every test, the notebooks, then style and types"
	@echo "            LATEST=1, here and above: with the newest packages in place of the lock's"
	@echo "make lab    JupyterLab on notebooks/ (this machine only, behind its token; ARGS=--expose: others too)"
	@echo "make bars   times what has a limit, and fails where one is passed (minutes; an idle machine)"
	@echo "make lint   style and types alone"
	@echo "make docs   the documentation as a site, build/site, with every link in it followed"
	@echo "make notebooks  makes the notebooks again from notebooks/src"
	@echo "make slides  the lecture's slides, build/course/lecture.html; make release: assignments for nbgrader"
	@echo "make lock   writes constraints.txt and docs/dependencies.md from today's newest packages"
	@echo "make test-lowest  the tests on the oldest packages allowed, in .venv-lowest (several GB)"
	@echo "make setup  only the virtual environment .venv; nothing to do where it is current"

setup: $(STAMP)

# The stamp is as old as the files it was made from; a moved or half-made .venv is made anew.
$(STAMP): pyproject.toml constraints.txt $(if $(LATEST),FORCE)
	@echo "Setting up .venv$(if $(LATEST), with the newest packages) (once; a few minutes, most of it PyTorch) ..."
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v < (3, 14) else "toastlab needs Python 3.10 to 3.13, this is %d.%d; name another one: make PYTHON=python3.12" % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@rm -f .venv/.locked .venv/.latest
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(VERSIONS) --editable ".[test]"
	@touch $@
	@echo "Set up."

demo: setup
	@$(BIN)/toastlab demo $(ARGS)

# Tests first: neither style nor types stand between a user and them. All parts run, and it fails if
# one of them did. What ruff and mypy say depends on their versions and on the packages' stubs: only
# with the lock's does it count.
test: setup
	@failed=""; \
	echo "Running the tests ..."; \
	$(TESTS) $(ARGS) || failed="$$failed tests"; \
	echo "Running the notebooks, and comparing their outputs with the stored ones ..."; \
	$(BIN)/python -m pytest $(CORES) --dist loadfile --nbval --nbval-current-env notebooks || failed="$$failed notebooks"; \
	$(if $(LATEST),echo "Style and types are left to the lock's packages: make test",$(MAKE) --no-print-directory lint || failed="$$failed lint"); \
	if [ -n "$$failed" ]; then echo "Failed:$$failed"; exit 1; fi

# Limits on time: not in `make test`, since a busy machine would fail them.
bars: setup
	@failed=0; \
	$(BIN)/toastlab bench --bars $(ARGS) || failed=1; \
	$(BIN)/python -m pytest -m bar || failed=1; \
	exit $$failed

# Browser and notebooks stay out: they hold for what is stored, made with newer packages.
test-lowest:
	@test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	@.venv-lowest/bin/python docs/dependencies.py --lowest > .venv-lowest/lowest.txt
	@.venv-lowest/bin/python -m pip install --quiet --constraint .venv-lowest/lowest.txt --editable ".[test]"
	@.venv-lowest/bin/python -m pytest --ignore tests/browser/test_browser.py --ignore tests/course/test_notebooks.py --ignore tests/test_dependencies.py $(ARGS)

lint: setup
	@echo "Checking style and types ..."
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# uv resolves for every Python and system at once, which pip does not. Then the newest are installed
# and their licences written down; run `make test` before the lock is committed.
lock: setup
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	@$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.10 --upgrade --no-annotate --custom-compile-command "make lock" --extra test --output-file constraints.txt pyproject.toml
	@$(MAKE) --no-print-directory setup
	@$(BIN)/python docs/dependencies.py

lab: setup
	@$(BIN)/toastlab lab $(ARGS)

notebooks: setup
	@$(BIN)/python notebooks/build.py $(ARGS)

# For lecturers: notebooks/course/README.md.
slides release: setup
	@$(BIN)/python notebooks/course/$@.py $(ARGS)

# A warning is an error. The notebooks are shown as they are stored, not run.
docs: setup
	@echo "Building the site ..."
	@$(BIN)/python -m sphinx -q -W --keep-going -c docs/site -d build/doctrees $(ARGS) . build/site
	@$(BIN)/python docs/site/check.py build/site

clean:
	rm -rf .venv .venv-lowest build demo runs .mypy_cache .ruff_cache .pytest_cache

# Needs Python 3.10 or newer and a package index; everything else is installed into .venv.
# Another Python: make PYTHON=python3.12 test.  Another environment: make VENV=.venv312 test.

VENV ?= .venv
PYTHON ?=
MINUTES ?= 0.5
FUZZ_SECONDS ?= 600
TEXT ?= tinyshakespeare.txt
# One process of pytest for each core; make PARALLEL= test runs the tests in one process.
PARALLEL ?= --numprocesses=auto --dist=worksteal

BIN := $(VENV)/bin
DEMO := build/demo
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.10 python

unexport PYTHONPATH
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-torch check format bench docs man package lowest pictures mutants torture fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/runtime.stamp ## train on dinosaur names for half a minute, sample ten, score two
	@mkdir -p $(DEMO)
	$(BIN)/charlm train corpora/dinosaurs.txt --lines --minutes $(MINUTES) --model $(DEMO)/dinosaurs.safetensors --overwrite
	$(BIN)/charlm sample --model $(DEMO)/dinosaurs.safetensors -n 10 --seed 3
	$(BIN)/charlm score --model $(DEMO)/dinosaurs.safetensors "Velocisaurus" "Vlcsrseouaiu"

test: check ## static checks, then all tests that need no PyTorch, with coverage
	$(BIN)/python -m pytest $(PARALLEL) --cov=charlm

test-torch: $(VENV)/torch.stamp ## install PyTorch, then the tests that need it, with coverage
	COVERED=charlm.engines $(BIN)/python -m pytest $(PARALLEL) --cov --cov-fail-under=90 \
		tests/engines $$(grep -rl --include='test_*.py' 'importorskip("torch' tests)

check: $(VENV)/dev.stamp ## static checks alone: ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.stamp ## format the code with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev.stamp ## measure speed and memory (about 20 minutes)
	$(BIN)/python -m benchmarks speed

docs: $(VENV)/docs.stamp ## write the generated pages of docs/reference, then build the site in build/docs
	$(BIN)/python docs/commands.py
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs build/docs

man: $(VENV)/runtime.stamp ## write the man pages into build/man
	$(BIN)/python docs/man_pages.py build/man

package: $(VENV)/dev.stamp ## build wheel and sdist, and try them in an empty environment
	rm -rf build/package
	$(BIN)/python -m build --outdir build/package .
	$(BIN)/python -m twine check --strict build/package/*
	$(BIN)/python -m tests.package build/package

lowest: ## all tests with the lowest supported versions (tests/lowest.txt), on Python 3.10
	PIP_CONSTRAINT=tests/lowest.txt $(MAKE) VENV=.venv-lowest PYTHON=python3.10 .venv-lowest/dev.stamp
	.venv-lowest/bin/python -m pytest $(PARALLEL)

pictures: $(VENV)/dev.stamp ## train on TEXT=FILE and draw the pictures of README and docs (about 10 minutes)
	$(BIN)/python docs/pictures.py $(TEXT)

mutants: $(VENV)/dev.stamp ## apply deliberate faults one at a time; a test must fail for each
	$(BIN)/python -m tests.mutants

torture: $(VENV)/dev.stamp ## kill training runs at 200 random moments and check that nothing is lost
	$(BIN)/python -m pytest -m torture --capture=no

fuzz: $(VENV)/dev.stamp ## fuzz the readers of models and texts, FUZZ_SECONDS each
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@mkdir -p build/fuzz
	@for target in fuzz/fuzz_*.py; do \
		echo "$$target"; \
		$(BIN)/python "$$target" -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=build/fuzz/ || exit 1; \
	done

clean: ## delete everything that make creates
	rm -rf $(VENV) .venv-lowest build dist htmlcov .coverage .coverage.* *.egg-info \
		.hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find charlm tests -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@for python in $(or $(PYTHON),$(CANDIDATES)); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || continue; \
		if "$$python" -m venv $(VENV); then exit 0; fi; \
		rm -rf $(VENV); \
		echo "make: $$python cannot create a virtual environment: install its venv module" \
			"(on Debian and Ubuntu: apt install python3-venv)" >&2; \
		exit 1; \
	done; \
	echo "make: charlm needs Python 3.10 or newer, and none of these is: $(or $(PYTHON),$(CANDIDATES))." \
		"Install one, or name it: make PYTHON=/path/to/python3" >&2; \
	exit 1

$(VENV)/runtime.stamp: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/dev.stamp: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/runtime.stamp

$(VENV)/docs.stamp: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

$(VENV)/torch.stamp: $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[torch-test]'
	@touch $@

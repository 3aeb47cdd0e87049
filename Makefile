PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Further interpreters, tested where they can be had.
OTHERS ?= 3.12 3.13 3.14 3.15
# Many tests wait for something, so three run at once on two cores.
TOGETHER := -n 3 --dist worksteal
# Hundreds of tests start interpreters; a third of such a start would be compiling our own modules.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-mutants test-full test-others test-all soak check lint types variables stubs stubs-check build bench bench-others clean

demo: $(VENV)/runtime  ## Run the company lookup and show its entries as people and machines see them.
	@sh scripts/demo.sh $(BIN)/python

test: $(VENV)/ready  ## Run every test with branch coverage, those that take long at a smaller size.
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest $(TOGETHER) -m 'not mutant'
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --fail-under=95

test-mutants: $(VENV)/ready  ## Break the library in each way that a test has to notice.
	$(BIN)/python -m pytest -q $(TOGETHER) -m 'mutant and not alone'
	$(BIN)/python -m pytest -q --size full -m 'mutant and alone'

test-full: $(VENV)/ready  ## Run at full size what `make test` makes smaller or skips.
	$(BIN)/python -m pytest -q --size full $(TOGETHER) -m 'sized and not alone and not mutant'
	$(BIN)/python -m pytest -q --size full -m 'alone and not mutant'

test-others: $(VENV)/runtime  ## Run what `make test` runs at once on the other Pythons that can be had.
	@TESTS="$(TESTS)" sh scripts/test_others.sh $(BIN)/python $(OTHERS)

test-all: test test-mutants test-full test-others  ## All of these: what CI runs.

soak: $(VENV)/ready  ## The long forms of the fault tests: about half an hour.
	$(BIN)/python -m pytest -q --size soak -m 'sized and not mutant' -o timeout=1200 tests/faults

check: lint types  ## Lint, format and strict types, of the tests too.

lint: $(VENV)/checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	git ls-files | xargs $(BIN)/codespell

types: $(VENV)/checks
	$(BIN)/mypy

variables: $(VENV)/ready  ## Write the tables of variables in README and specification.
	$(BIN)/python scripts/variables.py

stubs:  ## Generate the tests' stubs of relay.proto.
	sh scripts/relay_stubs.sh $(PYTHON)

stubs-check:  ## Check that they are current.
	sh scripts/relay_stubs.sh $(PYTHON) --check

build: $(VENV)/checks  ## Wheel and sdist in dist/.
	rm -rf build dist
	$(BIN)/python -m build --outdir dist .

bench: $(VENV)/bench-ready  ## Compare with the floor and with other loggers: under four minutes.
	$(BIN)/python benchmarks/run.py --markdown benchmarks/RESULTS.md

bench-others:  ## The same, quickly, on every other interpreter.
	@for version in $(OTHERS); do \
	  python=$$(sh scripts/interpreter.sh $$version); \
	  if [ -n "$$python" ]; then \
	    echo "Python $$version:"; \
	    $(MAKE) --no-print-directory VENV=.venv-$$version PYTHON=$$python .venv-$$version/bench-ready \
	      && .venv-$$version/bin/python benchmarks/run.py --quick \
	           --markdown benchmarks/RESULTS-$$version.md \
	      || exit 1; \
	  else echo "Python $$version is not on this machine: not measured."; fi; done

clean:
	rm -rf .venv .venv-* build dist logs src/*.egg-info src/sovdev_logger/_safety/*.so .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/runtime: pyproject.toml setup.py src/sovdev_logger/_safety/prefilter_scan.c
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/ready: $(VENV)/runtime
	$(BIN)/python -m pip install --quiet --editable . --group test
	@touch $@

$(VENV)/bench-ready: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --group test --group bench
	@touch $@

$(VENV)/checks: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --group test --group check
	@touch $@

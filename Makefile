PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Further interpreters, tested where they can be had.
OTHERS := 3.12 3.13 3.14 3.15
# Most fault tests wait for something, so several run at once; those that measure run alone.
TOGETHER := -n 3 --dist worksteal -m 'not alone'
# Hundreds of tests start interpreters; a third of such a start would be compiling our own modules.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-others soak check lint types variables stubs stubs-check build bench bench-others clean

demo: $(VENV)/runtime  ## Run the company lookup and show its entries as people and machines see them.
	@sh scripts/demo.sh $(BIN)/python

test: $(VENV)/ready  ## Run every test with branch coverage, then again on every other interpreter.
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest $(TOGETHER)
	$(BIN)/python -m coverage run -m pytest -m alone
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --fail-under=95
	@$(MAKE) --no-print-directory test-others

test-others: $(VENV)/runtime  ## The same on the other Pythons, of this machine or of Debian's unstable suite.
	@TESTS="$(TESTS)" sh scripts/test_others.sh $(BIN)/python $(OTHERS)

soak: $(VENV)/ready  ## The long forms of the fault tests: about half an hour.
	SOAK=1 $(BIN)/python -m pytest -q -m 'not mutant' -o timeout=1200 tests/faults

check: lint types  ## Lint, format and strict types.

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

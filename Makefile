# gate2hw. `make demo` and `make test` are all that a newcomer needs; set-up is pip alone.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TARGET ?= ice40-hx8k
MODEL ?= build/digits
CLOCK_MHZ ?=
PYTEST_ARGS ?=
PEER_PYTHON ?= python3.12

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full test-lowest check lint synth verify report doctor bench peers wheel clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: pyproject.toml constraints.txt $(wildcard gate2hw/*/native/*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "gate2hw needs Python 3.11 to 3.13; run: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(VENV)/.installed  ## make .venv and install gate2hw in it

demo: setup  ## train, compile, check, place and route the digits classifier
	$(BIN)/gate2hw demo -o $(MODEL)

test: setup  ## all tests (minutes)
	$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

test-full: setup  ## all tests and long proofs, faults planted in every block; writes their list
	$(BIN)/python -m pytest -n 2 --dist worksteal -m '' $(PYTEST_ARGS)
	$(BIN)/python benchmarks/mutations.py

check: setup lint  ## the fast loop: lint, types and the tests that are not marked slow
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow' -q $(PYTEST_ARGS)

test-lowest: setup  ## the fast tests on the lower bounds of pyproject.toml (gigabytes of torch)
	$(PYTHON) -m venv build/lowest
	build/lowest/bin/pip install --quiet -c constraints-lowest.txt -e . pytest pytest-xdist hypothesis
	build/lowest/bin/python -m pytest -n 2 --dist worksteal -m 'not slow' -q

lint: setup  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

build/digits/model.safetensors: | setup
	$(BIN)/gate2hw train digits -o build/digits

$(MODEL)/build.json: $(MODEL)/model.safetensors | setup
	$(BIN)/gate2hw compile $(MODEL) -o $(MODEL)

synth: $(MODEL)/build.json  ## synth TARGET=ecp5-25k MODEL=build/digits [CLOCK_MHZ=50]
	$(BIN)/gate2hw synth $(MODEL) --target $(TARGET) $(if $(CLOCK_MHZ),--clock-mhz $(CLOCK_MHZ))

verify: setup  ## check the build in MODEL=build/digits
	$(BIN)/gate2hw verify $(MODEL)

report: setup  ## write the report of MODEL=build/digits
	$(BIN)/gate2hw report $(MODEL)

doctor: setup  ## which tools are there, and how to get the others
	$(BIN)/gate2hw doctor

bench: setup  ## compile speed from 10^4 gates to CIFAR G (77 million)
	$(BIN)/python benchmarks/compile.py

peers: build/peers/torchlogix/.installed build/peers/difflogic/.installed  ## the programs that benchmarks compare with (Python 3.12+)

build/peers/torchlogix/.installed:
	$(PEER_PYTHON) -m venv build/peers/torchlogix
	build/peers/torchlogix/bin/python -m pip install --quiet torch==2.13.0 torchlogix==0.2.2
	@touch $@

build/peers/difflogic/.installed: benchmarks/peers/difflogic_install.py
	$(PYTHON) -m venv build/peers/difflogic
	build/peers/difflogic/bin/python -m pip install --quiet torch==2.13.0 numpy setuptools wheel
	build/peers/difflogic/bin/python $<
	@touch $@

wheel: setup  ## build the wheel into dist/
	$(BIN)/python -m build --wheel

clean:  ## delete what make made, the virtual environment aside
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

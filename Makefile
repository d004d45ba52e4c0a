# `make help` lists the targets. Each does its own set-up: a virtual environment in
# .venv, which is done again when pyproject.toml or constraints.txt change.

PYTHON ?= python3
# Index to take torch from; empty for the usual one. The small build for Linux without a
# GPU: make test TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
TORCH := torch==2.13.0
TORCHVISION := torchvision==0.28.0

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest
INSTALLED := $(VENV)/.installed
PARITY_INSTALLED := $(VENV)/.installed-parity
CHECKED := src tests training benchmarks

# Microscopy images for those tests that need real ones; they are skipped without.
ifndef CELLPROMPT_DATA
ifneq ($(wildcard ../shared/data),)
export CELLPROMPT_DATA := $(abspath ../shared/data)
endif
endif

# Tests run many small jobs: more threads would only wait for each other. As many
# processes as this share them by files, so that what a module sets up is set up once.
PROCESSES ?= 2
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE
SHARED := -n $(PROCESSES) --dist loadfile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed 's/:.*## /\t/' | expand -t 12

.PHONY: demo
demo: $(INSTALLED) ## Segment a real and a simulated image with the bundled model
	$(BIN)/cellprompt demo

.PHONY: test
test: $(INSTALLED) system ## Run the tests, less the slow ones and the comparisons
	$(PYTEST) -m "not slow and not parity and not alone" $(SHARED)
	$(PYTEST) -m "alone and not slow and not parity"

.PHONY: test-all
test-all: $(INSTALLED) system ## Run the tests with the slow ones, less the comparisons
	$(PYTEST) -m "not parity and not alone" $(SHARED)
	$(PYTEST) -m "alone and not parity"

# TF32 would round away the digits that are compared.
.PHONY: parity
parity: $(PARITY_INSTALLED) ## Compare with the reference packages
	NVIDIA_TF32_OVERRIDE=0 $(PYTEST) -m parity tests/parity

.PHONY: lint
lint: $(INSTALLED) ## Check style, types, imports and the manifest
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/npe2 validate napari-cellprompt

.PHONY: docs
docs: $(INSTALLED) ## Build the site into site/; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.PHONY: bench
bench: $(INSTALLED) ## Count clicks, measure how far a prompt reaches; needs CELLPROMPT_DATA
	$(BIN)/python benchmarks/noc.py
	$(BIN)/python benchmarks/curves.py

.PHONY: bench-docs
bench-docs: $(INSTALLED) ## Write the figures of README and site from benchmarks/history
	$(BIN)/python docs/generate.py --readme
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.PHONY: pictures
pictures: $(INSTALLED) system ## Take the pictures of README and site from the real window
	$(BIN)/python docs/pictures.py

.PHONY: format
format: $(INSTALLED) ## Format the code and repair what can be repaired
	$(BIN)/ruff check --fix $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

.PHONY: system
system: # System libraries that Qt needs on Linux
	@./.ci/system-libraries

.PHONY: install
install: $(INSTALLED) ## Make .venv with everything but the reference packages

.PHONY: clean
clean: ## Remove .venv and what the tools left behind
	rm -rf $(VENV) .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch comes first and alone, so that nothing else can choose another build of it. The
# reference packages are built against what is installed, which takes setuptools.
$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install "setuptools>=77.0.3" wheel
	$(PIP) install $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(PIP) install -c constraints.txt -e ".[dev]" "napari[pyqt6]"
	touch $@

$(PARITY_INSTALLED): tests/parity/requirements.txt $(INSTALLED)
	$(PIP) install $(TORCHVISION) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	SAM2_BUILD_CUDA=0 $(PIP) install --no-deps --no-build-isolation -r $<
	# EdgeTAM's package is called sam2 as well: beside the others, not among them
	$(PIP) install --no-deps --upgrade --target $(VENV)/edgetam edgetam-dimos==1.0.1
	touch $@

# Every command of the project. `make` lists them.
#
# A fresh clone needs python3.11, make and git; everything else goes into .venv.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
BROWSER := $(VENV)/browser
# Compilers call their plugins by name.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Two workers; a file stays on one of them, so that what a module starts is started once.
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder

# What `make images` builds; empty: all, or what `make chart-real` needs at least, which puts archives there.
IMAGES ?=
ARCHIVES ?= build/images

.PHONY: help setup demo test up lint format docs proto bench bench-serving soak fuzz images locks chart chart-real dev clean

help: ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: $(STAMP) ## Create .venv and install everything into it (once for each pyproject.toml)

demo: $(STAMP) ## Tell the whole story on real sensor data, with a report (about four minutes)
	$(BIN)/onecode demo

test: $(STAMP) $(BROWSER) ## Run all tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

up: $(STAMP) ## Start the platform on this machine and leave it running until Ctrl-C
	$(BIN)/onecode up

lint: $(STAMP) ## Check format, style, types, arrows and generated code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy libs services edge-agent proto/generate.py deploy/helm/schema.py
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/architecture/test_contracts_are_fresh.py

format: $(STAMP) ## Format the code, and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## Make the reference pages from the programs
	$(BIN)/python docs/generate.py
	$(BIN)/python deploy/helm/schema.py

proto: $(STAMP) ## Make the Python code of every contract
	$(BIN)/python proto/generate.py

bench: $(STAMP) ## Measure the verdicts; prints ratios, keeps results beside the code
	$(BIN)/python bench/rollout_verdicts.py

bench-serving: $(STAMP) ## Measure the model server against its goals (about eight minutes on a quiet machine)
	$(BIN)/python -m bench.serving

soak: $(STAMP) ## Load and let go of versions for ten minutes, and see the memory stay flat
	$(BIN)/python -m bench.serving.soak

fuzz: $(STAMP) ## Fuzz everything that reads bytes of strangers, bounded; keeps the tally
	$(BIN)/python -m pip install -q atheris==3.0.0
	$(BIN)/python tests/fuzz/run.py

images: ## Build the images with docker, podman or buildah: make images IMAGES="inference edge"
	$(PYTHON) deploy/images/build.py $(IMAGES)

locks: $(STAMP) ## Resolve the packages of every image again, with hashes
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python deploy/images/lock.py

chart: $(STAMP) ## Render, lint and validate the chart, and install it on a real API server where there is one
	$(BIN)/python -m pytest $(PYTEST_ARGS) tests/chart --ignore=tests/chart/real

chart-real: $(STAMP) ## Build the images and use them on a node that runs containers (root; about seven minutes)
	IMAGES="$(IMAGES)" ARCHIVES="$(ARCHIVES)" tests/chart/real/run

dev: ## Build, install and watch with skaffold: make dev PROFILE=services
	skaffold dev --profile $(or $(PROFILE),single)

clean: ## Remove .venv and everything that was made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install it, or name another with PYTHON=..."; exit 1; }
	@echo "== creating $(VENV) (once; about two minutes, 2 GB)"
	@$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -e ".[dev]"
	@touch $@

# Pages are tested in a real browser. Where it cannot be installed those tests say so and are skipped.
$(BROWSER): $(STAMP)
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "== installing chromium"; \
		{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends chromium fonts-noto-cjk; } \
			|| echo "chromium could not be installed: tests of pages will be skipped"; \
	else \
		echo "chromium is missing: tests of pages will be skipped; install it with: apt-get install chromium"; \
	fi
	@touch $@

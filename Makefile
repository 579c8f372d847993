# Two commands do the work: `make run` and `make test`. Both set up what is missing and say what they install.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# files of tests run side by side, those that take long first: most of their time is waiting for containers, browsers and deadlines
ALONGSIDE = -n $(or $(JOBS),4) --dist loadfile --no-loadscope-reorder
export MCPWEB_DATA_DIR ?= $(CURDIR)/.data
# tests start hundreds of processes: what Python compiled once is kept, whatever the shell says
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup engine browser images run test soak lint bench image lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(VENV)/.stamp ## Make .venv with the mcpweb command in it

$(VENV)/.stamp: requirements.lock pyproject.toml tools/make-venv
	@tools/make-venv "$(PYTHON)"
	@touch $@

engine: ## Make sure that a container engine answers
	@tools/ensure-engine

browser: ## Make sure that a headless Chromium is there
	@tools/ensure-browser

images: ## Make sure that images can be built here
	@tools/ensure-image-tools

run: setup engine images ## Start the product with a demo server; prints the URL and the setup link
	@$(BIN)/mcpweb demo || echo "run: it starts without a demo server" >&2
	@exec $(BIN)/mcpweb serve

test: setup engine images browser ## Run all tests (TESTS=… for some of them, ARGS=… for pytest, JOBS=… at a time)
	@MCPWEB_REQUIRE_DOCKER=1 $(BIN)/python -m pytest $(if $(TESTS),$(if $(JOBS),$(ALONGSIDE)),$(ALONGSIDE)) $(or $(TESTS),tests e2e) $(ARGS)

soak: ## Run all tests with the sizes of the night, hours long (ARGS=… for pytest)
	@SOAK=1 $(MAKE) test ARGS="--timeout=7200 $(ARGS)"

lint: setup ## Style, types, SQL, templates, vendored files
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/sqlfluff lint --processes 1 -q sql
	@$(BIN)/djlint --lint --quiet templates
	@$(BIN)/python tools/vendor.py --check
	@tools/check-words

bench: setup engine images ## Measure the numbers of benchmarks/README.md
	@$(BIN)/python -m benchmarks $(ARGS)

image: setup ## Build the container image mcpweb:local from this checkout (BASE=… for another base)
	@rm -rf dist && $(BIN)/python -m hatchling build -t wheel -d dist >/dev/null
	@tar -c -C deploy Dockerfile build.lock requirements.lock -C .. dist | docker build $(if $(BASE),--build-arg BASE=$(BASE)) --tag mcpweb:local -

lock: ## Write requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 --group dev pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 --extra oidc -c requirements.lock pyproject.toml -o deploy/requirements.lock
	@echo uv | $(BIN)/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 - -o deploy/build.lock

clean: ## Remove .venv and caches; data stays
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache

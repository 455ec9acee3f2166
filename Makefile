# Every target starts from Python >= 3.10, git and make alone. What it needs beyond them goes into
# build/tools (uv, if the machine has none) and .venv; the system Python is never written to.
#
#   make test PYTHON=python3.12     this interpreter; else the first one, or one that is far faster
#   make demo EXAMPLE=none          one example instead of all, which run side by side
#   make test ARGS="-k workflows"   arguments for pytest; -n 0 runs all tests in one process
#   make release VERSION=1.2.0      what is committed, as this version

TOOLS := build/tools
UV := $(TOOLS)/bin/uv
VENV := .venv
BIN := $(VENV)/bin
OWN_PYTHON := extensions scripts tests benchmarks

# Importing MLflow from source takes seconds each time: let Python keep its .pyc files.
unexport PYTHONDONTWRITEBYTECODE
# An environment that happens to be active is none of ours.
unexport VIRTUAL_ENV
unexport PYTHONPATH

.PHONY: help demo test lint format docs pictures bench compat lock release clean FORCE
.DEFAULT_GOAL := help

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "  make %-8s %s\n", $$1, $$2 }'

demo: $(TOOLS)/ready ## render each example below build/, train, register, score, serve, ask it
	@exec $(TOOLS)/bin/python scripts/demo.py --uv $(UV) --python "$$(cat $(TOOLS)/interpreter)" --example '$(EXAMPLE)'

test: lint ## everything the continuous integration runs: lint, then all tests
	@PATH="$(CURDIR)/$(BIN):$(CURDIR)/$(TOOLS)/bin:$$PATH" sh scripts/test.sh $(BIN)/python $(ARGS)

lint: $(VENV)/ready build/lint/project ## format, rules, types (the rendered package's too), workflows
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet --output-format concise .
	$(BIN)/mypy $(wildcard $(OWN_PYTHON)) & own=$$!; \
	    (cd build/lint && ../../$(BIN)/mypy --config-file ../../pyproject.toml --package project) && wait $$own
	$(BIN)/actionlint .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet --no-progress .github/workflows

format: $(VENV)/ready ## put the Python sources in form
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format .

docs: $(VENV)/ready ## build the pages as a site in build/site; a link that leads nowhere fails
	@$(BIN)/python scripts/docs.py --uv $(UV)

pictures: $(TOOLS)/ready ## take the pictures in docs/images of this version; needs Chromium and Prometheus
	@$(UV) run --quiet --no-project --python "$$(cat $(TOOLS)/interpreter)" --with pillow==13.0.0 \
	    --with playwright==1.65.2 python scripts/pictures.py --uv '$(CURDIR)/$(UV)' $(ARGS)

bench: $(VENV)/ready ## measure what docs/benchmarks.md shows, beside plain Kedro and kedro-mlflow
	@PATH="$(CURDIR)/$(BIN):$(CURDIR)/$(TOOLS)/bin:$$PATH" $(BIN)/python -m benchmarks $(ARGS)

compat: $(TOOLS)/ready ## run a project's tests with the oldest and the newest libraries it allows
	@exec $(TOOLS)/bin/python scripts/compat.py --uv $(UV) $(ARGS)

lock: $(TOOLS)/ready ## renew requirements-dev.txt from the groups in pyproject.toml
	$(UV) pip compile --quiet --universal --upgrade --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make lock" --python-version 3.10 \
	    --group pyproject.toml:dev --output-file requirements-dev.txt

release: $(TOOLS)/ready ## VERSION=x.y.z: check the changelog, keep the template, commit and tag
	@$(TOOLS)/bin/python scripts/release.py '$(VERSION)'

clean: ## remove what make made
	rm -rf build $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The script decides whether anything is to be done: a machine's uv or Python may have changed.
$(TOOLS)/ready: FORCE
	@PYTHON='$(PYTHON)' sh scripts/bootstrap.sh $(TOOLS)

$(VENV)/ready: requirements-dev.txt $(TOOLS)/ready
	@echo "Making the development environment in $(VENV)"
	@$(UV) venv --quiet --clear --no-project --python "$$(cat $(TOOLS)/interpreter)" $(VENV)
	@$(UV) pip sync --quiet --require-hashes --python $(BIN)/python requirements-dev.txt
	@touch $@

# mypy refuses a package called `{{ package_name }}`: it gets to see it under another name.
build/lint/project: FORCE # the package under a name that can be imported, with the examples that are copied into it
	@rm -rf $@ && mkdir -p $@
	@ln -s '$(CURDIR)/template/src/{{ package_name }}/'* '$(CURDIR)/docs/examples/'*.py $@
	@for example in regression classification none; do ln -s \
	    "$(CURDIR)/template/{% if example == '$$example' %}.{% endif %}/src/{{ package_name }}/pipelines" $@/$$example; done
	@rm -f $@/pipelines && mv $@/regression $@/pipelines # One is left where a version without examples was.

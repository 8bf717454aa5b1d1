# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test quick lint types unit hooks docs release-check e2e-core e2e bench soak golden picture pictures vendor clean

# Rooms whose tests need no process, socket or backend, and what holds the house and its pages together.
QUICK := $(addprefix tests/,wire policy recorder mapping session sources config) \
         tests/test_architecture.py tests/test_docs.py tests/test_readme.py tests/test_workflow.py

demo: $(VENV)/.installed   ## install into .venv and watch a real agent session arrive over OTLP
	$(BIN)/otel-phi demo

test: lint types unit      ## what needs nothing but Python; CI runs e2e-core too

quick: lint types          ## while one works: half the tests in a minute; 20 examples a property, no streams drawn at random by phi-core
	HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest --numprocesses 2 --dist worksteal -k "not random_streams" $(QUICK)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

unit: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal

hooks: $(VENV)/.dev        ## ruff and mypy before each commit, as lint and types run them
	$(BIN)/pre-commit install

docs: $(VENV)/.docs        ## the site into site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

release-check: $(VENV)/bin/python  ## wheel and sdist, as PyPI would have them; the demo from the wheel in a fresh environment
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[release]"
	rm -rf build/release dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m venv build/release
	build/release/bin/pip install --quiet --disable-pip-version-check dist/*.whl
	cd build/release && bin/otel-phi --version && bin/otel-phi demo

e2e-core: $(VENV)/.dev     ## against the real Collector and the real Jaeger, built first: 8 minutes, then kept; skips without Go
	$(BIN)/python -m tests.e2e.backends
	$(BIN)/python -m pytest tests/e2e -m "not apps"

e2e: $(VENV)/.dev          ## the same and the backends that are Python packages
	$(BIN)/python -m tests.e2e.backends
	$(BIN)/python -m pytest tests/e2e

bench: $(VENV)/.dev        ## ratios against the SDK path, in one run; not part of CI
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev,bench]"
	-test -x $(VENV)/peers/bin/agent-session-otel || ($(BIN)/python -m venv $(VENV)/peers && $(VENV)/peers/bin/python -m pip install --quiet --disable-pip-version-check "agent-session-otel[otel]==0.2.0")
	$(BIN)/python -m tests.benchmarks

soak: $(VENV)/.dev         ## the whole numbers: 200 kills, 500 corruptions, a million sessions, 10 minutes (OTEL_PHI_SOAK_MINUTES)
	OTEL_PHI_SOAK=1 $(BIN)/python -m pytest $$(grep -rl --include='test_*.py' OTEL_PHI_SOAK tests)

picture: $(VENV)/.installed  ## the README's picture, drawn by the product itself
	$(BIN)/otel-phi show otel_phi/demo.jsonl --svg docs/trace.svg

pictures: $(VENV)/.dev     ## those of the page and of docs/backends.md, in a headless Chromium; what cannot be had here stays as it is
	$(BIN)/python -m tests.cli.page.pictures
	$(BIN)/python -m tests.e2e.pictures

vendor: $(VENV)/.dev       ## renews the page's libraries from the npm registry, the newest of each major version; needs npm
	$(BIN)/python -m tests.cli.page.vendor

golden: $(VENV)/.dev       ## asks the real phi-core again for the tests' golden data; needs cargo. RENEW=1 writes what differs, LOGS=1 also runs its agents
	$(BIN)/python -m tests.golden_renewal $(if $(RENEW),--renew) $(if $(LOGS),--logs)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@ $(VENV)/.installed

$(VENV)/.docs: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) build dist site tests/data/.unpacked

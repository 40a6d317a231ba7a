# make test: everything CI checks. make demo: see it work. Every target creates its environment first.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
NATIVE = hatch_build.py $(wildcard src/instructor_embedding/engine/native/*.[ch])
INTEGRATIONS = langchain haystack llama-index

.PHONY: test test-quick test-integrations test-lowest demo lint check types docs docs-serve pages dist clean

test: check
	$(BIN)/python -m pytest

# the tests that are not marked slow
test-quick: check
	$(BIN)/python -m pytest -m "not slow"

# one environment for each library: their requirements conflict
test-integrations: $(INTEGRATIONS:%=.integrations/%)
	$(PYTHON) tests/integrations/run.py --environments .integrations/frameworks

.integrations/%: $(NATIVE) pyproject.toml tests/test_integrations.py
	$(PYTHON) -m venv .integrations/$*-venv
	.integrations/$*-venv/bin/python -m pip install -q torch $(if $(wildcard constraints.txt),-c constraints.txt)
	.integrations/$*-venv/bin/python -m pip install -q pytest $$(sed -n 's/^# $*: //p' tests/test_integrations.py)
	.integrations/$*-venv/bin/python -m pip install -q --force-reinstall --no-deps .
	.integrations/$*-venv/bin/python -m pytest tests/test_integrations.py -k $(subst -,_,$*) --require-libraries
	touch $@

# the quick tests with the oldest dependencies that pyproject.toml allows
test-lowest:
	$(PYTHON) .ci/lowest.py --environment .lowest

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

demo: $(VENV)/ready
	$(BIN)/python examples/demo.py

lint: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/ready
	$(BIN)/mypy

# generated pages: docs/cli.md and the file tree in docs/architecture.md
pages: $(VENV)/ready
	$(BIN)/python docs/make_cli_page.py
	$(BIN)/python docs/make_tree.py

# the documentation site, in build/site
docs: pages $(VENV)/docs-ready
	$(BIN)/zensical build --strict --clean

docs-serve: $(VENV)/docs-ready
	$(BIN)/zensical serve

dist: $(VENV)/ready
	$(BIN)/python -m pip install -q build twine
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

# the install compiles the C sources; torch first, so that the pinned CPU build is used where an index has one
$(VENV)/ready: pyproject.toml constraints.txt $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev]"
	touch $@

$(VENV)/docs-ready: $(VENV)/ready
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) .demo .integrations .lowest dist build

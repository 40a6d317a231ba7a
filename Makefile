# make test: everything CI checks. make demo: see it work. Both make the environment first, where it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
NATIVE = hatch_build.py $(wildcard src/instructor_embedding/engine/native/*.[ch])

.PHONY: test demo lint types docs sanitize clean

test: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

demo: $(VENV)/ready
	$(BIN)/python examples/demo.py

lint: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/ready
	$(BIN)/mypy

# pages made by machine: docs/cli.md
docs: $(VENV)/ready
	$(BIN)/python docs/make_cli_page.py

# the compiled engine under the address, undefined behavior and thread sanitizers; what the compiler lacks is skipped
sanitize: $(VENV)/ready
	PYTHONPATH=. $(BIN)/python -m tests.native.sanitize

# the sources in C are compiled by the install; torch first: where an index holds a CPU build, the pinned version takes it
$(VENV)/ready: pyproject.toml constraints.txt $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .demo dist build

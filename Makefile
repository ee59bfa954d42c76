# The first interpreter that runs and is new enough (a version manager's shim may be found and still not run).
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt

.PHONY: help serve training test docs fuzz bench editing soak clean
help:  ## what can be made
	@echo "make serve     install the service into $(VENV) and serve models/ on 127.0.0.1:8000"
	@echo "make training  install vitrine-train (with PyTorch) into $(VENV)"
	@echo "make test      install what the tests need into $(VENV), then lint, check types and run the tests"
	@echo "make docs      install mkdocs into $(VENV) and build the documentation's site into build/site"
	@echo "make fuzz      45 minutes of damaged uploads, metadata and requests, then schemathesis (docs/hostile-inputs.md)"
	@echo "make bench     compare with the raw limit and other servers, 25 minutes on an idle machine; needs wrk (Debian's)"
	@echo "make soak      20 minutes of mixed and hostile traffic; both install into $(BENCH), write bench/results"
	@echo "make editing   how long one caller waits for each edit of a photo, two minutes"
	@echo "make clean     remove $(VENV) and $(BENCH)"

$(VENV)/created:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/serve-installed: $(VENV)/created pyproject.toml constraints.txt
	@echo "installing the service and its client (no torch)"
	$(PIP) -e '.[cpu,client]'
	@touch $@

serve: $(VENV)/serve-installed  ## serve the shipped models
	$(BIN)/vitrine serve

# torch goes first and alone, so that nothing else can choose another build of it.
$(VENV)/training-installed: $(VENV)/created pyproject.toml constraints.txt
	@echo "installing vitrine-train (about 1.5 GB, mostly PyTorch)"
	$(PIP) torch==2.13.0
	$(PIP) -e '.[training]'
	@touch $@

training: $(VENV)/training-installed  ## the offline half

$(VENV)/test-installed: $(VENV)/training-installed
	@echo "installing what the tests need"
	$(PIP) -e '.[dev,docs,otel]'
	@touch $@

test: $(VENV)/test-installed  ## lint, types, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not alone"
	$(BIN)/pytest -m alone

$(VENV)/docs-installed: $(VENV)/serve-installed
	@echo "installing mkdocs"
	$(PIP) -e '.[docs]'
	@touch $@

# The variable silences an advertisement. Not --quiet, under which warnings are not even counted.
docs: $(VENV)/docs-installed  ## the site; every link leads somewhere
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "build/site/index.html"

$(VENV)/fuzz-installed: $(VENV)/test-installed
	@echo "installing atheris"
	$(PIP) -e '.[fuzz]'
	@touch $@

fuzz: $(VENV)/fuzz-installed  ## what does harm?
	$(BIN)/python -m fuzz.decode --seconds 600 --seed-from-tests --corpus runs/fuzz/decode --also fuzz/corpus/decode
	$(BIN)/python -m fuzz.metadata --seconds 600 --seed-from-tests --corpus runs/fuzz/metadata --also fuzz/corpus/metadata
	$(BIN)/python -m fuzz.requests --seconds 600 --seed-from-tests --corpus runs/fuzz/requests --also fuzz/corpus/requests
	$(BIN)/python -m fuzz.echoes --seconds 600 --seed-from-tests --corpus runs/fuzz/echoes
	$(BIN)/python -m fuzz.contract

# The peers want other versions of some packages than we do, so they get their own constraints.
$(BENCH)/installed: pyproject.toml bench/constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(BENCH)
	@echo "installing the service and its peers into $(BENCH)"
	$(BENCH)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check -c bench/constraints.txt -e '.[bench]'
	@touch $@

bench: $(BENCH)/installed  ## speed, compared
	@command -v wrk >/dev/null || { echo "the load generator wrk is missing: apt-get install wrk"; exit 1; }
	$(BENCH)/bin/python -m bench

editing: $(BENCH)/installed  ## how long one caller waits
	$(BENCH)/bin/python -m bench.editing

soak: $(BENCH)/installed  ## does anything grow?
	$(BENCH)/bin/python -m bench.soak

clean:
	rm -rf $(VENV) $(BENCH)

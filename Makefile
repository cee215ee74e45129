# `make demo` and `make test` are all that a fresh clone needs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
LOWEST_PYTHON ?= 3.10
# Where Python is told to keep no byte code, each of the processes that tests start would compile this package anew.
TESTS = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=
PARALLEL = --numprocesses auto --maxprocesses 4 --dist worksteal

.PHONY: install demo test test-lowest slow fuzz coverage check docs gallery wheel format clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

demo: install
	$(BIN)/python -m recipes.digits

test: install
	$(TESTS) $(BIN)/python -m pytest $(PARALLEL)

# The tests in an environment of its own, with a PyTorch of several gigabytes: on the lowest Python with the lowest
# releases that pyproject.toml declares. What these need in turn is as new as they let it be, so that they warn of how it
# is called. `.ci/lowest` runs the quick ones alone; the newest releases are those that `make test` installs.
test-lowest:
	$(PYTHON) -m venv --clear $(VENV)-uv
	$(VENV)-uv/bin/python -m pip install --quiet uv
	$(VENV)-uv/bin/uv venv --quiet --clear --python $(LOWEST_PYTHON) $(VENV)-lowest
	$(VENV)-uv/bin/uv pip install --python $(VENV)-lowest/bin/python --resolution lowest-direct --editable ".[dev]"
	$(TESTS) $(VENV)-lowest/bin/python -m pytest $(PARALLEL) -W ignore::DeprecationWarning -W ignore::FutureWarning

slow: install
	$(BIN)/python -m pytest -m slow

fuzz: install
	FUZZ_EXAMPLES=10000 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --timeout 0 tests/test_fuzz.py

coverage: install
	$(TESTS) $(BIN)/python -m pytest $(PARALLEL) --cov=lightning_primo --cov-report=term:skip-covered

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install
	$(BIN)/sphinx-build -q -W --keep-going docs site

# The searches of docs/gallery.md, which goes on with those that are in runs/gallery.
gallery: install
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python docs/gallery.py

# What a release would be: built from the source distribution alone, and used where this repository is not.
wheel: install
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	PYTHON=$(BIN)/python .ci/wheel dist/*.whl

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-uv runs dist site .coverage .pytest_cache .mypy_cache .ruff_cache

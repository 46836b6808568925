# Everything a person or CI runs. Needs Python 3.11+, make and a package index; each target sets up what it needs.
PYTHON ?= python3
VENV := .venv
SPARK_VENV := .venv-spark
BIN := $(VENV)/bin
# Commands and tests start many processes: none shall compile all of our code anew.
unexport PYTHONDONTWRITEBYTECODE
PACKAGES := bot segmentation campaigns keywords service console simulator store benchmarks

# The console's JavaScript: out of pinned wheels that ship it (console/assets.py)
define TAKE_ASSETS
$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-assets.lock -d $(VENV)/assets
$(BIN)/python -m console.assets $(VENV)/assets
endef

.PHONY: demo test screenshots test-spark check bench format lock clean

demo: $(VENV)/.runtime  ## the whole loop with a simulated LINE, no account needed
	$(BIN)/retarget demo

test: $(VENV)/.dev  ## all tests, on SQLite and on a PostgreSQL that the tests start; the console in a Chromium as well
	$(BIN)/python -m tests.browser.chromium
	$(BIN)/python -m pytest -n 4 --dist worksteal
	$(BIN)/python -m pytest tests/browser -n 2 --dist worksteal

screenshots: $(VENV)/.dev  ## every page of the console as pictures in screenshots/
	$(BIN)/python -m pytest tests/browser/screenshots.py

test-spark: $(SPARK_VENV)/.dev  ## segments on a Spark cluster of two workers that the tests start
	$(SPARK_VENV)/bin/python -m pytest tests/spark --durations=8

check: $(VENV)/.dev  ## lint, format, strict types, house tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES) tests
	$(BIN)/python -m pytest tests/test_house.py

bench: $(VENV)/.dev  ## every benchmark; see docs/benchmarks.md
	$(BIN)/retarget bench all

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.dev  ## renew the locked dependencies from pyproject.toml
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--upgrade pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		pyproject.toml --extra spark --group dev -c requirements-dev.lock -o requirements-spark.lock

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(BIN)/python requirements.lock requirements-assets.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	$(TAKE_ASSETS)
	touch $@

$(VENV)/.dev: $(BIN)/python requirements-dev.lock requirements-assets.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	$(TAKE_ASSETS)
	touch $@ $(VENV)/.runtime

$(SPARK_VENV)/.dev: $(VENV)/.dev requirements-spark.lock
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(SPARK_VENV)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(SPARK_VENV)/bin/python --require-hashes -r requirements-spark.lock
	$(BIN)/uv pip install --quiet --python $(SPARK_VENV)/bin/python --no-deps -e .
	touch $@

.PHONY: docs
docs: $(VENV)/.dev  ## docs as a site in site/, out of nothing but this folder
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

clean:
	rm -rf site $(VENV) $(SPARK_VENV) .mypy_cache .ruff_cache .pytest_cache

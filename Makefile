# Two commands do everything: `make demo` runs the main job, `make test` the checks and tests. Both install what they need.
PYTHON ?= python3.11
BIN := .venv/bin
TORCH := torch==2.13.0

.PHONY: demo test site nightly lint types contract clusters walk ui drills operations gpu images clean
.DELETE_ON_ERROR:

demo: .venv/demo
	$(BIN)/modeldiff compare study=digits_watermark

# Minutes on two cores. A file's tests stay together, so that they share what they have trained; the long files come first.
test: .venv/test lint types contract
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=40 --durations-min=1

# What is too long for `make test`, part by part, noted in docs/nightly.md; MINUTES=60 ends it after an hour at the latest.
nightly: .venv/test
	$(BIN)/python -m harness.nightly $(if $(MINUTES),--minutes $(MINUTES))

# The documentation as static files that open from disk: site/index.html. A warning is an error.
site: .venv/test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

lint: .venv/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/test
	$(BIN)/mypy

contract: .venv/test
	$(BIN)/lint-imports

# The same study on Dask and on Ray gives the bits of the local runner.
clusters: .venv/test
	$(BIN)/python -m pytest -m cluster

# A deployed run that fails is seen in Prefect's UI by a real browser, retried by a click, and completes.
walk: .venv/test
	$(BIN)/python -m pytest -m ui

ui: .venv/demo
	$(BIN)/modeldiff ui

# Kills a comparison, its workers and its S3 server at random moments, over and over; takes an hour.
drills: .venv/test
	$(BIN)/python -m benchmarks.drills

# Takes away what a comparison needs: a worker, a server, a cluster's node, room on the disk; root, a quarter of an hour.
operations: .venv/test
	$(BIN)/python -m benchmarks.operations

# Checks and measures all that runs on a GPU, in ten minutes at most and without a network; GPU="--device cpu --quick" tries it out.
gpu:
	$(or $(wildcard $(BIN)/python),python3) -m benchmarks.gpu $(GPU)

# Builds the images and completes a study in their containers: docker with its compose plugin, minutes.
images:
	python3 -m benchmarks.images

.venv/base: constraints.txt
	command -v $(PYTHON) >/dev/null && $(PYTHON) -m venv .venv || python3 -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt setuptools wheel $(TORCH)
	touch $@

.venv/demo: .venv/base pyproject.toml
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	touch $@

# FFCV builds from source: where its libraries cannot be had, one sentence says so and the rest goes on without it.
.venv/test: .venv/base pyproject.toml
	docker/system-packages.sh test || true
	if docker/system-packages.sh ffcv; then extras=dev,ffcv; else extras=dev; fi; \
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[$$extras]"
	touch $@ .venv/demo

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

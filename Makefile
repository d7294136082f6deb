# `make run` and `make test` set up everything they need in .venv; nothing else is touched.
PYTHON ?= python3
PY := .venv/bin/python
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0.3

.PHONY: help run test test-slow test-long test-x64 docs lint clean
help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: .venv/run.ok  ## a complete market on the built-in digits
	@$(PY) scripts/run_market.py --config=configs/digits.py

test: .venv/test.ok  ## the quick tests, some of every mechanism (minutes; see tests/README.md)
	@$(PY) -m pytest -q -n auto --dist loadfile -m "not slow and not long"

test-slow: .venv/test.ok  ## the slow tests, which CI runs as well (some 25 minutes on two idle cores)
	@$(PY) -m pytest -q -n auto --dist loadfile -m "slow and not long"

test-long: export XLA_FLAGS ?= --xla_force_host_platform_device_count=2
test-long: .venv/test.ok  ## what CI has no time for: real data, large populations; compiled as for users
	@$(PY) -m pytest -q -n auto --dist loadfile -m long

test-x64: export JAX_ENABLE_X64 = 1
test-x64: .venv/test.ok  ## the ledger, and what a market traces to, in a program with 64 bits
	@$(PY) -m pytest -q -n auto --dist loadfile -m "not long" -k "not implicit_promotion" \
		--ignore=tests/ledger/test_faults.py tests/ledger tests/market/test_flags.py

docs: .venv/docs.ok  ## the site of the documents, in site/ (some minutes: its scripts run)
	@$(PY) -m mkdocs build --strict --quiet && echo "The site is site/index.html"

lint: .venv/test.ok  ## ruff rules and format, mypy on the package
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

clean:  ## forget the environment and the caches
	rm -rf .venv .cache site .pytest_cache .mypy_cache .ruff_cache

.venv/pip.ok:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "d2m_jax needs Python 3.11 or newer; try make PYTHON=python3.12")'
	@echo "Setting up .venv (once) ..."
	@$(PYTHON) -m venv .venv || (echo "python3 -m venv failed: on Debian or Ubuntu install the package python3-venv" && exit 1)
	@$(PY) -m pip install --quiet --upgrade pip
	@touch $@

.venv/run.ok: .venv/pip.ok requirements-run.txt requirements.txt
	@echo "Installing requirements-run.txt ..."
	@$(PY) -m pip install --quiet -r requirements-run.txt -c requirements.txt
	@touch $@

.venv/test.ok: .venv/run.ok tests/requirements.txt
	@echo "Installing tests/requirements.txt ..."
	@$(PY) -m pip install --quiet -r tests/requirements.txt
	@touch $@

.venv/docs.ok: .venv/run.ok docs/requirements.txt
	@echo "Installing docs/requirements.txt ..."
	@$(PY) -m pip install --quiet -r docs/requirements.txt
	@touch $@

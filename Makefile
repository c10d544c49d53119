# Everything a contributor or an operator runs. Each target sets up what it needs, from pinned and hashed locks.
PYTHON ?= python3
PIP_FLAGS := --quiet --disable-pip-version-check --no-input --require-hashes --no-deps
export PYTHONPATH := $(CURDIR):$(CURDIR)/lambda
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup lock

help:
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

setup: .venv/.installed .venv-emulator/.installed node_modules/.installed ## install everything, pinned, inside this folder

.venv/.installed: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12 ...")'
	rm -rf .venv && $(PYTHON) -m venv .venv
	.venv/bin/pip install $(PIP_FLAGS) -r requirements/dev.txt
	@touch $@

.venv-emulator/.installed: requirements/emulator.txt
	rm -rf .venv-emulator && $(PYTHON) -m venv .venv-emulator
	.venv-emulator/bin/pip install $(PIP_FLAGS) -r requirements/emulator.txt
	@touch $@

node_modules/.installed: package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

UV := 0.13.9
lock: ## make the lock files anew from requirements/*.in and package.json
	rm -rf .build/lock && $(PYTHON) -m venv .build/lock && .build/lock/bin/pip install --quiet uv==$(UV)
	for name in lambda dev emulator; do \
	  .build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --no-header requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	npm install --package-lock-only --omit-lockfile-registry-resolved

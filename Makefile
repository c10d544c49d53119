# Everything a contributor or an operator runs. Each target sets up what it needs, from pinned and hashed locks.
PYTHON ?= python3
PIP := bin/pip --disable-pip-version-check --no-input --quiet
export PYTHONPATH := $(CURDIR):$(CURDIR)/lambda
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)
# The CDK libraries say at every start that Node 20 is past its end of life; docs/deploying.md says it once.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test check unit quick mutants explore infra workflow acceptance e2e browser bench load synth diff deploy deploy-forwarder package picture format lock clean

help:
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' Makefile

setup: .venv/.installed .venv-emulator/.installed node_modules/.installed ## install everything, pinned, inside this folder

demo: setup ## a push becomes a deployment on this machine, without AWS
	@mkdir -p .build
	@python -m local.demo 2>.build/demo.log || { status=$$?; tail -n 40 .build/demo.log >&2; exit $$status; }

# Files are shared out among processes: tests on the emulator mostly wait, so there are more of them than cores.
test: check ## check, unit, infra and workflow, three test files at a time
	pytest -n 3 --dist loadfile --no-loadscope-reorder tests/workflow tests/unit/test_interleavings.py tests/unit tests/infra

check: setup ## lint, format, types, import rules
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-logo

unit: setup ## the deployer by itself
	pytest tests/unit

quick: setup ## the tables of the rules, in seconds
	pytest -q tests/unit/test_rules_*.py

mutants: setup ## break the rules in each place and see whether their tables notice; takes minutes
	python -m tests.mutants

explore: setup ## more schedules and timelines than `make test` goes through; SWITCHES=1 takes half an hour and 20 GB
	SAMPLES=40 EXAMPLES=1000 pytest -n 2 tests/unit/test_interleavings.py tests/unit/test_timelines.py

infra: setup ## the stack: template, permissions, rules, workflow definition
	pytest tests/infra

workflow: setup ## the stack on the emulator, from push to outcome
	pytest tests/workflow

acceptance: setup ## the models' facts on your own AWS account: says what it costs and creates, and waits for ACCOUNT=...
	ACCOUNT=$(ACCOUNT) python -m tests.acceptance

e2e: setup ## the stack with real containers; needs a Docker engine and a static busybox
	pytest tests/e2e

browser: setup ## the report in headless Chromium, which has to be there
	pytest tests/browser

bench: setup .build/peers/.installed ## this deployer beside others; writes docs/benchmarks.md, takes a quarter of an hour
	python -m tests.bench

load: setup ## many deployments at once under AWS's quotas, on virtual time
	python -m tests.load

synth: setup ## the CloudFormation template of the targets in cdk.json
	cdk synth --quiet
	@echo "cdk.out/EcsDeploy.template.json"

diff: setup ## what a deployment would change in the account of your credentials
	cdk diff

deploy: setup ## deploy to the account of your credentials
	cdk deploy

deploy-forwarder: setup ## forward the pushes of another registry, with its credentials, to BUS=arn:aws:events:...:event-bus/default
	cdk deploy EcsDeployForwarder --context forwardTo=$(BUS)

package: setup ## the deployer for whoever has neither CDK nor Node: dist/, a zip file and a template
	@python -m infra.package dist

picture: setup ## draw the workflow in docs/how-it-works.md anew, and write workflow.asl.json
	python -m infra.picture docs/how-it-works.md
	python -m infra.asl

format: setup ## format the code
	ruff check --fix-only .
	ruff format .

.venv/.installed: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12 ...")'
	rm -rf .venv && $(PYTHON) -m venv .venv
	.venv/$(PIP) install --require-hashes --no-deps -r $<
	@touch $@

.venv-emulator/.installed: requirements/emulator.txt
	rm -rf .venv-emulator && $(PYTHON) -m venv .venv-emulator
	.venv-emulator/$(PIP) install --require-hashes --no-deps -r $<
	@touch $@

.build/peers/.installed: requirements/bench.txt
	rm -rf .build/peers && mkdir -p .build && $(PYTHON) -m venv .build/peers
	.build/peers/$(PIP) install --require-hashes --no-deps -r $<
	@touch $@

node_modules/.installed: package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

UV := 0.13.9
lock: ## make the lock files anew from requirements/*.in and package.json
	rm -rf .build/lock && $(PYTHON) -m venv .build/lock && .build/lock/$(PIP) install uv==$(UV)
	for name in lambda dev emulator bench; do \
	  .build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --no-header requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	npm install --package-lock-only --omit-lockfile-registry-resolved

clean: ## remove everything that was installed or made
	rm -rf .venv .venv-emulator node_modules .build cdk.out dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

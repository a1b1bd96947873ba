# dkrepl: everything a newcomer or CI runs. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCK_VENV := .cache/lock-venv

# Seeds of the simulator: how many, and the first one.
SEEDS ?= 500
START ?= 1
JOBS ?= $(shell nproc)
# To see a failure again that was made small: the numbers of its faults, and which order of events.
ONLY ?=
VARY ?= 0
# What only the tests use of the package counts as used there.
VULTURE_TESTS := dkrepl demo molecule roles ansible tools tests
# The Molecule scenario to run; all of them if empty.
SCENARIO ?=

export PATH := $(CURDIR)/$(BIN):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export CONTAINERS_CONF := $(CURDIR)/demo/containers.conf
export PYTHONDONTWRITEBYTECODE := 1
export MOLECULE_COMMAND_BORDERS := false

.PHONY: help setup host-packages lock lint lint-python lint-house lint-generated lint-ansible lint-shell generate \
        unit simulate simulation \
        integration molecule docs test test-long bench bench-scale demo demo-down clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---------------------------------------------------------------- setting up

setup: host-packages $(READY)  ## OS packages, the virtual environment and dkrepl itself in it

host-packages:
	@packaging/host-packages

$(READY): requirements.lock pyproject.toml
	@[[ -x $(BIN)/python ]] || "$$(packaging/find-python)" -m venv $(VENV)
	@echo 'installing dkrepl and its tools into $(VENV)'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
	    --constraint requirements.lock --editable '.[test,deploy,docs]'
	@touch $@

lock:  ## pin every dependency anew in requirements.lock
	@mkdir -p .cache
	@[[ -x $(LOCK_VENV)/bin/pip-compile ]] || { "$$(packaging/find-python)" -m venv $(LOCK_VENV) \
	    && $(LOCK_VENV)/bin/pip install -qq --disable-pip-version-check pip-tools; }
	@{ echo '# The versions that dkrepl is tested with. Made by "make lock" from pyproject.toml.'; \
	   $(LOCK_VENV)/bin/pip-compile --quiet --upgrade --strip-extras --allow-unsafe --no-header \
	     --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	     --extra test --extra deploy --extra docs --extra bench --output-file - pyproject.toml; } > .cache/requirements.lock
	@mv .cache/requirements.lock requirements.lock

# ---------------------------------------------------------------- checks

lint: lint-python lint-house lint-generated lint-ansible lint-shell  ## style, types, contracts, spelling; Ansible and shell

lint-python: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-house: $(READY)
	$(BIN)/lint-imports --no-logo --cache-dir .cache/import-linter
	$(BIN)/vulture
	$(BIN)/vulture $(VULTURE_TESTS)
	$(BIN)/codespell
	$(BIN)/python -m tools.file_sizes

lint-ansible: $(READY)
	$(BIN)/yamllint --strict .
	$(BIN)/ansible-lint --offline --strict
	$(BIN)/python ansible/check_specs.py

lint-shell:
	shellcheck packaging/host-packages packaging/find-python .ci/run

generate: $(READY)  ## write what is made from the code: reference, JSON Schema, shell completion
	$(BIN)/python -m tools.generate

lint-generated: $(READY)
	$(BIN)/python -m tools.generate --check

docs: $(READY)  ## the documentation, into build/docs; a warning is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs build/docs

unit: $(READY)  ## unit tests, which must reach every branch of dkrepl/core
	$(BIN)/python -m pytest tests/unit --cov=dkrepl.core

simulate: $(READY)  ## whole clusters in one process: SEEDS=1000 START=1
	$(BIN)/python -m tests.simulation.run --seeds $(SEEDS) --start $(START) --jobs $(JOBS) \
	    --vary $(VARY) $(if $(ONLY),--only $(ONLY))

simulation: $(READY)  ## the simulator's first 2000 seeds, stories, and broken copies of the logic that it must catch
	$(BIN)/python -m pytest tests/simulation tests/scenarios -m 'not root'

integration: $(READY)  ## the daemon on real FUSE, loop devices and ZeroMQ (root)
	@$(BIN)/python -m demo.check root fuse loop
	$(BIN)/python -m pytest tests/integration tests/scenarios -k 'not simulated'

test-long: $(READY)  ## 40 minutes of faults, upgrades, failovers, reconfigurations: seeds and figures (root)
	@$(BIN)/python -m demo.check root fuse loop
	$(BIN)/python -m pytest tests/long

molecule: $(READY)  ## deploy three containers with Ansible and test mirrors in them (root): SCENARIO=failover for one
	@$(BIN)/python -m demo.check root fuse loop containers molecule
	$(BIN)/molecule test $(if $(SCENARIO),--scenario-name $(SCENARIO),--all)
	@rm -rf .cache/molecule-logs

test: setup lint docs unit simulation integration molecule  ## all of the above
	@echo 'make test: everything passed.'

bench: setup  ## compare with bare loop, FUSE and qemu (root, takes minutes)
	@packaging/host-packages bench
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint requirements.lock \
	    --editable '.[test,deploy,bench]'
	@$(BIN)/python -m demo.check root fuse loop
	$(BIN)/python -m tests.bench

bench-scale: $(READY)  ## cost of a call in the loop against the size of the mirror, into docs/reference/performance.md
	$(BIN)/python -m tests.bench.scale

# ---------------------------------------------------------------- demo

demo: setup  ## three nodes in containers that replicate an ext4, left running (root)
	@$(BIN)/python -m demo.check root fuse loop containers demo
	@$(BIN)/python -m demo.story

demo-down:  ## remove everything that the demo made
	@"$$(packaging/find-python)" -m demo.down

clean: demo-down  ## the demo and everything that was built, but not the virtual environment
	rm -rf .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis ./*.egg-info

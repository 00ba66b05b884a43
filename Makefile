# From a fresh clone: `make demo` and `make test`. Each makes .venv first if it has to; nothing outside this folder is
# changed. Python 3.11 or newer and make are all that is needed.

# The first of these that is new enough makes .venv; or name one: make PYTHON=/path/to/python3.12 demo
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11

VENV := .venv
BIN := $(VENV)/bin
# Written last, so an interrupted install leaves none. It names this folder, so a clone that was moved or copied, whose
# scripts still point at the old place, is noticed too.
STAMP := $(VENV)/installed

READY := $(shell test "$$(cat $(STAMP) 2>/dev/null)" = "$(CURDIR)" && $(BIN)/python -c 'import pip' 2>/dev/null && echo yes)

.PHONY: help demo test lint format bench install clean fresh-venv
.DELETE_ON_ERROR:

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

demo: $(STAMP)  ## train, score and open a small generator (ARGS=--no-serve: without the web app)
	$(BIN)/disentangle demo $(ARGS)

test: lint  ## lint and run all tests (ARGS="tests/test_cli.py -x": some of them)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadscope --no-loadscope-reorder $(ARGS)

lint: $(STAMP)  ## style, shell scripts, import order, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/shellcheck .ci/run
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

format: $(STAMP)  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## measure speed, on as many threads as torch takes by itself
	$(BIN)/python -m pytest benchmarks --benchmark-only --timeout=0 \
		--benchmark-columns=min,median,iqr,rounds --benchmark-sort=name $(ARGS)

install: $(STAMP)  ## make .venv and install into it (some minutes, 6 GB)

clean:  ## remove .venv, caches and build outputs; runs/ stays
	rm -rf $(VENV) build dist ./*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml $(if $(READY),,fresh-venv)
	@rm -f $@
	@echo "Installing into $(VENV): some minutes and 6 GB the first time."
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]'
	@echo "$(CURDIR)" > $@

fresh-venv:
	@python=; for p in $(PYTHON); do \
		if "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$p; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "disentangle needs Python 3.11 or newer, and none of these is: $(PYTHON)." >&2; \
		echo "Install one, or say where it is: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python cannot make virtual environments. Debian and Ubuntu keep that in a package of its own:" >&2; \
		echo "sudo apt install python3-venv" >&2; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$python" -c 'import sys; print(sys.executable, sys.version.split()[0])')"; \
	"$$python" -m venv --clear $(VENV)

# make demo       train on digit_scenes and show both accuracies (sets everything up first)
# make test       lint and tests (sets everything up first)
# make clean-demo start the demo over

PYTHON ?= python3
BIN := .venv/bin
WORKDIR := runs/digit_scenes

.PHONY: setup setup-dev demo clean-demo test lint format

setup: .venv/.installed
setup-dev: .venv/.installed-dev

.venv/.installed: requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "Python 3.11 is needed; name yours with make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv || { echo "On Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

demo: setup
	$(BIN)/python main.py --config=configs/digit_scenes.py --workdir=$(WORKDIR)
	@echo "Pictures of examples: $(WORKDIR)/examples.png    Start over: make clean-demo"

clean-demo:
	rm -rf $(WORKDIR)

test: setup-dev lint
	$(BIN)/python -m pytest

lint: setup-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: setup-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# make demo       train on digit_scenes, show both accuracies, write the report (sets everything up first)
# make test       lint and tests (sets everything up first)
# make test-long  all tests, with more random examples and the slow cases
# make relabel    relabel digit_scenes: three models, simulated raters over HTTP, new labels (after make demo)
# make clean-demo start the demo over

PYTHON ?= python3
BIN := .venv/bin
WORKDIR := runs/digit_scenes
SCENES := $(WORKDIR)/validation
RELABEL := runs/relabel

.PHONY: setup setup-dev browser demo relabel clean-demo test test-long lint format

setup: .venv/.installed
setup-dev: .venv/.installed-dev

.venv/.installed: pyproject.toml requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Python 3.11, 3.12 or 3.13 is needed; name yours with make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv || { echo "On Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

demo: setup
	$(BIN)/python main.py --config=configs/digit_scenes.py --workdir=$(WORKDIR)
	@test -f $(SCENES)/class_names.json || \
		$(BIN)/python -m big_transfer.datasets.export digit_scenes --split=validation --out=$(SCENES)
	@$(BIN)/python -m real_labels report $(WORKDIR)/predictions.npz --out $(WORKDIR)/report \
		--labels $(SCENES)/real.json --original $(SCENES)/original.json --dataset "digit_scenes validation" \
		--images $(SCENES)/images --class-names $(SCENES)/class_names.json
	@echo "Pictures of examples: $(WORKDIR)/examples.png    Start over: make clean-demo"

relabel: demo
	@for seed in 1 2; do \
		$(BIN)/python main.py --config=configs/digit_scenes.py --workdir=$(RELABEL)/small_$$seed --config.seed=$$seed \
			--config.total_steps=600 || exit 1; \
	done
	$(BIN)/python benchmarks/relabel.py $(WORKDIR)/predictions.npz $(RELABEL)/small_1/predictions.npz \
		$(RELABEL)/small_2/predictions.npz --scenes=$(SCENES) --out=$(RELABEL)

clean-demo:
	rm -rf $(WORKDIR)

# The report's page is tested in Chromium; without one those tests are skipped.
browser:
	@command -v chromium > /dev/null || { [ $$(id -u) = 0 ] && command -v apt-get > /dev/null && \
		apt-get -qq update && apt-get -qq install --no-install-recommends chromium > /dev/null; } || \
		echo "There is no chromium: install it to test the report's page, too."

test: setup-dev browser lint
	$(BIN)/python -m pytest

test-long: setup-dev browser lint
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt libtpu
	$(BIN)/python -m pytest -m "long or not long" --hypothesis-profile=long

lint: setup-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright

format: setup-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

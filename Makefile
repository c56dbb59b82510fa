# Two commands set everything up: `make quickstart` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PLUGINS := $(wildcard plugins/anyclip-*)
EDITABLE := -e . $(foreach p,$(PLUGINS),-e $(p))
MANIFESTS := pyproject.toml $(foreach p,$(PLUGINS),$(p)/pyproject.toml)
QUICK_OUT ?= runs/quickstart
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: help quickstart install dev test check docs site wheels bench clean

help:
	@echo "make quickstart  install, train five modalities jointly on synthetic data, evaluate it, write the report"
	@echo "make test        install what tests need and run every test"
	@echo "make check       lint, types and the fast tests (under a minute)"
	@echo "make dev         install for development"
	@echo "make docs        write the generated reference pages again"
	@echo "make site        build the docs site into site/"
	@echo "make wheels      build the wheels of the core and every plugin into dist/"
	@echo "make bench       run the benchmarks"

$(VENV)/.installed: $(MANIFESTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q $(EDITABLE)
	touch $@

$(VENV)/.test-installed: $(VENV)/.installed
	$(BIN)/python -m pip install -q -e ".[test,bench,search,huggingface,tensorboard,demo,export,lora,docs]"
	touch $@

# open3d and laspy, with the libraries of the system that open3d loads. Tests pass without them, so that nothing here fails
OPEN3D_LIBS := libusb-1.0-0 libgl1 libx11-6 libgomp1
$(VENV)/.open3d: $(VENV)/.installed
	-$(BIN)/python -m pip install -q -e "plugins/anyclip-pointcloud[open3d,las]"
	-$(BIN)/python -c "import open3d" 2>/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(OPEN3D_LIBS); }
	@$(BIN)/python -c "import open3d" 2>/dev/null \
		|| echo "open3d does not load, its tests are skipped; it needs: apt-get install -y $(OPEN3D_LIBS)"
	touch $@

install: $(VENV)/.installed

dev: $(VENV)/.test-installed

quickstart: $(VENV)/.installed
	$(BIN)/anyclip train configs/joint-five.yaml train.out=$(QUICK_OUT) --overwrite
	$(BIN)/anyclip eval $(QUICK_OUT)
	@echo "The report: $(QUICK_OUT)/report.html"

test: $(VENV)/.test-installed $(VENV)/.open3d
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -m "not slow" -x tests/config tests/registry tests/losses tests/readers

docs: $(VENV)/.test-installed
	$(BIN)/python docs/generate.py

site: $(VENV)/.test-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

wheels: $(VENV)/.test-installed
	for p in . $(PLUGINS); do $(BIN)/python -m build -q --wheel --outdir dist $$p || exit 1; done

bench: $(VENV)/.test-installed
	for b in benchmarks/*.py; do echo "== $$b"; $(BIN)/python $$b || exit 1; done

clean:
	rm -rf build dist site .pytest_cache .ruff_cache

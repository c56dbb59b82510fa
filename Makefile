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
	$(BIN)/python -m pip install -q -e ".[test,bench,search,huggingface,tensorboard,demo,export,lora,docs]" \
		$(foreach p,$(PLUGINS),-e "$(p)[test]")
	touch $@

# Decoders, open3d and laspy, and programs and libraries of the system: FFmpeg for torchcodec, a browser for the demo page,
# what open3d loads. Tests that need one of them are skipped without it, so that nothing here fails.
DEBIAN := ffmpeg chromium libusb-1.0-0 libgl1 libx11-6 libgomp1
$(VENV)/.optional: $(VENV)/.test-installed
	-$(BIN)/python -m pip install -q -e "plugins/anyclip-pointcloud[open3d,las]" -e "plugins/anyclip-audio[torchcodec]"
	-{ command -v ffmpeg && command -v chromium && $(BIN)/python -c "import open3d"; } >/dev/null 2>&1 \
		|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(DEBIAN) >/dev/null; } \
		|| echo "some tests are skipped; they need: apt-get install -y $(DEBIAN)"
	touch $@

install: $(VENV)/.installed

dev: $(VENV)/.test-installed

quickstart: $(VENV)/.installed
	$(BIN)/anyclip train configs/joint-five.yaml train.out=$(QUICK_OUT) --overwrite
	$(BIN)/anyclip eval $(QUICK_OUT)
	@echo "The report: $(QUICK_OUT)/report.html"

test: $(VENV)/.test-installed $(VENV)/.optional
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

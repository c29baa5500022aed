# Two commands set everything up on a fresh machine: `make run` and `make test`.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
# Two workers share two cores with torch's own threads best when each keeps to one.
TEST_ENV := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 20

setup: $(STAMP) ## Create .venv and install everything, pinned by constraints.txt

$(STAMP): pyproject.toml constraints.txt requirements-demo.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(f"Python 3.11 or newer is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.11 ..." if v < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	# The exact torch first: a range would take the newest build, with gigabytes of CUDA libraries.
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) -e '.[dev,demo]'
	$(PIP) --no-deps -r requirements-demo.txt
	@touch $@

run: setup ## Train the iLoRA teacher on the embedded default with its report, then solve an incident without a GPU
	$(BIN)/ilora-diag train
	@echo
	$(BIN)/ilora-diag bisect-oom --example oom || test $$? -eq 1  # 1: the cause was found

test: setup ## Run the tests
	$(TEST_ENV) $(BIN)/python -m pytest -n 2

lint: setup ## Check style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test ## Everything a change must pass

bench: setup ## Measure; figures go to benchmarks/RESULTS.md by hand, with the machine they were taken on
	$(BIN)/python -m benchmarks

coverage: setup ## What the virtual device carries of PyTorch and transformers, by their own samples
	$(PIP) -e '.[coverage]'
	$(BIN)/python -m benchmarks.coverage

golden: setup ## Rewrite the golden renders; read the diff
	$(BIN)/python -m pytest tests/golden --golden-update

gpu-truth: setup ## Record what only a CUDA device can tell into tests/fixtures/gpu
	$(BIN)/python -m benchmarks.gpu_truth

clean: ## Remove .venv, caches and generated reports
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache reports/runs build *.egg-info

.PHONY: help setup run test lint check bench coverage golden gpu-truth clean

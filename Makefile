# Every target makes .venv first if there is none, from pyproject.toml (uv if present, else venv and pip).
# Only what is listed in `make help` is meant to be called.

PYTHON      ?= python3
TORCH_INDEX ?=
PROFILE     ?= smoke
DATASETS    ?= digits
SEEDS       ?=
DEVICE      ?= auto
COMPUTE     ?= missing
TESTS       ?= tests
WORKERS     ?= 2

# What a user gives reaches the shell as environment variables, as it was typed: neither make nor the shell runs any of it.
GIVEN := PYTHON TORCH_INDEX PROFILE DATASETS SEEDS DEVICE COMPUTE TESTS WORKERS
$(foreach name,$(GIVEN),$(eval override $(name) := $$(value $(name))))
export $(GIVEN)

PY    := .venv/bin/python
STAMP := .venv/.installed
# Only the whole suite says how much of kdutils is covered, and fails below 90 % of its lines.
COVER  = $(if $(filter tests,$(TESTS)),--cov --cov-report=term --cov-fail-under=90)

.DEFAULT_GOAL := help
.PHONY: help environment replicate test stress book bench clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  replicate takes PROFILE=smoke|cpu|paper DATASETS=digits,mnist,... SEEDS=N DEVICE=auto|cpu|cuda COMPUTE=missing|always|never"
	@echo "  TORCH_INDEX=URL takes torch and torchvision from that package index (PyTorch's CPU wheels: smaller, no GPU)"
	@echo "  PYTHON=python3.12 chooses the interpreter of a new .venv"
	@echo "  test takes TESTS=tests/test_x.py, and WORKERS=N processes (2)"

environment: $(STAMP) ## make or update .venv

replicate: $(STAMP) ## run every notebook and build the book from them (five minutes on two cores by default)
	$(PY) book/build.py replicate "--profile=$$PROFILE" "--datasets=$$DATASETS" "--seeds=$$SEEDS" "--device=$$DEVICE" "--compute=$$COMPUTE"

test: $(STAMP) ## run all tests but the slow ones: code, unit, notebooks, book, browser
	$(PY) -m pytest $$TESTS $(COVER) -n "$$WORKERS" --dist loadfile --no-loadscope-reorder

stress: $(STAMP) ## run the slow tests, and each notebook by nbval at its own parameters
	$(PY) -m pytest $$TESTS -m stress
	$(PY) -m pytest --nbval-lax --nbval-current-env notebooks

book: $(STAMP) ## build the published book from the recorded evidence: no data, no training
	$(PY) book/build.py publish

bench: $(STAMP) ## measure how fast students are distilled, into book/results/benchmarks.csv (under ten minutes, quiet machine)
	@$(PY) -c "import torchdistill" 2>/dev/null || \
	  if uv --version >/dev/null 2>&1; then uv pip install --python $(PY) --editable ".[pinned,bench]"; \
	  else $(PY) -m pip install --disable-pip-version-check --progress-bar off --editable ".[pinned,bench]"; fi
	$(PY) -m tests.benchmarks "--device=$$DEVICE"

clean: ## remove what was built (_build), not .venv, not the recorded evidence
	rm -rf _build

# torch and torchvision from another index go in first and without dependencies, so that they come as a pair and
# nothing else is taken from there; the second step finds them installed and adds what they need.
$(STAMP): pyproject.toml
	@set -eu; \
	torch=$$(sed -n 's/^ *"\(torch\(vision\)\{0,1\}==[^"]*\)",$$/\1/p' pyproject.toml); \
	if uv --version >/dev/null 2>&1; then \
	  [ -x $(PY) ] || uv venv --quiet --python "$$PYTHON" .venv; \
	  install() { uv pip install --python $(PY) "$$@"; }; \
	else \
	  [ -x $(PY) ] || "$$PYTHON" -m venv .venv || { rm -rf .venv; echo "cannot make .venv: install Python's venv module (on Debian: python3-venv), or uv" >&2; exit 1; }; \
	  $(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null; \
	  install() { $(PY) -m pip install --disable-pip-version-check --progress-bar off "$$@"; }; \
	fi; \
	$(PY) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, .venv has {v[0]}.{v[1]}: remove .venv and choose another with PYTHON=...")'; \
	if [ -n "$$TORCH_INDEX" ]; then install --no-deps --index-url "$$TORCH_INDEX" $$torch; fi; \
	install --editable ".[pinned,book,test]"; \
	touch $(STAMP)

# `make quickstart` and `make test` need nothing but Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := runs/quickstart
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile
RUFF_PATHS := biomechjax scripts configs tests
AUDIT := build/audit
LOCKED := requirements/py311.txt

.PHONY: quickstart test test-all lint audit lock clean-quickstart

quickstart: $(RUN)/eval/metrics.json

# Each step writes its folder whole or not at all, and goes on where it was when it was stopped.
$(RUN)/cohort: | $(VENV)/installed
	$(BIN)/python scripts/prepare_data.py --source synthetic --participants 600 --visit short --out $@
$(RUN)/tokenizer/motion_tokenizer: | $(RUN)/cohort
	$(BIN)/python scripts/train_tokenizer.py --config configs/quickstart_tokenizer.py --data $(RUN)/cohort --out $(RUN)/tokenizer
$(RUN)/records: | $(RUN)/tokenizer/motion_tokenizer
	$(BIN)/python scripts/tokenize_data.py --ckpt $(RUN)/tokenizer --data $(RUN)/cohort --out $@ --views.count 3 --views.pace 0.1
$(RUN)/decoder/finished: | $(RUN)/records
	$(BIN)/python scripts/train.py --config configs/quickstart.py --data $(RUN)/records --out $(RUN)/decoder
	touch $@
$(RUN)/eval/metrics.json: | $(RUN)/decoder/finished
	$(BIN)/python scripts/eval.py --ckpt $(RUN)/decoder --out $(RUN)/eval

clean-quickstart:
	rm -rf $(RUN)

test: $(VENV)/installed-tests
	$(PYTEST) -m "not slow"
test-all: $(VENV)/installed-tests
	$(PYTEST)

lint: $(VENV)/installed-tests
	$(BIN)/ruff check $(RUFF_PATHS)
	$(BIN)/ruff format --check $(RUFF_PATHS)
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "biomechjax needs Python 3.11 or newer; call make with PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e .
	touch $@
# With Python 3.11 on Linux the packages that the lock names, by their hashes; elsewhere the newest that fit.
# The torch of the parity tests comes as a CPU build where there is one; without it those tests skip.
$(VENV)/installed-tests: pyproject.toml $(LOCKED) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --upgrade pip
	if $(BIN)/python -c 'import platform, sys; sys.exit((*sys.version_info[:2], sys.platform, platform.machine()) != (3, 11, "linux", "x86_64"))'; \
	then $(BIN)/python -m pip install --quiet --require-hashes -r $(LOCKED) && $(BIN)/python -m pip install --quiet --no-deps -e .; \
	else $(BIN)/python -m pip install --quiet -e '.[dev]'; fi
	touch $(VENV)/installed $@

# Licences and known vulnerabilities of what the tests run with, looked at from an environment of its own.
audit: $(VENV)/installed-tests $(AUDIT)/installed
	$(AUDIT)/bin/python .ci/packages.py --python $(BIN)/python --locked $(LOCKED)
$(AUDIT)/installed: requirements/audit.txt
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --require-hashes -r $<
	touch $@

# The newest versions, for Python 3.11 on Linux; then run all tests.
COMPILE = $(AUDIT)/bin/uv pip compile --quiet --upgrade --generate-hashes --no-annotate --prerelease disallow \
	--python-version 3.11 --python-platform x86_64-manylinux_2_28 --custom-compile-command "make lock"
lock: $(AUDIT)/installed
	$(COMPILE) --extra dev --output-file $(LOCKED) pyproject.toml
	$(COMPILE) --output-file requirements/audit.txt requirements/audit.in

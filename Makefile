# Every target installs what it needs in .venv. Only Python 3.11 to 3.13 is required.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)
BIN := .venv/bin
DEMO := tf_files/demo
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help install demo test lint docs clean

help:
	@echo "make demo    retrain on handwritten digits and label one: needs no photos, and no network except the package index"
	@echo "make test    check the code (like make lint), then run the tests"
	@echo "make lint    check style (ruff), types (mypy) and the direction of imports (import-linter)"
	@echo "make docs    build docs/ into a site in build/docs"
	@echo "make clean   remove .venv and the site"

install: .venv/installed

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is required; select it with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python setup.cfg pyproject.toml
	@echo "Installing into .venv (the first time, TensorFlow takes a few minutes)"
	$(PIP) --editable .
	@touch $@

.venv/installed-test: .venv/installed
	$(PIP) --editable '.[test]'
	@touch $@

.venv/installed-docs: .venv/installed
	$(PIP) --editable '.[docs]'
	@touch $@

demo: .venv/installed
	$(BIN)/python -m scripts.sample_photos digits
	$(BIN)/python -m scripts.retrain --image_dir=tf_files/digits \
		--output_graph=$(DEMO)/retrained_graph.pb --output_labels=$(DEMO)/retrained_labels.txt
	$(BIN)/python -m scripts.label_image --graph=$(DEMO)/retrained_graph.tflite --image=tf_files/digits/7/0007.png

test: lint
	$(BIN)/python -m pytest -m "not slow"

lint: .venv/installed-test
	$(BIN)/ruff check tfpoets scripts tests
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/installed-docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "The site is in build/docs/index.html"

clean:
	rm -rf .venv build/docs

# `make` lists what there is. Everything runs in .venv, which is made from requirements.txt at the
# first use; `make test PYTHON=python3.12` uses another Python as it is, with what it has installed.

ifeq ($(OS),Windows_NT)
VENV_BIN := .venv/Scripts
else
VENV_BIN := .venv/bin
endif

ifeq ($(origin PYTHON),command line)
READY :=
else
override PYTHON := $(VENV_BIN)/python
READY := .venv/ready
endif

.DEFAULT_GOAL := help
.PHONY: help demo server client test test-all check proto locale documents pictures mutants soak bench bench-compare bench-scale

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
	    while IFS='|' read -r target text; do printf 'make %-14s %s\n' "$$target" "$$text"; done

demo: $(READY) ## watch a conversation of three people, ten seconds
	@$(PYTHON) tools/demo.py

server: $(READY) ## run a server on port 50051
	@$(PYTHON) server.py

client: $(READY) ## run a client of the server on this machine
	@$(PYTHON) client.py

test: $(READY) ## run the tests
	@$(PYTHON) -m pytest

test-all: $(READY) ## run the tests on each Python from 3.10 to 3.13 that is here
	@$(PYTHON) -m nox

check: $(READY) ## lint, format, types, the contract, catalogues
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy .
	$(PYTHON) tools/check_proto.py
	$(PYTHON) tools/catalogue.py --check

proto: $(READY) ## make the generated code anew from chat.proto
	$(PYTHON) -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. --pyi_out=. chat.proto

locale: $(READY) ## update and compile the catalogues; NEW=es begins another one
	@$(PYTHON) tools/catalogue.py $(NEW)

documents: $(READY) ## update what the documents take from the programs
	@$(PYTHON) tools/documents.py

pictures: $(READY) ## take the pictures of the terminal anew
	@$(PYTHON) tools/pictures.py

mutants: $(READY) ## change the source in 100 places, one at a time, and see the tests fail
	@$(PYTHON) tools/mutants.py

soak: $(READY) ## kill the server fifty times under load, and look for what is lost
	CHAT_SOAK=50 $(PYTHON) -m pytest tests/test_ledger.py

bench: $(READY) ## measure, some minutes
	@$(PYTHON) bench/run.py

bench-compare: $(READY) ## measure, and hold it against the committed figures
	@$(PYTHON) bench/run.py --compare

bench-scale: $(READY) ## measure 10,000 clients on one server
	@$(PYTHON) bench/run.py --scale

# An interpreter that is gone (the system was upgraded, the folder moved) needs a new environment.
.venv/ready: requirements.txt
	@echo "Preparing .venv (the first time only)..."
	@python=$$(sh tools/find_python.sh) && \
	    if $(VENV_BIN)/python -c '' 2>/dev/null; then clear=; else clear=--clear; fi && \
	    "$$python" -m venv $$clear .venv
	@$(VENV_BIN)/python -m pip install -qq --disable-pip-version-check -r requirements.txt
	@touch $@

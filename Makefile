# `make` lists what there is. Everything runs in .venv, which is made at the first use; `make test
# PYTHON=python3.12` uses another Python as it is, with what it has installed.

ifeq ($(OS),Windows_NT)
VENV_BIN := .venv/Scripts
else
VENV_BIN := .venv/bin
endif

# A stamp each for what running and what developing needs.
ifeq ($(origin PYTHON),command line)
READY :=
DEV_READY :=
else
override PYTHON := $(VENV_BIN)/python
READY := .venv/ready
DEV_READY := .venv/ready-dev
endif

# An environment without an interpreter that starts (the system was upgraded) is made anew.
ifeq ($(shell $(VENV_BIN)/python -c "import pip; print(1)" 2>/dev/null),1)
NEW_VENV :=
else
NEW_VENV := new-venv
endif

# Nothing is compiled in advance: what is used is compiled when it is used.
PIP_INSTALL := $(VENV_BIN)/python -m pip install --disable-pip-version-check --no-compile

# So that has to be kept: many containers set this, and each start of a program would take twice the
# time.
unexport PYTHONDONTWRITEBYTECODE

SEED := $(shell date +%s)
FUZZ_TESTS := tests/integration/test_properties.py tests/integration/test_fuzz_files.py \
    tests/integration/test_hostile_server.py tests/system/test_fuzz_server.py \
    tests/system/test_fuzz_client.py

.DEFAULT_GOAL := help
.PHONY: help demo server client test test-all check package proto lookalikes locale documents pictures \
    lock install-lock soak fuzz attacks mutants bench bench-compare bench-scale bench-growth \
    bench-peers new-venv

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
	    while IFS='|' read -r target text; do printf 'make %-14s %s\n' "$$target" "$$text"; done

demo: $(READY) ## watch a conversation of three people, ten seconds
	@$(PYTHON) tools/demo.py

server: $(READY) ## run a server on port 50051
	@$(PYTHON) server.py

client: $(READY) ## run a client of the server on this machine
	@$(PYTHON) client.py

test: $(DEV_READY) ## run the tests, ten minutes
	@echo "Running the tests: ten minutes. ($(PYTHON) -m pytest tests/unit: seconds.)"
	@$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-all: $(DEV_READY) ## run the tests on each Python from 3.10 on that is here
	@$(PYTHON) -m nox

check: $(DEV_READY) ## lint, format, types, imports, the contract, catalogues, known holes, package
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy .
	$(PYTHON) -c "from importlinter.cli import lint_imports_command as run; run()" --no-logo --no-cache
	$(PYTHON) tools/check_proto.py
	$(PYTHON) tools/confusables.py --check
	$(PYTHON) tools/catalogue.py --check
	$(PYTHON) tools/check_lock.py
	@$(PYTHON) tools/audit.py
	@$(MAKE) --no-print-directory package

package: $(DEV_READY) ## build the package, into dist/
	$(PYTHON) -W ignore -m build --no-isolation --outdir dist

proto: $(READY) ## make the generated code anew from chat.proto
	$(PYTHON) -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. --pyi_out=. chat.proto

lookalikes: $(DEV_READY) ## make the table of characters that look alike anew
	@$(PYTHON) tools/confusables.py

locale: $(DEV_READY) ## update and compile the catalogues; NEW=es begins another one
	@$(PYTHON) tools/catalogue.py $(NEW)

documents: $(DEV_READY) ## update what the documents take from the programs
	@$(PYTHON) tools/documents.py

pictures: $(DEV_READY) ## take the pictures of the terminal anew
	@$(PYTHON) tools/pictures.py

lock: $(DEV_READY) ## write requirements.lock anew: the newest versions that the rules allow
	$(PYTHON) -m uv --no-config pip compile --quiet --universal --python-version 3.10 --upgrade \
	    --generate-hashes --no-annotate --custom-compile-command "make lock" \
	    --output-file requirements.lock requirements-dev.txt

soak: $(DEV_READY) ## kill servers a hundred times under load; catch up over the slowest line
	CHAT_SOAK=100 $(PYTHON) -m pytest -s -o faulthandler_timeout=0 tests/system/test_ledger.py tests/system/test_rooms_ledger.py \
		tests/system/test_cluster_ledger.py tests/system/test_slow_lines.py

fuzz: $(DEV_READY) ## try ten thousand cases of what comes from outside; SEED=n tries the same again
	@echo "Trying ten thousand cases; SEED=$(SEED) makes the same ones."
	CHAT_FUZZ=20 $(PYTHON) -m pytest -n 2 --dist loadfile --hypothesis-seed=$(SEED) $(FUZZ_TESTS)

attacks: $(DEV_READY) ## attack a server in every known way, and measure what others notice
	@$(PYTHON) bench/attack_table.py

mutants: $(DEV_READY) ## change the programs in a hundred places, and see whether tests notice
	@$(PYTHON) tools/mutants.py

bench: $(DEV_READY) ## measure, eight minutes
	@$(PYTHON) bench/run.py

bench-compare: $(DEV_READY) ## measure, and hold it against the committed figures; eight minutes
	@$(PYTHON) bench/run.py --compare

bench-scale: $(DEV_READY) ## measure 10,000 clients on one server, three minutes
	@$(PYTHON) bench/run.py --scale

bench-growth: $(DEV_READY) ## measure what grows with the log: up to ten million messages, half an hour
	@$(PYTHON) bench/growth_study.py

bench-peers: $(DEV_READY) ## measure beside servers in Go and of IRC, with clients of gRPC itself; a quarter of an hour
	@$(PYTHON) bench/peers_study.py

.venv/ready: requirements.txt $(NEW_VENV)
	@echo "Installing what the programs need into .venv..."
	@$(PIP_INSTALL) -r requirements.txt
	@touch $@

.venv/ready-dev: requirements-dev.txt requirements.txt $(NEW_VENV)
	@echo "Installing what the checks and the tests need into .venv..."
	@$(PIP_INSTALL) -r requirements-dev.txt
	@touch .venv/ready $@

install-lock: $(NEW_VENV) ## install exactly what requirements.lock says, as CI does
	@echo "Installing requirements.lock into .venv..."
	@$(PIP_INSTALL) --quiet --require-hashes -r requirements.lock
	@touch .venv/ready .venv/ready-dev

new-venv:
	@echo "Making the environment .venv (the first time only)..."
	@python=$$(sh tools/find_python.sh) && "$$python" -m venv --clear .venv

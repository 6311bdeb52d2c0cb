# Every target does its own set-up: on a machine with Python >= 3.11 and make, `make demo` is the first command to type.
# Root gets Debian's packages that are missing; anybody else is told which they are, or does without.
#
#   make demo     a whole company on this machine, to try the gateway by hand (Ctrl-C ends it)
#   make tour     the same, acted out by a program; exits 0 only if everything did what it should
#   make test     all tests, against real servers     PYTEST_ARGS="-k name" chooses some, LIVE=no leaves out the servers,
#                 JOBS=1 runs them in one process instead of one more than there are processors
#   make soak     what kills, damages and fails, for half an hour each           SOAK_S=seconds
#   make check    style, types, layers
#   make tls-grade  every TLS listener graded by testssl.sh; fails below A
#   make suites   psycopg's, asyncpg's and PyMySQL's own tests through a gateway that observes  SUITES_ARGS="asyncpg" chooses one
#   make bench    measurements against direct connections, pgbouncer and HAProxy, into loadtests/RESULTS.md
#   make install  the gateway into a virtual environment of its own, PREFIX=/opt/gateway
#   make lock     resolve the hash-locked requirements anew
#   make clean    remove what the targets made here
#
# PYTHON=/path/to/python3.12 chooses the interpreter; DEMO_STATE=directory chooses where the demo keeps its data.

VENV ?= .venv
PYTHON ?=
LIVE ?= yes
PYTEST_ARGS ?=
JOBS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
BENCH_ARGS ?=
SUITES_ARGS ?=
DEMO_STATE ?=
PREFIX ?= /opt/gateway
SOAK_S ?= 1800

export PYTHON
ifneq ($(DEMO_STATE),)
export GATEWAY_DEMO_STATE := $(DEMO_STATE)
endif

PREPARE := deploy/prepare.sh
LOCKS := deploy/requirements
BIN := $(VENV)/bin
NATIVE := $(shell find gateway -name '_*.pyx')
SERVERS := $(if $(filter no,$(LIVE)),,server client jdbc node strace pgbouncer go rsyslog slapd chromium redis testssl mariadb haproxy sysbench mysql-tools)
EXTENSIONS := $(if $(filter no,$(LIVE)),,pgaudit)

# An environment whose interpreter went away or that was moved here is made again.
$(shell [ ! -e $(VENV) ] || $(BIN)/python -c pass 2>/dev/null || rm -rf $(VENV))

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: demo tour test soak servers check tls-grade suites bench install lock clean

demo: $(VENV)/.demo $(VENV)/.native
	@$(PREPARE) wish client mariadb
	@exec $(BIN)/gateway demo

tour: $(VENV)/.demo $(VENV)/.native
	@$(PREPARE) wish client mariadb
	@exec $(BIN)/gateway demo --tour

test: servers $(VENV)/.test $(VENV)/.native
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder $(if $(filter no,$(LIVE)),-m "not live and not faults") $(PYTEST_ARGS)

soak: servers $(VENV)/.test $(VENV)/.native
	SOAK_S=$(SOAK_S) $(BIN)/python -m pytest tests/faults $(PYTEST_ARGS)

# First of all, so that who may not install them learns it at once.
servers:
	@$(PREPARE) debian $(SERVERS) && $(PREPARE) debian $(EXTENSIONS) || { echo "Without them: make test LIVE=no" >&2; exit 1; }

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_layers.py

tls-grade: $(VENV)/.test $(VENV)/.native
	@$(PREPARE) debian server testssl
	$(BIN)/python -m pytest -q -s tests/live/test_tls_grade.py $(PYTEST_ARGS)

suites: $(VENV)/.dev $(VENV)/.native
	@$(PREPARE) debian server mariadb
	$(BIN)/python tests/suites/run.py $(SUITES_ARGS)

bench: $(VENV)/.dev $(VENV)/.native
	@$(PREPARE) debian server client pgbouncer nginx wrk mariadb haproxy sysbench
	$(BIN)/python -m loadtests $(BENCH_ARGS)
	$(if $(BENCH_ARGS),,$(BIN)/python -m loadtests mysql --keep)

install:
	@$(PREPARE) deploy $(PREFIX)

# The development lock holds everything, so the others are constrained by it and one environment serves all targets.
lock: $(VENV)/.dev
	$(BIN)/python $(LOCKS)/lock.py

clean:
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find gateway -name '*.so' -o -name '_*.c' | xargs rm -f
	find . -name __pycache__ -type d -prune | xargs rm -rf
	@echo "The demo's data stays in $(or $(DEMO_STATE),/var/lib/gateway-demo (root) or ~/.local/state/gateway-demo)."

$(BIN)/python:
	@$(PREPARE) venv $(VENV)

$(VENV)/.demo $(VENV)/.test $(VENV)/.dev: $(VENV)/.%: $(LOCKS)/build.txt $(LOCKS)/%.txt pyproject.toml | $(BIN)/python
	@$(PREPARE) install $(VENV) $(filter %.txt,$^)
	@touch $@

$(VENV)/.native: $(NATIVE) $(LOCKS)/build.txt
	@if $(PREPARE) native $(VENV); then touch $@; fi

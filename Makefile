# Each target sets up what it needs, once: an environment in .venv with the versions of
# constraints.txt, made again when these or pyproject.toml change.

PYTHON ?= python3
VENV ?= .venv
RESULTS ?=
SCALE ?= quick

# Tried in this order where PYTHON is not given on the command line or in the environment.
PYTHONS = $(PYTHON) $(if $(filter file default,$(origin PYTHON)),python3.11 python3.12 python3.13 python3.14)
RUN = $(VENV)/bin/python
FOR_REPORT = $(VENV)/.installed-for-report
FOR_TESTS = $(VENV)/.installed-for-tests
# Where .venv was made with another Python than the one that is given, which that was.
WHICH = -c 'import sys; print("%d.%d.%d" % sys.version_info[:3], "of", sys.base_prefix)' 2>/dev/null
ifeq ($(filter file default,$(origin PYTHON)),)
ifneq ($(wildcard $(VENV)/bin),)
OLD := $(shell $(RUN) $(WHICH))
ifneq ($(OLD),$(shell $(PYTHON) $(WHICH)))
ANOTHER := $(or $(OLD),none that still runs)
.PHONY: $(VENV)/.made $(FOR_REPORT) $(FOR_TESTS)
endif
endif
endif
CORES := $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)

# One thread a process: several threads in each of several processes slow each other down.
export OMP_NUM_THREADS = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help quickstart studies plan test torture report pdf lint clean

help:
	@echo 'make quickstart                       set up, run the quick grid and search, build the report'
	@echo 'make studies [SCALE=quick]            every study at a scale; goes on where it was stopped'
	@echo 'make plan [SCALE=quick]               how much that is, and how long it takes here'
	@echo 'make report [RESULTS=results/NAME]    build the report from a folder of results'
	@echo 'make pdf [RESULTS=results/NAME]       the same, and all of it as one PDF (needs Chromium)'
	@echo 'make test                             set up and run the tests'
	@echo 'make torture                          kill a study 20 times; it must end with the same rows'
	@echo 'make lint                             ruff and mypy'
	@echo 'make clean                            remove .venv, the built report and caches; results stay'
	@echo
	@echo 'PYTHON=python3.12 chooses the Python (3.11 or newer) that .venv is made with; where it'
	@echo 'was made with another one, it is made again.'

quickstart: $(FOR_REPORT)
	$(RUN) studies/grid.py --scale quick
	$(RUN) studies/search.py --scale quick
	@echo 'Building the report ...'
	$(RUN) report/build.py results/quick

# The most worth knowing first, should time run out, as in benchmark/project.py. The grid comes before the search, which trains
# the grid's best cell again beside its own.
STUDIES = headline headroom explosion deep disturbances clipping batch_updates critical_batch \
    full_batch learning_rate initialization normalization optimizers scaling article architectures precision \
    published edge_of_stability grid search
STUDY_OPTIONS = --scale $(SCALE) $(if $(RESULTS),--results "$(RESULTS)")

# Ctrl-C and bad input end all; a study on some of whose trials the program failed does not.
studies: $(FOR_REPORT)
	@failed=; \
	for study in $(STUDIES); do \
	    case $(SCALE) in smoke|quick) ;; *) \
	        $(RUN) studies/$$study.py $(STUDY_OPTIONS) --dry-run || exit $$?;; \
	    esac; \
	    $(RUN) studies/$$study.py $(STUDY_OPTIONS) || { \
	        status=$$?; [ $$status = 1 ] || exit $$status; failed="$$failed $$study"; }; \
	done; \
	[ -z "$$failed" ] || { echo "not finished:$$failed; the same command goes on" >&2; exit 1; }

plan: $(FOR_REPORT)
	@for study in $(STUDIES); do \
	    $(RUN) studies/$$study.py $(STUDY_OPTIONS) --dry-run || exit $$?; \
	done

test: $(FOR_TESTS)
	$(RUN) -m pytest -n $$(( $(CORES) < 4 ? $(CORES) : 4 ))

torture: $(FOR_TESTS)
	$(RUN) tests/torture.py

report: $(FOR_REPORT)
	$(RUN) report/build.py $(if $(RESULTS),"$(RESULTS)")

pdf: $(FOR_REPORT)
	$(RUN) report/build.py $(if $(RESULTS),"$(RESULTS)") --pdf

lint: $(FOR_TESTS)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

clean:
	rm -rf $(VENV) build report/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Compiling apart from pip uses every core, and leaves out the packages' own tests; files that are
# not Python 3 are passed over.
define install
@echo 'Installing into $(VENV), once (some minutes; torch is large) ...'
@$(RUN) -m pip install -qq --no-compile -c constraints.txt -e '.[$(EXTRAS)]'
@$(RUN) -m compileall -qq -j 0 -x /tests/ $(VENV)/lib || true
endef

$(FOR_REPORT): EXTRAS = report,fast
$(FOR_TESTS): EXTRAS = report,fast,test,cluster

$(FOR_REPORT): pyproject.toml constraints.txt | $(VENV)/.made
	$(install)
	@touch $@

$(FOR_TESTS): pyproject.toml constraints.txt | $(VENV)/.made
	$(install)
	@touch $@ $(FOR_REPORT)

$(VENV)/.made:
	@new_enough() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }; \
	if [ -n "$(ANOTHER)" ] || ! new_enough $(RUN); then \
	    found=; \
	    for candidate in $(PYTHONS); do \
	        if new_enough $$candidate; then found=$$candidate; break; fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo 'error: Python 3.11 or newer is needed; tried: $(strip $(PYTHONS)).' \
	            'Give one with make PYTHON=...' >&2; \
	        exit 2; \
	    fi; \
	    if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
	        echo "error: $$found has no venv module; install it" \
	            '(on Debian and Ubuntu: apt install python3-venv)' >&2; \
	        exit 2; \
	    fi; \
	    [ -z "$(ANOTHER)" ] || \
	        echo 'Making $(VENV) again with $(PYTHON): its Python was $(ANOTHER)'; \
	    $$found -m venv --clear $(VENV); \
	fi
	@touch $@

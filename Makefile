EXPERIMENT ?= uk_inflation

.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-bench
HARNESS = $(BIN)/harness
unexport PYTHONDONTWRITEBYTECODE # else every worker and child process compiles the whole house again

# ---- what a target cannot do without: one line and exit code 2, before anything else happens

need = $(if $(and $(filter $(1),$(MAKECMDGOALS)),$(if $(strip $($(2))),,missing)),$(error make $(1) needs $(2)=$(3)))
$(call need,new,NAME,my_data (the name of the new dataset and experiment) and DATA=file.csv)
$(call need,new,DATA,file.csv (a CSV or Parquet file))
$(call need,ingest,DATASET,uk_macro (make datasets lists them))
$(call need,data,DATASET,uk_macro (make datasets lists them))
$(call need,data-failures,DATASET,uk_macro (make datasets lists them))
$(call need,lags,DATASET,uk_macro (make datasets lists them))
$(call need,show,RUN,id (make runs lists them))
$(call need,report,RUN,id (make runs lists them))
$(call need,lineage,RUN,id (make runs lists them))
$(call need,reproduce,RUN,id (make runs lists them))
$(call need,export,RUN,id (make runs lists them) and TO=folder)
$(call need,export,TO,folder (where to))
$(call need,model-card,RUN,id (make runs lists them))
$(call need,archive,DO,export or import)
$(call need,archive,FILE,archive.zip)
$(call need,holdout,DO,"keys --out FILE" (harness holdout --help lists the rest))
$(call need,trials,RUN,id (make runs lists them))
$(call need,spaces,RUN,id (make runs lists them))

# ---- targets

.PHONY: help setup check test test-slow mutants lock new datasets ingest data data-failures lags plan backtest audit bench \
  bench-peers bench-peers-env \
  runs show trials spaces effort report export lineage reproduce verify ledger holdout sql archive model-card clean

help: ## explain every target (this list)
	@echo "make TARGET [EXPERIMENT=$(EXPERIMENT)] [DATASET=name] [RUN=id]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/ready ## create or refresh .venv from requirements.lock (every other target does so by itself)
	@echo "$(VENV) is ready."

check: $(VENV)/ready ## format, lint, strict types, import walls, doctests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -q --doctest-modules harness

test: $(VENV)/ready ## the tests, without those marked slow
	$(BIN)/pytest -q -n 2 --dist loadfile

test-slow: $(VENV)/requirements-engines.lock ## the tests marked slow (adds Ray and Dask to .venv, 290 MB)
	$(BIN)/pytest -q -n 2 --dist loadfile -m slow

mutants: $(VENV)/ready ## break one law at a time in a copy of the tree; the tests must notice each (some minutes)
	@$(BIN)/python -m tests.mutants.run

lock: $(VENV)/requirements.lock ## recompile requirements.lock from pyproject.toml (UPGRADE=1 moves every pin to its newest)
	@$(ONLY_OWN_INDEX) CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe \
	  --extra dev --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
	  $(if $(UPGRADE),--upgrade) --output-file requirements.lock pyproject.toml
	@$(ONLY_OWN_INDEX) CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe \
	  --extra dev --extra ray --extra dask --constraint requirements.lock \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
	  $(if $(UPGRADE),--upgrade) --output-file .ci/requirements-engines.lock pyproject.toml

new: $(VENV)/ready ## describe your own data: datasets/NAME/ and experiments/NAME.toml from NAME= and DATA=file.csv
	@$(HARNESS) new "$(NAME)" --data "$(DATA)"

datasets: $(VENV)/ready ## list the datasets
	@$(HARNESS) datasets

ingest: $(VENV)/ready ## read DATASET= into the archive
	@$(HARNESS) ingest "$(DATASET)"

data: $(VENV)/ready ## what the ingest of DATASET= did: batches, cleaning steps with counts, assertions with verdicts
	@$(HARNESS) data status "$(DATASET)"

data-failures: $(VENV)/ready ## rows of DATASET= that were cleaned, set aside or warned about, with reasons
	@$(HARNESS) data failures "$(DATASET)"

lags: $(VENV)/ready ## how late and how revised each series of DATASET= is (ALL=1: more than the first 100)
	@$(HARNESS) lags "$(DATASET)" $(if $(ALL),--all)

plan: $(VENV)/ready ## what EXPERIMENT= would know, train on and purge at each origin
	@$(HARNESS) plan "$(EXPERIMENT)"

backtest: $(VENV)/ready ## run EXPERIMENT= and print its leaderboard (WORKERS=n processes, MEMORY=GB, ENGINE=ray or dask, ADDRESS=, STORE=, PROFILE=1)
	@$(HARNESS) backtest "$(EXPERIMENT)" $(if $(WORKERS),--workers "$(WORKERS)") $(if $(MEMORY),--memory "$(MEMORY)") \
	  $(if $(ENGINE),--engine "$(ENGINE)") \
	  $(if $(ADDRESS),--engine-address "$(ADDRESS)") $(if $(STORE),--engine-store "$(STORE)") $(if $(PROFILE),--profile)

audit: $(VENV)/ready ## prove that nothing reaches EXPERIMENT='s forecasts before it is public (ORIGINS=n or all, PREMIUM=1, STRESS=days, PLACEBO=1)
	@$(HARNESS) audit "$(EXPERIMENT)" $(if $(ORIGINS),--origins "$(ORIGINS)") $(if $(WORKERS),--workers "$(WORKERS)") \
	  $(if $(PREMIUM),--premium) $(if $(STRESS),--stress "$(STRESS)") $(if $(PLACEBO),--placebo)

bench: $(VENV)/ready ## time replay, ingest, rows, scores, searches, a seal; and, into RESULTS.md, engines, doublings, 2,000 origins, a million series, uk_inflation
	$(BIN)/python experiments/benchmarks/replay.py
	$(BIN)/python experiments/benchmarks/ingest.py
	$(BIN)/python experiments/benchmarks/rows.py
	$(BIN)/python experiments/benchmarks/scores.py
	$(BIN)/python experiments/benchmarks/search_record.py
	$(BIN)/python experiments/benchmarks/tuned_trial.py
	$(BIN)/python experiments/benchmarks/seal.py
	$(BIN)/python experiments/benchmarks/engines.py --write
	$(BIN)/python experiments/benchmarks/doubling.py --write
	$(BIN)/python experiments/benchmarks/origins.py --write
	$(BIN)/python experiments/benchmarks/million.py --write
	$(BIN)/python experiments/benchmarks/shipped.py --write

bench-peers: $(VENV)/ready $(PEERS)/peers.txt ## measure our path beside statsforecast, mlforecast, darts, sktime, functime, skforecast, pandas and DuckDB, into RESULTS.md (SHARE=0.1 of the series, ONLY="replay boosting-A")
	$(BIN)/python experiments/benchmarks/measure.py $(if $(SHARE),--share "$(SHARE)") $(if $(ONLY),--only $(ONLY))

bench-peers-env: $(PEERS)/peers.txt ## create .venv-bench, the throw-away environment of the peers (bench-peers does so by itself)
	@echo "$(PEERS) is ready."

runs: $(VENV)/ready ## list the runs so far
	@$(HARNESS) runs

show: $(VENV)/ready ## print the leaderboard and record of RUN= (PROFILE=1: where its time went)
	@$(HARNESS) show "$(RUN)" $(if $(PROFILE),--profile)

trials: $(VENV)/ready ## the best trial of each search of RUN= (harness trials RUN --all: every trial)
	@$(HARNESS) trials "$(RUN)"

spaces: $(VENV)/ready ## what RUN= searched (AFTER=id: what that run searched otherwise)
	@$(HARNESS) spaces $(if $(AFTER),diff "$(RUN)" "$(AFTER)","$(RUN)")

effort: $(VENV)/ready ## how much was searched and looked at so far on the target of EXPERIMENT= (or TARGET=series)
	@$(HARNESS) effort "$(or $(TARGET),$(EXPERIMENT))"

report: $(VENV)/ready ## write the page of RUN=
	@$(HARNESS) report "$(RUN)"

export: $(VENV)/ready ## write every forecast, error and score by series of RUN= as Parquet files into TO=folder
	@$(HARNESS) export "$(RUN)" --to "$(TO)"

lineage: $(VENV)/ready ## trace RUN= back to batches and raw files (FORECAST="series origin horizon", MODEL=name)
	@$(HARNESS) lineage "$(RUN)" $(if $(FORECAST),--forecast $(FORECAST)) $(if $(MODEL),--model "$(MODEL)")

reproduce: $(VENV)/ready ## derive RUN= again and compare every bit with the record (MODELS="a b", WORKERS=n)
	@$(HARNESS) reproduce "$(RUN)" $(if $(MODELS),--models $(MODELS)) $(if $(WORKERS),--workers "$(WORKERS)")

verify: $(VENV)/ready ## check every recorded file against its hash
	@$(HARNESS) verify

ledger: $(VENV)/ready ## check the record of seals, plans, openings and refusals (HEAD=hash noted earlier)
	@$(HARNESS) ledger verify $(if $(HEAD),--head "$(HEAD)")

holdout: $(VENV)/ready ## sealed holdouts: DO="request --plan ID --out FILE" and the like (harness holdout --help lists them)
	@$(HARNESS) holdout $(DO)

export SQL
sql: $(VENV)/ready ## answer SQL="select ..." over archive and runs; without it, list the views
	@if [ -n "$$SQL" ]; then $(HARNESS) sql "$$SQL"; else $(HARNESS) sql; fi

archive: $(VENV)/ready ## DO=export or DO=import the archive as one FILE= (RUNS=1 exports runs too)
	@$(HARNESS) archive "$(DO)" "$(FILE)" $(if $(RUNS),--runs)

model-card: $(VENV)/ready ## print a model of RUN= as Markdown (MODEL=name)
	@$(HARNESS) model-card "$(RUN)" $(if $(MODEL),--model "$(MODEL)")

clean: ## remove .venv, .venv-bench, caches and what a build leaves; the archive and runs in .harness/ stay
	rm -rf $(VENV) $(PEERS) build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- .venv
#
# It holds two stamps, each a copy of what it was made from and written last, so that an interrupted set-up leaves
# none: requirements.lock (all packages installed; first line: where, as scripts carry that path) and ready (the project
# itself installed, everything imports). A stamp is redone when its source is newer or differs.

PYTHONS = $(or $(PYTHON),python3.11 python3)
LOCK_STAMP = { echo "\# $(CURDIR)"; cat requirements.lock; }
LOCK_DONE = [ -x $(BIN)/python ] && $(LOCK_STAMP) | cmp -s - $(VENV)/requirements.lock
READY_DONE = cat pyproject.toml .ci/check_imports.py | cmp -s - $(VENV)/ready

# pip as a stranger would have it: no wheel folders and extra indexes of this machine, but its index and certificates.
unexport PIP_FIND_LINKS PIP_EXTRA_INDEX_URL PIP_NO_INDEX PIP_CONSTRAINT PIP_TARGET PIP_PREFIX PIP_USER
setting = PIP_$(1)="$${PIP_$(1):-$$($(BIN)/python -m pip config get global.$(2) 2>/dev/null)}"
ONLY_OWN_INDEX = $(call setting,INDEX_URL,index-url) $(call setting,CERT,cert) \
  $(call setting,CLIENT_CERT,client-cert) $(call setting,PROXY,proxy) $(call setting,TRUSTED_HOST,trusted-host) \
  PIP_CONFIG_FILE=/dev/null
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet

# Two makes at once, each in need of a new .venv: the second waits, then finds the work done.
ONE_AT_A_TIME = exec 9<requirements.lock; if command -v flock >/dev/null; then flock 9; fi

# What only the tests of Ray and Dask need: a backtest and the other tests do without.
ENGINES_DONE = cmp -s .ci/requirements-engines.lock $(VENV)/requirements-engines.lock
$(VENV)/requirements-engines.lock: $(VENV)/ready .ci/requirements-engines.lock $(shell $(ENGINES_DONE) || echo FORCE)
	@set -e; $(ONE_AT_A_TIME); \
	if ! { $(ENGINES_DONE); }; then \
	  echo "set-up: Ray and Dask from .ci/requirements-engines.lock"; \
	  $(ONLY_OWN_INDEX) $(PIP) install --require-hashes --only-binary :all: --requirement .ci/requirements-engines.lock; \
	  cp .ci/requirements-engines.lock $(VENV)/unfinished; mv $(VENV)/unfinished $@; \
	else touch $@; fi

.PHONY: FORCE
$(VENV)/requirements.lock: requirements.lock $(shell $(LOCK_DONE) || echo FORCE)
	@set -e; $(ONE_AT_A_TIME); \
	if ! { $(LOCK_DONE); }; then \
	  python=; for p in $(PYTHONS); do \
	    if "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$p; break; fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "set-up: Python 3.11 or newer is needed, tried: $(PYTHONS). Name one: make setup PYTHON=/path/to/python" >&2; \
	    exit 2; \
	  fi; \
	  echo "set-up: $(VENV) from requirements.lock, with $$("$$python" --version); this takes a minute or two"; \
	  rm -rf $(VENV); \
	  "$$python" -m venv $(VENV) || { \
	    echo "set-up: $$python cannot make a venv (Debian/Ubuntu: apt-get install python3-venv)" >&2; \
	    exit 2; \
	  }; \
	  $(ONLY_OWN_INDEX) $(PIP) install --require-hashes --only-binary :all: --requirement requirements.lock; \
	  $(LOCK_STAMP) >$(VENV)/unfinished; mv $(VENV)/unfinished $@; \
	else touch $@; fi

$(VENV)/ready: $(VENV)/requirements.lock pyproject.toml .ci/check_imports.py $(shell $(READY_DONE) || echo FORCE)
	@set -e; $(ONE_AT_A_TIME); \
	if ! { $(READY_DONE); }; then \
	  PIP_CONFIG_FILE=/dev/null $(PIP) install --no-index --no-deps --no-build-isolation --editable .; \
	  unmet=$$($(BIN)/python -m pip check) || { \
	    echo "$$unmet" >&2; \
	    echo "set-up: requirements.lock does not fit pyproject.toml: make lock" >&2; \
	    exit 2; \
	  }; \
	  $(BIN)/python .ci/check_imports.py; \
	  cat pyproject.toml .ci/check_imports.py >$(VENV)/unfinished; mv $(VENV)/unfinished $@; \
	else touch $@; fi

# ---- .venv-bench: the peers that benchmarks compare with, apart from the project's own packages

$(PEERS)/peers.txt: experiments/benchmarks/peers.txt | $(VENV)/ready
	@echo "set-up: $(PEERS) from experiments/benchmarks/peers.txt; this takes some minutes"
	@rm -rf $(PEERS)
	@$(BIN)/python -m venv $(PEERS)
	@$(ONLY_OWN_INDEX) $(PIP) --python $(PEERS)/bin/python install --only-binary :all: --requirement $<
	@cp $< $@

# What people run here. `make` alone lists it.
# demo and test need only Python 3.11 or newer, git and make: uv comes from PyPI when it is missing.
PYTHON ?= python3
BASE ?= HEAD
UV_VERSION := $(shell sed -n 's/^uv: *//p' tests/engines/versions.yaml)
UV := $(or $(shell command -v uv 2>/dev/null),.tools/uv-$(UV_VERSION))
# Tests run the make of rendered services, which must not think that this one called it.
RUN := env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS $(UV) run --locked
# Its services keep time for many, which clusters and stores of other tests would take from them.
ALONE := tests/observability/test_alerts_live.py
# Another project's active environment is not ours.
unexport VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help demo test alerts updates cluster engines bench check format locks dashboards gallery docs render-diff release

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(UV) ## render a Python service into build/demo
	@$(RUN) python -m slipway.maintainers demo

test: $(UV) ## run every test that this machine can run
	@$(RUN) pytest --numprocesses auto --dist loadfile --ignore $(ALONE)
	@$(RUN) pytest $(ALONE)

alerts: $(UV) ## cause every alert on every stack, with the real programs
	@SLIPWAY_ALERT_STACKS="python node go" $(RUN) pytest $(ALONE)

updates: $(UV) ## update services of every minor version, with every edit
	@SLIPWAY_UPDATES=all $(RUN) pytest --numprocesses auto --dist loadfile tests/update

cluster: $(UV) ## show all that is shown on a real cluster, with Argo Rollouts
	@$(RUN) python -m tests.engines install
	@$(RUN) python -m tests.engines install argo-rollouts
	@SLIPWAY_CLUSTER=all SLIPWAY_REQUIRE_ENGINES=1 $(RUN) pytest tests/cluster

engines: $(UV) ## install the real programs that the tests use (Docker, the collector)
	@$(RUN) python -m tests.engines install

bench: $(UV) ## measure speed and sizes, as ratios within one run
	@$(RUN) pytest benchmarks

check: $(UV) ## lint, check the formatting and the types
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy

format: $(UV) ## format the Python code and sort its imports
	@$(RUN) ruff check --select I --fix
	@$(RUN) ruff format

locks: $(UV) ## write the lock files of the rendered services anew
	@$(RUN) python -m slipway.maintainers locks

dashboards: $(UV) ## write the dashboards of the rendered services anew
	@$(RUN) python -m slipway.maintainers dashboards

gallery: $(UV) ## draw docs/reference/gallery anew, from a real run of twelve minutes
	@$(RUN) python -m tests.observability.gallery

docs: $(UV) ## write the generated pages of docs/reference anew
	@$(RUN) python -m slipway.maintainers reference

render-diff: $(UV) ## show what changed in rendered services since BASE=HEAD (a tag, branch or commit)
	@$(RUN) python -m slipway.maintainers render-diff '$(subst ','\'',$(BASE))'

release: $(UV) ## check, commit and tag VERSION=X.Y.Z; push nothing
	@$(RUN) python -m slipway.maintainers release '$(subst ','\'',$(VERSION))'

.tools/uv-%: hooks/install-uv.sh
	@sh hooks/install-uv.sh $* $@ '$(PYTHON)'

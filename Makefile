# Every target does its own set-up in .venv and costs nothing when there is nothing to do. With REQUIRE_HASHES=1, .venv
# gets only the files that hashes/dev.txt names: all extras, and PyTorch for CUDA.

PYTHON ?= python3
STAMP := .venv/.installed
PEERS_STAMP := .venv-peers/.installed .venv-peers-older/.installed
UPGRADE := .venv-upgrade
SBOM := .venv-sbom
DOCS := $(CURDIR)/.venv-docs

# Packages are installed uncompiled; what Python compiles of them it keeps, whatever the shell says. Otherwise each of the
# many processes that follow would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: train test check lint types prove-learning results bench bench-gpu bench-guard gpu-check bench-peers chaos chaos-network chaos-nodes chaos-replacement chaos-signals chaos-sweep soak fuzz secrets compose-test wheel sbom hashes cases test-proofs test-slow test-tracking test-compiler test-benchmarks browser-test docs upgrade clean

train: $(STAMP)  ## Train CartPole on a local Ray and record it in ./mlflow.db
	.venv/bin/reinforce train cartpole

# In three processes, for many tests wait; file by file, for those of a file share servers and runs. The slow ones,
# which start whole clusters, in two.
test: $(STAMP)  ## Run the tests
	.venv/bin/pytest --numprocesses 3 --dist loadfile --durations=25

test-slow: $(STAMP)  ## Tests that learn, lose nodes, drivers and workers, measure, or install
	.venv/bin/pytest -m slow --numprocesses 2 --dist loadfile --durations=25

# What this project promises, in a minute or two: that it learns, that its gradient is the true one, and that a run is the
# same through kills, resumes and on any backend.
PROOFS := tests/test_learning.py tests/cluster/test_recovery.py tests/cluster/backends/test_sampled_gradient.py \
	tests/cluster/backends/ray/test_pool.py tests/cluster/moments/test_random_tickets.py
test-proofs: $(STAMP)  ## Of the slow tests, those that learn and kill
	.venv/bin/pytest -m slow --numprocesses 2 --dist loadfile $(PROOFS)

check: lint types test test-slow  ## All that should pass before a push

lint: $(STAMP)  ## Style and formatting
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: $(STAMP)  ## Static types, strict
	.venv/bin/mypy

prove-learning: $(STAMP)  ## Ten seeds of CartPole on both backends, without and with lookahead
	.venv/bin/python benchmarks/cartpole_seeds.py --seeds 10
	.venv/bin/python benchmarks/cartpole_seeds.py --seeds 10 --lookahead 1

results: $(STAMP)  ## Train every quick preset on five fresh seeds and fill docs/results.md; continues after an interruption
	.venv/bin/python benchmarks/preset_results.py

bench: $(STAMP)  ## Our own figures in docs/performance.md
	for name in limit vector backends scaling scaling_model startup worker broadcast learner_step learners rollout; do \
		.venv/bin/python benchmarks/$$name.py || exit 1; done
	.venv/bin/python benchmarks/report.py

BASE ?= $(shell git describe --tags --abbrev=0 2>/dev/null || echo main)
bench-guard: $(STAMP)  ## Fails if this checkout needs 15 % more processor time than BASE, the newest tag or main
	.venv/bin/python benchmarks/guard.py --base $(BASE)

bench-gpu: $(STAMP)  ## The learner on this machine's GPU against the GPU itself
	.venv/bin/python benchmarks/learner_gpu.py --device cuda
	.venv/bin/python benchmarks/report.py

GPU := $(shell test -e /dev/nvidia0 && echo cuda)
gpu-check: $(STAMP)  ## In under ten minutes: the tests that need a GPU, and the benchmark; without one, a tiny size on the CPU
	.venv/bin/python -m pytest -n 0 -m "" -rs tests/learner/test_device.py tests/cluster/test_gpu_runs.py
	.venv/bin/python benchmarks/learner_gpu.py $(if $(GPU),--device cuda,--device cpu --compiled no \
		--rounds 1 --steps 512 --sizes 128 256 --output build/gpu-check)

bench-peers: $(STAMP) $(PEERS_STAMP)  ## Against other libraries; two hours, continues after an interruption
	.venv/bin/python benchmarks/peers/run.py --minutes 120
	.venv/bin/python benchmarks/report.py

chaos: $(STAMP)  ## Ten minutes of killing workers, learner, nodes and driver of a run
	.venv/bin/python tests/chaos/chaos.py --seconds 600

chaos-nodes: $(STAMP)  ## One run on sixteen nodes of this machine, of which two are killed
	.venv/bin/python tests/chaos/nodes.py

chaos-network: $(STAMP)  ## Cut the connection between two nodes (needs root and network namespaces)
	.venv/bin/python tests/chaos/network.py

chaos-replacement: $(STAMP)  ## Kill one of two workers ten times: each must be replaced within seconds
	.venv/bin/python tests/chaos/replacement.py

chaos-signals: $(STAMP)  ## Interrupt runs at their start, in a faulty ticket and at their end: each must return within 5 s
	.venv/bin/python tests/chaos/signals.py --backends inline ray

chaos-sweep: $(STAMP)  ## A sweep of 40 trials on three nodes: one is killed, and the sweep itself twice
	.venv/bin/python tests/chaos/sweep.py --trials 40

fuzz: $(STAMP)  ## Ten thousand wrong inputs: no traceback, no hang, nothing left behind
	.venv/bin/python tests/fuzz/fuzz.py --cases 10000

soak: $(STAMP)  ## Ten thousand updates: memory, open files and Ray objects must not grow
	.venv/bin/python tests/chaos/soak.py

wheel: $(STAMP)  ## Our wheel in dist/, for clusters that install it, and a list of its dependencies
	rm -rf build dist
	.venv/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	$(MAKE) sbom

sbom: $(SBOM)/bin/cyclonedx-py  ## Bill of materials, dist/sbom.cdx.json: every package of the image, with its hashes
	mkdir -p dist
	PYTHONWARNINGS=ignore $(SBOM)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.cdx.json \
		hashes/image.txt

upgrade: $(UPGRADE)/bin/uv  ## Move the pins of constraints.txt to the newest versions, except torch
	grep '^torch==' constraints.txt > $(UPGRADE)/torch.txt
	$(UPGRADE)/bin/uv pip compile --quiet --upgrade --all-extras --python-version 3.11 --python-platform linux \
		--no-header --no-annotate --constraint $(UPGRADE)/torch.txt --output-file $(UPGRADE)/pins.txt pyproject.toml
	@# Packages of CUDA go with the build of torch that is installed, which need not be PyPI's.
	{ grep '^#' constraints.txt; grep --extended-regexp --invert-match '^(cuda|nvidia)-|^triton==' $(UPGRADE)/pins.txt; } \
		> $(UPGRADE)/constraints.txt
	mv $(UPGRADE)/constraints.txt constraints.txt
	$(MAKE) hashes

LOCK = $(UPGRADE)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make hashes" --constraint constraints.txt pyproject.toml

hashes: $(UPGRADE)/bin/uv  ## Renew hashes/ from PyPI for the versions in constraints.txt, for the image and .venv
	$(LOCK) --extra server --output-file hashes/image.txt
	$(LOCK) --all-extras --output-file hashes/dev.txt

secrets:  ## Make the missing secrets of docker-compose.yml
	@# The folder keeps others of this machine out; a container's user, whatever its number, reads.
	@umask 077 && mkdir -p secrets && cd secrets && for name in ray_token postgres_password s3_secret_key grafana_password; do \
		test -s $$name || { $(PYTHON) -c 'import secrets; print(secrets.token_hex(32), end="")' > $$name \
		&& chmod 444 $$name && echo "made secrets/$$name"; }; done

compose-test: $(STAMP)  ## The services of docker-compose.yml for real: builds, trains, kills a worker; needs root and minutes
	.venv/bin/python tests/compose/run.py

cases: $(STAMP)  ## Inputs that troubled users of other systems: tests/cases/ and similar
	.venv/bin/pytest -m case tests/cluster tests/configs tests/learner tests/workers

test-tracking: $(STAMP)  ## Minutes of MLflow servers that fail, and runs read back from PostgreSQL
	.venv/bin/pytest -m tracking tests/cluster

test-compiler: $(STAMP)  ## Compare networks under torch.compile with plain Torch
	.venv/bin/pytest -m compiler tests/learner

test-benchmarks: $(STAMP) $(PEERS_STAMP)  ## Every benchmark at tiny size, including those of the peers
	.venv/bin/pytest -m "benchmarks or not benchmarks" tests/benchmarks tests/test_benchmarks.py

browser-test: $(STAMP)  ## Read MLflow's pages in Chromium; makes the screenshots of docs/tracking.md
	.venv/bin/pytest -m browser tests/browser

docs: $(STAMP) $(DOCS)/bin/zensical  ## The documentation as a site, in site/; a broken link is an error
	.venv/bin/python docs/site/reference.py docs/reference
	PYTHONPATH=docs/site PATH="$(DOCS)/bin:$$PATH" $(DOCS)/bin/zensical build --clean --strict
	.venv/bin/python docs/site/check_links.py site

clean:  ## Remove the virtual environment and caches; keeps runs and mlflow.db
	rm -rf .venv .venv-peers .venv-peers-older $(UPGRADE) $(SBOM) $(DOCS) build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
ifeq ($(REQUIRE_HASHES),1)
	.venv/bin/pip install --quiet --no-compile --require-hashes --requirement hashes/dev.txt
	.venv/bin/pip install --quiet --no-deps --no-build-isolation --editable .
else
	.venv/bin/pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
endif
	touch $(STAMP)

.venv-peers/.installed: benchmarks/peers/requirements.txt
.venv-peers-older/.installed: benchmarks/peers/requirements-older.txt
$(PEERS_STAMP):
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --requirement $<
	touch $@

$(UPGRADE)/bin/uv:
	$(PYTHON) -m venv $(UPGRADE)
	$(UPGRADE)/bin/pip install --quiet 'uv>=0.8,<1'

$(DOCS)/bin/zensical: docs/site/requirements.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install --quiet --no-compile --requirement docs/site/requirements.txt
	touch $@

$(SBOM)/bin/cyclonedx-py:
	$(PYTHON) -m venv $(SBOM)
	$(SBOM)/bin/pip install --quiet 'cyclonedx-bom>=7,<8'

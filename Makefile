# `make` runs the main job and prints its table; `make test` runs the suite. Whichever comes first installs.
PYTHON ?= python3
CORES ?= $(shell nproc)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
READY := .venv/.ready

.PHONY: all all-ablations env lint test test-slurm bench clean

all: $(READY)
	@snakemake --cores $(CORES) --rerun-incomplete --show-failed-logs --quiet host reason rules \
		--scheduler greedy --scheduler-subsample 40
	@cat results/tables/*.txt
	@echo "All of it on one page: results/index.html  Tables: results/tables  Figures: results/figures"

all-ablations: $(READY)
	@snakemake all_ablations --cores $(CORES) --rerun-incomplete --show-failed-logs --quiet host reason rules
	@echo "Tables: results/tables/ablations-full.md  Figures: results/figures"

env: $(READY)

# Touched last, so that an interrupted installation is taken up again.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ngw needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench,dev]'
	@touch $(READY)

lint: $(READY)
	ruff check .
	ruff format --check .
	snakefmt --check workflow rules
	snakemake --lint

test: lint
	pytest -n $(CORES) --dist loadfile

# A real SLURM of one node, from Debian's packages slurm-wlm, munge, slurmdbd and mariadb-server; as root.
test-slurm: $(READY)
	REQUIRE_SLURM=1 pytest -m slurm tests/slurm

bench: $(READY)
	python benchmarks/sinkhorn.py --size small
	python benchmarks/ranking.py --size small
	python benchmarks/maps.py --size small

clean:
	rm -rf results/index.html results/data results/features results/runs results/labels results/fusions results/decoders results/tables results/figures results/logs results/benchmarks

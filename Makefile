# `make` runs the main job and prints its table; `make test` runs the suite. The first of them installs.
PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Snakemake with the options of profiles/local.
SNAKEMAKE := python -m ngw run --cores $(CORES)
READY := .venv/.ready

.PHONY: all quick all-ablations judge env lint test test-long test-slurm docs bench clean

all: $(READY)
	@test -f results/tables/retrieval.txt || $(MAKE) --no-print-directory quick
	@$(SNAKEMAKE)
	@cat results/tables/*.txt
	@echo "All of it on one page: results/index.html  Tables: results/tables  Figures: results/figures"

# The retrieval table with some of its rows and one seed; `make` continues from there, and its table replaces this one.
# With so few jobs Snakemake can search for ready ones every second (profiles/local), so cores wait less.
quick: $(READY)
	@$(SNAKEMAKE) --max-jobs-per-timespan 1000/1s --configfile examples/quick.yaml
	@cat results/tables/retrieval.txt
	@echo "Six rows, one seed; on one page: results/index.html. Next: make, for all of it."

all-ablations: $(READY)
	@$(SNAKEMAKE) all_ablations
	@echo "Tables: results/tables/ablations-full.md  Figures: results/figures"

# Train the repository's judge of pictures again; `make` then judges the pictures again.
judge: $(READY)
	@$(SNAKEMAKE) results/scorers/scenes-clip-anew
	@cp results/scorers/scenes-clip-anew/* workflow/scorers/scenes-clip

env: $(READY)

# Touched last, so that `make` repeats an interrupted installation.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ngw needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench,dev]'
	@touch $(READY)

lint: $(READY)
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check workflow rules
	snakemake --lint

# One thread for each worker and its processes: more threads than cores wait for one another. Files run in their order:
# xdist would leave the files with few tests, which are long, to the end.
test: export OMP_NUM_THREADS ?= 1
test: lint
	pytest -n $(CORES) --dist loadfile --no-loadscope-reorder

# The slow tests that `make test` leaves out: whole workflows and tutorials in miniature, and an edit of each module.
test-long: export OMP_NUM_THREADS ?= 1
test-long: $(READY)
	pytest -n $(CORES) -m long

# A real SLURM of one node, from Debian's packages slurm-wlm, munge, slurmdbd and mariadb-server; as root.
test-slurm: $(READY)
	REQUIRE_SLURM=1 pytest -m slurm tests/slurm

# The pages of docs/ as a site, every link checked: site/index.html.
docs: $(READY)
	mkdocs build

bench: $(READY)
	python benchmarks/sinkhorn.py --size small
	python benchmarks/ranking.py --size small
	python benchmarks/maps.py --size small

clean:
	find results -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +

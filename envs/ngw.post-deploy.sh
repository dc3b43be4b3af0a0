#!/usr/bin/env bash
# What goes into the environment of ngw.yaml: this checkout and its pins. Snakemake runs it once, in the folder that it
# was started in. (Paths in ngw.yaml would be looked up in .snakemake/conda, where conda reads a copy of it.)
# The pins' digest stands here, since an environment is made anew where this file has changed. Of constraints.txt:
# sha256 c3958ce756586e927c3852bbaa853d1eaae2dbe3f8879e3ebfa92108e553fdf5
set -euo pipefail
if [ ! -f constraints.txt ]; then
    echo "constraints.txt: expected in $PWD, found nothing; start Snakemake in the folder of the checkout." >&2
    exit 1
fi
"$CONDA_PREFIX/bin/python" -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'

#!/usr/bin/env bash
# What goes into the environment of ngw.yaml: this checkout and its pins. Snakemake runs it once, in the folder that it
# was started in. (Paths in ngw.yaml would be looked up in .snakemake/conda, where conda reads a copy of it.)
# The pins' digest stands here, since an environment is made anew where this file has changed. Of constraints.txt:
# sha256 b65f2de2c557f9c45129186a46c726725a27ce50f0ba7fea311651f97acd8e24
set -euo pipefail
if [ ! -f constraints.txt ]; then
    echo "constraints.txt: expected in $PWD, found nothing; start Snakemake in the folder of the checkout." >&2
    exit 1
fi
"$CONDA_PREFIX/bin/python" -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'

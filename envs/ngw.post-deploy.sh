#!/usr/bin/env bash
# What goes into the environment of ngw.yaml: this checkout and its pins. Snakemake runs it once, in the folder that it
# was started in. (Paths in ngw.yaml would be looked up in .snakemake/conda, where conda reads a copy of it.)
# The pins' digest stands here, since an environment is made anew where this file has changed. Of constraints.txt:
# sha256 466f975d0ce5de0d7a5f12b58eec6ce82293d4f1b09133ab42baef279f02d442
set -euo pipefail
if [ ! -f constraints.txt ]; then
    echo "constraints.txt: expected in $PWD, found nothing; start Snakemake in the folder of the checkout." >&2
    exit 1
fi
"$CONDA_PREFIX/bin/python" -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'

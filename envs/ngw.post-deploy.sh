#!/usr/bin/env bash
# What goes into the environment of ngw.yaml: the package whose rules run, and its pins. Snakemake runs it once, in the
# folder that it was started in; rules/common.smk says where the workflow lies. (Paths in ngw.yaml would be looked up in
# .snakemake/conda, where conda reads a copy of it.)
# The pins' digest stands here, since an environment is made anew where this file has changed. Of constraints.txt:
# sha256 bc42cbab30bef81240ea9ff267cebfe2610456d7f31ae4a716e0221497f0d80c
set -euo pipefail
root="${NGW_ROOT:-$PWD}"
if [ ! -f "$root/constraints.txt" ]; then
    echo "constraints.txt: expected in $root, found nothing; start Snakemake in the folder of the checkout." >&2
    exit 1
fi
if [ -f "$root/pyproject.toml" ]; then # a checkout
    set -- --editable "$root[bench]"
else # an installed package
    set -- "ngw[bench]==$NGW_VERSION"
fi
"$CONDA_PREFIX/bin/python" -m pip install --disable-pip-version-check --constraint "$root/constraints.txt" "$@"

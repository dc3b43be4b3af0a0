#!/usr/bin/env bash
# What goes into the environment of ngw.yaml: the package whose rules run, and its pins. Snakemake runs it once, in the
# folder that it was started in; rules/common.smk says where the workflow lies. (Paths in ngw.yaml would be looked up in
# .snakemake/conda, where conda reads a copy of it.)
# The pins' digest stands here, since an environment is made anew where this file has changed. Of constraints.txt:
# sha256 55dd3f8b01831c6c610ba10816f17fdce7b9dca48a09e6c2fff41b71bb213b98
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

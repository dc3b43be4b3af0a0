#!/usr/bin/env bash
# This script installs the rules' package and its pins into the environment of ngw.yaml. Snakemake runs it once, in the
# folder where it was started; rules/common.smk exports the workflow's place. (Paths in ngw.yaml would be relative to
# .snakemake/conda, where conda reads a copy of the file.)
# The digest of constraints.txt is here, since Snakemake makes an environment again when this file has changed:
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

"""The command line: `python -m ngw <stage>` is what one rule of the workflow runs; `ngw <stage> --help` explains it.

Exit status: 0 done; 2 bad input or usage, told in one sentence; 1 anything else, with its traceback.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from ngw.commands import parser
from ngw.errors import InputError

STAGES = (
    "ngw.stages",
    "ngw.tasks.stages",
    "ngw.tasks.generation",
    "ngw.tasks.generation_images",
    "ngw.tasks.joint_stages",
    "ngw.report.stages",
    "ngw.report.sheets",
    "ngw.report.status",
    "ngw.report.plan",
)


def run(args: argparse.Namespace) -> None:
    """Hand the arguments to their stage."""
    name = {"data": "prepare", "tokens": "encode_tokens"}.get(args.stage, args.stage.replace("-", "_"))
    options = {option: value for option, value in vars(args).items() if option != "stage"}
    for package in STAGES:
        found = getattr(importlib.import_module(package), name, None)
        if callable(found):
            return found(**options)
    raise AttributeError(f"stage {args.stage!r} has no function {name}")


def main(argv: list[str] | None = None) -> int:
    """Run one stage; bad input is one sentence on standard error and status 2."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin starve one another where cores are shared
    args = parser().parse_args(argv)
    try:
        run(args)
    except InputError as error:
        print(f"ngw {args.stage}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

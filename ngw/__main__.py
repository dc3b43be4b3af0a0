"""The command line: `python -m ngw <stage>` is what one rule of the workflow runs; `ngw <stage> --help` explains it.

Exit status: 0 done; 2 bad input or usage, told in one sentence; 1 anything else, with its traceback.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from ngw.commands import parser
from ngw.errors import FullDisk, InputError
from ngw.io.atomic import is_full

STAGES = (
    "ngw.tasks.stages",
    "ngw.tasks.vqa.stages",
    "ngw.tasks.captions.stages",
    "ngw.tasks.images.stages",
    "ngw.tasks.joint.stages",
    "ngw.report.stages",
    "ngw.report.sheets",
    "ngw.tools.status",
    "ngw.tools.plan",
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


def terminal() -> int | None:
    """Where a rule's shell had its standard error before that became a log: a copy of the descriptor `NGW_TERMINAL`.

    To be asked before anything else is opened: a process that didn't inherit it may give its number to another file.
    """
    try:
        return os.dup(int(os.environ["NGW_TERMINAL"]))
    except (KeyError, OSError):
        return None


def tell(sentence: str, full: bool, elsewhere: int | None) -> None:
    """Print a sentence on standard error, and on the terminal if that fails or a disk is full: logs lie on it too."""
    try:
        print(sentence, file=sys.stderr, flush=True)
    except OSError:
        full, sys.stderr = True, None  # what is left in its buffer would change the exit status
    if full and elsewhere is not None:
        os.write(elsewhere, f"{sentence}\n".encode())


def main(argv: list[str] | None = None) -> int:
    """Run one stage; bad input, or a full disk, is one sentence on standard error and status 2."""
    elsewhere = terminal()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin starve one another where cores are shared
    args = parser().parse_args(argv)
    try:
        run(args)
        print(end="", flush=True)  # a log that lies on a full disk says so here
    except InputError as error:
        tell(f"ngw {args.stage}: {error}", isinstance(error, FullDisk), elsewhere)
    except OSError as error:
        if not is_full(error):
            raise
        sys.stdout = None  # as in `tell`
        sentence = f"{error.filename or 'its log'}: expected room on its disk, found none; free some and run again."
        tell(f"ngw {args.stage}: {sentence}", True, elsewhere)
    else:
        return 0
    return 2


if __name__ == "__main__":
    sys.exit(main())

"""The command line: a stage is a decorated function; its annotated signature gives its options.

It uses argparse: importing typer, tyro, cyclopts or jsonargparse takes 50 to 130 ms more, in each of thousands of jobs.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from ngw import __version__
from ngw.arguments import POSITIONAL
from ngw.errors import FullDisk, InputError

Function = TypeVar("Function", bound=Callable[..., None])
MODULES = (  # they define the stages; what people call comes first
    "ngw.dual.align",
    "ngw.dual.stages",
    "ngw.tools.study",
    "ngw.tools.status",
    "ngw.tools.provenance",
    "ngw.tools.plan",
    "ngw.rehearsal.stages",
    "ngw.download.stages",
    "ngw.tools.exchange",
    "ngw.report.export",
    "ngw.tasks.stages",
    "ngw.tasks.batch",
    "ngw.tasks.outside",
    "ngw.tasks.classification.stages",
    "ngw.tasks.vqa.inputs",
    "ngw.tasks.vqa.stages",
    "ngw.tasks.captions.stages",
    "ngw.tasks.images.stages",
    "ngw.tasks.joint.stages",
    "ngw.report.stages",
    "ngw.report.labelled",
    "ngw.report.sheets",
)
DEFINITION = re.compile(r'^@stage\("(.+)"\)\ndef (\w+)\(', re.MULTILINE)
TOP = "Neural Geometry Warping. People call align to export; the workflow's rules call data to image-sheet."
EPILOG = "Exit status: 0 done; 2 bad input or usage, in one sentence; 1 anything else, with its traceback."


class Stage(NamedTuple):
    """Where a stage is defined, and what it does."""

    module: str
    about: str


def stage(about: str) -> Callable[[Function], Function]:
    """Make a function a stage: `def score_images` is `python -m ngw score-images`.

    about: one line that says what it does.  An option's type is Path, str, int, float, bool, a Literal, a Sequence, or
    one of `ngw.arguments`, which brings its own parser.  An option without a default is required.
    """

    def same(function: Function) -> Function:
        return function

    return same


def stages() -> dict[str, Stage]:
    """Every stage by its name on the command line, read from the source files: only the stage that runs is imported."""
    table = {}
    for module in MODULES:
        source = Path(__file__).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
        for about, name in DEFINITION.findall(source.read_text(encoding="utf-8")):
            table[name.replace("_", "-")] = Stage(module, about)
    return table


def function(name: str) -> Callable[..., None]:
    """The function of a stage."""
    return getattr(importlib.import_module(stages()[name].module), name.replace("-", "_"))


class Interleaved(argparse.ArgumentParser):
    """A parser that accepts options between positional words."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse intermixed; the call from inside that method goes to `ArgumentParser`'s own."""
        self.parse_known_args = super().parse_known_args  # type: ignore[method-assign]
        return self.parse_known_intermixed_args(args, namespace)


def parser(name: str | None = None) -> argparse.ArgumentParser:
    """The parser of every stage, with the options of the named one."""
    top = argparse.ArgumentParser(prog="ngw", description=TOP, epilog=EPILOG)
    top.add_argument("--version", action="version", version=__version__)
    choices = top.add_subparsers(dest="stage", required=True, metavar="stage", parser_class=Interleaved)
    for each, (_, about) in stages().items():
        one = choices.add_parser(each, help=about, description=about)
        if each == name:
            call = function(each)
            hints = get_type_hints(call, include_extras=True)
            for parameter in inspect.signature(call).parameters.values():
                if parameter.kind is not parameter.VAR_POSITIONAL:  # words that go to another program
                    _add(one, parameter, hints[parameter.name])
    return top


def _add(p: argparse.ArgumentParser, parameter: inspect.Parameter, hint: Any) -> None:
    """Add an option from a function's parameter and its type."""
    kind, marks = hint, []
    while get_origin(kind) is Annotated or type(None) in get_args(kind):
        if get_origin(kind) is Annotated:
            kind, *more = get_args(kind)
            marks += more
        else:
            kind = next(part for part in get_args(kind) if part is not type(None))
    settings: dict[str, Any] = {"help": next((mark for mark in marks if isinstance(mark, str)), None)}
    if parameter.default is not parameter.empty:
        settings["default"] = parameter.default
    if get_origin(kind) is Sequence:
        positional = POSITIONAL in marks
        settings["nargs"], (kind,) = "*" if positional else "+", get_args(kind)
    if get_origin(kind) is Literal:
        settings["choices"] = list(get_args(kind))
    elif kind is bool:
        settings |= {"action": "store_true"}
    else:
        settings["type"] = next((mark for mark in marks if callable(mark)), kind)
    if POSITIONAL in marks:
        p.add_argument(parameter.name, **settings)
    else:
        required = parameter.default is parameter.empty
        p.add_argument(f"--{parameter.name.replace('_', '-')}", required=required, **settings)


def _apart(words: list[str], end: int) -> tuple[list[str], list[str]]:
    """ngw's own words, and the words after `end`, a stage's name, that it hands on unchanged (`def run(*options)`)."""
    asked = words[end:]
    if end > len(words) or asked in (["--help"], ["-h"]):
        return words, []
    parameters = inspect.signature(function(words[end - 1])).parameters.values()
    handed_on = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    return (words[:end], asked) if handed_on else (words, [])


def terminal() -> int | None:
    """A copy of the descriptor `NGW_TERMINAL`: a rule's standard error, before the shell redirected it to a log.

    Call it before any file is opened: in a process that didn't inherit the descriptor, another file can get its number.
    """
    try:
        return os.dup(int(os.environ["NGW_TERMINAL"]))
    except (KeyError, OSError):
        return None


def report(sentence: str, full: bool, elsewhere: int | None) -> None:
    """Print a sentence on standard error; on the terminal too if that fails or a disk is full: logs can be on it."""
    try:
        print(sentence, file=sys.stderr, flush=True)
    except OSError:
        full, sys.stderr = True, None  # the rest of its buffer would change the exit status
    if full and elsewhere is not None:
        os.write(elsewhere, f"{sentence}\n".encode())


def main(argv: list[str] | None = None) -> int:
    """Run one stage; bad input or a full disk gives one sentence on standard error and status 2."""
    elsewhere = terminal()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # a file's name that isn't UTF-8 leaves as it came
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin starve one another where cores are shared
    words = sys.argv[1:] if argv is None else argv
    known = stages()
    first = next((k for k, word in enumerate(words) if word in known), len(words))
    words, further = _apart(words, first + 1)
    options = vars(parser(words[first] if first < len(words) else None).parse_args(words))
    name = options.pop("stage")
    try:
        function(name)(*further, **options)
        print(end="", flush=True)  # a log on a full disk fails here
    except InputError as error:
        report(f"ngw {name}: {error}", isinstance(error, FullDisk), elsewhere)
    except OSError as error:
        from ngw.io.atomic import is_full

        if not is_full(error):
            raise
        sys.stdout = None  # as in `report`
        where = error.filename or "its output or log"
        report(f"ngw {name}: {where}: expected room on its disk, found none; free some and run again.", True, elsewhere)
    else:
        return 0
    return 2

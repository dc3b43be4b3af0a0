"""A study outside a clone: its first files, and Snakemake with the project's defaults."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

from ngw import io
from ngw.arguments import POSITIONAL
from ngw.cli import stage
from ngw.errors import InputError
from ngw.project import ROOT
from ngw.tools import bars

SNAKEFILE = """\
# The workflow of the package ngw, with this folder's config.yaml. Rules of your own go below.
from ngw.project import SNAKEFILE


configfile: "config.yaml"


module ngw:
    snakefile:
        SNAKEFILE
    config:
        config


use rule * from ngw
"""
PROFILE = Path("profiles/local")
OWN = ("--profile", "--workflow-profile")  # options that name another profile


@stage("Start a study in a new folder: a config, a Snakefile, a profile; `ngw run` there runs it.")
def init(folder: Annotated[Path, POSITIONAL, "the folder: new, or without these files"]) -> None:
    """The init command, which no rule runs: config.yaml and the profile are copies of the project's, to change."""
    names = start(folder)
    print(f"{folder}: {', '.join(names)}. Change config.yaml, then: cd {shlex.quote(str(folder))} && ngw run")


def start(folder: Path) -> list[str]:
    """Write a study's first files, and return their names; an `InputError` if one of them exists."""
    texts = {"Snakefile": SNAKEFILE} | {
        name: (ROOT / name).read_text(encoding="utf-8") for name in ("config.yaml", f"{PROFILE}/config.yaml")
    }
    for name in texts:
        if (folder / name).exists():
            raise InputError(f"{folder / name}: expected no such file yet, found one; name a new folder.")
    for name, text in texts.items():
        io.write_text(folder / name, text)
    return list(texts)


@stage("Run Snakemake with the project's defaults; the words that follow go to Snakemake unchanged.")
def run(*options: str) -> None:
    """The run command, which no rule runs: Snakemake replaces this process.

    The defaults come from profiles/local, of this folder or of the package, unless another profile is named.  A
    terminal shows progress bars and the time left; a file gets plain lines.
    """
    command = [sys.executable, "-m", "snakemake"]
    if not any(word.split("=")[0] in OWN for word in options):
        command += ["--profile", str(PROFILE if PROFILE.is_dir() else ROOT / PROFILE)]
    if sys.stderr.isatty() and not any(word.split("=")[0] == "--logger" for word in options):
        command += ["--logger", "ngw"]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(bars.FOLDER)]))
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # jobs call this `python`
    os.execv(sys.executable, [*command, *options])

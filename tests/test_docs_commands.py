"""Every command that a page names is parsed, or planned by a dry run; benchmarks are asked for their options alone."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ngw.commands import parser

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "results/README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINE = re.compile(
    r"^    ((?:make|snakemake|python|pip|ngw)\b(?:.*\\\n)*.*)$|`((?:make|snakemake|python|pip) [^`<]+)`", re.MULTILINE
)
ELSEWHERE = {  # a cluster, conda, a report in a browser, an installation: where it is run, and a word of it there
    "snakemake --profile slurm": ("tests/slurm/runs.py", "--profile"),
    "snakemake --report report.html": ("tests/test_workflow.py", "--report"),
    "snakemake --report": ("tests/test_workflow.py", "--report"),
    "snakemake --sdm conda": ("tests/test_envs.py", '"--sdm", "conda"'),
    "snakemake --unlock": ("tests/slurm/test_cluster.py", "--unlock"),
    "pip install --constraint constraints.txt --editable .[bench,slurm]": ("Makefile", "pip install"),
}


def commands() -> list[list[str]]:
    """The words of the pages' commands, each command once, without comments."""
    texts = [re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL) for page in PAGES]
    lines = [(match[1] or match[2]).replace("\\\n", " ") for text in texts for match in LINE.finditer(text)]
    return [list(words) for words in dict.fromkeys(tuple(shlex.split(line, comments=True)) for line in lines)]


def said(*command: str) -> str:
    """What a program prints, with this Python's tools before others."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_pages_have_commands_of_every_kind():
    assert {words[0] for words in commands()} == {"make", "snakemake", "python", "pip"}
    assert ["make"] in commands()


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_of_a_page_works(words):
    if " ".join(words) in ELSEWHERE:
        file, part = ELSEWHERE[" ".join(words)]
        assert part in (ROOT / file).read_text(encoding="utf-8")
    elif words[0] == "make":
        assert said("make", "--dry-run", *words[1:])
    elif words[0] == "snakemake":
        said(sys.executable, "-m", *words, "--dry-run", "--quiet")
    elif words[:3] == ["python", "-m", "ngw"]:
        if len(words) == 4 and words[3] != "status":  # a stage by its name
            assert words[3] in parser()._subparsers._group_actions[0].choices
        else:
            assert parser().parse_args(words[3:])
    else:
        options = [word for word in words if word.startswith("--")]
        assert set(options) <= set(re.findall(r"--[a-z-]+", said(sys.executable, words[1], "--help")))

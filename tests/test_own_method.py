"""The tutorial of docs/tutorials/own-method.md, followed: ten lines become rows of the table."""

from __future__ import annotations

import csv
import re
import shutil
import sys
from pathlib import Path

import pytest
from tiny_repository import ROOT, run

PAGE = (ROOT / "docs/tutorials/own-method.md").read_text(encoding="utf-8")
BLOCK = re.compile(r'^```(?:python|yaml)(?: title="([^"]+)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^    (snakemake .*)$", re.MULTILINE)
QUICK = ["snakemake", "--cores", "2", "--configfile", "examples/quick.yaml"]


def models(folder: Path) -> dict[Path, int]:
    """The fitted methods of a folder, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in (folder / "results/runs").rglob("model.safetensors")}


@pytest.mark.workflow
@pytest.mark.long
def test_a_method_of_ten_lines_comes_into_the_table_and_no_other_is_fitted_again(finished, tmp_path):
    folder = tmp_path / "a clone"
    shutil.copytree(finished, folder, symlinks=True)
    quick = run(folder, sys.executable, "-m", *QUICK)  # `make quick`
    assert quick.returncode == 0, quick.stdout + quick.stderr
    before = models(folder)
    blocks = BLOCK.findall(PAGE)
    for name, text in blocks:
        if name:
            (folder / name).write_text(text, encoding="utf-8")
    (trial,) = [text for name, text in blocks if not name]
    tried = run(folder, sys.executable, "-c", trial)
    assert tried.returncode == 0, tried.stderr
    assert [line.split()[0] for line in tried.stdout.splitlines()[2:5]] == ["kernel-regression", "ridge", "ngw"]
    (command,) = COMMAND.findall(PAGE)
    done = run(folder, sys.executable, "-m", *command.split())
    assert done.returncode == 0, done.stdout + done.stderr
    after = models(folder)
    assert {path: after[path] for path in before} == before
    new = {"kernel-regression", "kernel-regression-wide"}
    assert {path.parents[3].name for path in after.keys() - before.keys()} == new
    with open(folder / "results/tables/retrieval.csv", newline="", encoding="utf-8") as file:
        assert {row["method"] for row in csv.DictReader(file)} >= {"ngw", *new}

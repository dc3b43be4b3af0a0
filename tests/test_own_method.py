"""The tutorial of docs/tutorials/own-method.md, followed: ten lines become rows of the table, by their own jobs alone."""

from __future__ import annotations

import csv
import re
import shutil
import sys

import pytest
from tiny_repository import ROOT, run

PAGE = (ROOT / "docs/tutorials/own-method.md").read_text(encoding="utf-8")
BLOCK = re.compile(r'^```(?:python|yaml)(?: title="(.+)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^    (snakemake .*)$", re.MULTILINE)
QUICK = ["snakemake", "--cores", "2", "--configfile", "examples/quick.yaml"]


@pytest.mark.workflow
def test_a_method_of_ten_lines_comes_into_the_table_and_no_other_is_fitted_again(finished, tmp_path):
    folder = tmp_path / "a clone"
    shutil.copytree(finished, folder, symlinks=True)
    quick = run(folder, sys.executable, "-m", *QUICK)  # `make quick`
    assert quick.returncode == 0, quick.stdout + quick.stderr
    (_, method), (_, trial), (_, study) = files = BLOCK.findall(PAGE)
    for name, text in files:
        if name:
            (folder / name).write_text(text, encoding="utf-8")
    assert len([line for line in method.splitlines() if re.match("(@|class| +[a-z])", line)]) == 9
    tried = run(folder, sys.executable, "-c", trial)
    assert tried.returncode == 0, tried.stderr
    assert [line.split()[0] for line in tried.stdout.splitlines()[2:5]] == ["kernel-regression", "ridge", "warp"]
    (command,) = COMMAND.findall(PAGE)
    done = run(folder, sys.executable, "-m", *command.split())
    assert done.returncode == 0, done.stdout + done.stderr
    fitted = set(re.findall(r"method=([\w-]+)", "".join(re.findall(r"^rule (?:fit|transport|maps):(?:\n .*)*", done.stderr, re.M))))
    assert fitted == {"kernel-regression", "kernel-regression-wide"}
    with open(folder / "results/tables/retrieval.csv", newline="", encoding="utf-8") as file:
        assert {row["method"] for row in csv.DictReader(file)} >= {"ngw", *fitted}
    assert "width: 0.2" in study

"""One set of pins for pip, conda and the container: every dependency has one, no rule is without its environment."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ENVS = ROOT / "envs"
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PINS = dict(line.split("==") for line in LINES if line and not line.startswith("#"))
RULES = sorted((ROOT / "rules").rglob("*.smk"))


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name)[0]).lower()


def test_every_dependency_has_a_pin():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for names in project["optional-dependencies"].values() for name in names),
    ]
    names = {plain(name) for name in wanted if not name.startswith("ngw[")}
    assert names - {plain(name) for name in PINS} == set()


def test_the_conda_environment_is_python_and_the_same_pins():
    environment = yaml.safe_load((ENVS / "ngw.yaml").read_text())
    python, pip = environment["dependencies"]
    assert pip == "pip"
    assert python.split("=")[1].split(".")[:2] >= ["3", "11"]
    # No paths: conda reads a copy in another folder. No nodefaults: conda 26.7 takes it for a channel.
    assert environment["channels"] == ["conda-forge"]
    script = (ENVS / "ngw.post-deploy.sh").read_text()
    assert "pip install --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'" in script


def test_changed_pins_make_a_new_conda_environment():
    digest = hashlib.sha256((ROOT / "constraints.txt").read_bytes()).hexdigest()
    assert f"sha256 {digest}" in (ENVS / "ngw.post-deploy.sh").read_text(), "write constraints.txt's digest there"


def test_the_conda_environment_says_where_it_must_be_made(tmp_path):
    told = os.environ | {"CONDA_PREFIX": str(tmp_path)}
    script = ["bash", str(ENVS / "ngw.post-deploy.sh")]
    run = subprocess.run(script, cwd=tmp_path, env=told, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert f"constraints.txt: expected in {tmp_path}, found nothing; start Snakemake in" in run.stderr


@pytest.mark.skipif(shutil.which("conda") is None, reason="needs a conda of 24.7.1 or later on the PATH")
def test_conda_plans_the_environment():
    command = [sys.executable, "-m", "snakemake", "--sdm", "conda", "--dry-run", "--cores", "1", "--nolock"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "Conda environment envs/ngw.yaml will be created." in run.stderr + run.stdout


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_every_rule_that_runs_a_command_names_it(path):
    for rule in re.split(r"\n(?=rule |use rule )", path.read_text()):
        if "shell:" in rule:
            (env,) = re.findall(r'conda:\n\s+"([^"]+)"', rule)
            assert (path.parent / env).resolve() == ENVS / "ngw.yaml"


def test_the_container_installs_and_runs_by_make():
    lines = (ENVS / "Dockerfile").read_text().splitlines()
    assert "RUN make env" in lines
    assert 'CMD ["make"]' in lines
    (base,) = [line for line in lines if line.startswith("FROM")]
    assert tuple(map(int, re.findall(r"\d+", base)[:2])) >= (3, 11)
    assert {".venv", "results/*"} <= set((ROOT / ".dockerignore").read_text().splitlines())

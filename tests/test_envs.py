"""One set of pins for pip, conda and the container: every dependency has one, no rule is without its environment."""

from __future__ import annotations

import hashlib
import json
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
CONDA = {
    "conda_version": "26.7.0",
    "conda_prefix": "/opt/conda",
    "platform": "linux-64",
    "get": {"channel_priority": "strict"},
}
OWN = 'rule own:\n    output: "results/own"\n    conda: "../../envs/own.yaml"\n    shell: "touch {output}"\n'


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name)[0]).lower()


def test_every_dependency_has_a_pin():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for names in project["optional-dependencies"].values() for name in names),
    ]
    names = {plain(name) for name in wanted if not name.startswith("ngw[") and "==" not in name}  # which is a pin
    assert names - {plain(name) for name in PINS} == set()


def test_the_conda_environment_is_python_and_the_same_pins():
    environment = yaml.safe_load((ENVS / "ngw.yaml").read_text())
    python, pip = environment["dependencies"]
    assert pip == "pip"
    assert python.split("=")[1].split(".")[:2] >= ["3", "11"]
    # No paths: conda reads a copy in another folder. No nodefaults: conda 26.7 takes it for a channel.
    assert environment["channels"] == ["conda-forge"]
    script = (ENVS / "ngw.post-deploy.sh").read_text()
    assert 'pip install --disable-pip-version-check --constraint "$root/constraints.txt" "$@"' in script


def test_changed_pins_make_a_new_conda_environment():
    digest = hashlib.sha256((ROOT / "constraints.txt").read_bytes()).hexdigest()
    assert f"sha256 {digest}" in (ENVS / "ngw.post-deploy.sh").read_text(), "write constraints.txt's digest there"


def test_the_conda_environment_says_where_it_must_be_made(tmp_path):
    told = {k: v for k, v in os.environ.items() if k != "NGW_ROOT"} | {"CONDA_PREFIX": str(tmp_path)}
    script = ["bash", str(ENVS / "ngw.post-deploy.sh")]
    run = subprocess.run(script, cwd=tmp_path, env=told, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert f"constraints.txt: expected in {tmp_path}, found nothing; start Snakemake in" in run.stderr


@pytest.mark.parametrize(
    ("checkout", "installed"), [(True, ["--editable", "{root}[bench]"]), (False, ["ngw[bench]==1.2.3"])]
)
def test_the_conda_environment_gets_the_package_whose_rules_run(tmp_path, checkout, installed):
    root, python = tmp_path / "where it lies", tmp_path / "bin/python"
    root.mkdir()
    (root / "constraints.txt").touch()
    if checkout:
        (root / "pyproject.toml").touch()
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nfor word; do echo "$word"; done\n')
    python.chmod(0o755)
    told = os.environ | {"CONDA_PREFIX": str(tmp_path), "NGW_ROOT": str(root), "NGW_VERSION": "1.2.3"}
    script = ["bash", str(ENVS / "ngw.post-deploy.sh")]
    run = subprocess.run(script, cwd=tmp_path, env=told, capture_output=True, text=True, check=True)
    words = run.stdout.splitlines()
    assert words[-len(installed) :] == [word.format(root=root) for word in installed]
    assert words[words.index("--constraint") + 1] == f"{root}/constraints.txt"


@pytest.mark.skipif(shutil.which("conda") is None, reason="needs a conda of 24.7.1 or later on the PATH")
def test_conda_plans_the_environment():
    command = [sys.executable, "-m", "snakemake", "--sdm", "conda", "--dry-run", "--cores", "1", "--nolock"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "Conda environment envs/ngw.yaml will be created." in run.stderr + run.stdout


def test_each_command_runs_in_it_unless_its_rule_names_another(tmp_path):
    copy = tmp_path / "repository"
    copy.mkdir()
    for name in ("config.yaml", "ngw", "workflow", "rules", "envs"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
    shutil.copy(ENVS / "ngw.yaml", copy / "envs" / "own.yaml")
    (copy / "rules" / "baselines" / "own.smk").write_text(OWN)
    conda = tmp_path / "conda"  # a dry run only asks for its version and settings
    conda.write_text(f"#!/bin/sh\necho '{json.dumps(CONDA)}'\n")
    conda.chmod(0o755)
    told = os.environ | {"PYTHONPATH": str(copy), "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "snakemake", "--sdm", "conda", "--dry-run", "--cores", "1", "all", "own"]
    run = subprocess.run(command, cwd=copy, env=told, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    environments = re.findall(r"Conda environment (\S+) will be created", run.stderr + run.stdout)
    assert sorted(environments) == ["envs/ngw.yaml", "envs/own.yaml"]


def test_the_container_installs_and_runs_by_make():
    lines = (ENVS / "Dockerfile").read_text().splitlines()
    assert "RUN make env" in lines
    assert 'CMD ["make"]' in lines
    (base,) = [line for line in lines if line.startswith("FROM")]
    assert tuple(map(int, re.findall(r"\d+", base)[:2])) >= (3, 11)
    assert {".venv", "results/*"} <= set((ROOT / ".dockerignore").read_text().splitlines())

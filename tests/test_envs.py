"""One set of pins for pip, conda and the container: every dependency has one, no rule is without its environment."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
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


def test_the_conda_environment_is_the_same_pins():
    environment = yaml.safe_load((ROOT / "envs" / "ngw.yaml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-c ../constraints.txt", "-e ..[bench]"]
    (python,) = [entry for entry in environment["dependencies"] if str(entry).startswith("python")]
    assert python.split("=")[1].split(".")[:2] >= ["3", "11"]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_every_rule_that_runs_a_command_names_it(path):
    for rule in re.split(r"\n(?=rule |use rule )", path.read_text()):
        if "shell:" in rule:
            (env,) = re.findall(r'conda:\n\s+"([^"]+)"', rule)
            assert (path.parent / env).resolve() == ROOT / "envs" / "ngw.yaml"


def test_the_container_installs_and_runs_by_make():
    lines = (ROOT / "envs" / "Dockerfile").read_text().splitlines()
    assert "RUN make env" in lines
    assert 'CMD ["make"]' in lines
    (base,) = [line for line in lines if line.startswith("FROM")]
    assert tuple(map(int, re.findall(r"\d+", base)[:2])) >= (3, 11)
    assert {".venv", "results/*"} <= set((ROOT / ".dockerignore").read_text().splitlines())

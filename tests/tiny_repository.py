"""A copy of the repository at tiny sizes, in which its pages' commands take seconds, and how to run them there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from ngw import config
from ngw.tools.status import merged

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "config", "docs", "envs", "examples", "ngw", "profiles", "rules", "workflow")
FILES = (
    "CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "Makefile", "README.md", "constraints.txt", "mkdocs.yml",
    "paper.yaml", "pyproject.toml", "setup.py",
)  # fmt: skip
ONE_MODALITY = [  # train and test images, known pairs, methods
    ("train: 1000", "train: 48"),
    ("test: 500", "test: 24"),
    ("[30, 300]", "[16]"),
    ("pairs: 300", "pairs: 16"),
    ("methods: [ngw, cca, ridge, procrustes, ngw-clusters, gromov, random]", "methods: [ngw, gromov]"),
    ("methods: [ngw, cca]", "methods: [ngw]"),
]
SMALLER = {  # what is replaced in a file, wherever it stands there
    "Makefile": [("--size small", "--size tiny")],
    "profiles/local/config.yaml": [("1000/10s", "1000/1s")],  # jobs of a second each
    "paper.yaml": [
        ("      - {fusion: weight-averaging, seeds: [0]}\n", ""),  # no fusion of the tiny config
        ("  seeds: [0, 1, 2]\n  pairs: [0, 100, 1000, 10000, all]", "  seeds: [0]\n  pairs: [0, 10000, all]"),
        ("    - [dinov2-base, mpnet]\n    - [dinov2-base, contriever]\n    - [dinov2-base, bert-base]\n", ""),
        ("    - [dinov2-base, roberta-base]\n    - [vit-b16, bert-base]\n", ""),
    ],
    "examples/quick.yaml": [
        ("[30, 100, 300, all]", "[16, all]"),
        ("[ngw, sotalign, cca, ridge, procrustes, random]", "[ngw, cca, random]"),
    ],
    "examples/same-modality.yaml": ONE_MODALITY,
    "examples/text-text.yaml": ONE_MODALITY,
    "examples/easy-vqa.yaml": [
        ("labels: [1, 10]", "labels: [50]"),
        (
            ', "ngw-fusion~tune=frozen", no-alignment, concat, image-only, question-only, prior, prior-by-type]',
            ", concat]",
        ),
        ("[ngw-fusion, no-alignment, concat, question-only]", "[concat]"),
    ],
}


def edit(path: Path, old: str, new: str, count: int = 1) -> None:
    """Replace text that must be there, once; with a count of -1 wherever it stands."""
    text = path.read_text(encoding="utf-8")
    assert old in text, (path, old)
    path.write_text(text.replace(old, new, count), encoding="utf-8")


def tiny_repository(folder: Path) -> Path:
    """The repository without its tests, in a new folder; config.yaml is the tiny one, and all is installed."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (*FILES, "results/README.md", "tests/config.yaml"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for name, changes in SMALLER.items():
        for old, new in changes:
            edit(folder / name, old, new, count=-1)
    values = merged(config.read(ROOT / "config.yaml"), config.read(ROOT / "tests/config.yaml"))
    (folder / "config.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    (folder / ".venv").mkdir()
    (folder / ".venv/.ready").touch()  # by the Python that runs the tests
    return folder


def run(folder: Path, *command: str, **told: str) -> subprocess.CompletedProcess:
    """Run a command in such a copy, with its package and this Python's programs; the limit is for what hangs.

    told: by its environment.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(folder), "PATH": path, **told}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1800, check=False
    )


def snakemake(folder: Path, *options: str) -> subprocess.CompletedProcess:
    """Run Snakemake in such a copy, with the tiny config over the copy's own, for the tests that edit one of them."""
    return run(folder, sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "tests/config.yaml", *options)


def scheduled(folder: Path) -> dict[str, set[str]]:
    """{rule: methods or fusions of its jobs ("" where a rule has none)} that a run would start now."""
    done = snakemake(folder, "--dry-run")
    assert done.returncode == 0, done.stderr
    jobs: dict[str, set[str]] = {}
    for block in re.split(r"\n(?=(?:local)?rule )", done.stdout + done.stderr):
        rule = re.search(r"^(?:local)?rule (\w+):$", block, re.MULTILINE)
        if rule:
            method = re.search(r"(?:method|fusion)=([^,\s]+)", block)
            jobs.setdefault(rule[1], set()).add(method[1] if method else "")
    for target in ("all", "all_vqa", "all_generation", "stages", "page"):  # what ends every run
        jobs.pop(target, None)
    return jobs

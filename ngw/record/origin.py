"""A record's origin: version, commit, config, libraries, machine."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ngw import __version__

LIBRARIES = ("torch", "numpy", "transformers", "diffusers", "pot", "snakemake")
COMMIT, CONFIG = "NGW_COMMIT", "NGW_CONFIG"  # environment variables: found once by the workflow, not by each job


@functools.cache
def stamp() -> dict[str, Any]:
    """A record's entries about its origin; `config` is empty if no workflow ran the stage."""
    return {
        "version": __version__,
        "commit": os.environ[COMMIT] if COMMIT in os.environ else commit(),
        "config": os.environ.get(CONFIG, ""),
        "libraries": libraries(),
        "machine": f"{processor()}, {os.cpu_count()} cores",
    }


def digest(config: Mapping[str, Any]) -> str:
    """Twelve digits that tell one config from another, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:12]


def commit() -> str:
    """The commit of the source files, and whether they have changed since; empty if they are in no repository."""
    folder = Path(__file__).parents[2]

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
        except FileNotFoundError:  # no git on this machine
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("rev-parse", "--show-toplevel") != str(folder):
        return ""
    return f"({git('rev-parse', '--short=12', 'HEAD')}{', changed since' if git('status', '--porcelain') else ''})"


def libraries() -> dict[str, str]:
    """The versions of the installed libraries, among those that compute."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def processor() -> str:
    """The processor's model, if the system reports it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"
